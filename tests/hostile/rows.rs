//! The table of attacks. A new limit comes with its row.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::attackers::Attack;
use crate::attacks::{bodies, connections, queries, strangers};
use crate::stage::{Settings, Stock};

/// One attack.
pub(crate) struct Row {
    /// What it is called on the command line: rows with the same number are of one kind.
    pub(crate) id: &'static str,
    /// What it is, for people.
    pub(crate) title: &'static str,
    /// The organizations that take part in it.
    pub(crate) stocks: &'static [Stock],
    pub(crate) attack: fn(Rc<Attack>) -> LocalBoxFuture<'static, ()>,
    pub(crate) conditions: Conditions,
}

/// What is special about a row.
pub(crate) struct Conditions {
    /// The server's settings beside the usual ones.
    pub(crate) settings: Settings,
    /// How many files the server may open.
    pub(crate) open_files: Option<u32>,
    /// From one login of the victim's to the next.
    pub(crate) login_every: Duration,
    /// Whether the victim imports and exports.
    pub(crate) is_streaming: bool,
}

impl Conditions {
    const USUAL: Self =
        Self { settings: &[], open_files: None, login_every: Duration::from_millis(600), is_streaming: false };
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

    /// Whether this names the row: by itself, or by its number.
    pub(crate) fn is_called(&self, id: &str) -> bool {
        self.id == id || self.id.trim_end_matches(char::is_alphabetic) == id
    }
}

/// A row's attack from a function that borrows it.
macro_rules! attack {
    ($function:path) => {
        |attack| Box::pin(async move { $function(&attack).await })
    };
}

/// The victim alone, against which all others are held.
pub(crate) static NOBODY: &str = "0";

/// Every row.
pub(crate) static ROWS: &[Row] = &[
    Row::new(NOBODY, "nobody: the victim alone", &[], |attack| Box::pin(async move { attack.until(1.0).await })),
    Row::new("1", "120 lists with a quadratic pattern", &[Stock::Strings], attack!(queries::quadratic_patterns)),
    Row::new("1b", "120 lists with usual patterns, worst strings", &[Stock::Strings], attack!(queries::usual_patterns)),
    Row::new("1c", "40 writers under a schema with patterns", &[Stock::Empty], attack!(queries::schema_patterns)),
    Row::new("2", "1,000 promised bodies of strangers", &[], attack!(strangers::promised_bodies)),
    Row::new("3", "120 pages of 15 MB that nobody reads", &[Stock::Pages], attack!(bodies::unread_pages)),
    Row::new("4", "500 slow filters, then gone", &[Stock::Many], attack!(queries::slow_filters)),
    Row::new("6", "64 exports that find nothing, gone after 1 s", &[Stock::Many], attack!(queries::abandoned_exports)),
    Row::new("8", "48 strangers create organizations", &[], attack!(strangers::creations)),
    Row::new("8b", "48 of one address ask for an email", &[], attack!(strangers::known_emails)),
    Row::new("8c", "48 of one address guess names", &[], attack!(strangers::unknown_names)),
    Row::new("9", "8 readers of packed pages of 15 MB", &[Stock::Pages], attack!(bodies::packed_pages)),
    Row::new("10", "600 bodies of 1 MiB at once", &[Stock::Empty], attack!(bodies::large_bodies)),
    Row::new("11", "2,000 heads of 390 kB without an end", &[], attack!(connections::endless_heads)),
    Row::new("11b", "3,000 connections that say nothing", &[], attack!(connections::idle)),
];
