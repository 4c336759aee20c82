//! The table of attacks. Every new limit gets a row.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::attackers::Attack;
use crate::attacks::{bodies, connections, queries, strangers, streams};
use crate::orders::Counts;
use crate::stage::{Settings, Stock};

/// One attack.
pub(crate) struct Row {
    /// The name on the command line; rows of one kind share a number.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// The attackers' organizations.
    pub(crate) stocks: &'static [Stock],
    pub(crate) attack: fn(Rc<Attack>) -> LocalBoxFuture<'static, ()>,
    pub(crate) conditions: Conditions,
}

/// What is special about a row.
pub(crate) struct Conditions {
    /// Extra settings of the server.
    pub(crate) settings: Settings,
    /// The server's limit of open files.
    pub(crate) open_files: Option<u32>,
    /// The interval of the victim's logins.
    pub(crate) login_every: Duration,
    /// Whether the victim imports and exports.
    pub(crate) is_streaming: bool,
    /// A shorter attack would show nothing.
    pub(crate) at_least: Duration,
    /// Whether MongoDB has a small disk.
    pub(crate) has_small_disk: bool,
    /// Checks the attackers' answers, and says what is wrong with them.
    pub(crate) demands: fn(&Counts) -> Option<String>,
}

impl Conditions {
    const USUAL: Self = Self {
        settings: &[],
        open_files: None,
        login_every: Duration::from_millis(600),
        is_streaming: false,
        at_least: Duration::ZERO,
        has_small_disk: false,
        demands: |_| None,
    };
    const STREAMING: Self = Self { is_streaming: true, ..Self::USUAL };
    /// Longer than the victim waits for `/health/live`.
    const FEW_FILES: Self = Self { open_files: Some(256), at_least: Duration::from_secs(6), ..Self::USUAL };
    /// The default limit of logins, which the victim stays within.
    const LIMITED_LOGINS: Self = Self {
        settings: &[("LOGIN_ATTEMPTS_PER_MINUTE", "10")],
        login_every: Duration::from_millis(1_300),
        // Twice the attempts of 20 networks in a minute.
        demands: told_at_most::<400>,
        ..Self::USUAL
    };
    /// Twice the creations of three addresses in a minute.
    const FEW_CREATIONS: Self = Self { demands: told_at_most::<120>, ..Self::USUAL };
    /// Twice the emails, and the names, that one address may ask about in a minute.
    const FEW_EMAILS: Self = Self { demands: told_at_most::<40>, ..Self::USUAL };
    const FEW_NAMES: Self = Self { demands: told_at_most::<600>, ..Self::USUAL };
    const SAME_KEYS: Self = Self { demands: strangers::check_keys, ..Self::USUAL };
    /// The mark leaves more than the attackers can write before the server's next look.
    const SMALL_DISK: Self = Self {
        settings: &[("MIN_FREE_STORAGE_PERCENT", "30")],
        has_small_disk: true,
        at_least: Duration::from_secs(6),
        demands: streams::check_storage,
        ..Self::USUAL
    };
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row {}", self.id)
    }
}

impl Row {
    const fn new(
        id: &'static str,
        title: &'static str,
        stocks: &'static [Stock],
        attack: fn(Rc<Attack>) -> LocalBoxFuture<'static, ()>,
    ) -> Self {
        Self { id, title, stocks, attack, conditions: Conditions::USUAL }
    }

    const fn under(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// Whether this is the row's id or number.
    pub(crate) fn is_called(&self, id: &str) -> bool {
        self.id == id || self.id.trim_end_matches(char::is_alphabetic) == id
    }
}

/// Makes a row's attack of an async function that borrows it.
macro_rules! attack {
    ($function:path) => {
        |attack| Box::pin(async move { $function(&attack).await })
    };
}

/// Limits how often attackers get a real answer instead of a refusal, for attacks that try to learn or to change something.
fn told_at_most<const MOST: u64>(answered: &Counts) -> Option<String> {
    let is_told = |what: &str| what.starts_with(['2', '4']) && !what.starts_with("429");
    let told: u64 = answered.iter().filter(|(what, _)| is_told(what)).map(|(_, times)| times).sum();
    (told > MOST).then(|| format!("attackers got {told} real answers, at most {MOST} are expected"))
}

/// The victim alone, the baseline of all other rows.
pub(crate) static NOBODY: &str = "0";

const TWO: &[Stock] = &[Stock::Empty, Stock::AlsoEmpty];
const PAGES: &[Stock] = &[Stock::Pages, Stock::AlsoPages];

pub(crate) static ROWS: &[Row] = &[
    Row::new(NOBODY, "nobody: the victim alone", &[], |attack| Box::pin(async move { attack.until(1.0).await })),
    Row::new("1", "120 lists with a quadratic pattern", &[Stock::Strings], attack!(queries::quadratic_patterns)),
    Row::new("1b", "120 lists with usual patterns, worst strings", &[Stock::Strings], attack!(queries::usual_patterns)),
    Row::new("1c", "40 writers under a schema with patterns", &[Stock::Empty], attack!(queries::schema_patterns)),
    Row::new("2", "1,000 promised bodies of strangers", &[], attack!(strangers::promised_bodies)),
    Row::new("3", "120 pages of 15 MB that nobody reads", &[Stock::Pages], attack!(bodies::unread_pages)),
    Row::new("4", "500 slow filters, then gone", &[Stock::Many], attack!(queries::slow_filters)),
    Row::new("5", "80 imports of two tenants, a byte a second", TWO, attack!(streams::dripped_imports))
        .under(Conditions::STREAMING),
    Row::new("6", "64 exports that find nothing, gone after 1 s", &[Stock::Many], attack!(queries::abandoned_exports)),
    Row::new("7", "64 updates with the present password", &[Stock::Empty], attack!(strangers::present_passwords)),
    Row::new("8", "48 strangers create organizations", &[], attack!(strangers::creations))
        .under(Conditions::FEW_CREATIONS),
    Row::new("8b", "48 of one address ask for an email", &[], attack!(strangers::known_emails))
        .under(Conditions::FEW_EMAILS),
    Row::new("8c", "48 of one address guess names", &[], attack!(strangers::unknown_names))
        .under(Conditions::FEW_NAMES),
    Row::new("9", "8 readers of packed pages of 15 MB", &[Stock::Pages], attack!(bodies::packed_pages)),
    Row::new("10", "600 bodies of 1 MiB at once", &[Stock::Empty], attack!(bodies::large_bodies)),
    Row::new("11", "2,000 heads of 390 kB without an end", &[], attack!(connections::endless_heads)),
    Row::new("11b", "3,000 connections that say nothing", &[], attack!(connections::idle)),
    Row::new("12", "4 imports until the disk is full", &[Stock::Empty], attack!(streams::endless_imports))
        .under(Conditions::SMALL_DISK),
    Row::new("13", "400 connections, and 256 files", &[], attack!(connections::more_than_files))
        .under(Conditions::FEW_FILES),
    Row::new("14", "40 of 20 networks guess a password", &[], attack!(strangers::guessed_passwords))
        .under(Conditions::LIMITED_LOGINS),
    Row::new("14b", "the same where a deletion is taken back", &[], attack!(strangers::guessed_restorations))
        .under(Conditions::LIMITED_LOGINS),
    Row::new("15", "80 exports of two tenants, a few bytes a second", PAGES, attack!(streams::sipped_exports))
        .under(Conditions::STREAMING),
    Row::new("16", "strangers with the same key; guesses at a body", &[], attack!(strangers::same_keys))
        .under(Conditions::SAME_KEYS),
    Row::new("17", "200 connections full of tiny requests", &[], attack!(connections::tiny_requests)),
];
