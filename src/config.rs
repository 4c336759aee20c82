//! The settings of a server: the only reader of the environment. All that is wrong is reported at once.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use crate::chaos;
use crate::domain::Quotas;
use crate::repo::connect::is_connection_string;
use crate::service::Registration;
use crate::timings::Timings;

/// The fewest bytes of a signing secret: as many as HS256's hash has (RFC 7518, section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// What secrets of examples and tutorials contain, without their `-`, `_` and spaces. Long enough not to turn up in a
/// random secret by chance.
const WELL_KNOWN: &[&str] = &[
    "changeme",
    "changethis",
    "replaceme",
    "example",
    "yoursecret",
    "mysecret",
    "supersecret",
    "secretkey",
    "password",
];

/// The databases that MongoDB keeps for itself.
const MONGODBS_OWN: [&str; 3] = ["admin", "config", "local"];
/// What a secret has to be like, for whoever set another.
const SECRET_EXPECTED: &str = "at least 32 random bytes that are no example's, such as from: openssl rand -base64 48";

/// The fewest different bytes of a signing secret; a random one of 32 has about twice as many.
const SECRET_MIN_DISTINCT: usize = 10;

/// What a server needs to know.
#[derive(Debug)]
pub struct Config {
    /// Where MongoDB is, with its credentials.
    pub mongo_uri: SecretString,
    /// The database of organizations, admins and tenant collections.
    pub master_db_name: String,
    /// What tokens are signed with.
    pub jwt_secret: SecretString,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// bcrypt's cost.
    pub salt_rounds: u32,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How large a body may be.
    pub max_body_bytes: usize,
    /// How large the JSON of one tenant's document may be.
    pub max_document_bytes: usize,
    /// How large the body of an import may be.
    pub max_import_bytes: u64,
    /// How many imports and exports may run at once.
    pub max_running_streams: usize,
    /// How many requests may be at work at once.
    pub max_running_requests: usize,
    /// How many calls may work on tenants' data at once.
    pub max_running_queries: usize,
    /// How many connections clients may have.
    pub max_connections: usize,
    /// How many bytes of bodies and answers may be on their way at once.
    pub max_bytes_in_flight: usize,
    /// The slowest that an import may come or an export be taken, in bytes a second.
    pub min_stream_rate: u64,
    /// How long an import or an export may take.
    pub max_stream_time: Duration,
    /// How many organizations this server holds.
    pub max_organizations: u64,
    /// The most that one organization may keep.
    pub quotas: Quotas,
    /// How much of MongoDB's disk must be free for data to be added, in per cent; 0 for no such mark.
    pub min_free_storage_percent: u8,
    /// For how many days a deleted organization can be brought back; not at all when absent.
    pub delete_grace_days: Option<u16>,
    /// Whether log lines are JSON objects.
    pub is_log_json: bool,
    /// Which log lines there are, as `tracing_subscriber::EnvFilter` reads it.
    pub log_filter: String,
    /// How often one email may be tried in a minute at one network.
    pub login_attempts_per_minute: NonZeroU32,
    /// How often one network may try to create an organization in a minute.
    pub creations_per_minute: NonZeroU32,
    /// For how many names that no organization has one network may ask in a minute.
    pub unknown_names_per_minute: NonZeroU32,
    /// Who may create organizations.
    pub registration: Registration,
    /// The origins whose pages may call the API; `*` for all.
    pub cors_allowed_origins: Vec<HeaderValue>,
    /// The networks of the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long servers wait for each other, which nobody sets but tests.
    pub timings: Timings,
}

impl Config {
    /// Reads the settings through `variable`, which gives a variable's text.
    ///
    /// # Errors
    /// A line for each variable that is missing or broken, with what was expected.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut reader = Reader { variable, errors: Vec::new() };
        let expected = "a connection string, mongodb://… or mongodb+srv://…, with a password that is percent-encoded";
        let mongo_uri = reader.text("MONGO_URI", None, expected, is_connection_string);
        let expected = "1 to 63 of A-Z a-z 0-9 _ -, and none of MongoDB's own databases admin, config and local";
        let master_db_name = reader.text("MASTER_DB_NAME", Some("master_db"), expected, is_database_name);
        let jwt_secret = reader.text("JWT_SECRET", None, SECRET_EXPECTED, is_strong_secret);
        let log_format =
            reader.text("LOG_FORMAT", Some("pretty"), "pretty or json", |format| matches!(format, "pretty" | "json"));
        let expected = "a level, or levels by module, such as info,tenantry=debug";
        let log_filter = reader.text("RUST_LOG", Some("info"), expected, |filter| EnvFilter::try_new(filter).is_ok());
        let minutes = reader.number("JWT_EXPIRES_MINUTES", 60_u64, 1, 525_600);
        let salt_rounds = reader.number("SALT_ROUNDS", 12_u32, 4, 16);
        let host = reader.parsed("HOST", "127.0.0.1", "an IP address, such as 127.0.0.1, 0.0.0.0 or ::", |text| {
            text.parse::<IpAddr>().ok()
        });
        let port = reader.number("PORT", 8_000_u16, 0, u16::MAX);
        let seconds = reader.number("REQUEST_TIMEOUT_SECONDS", 10_u64, 1, 600);
        let max_body_bytes = reader.number("MAX_BODY_BYTES", 65_536_usize, 1_024, 16 << 20);
        let max_document_bytes = reader.number("MAX_DOCUMENT_BYTES", 1_usize << 20, 1_024, 64 << 20);
        let max_import_bytes = reader.number("MAX_IMPORT_BYTES", 1_u64 << 30, 1_024, 1 << 50);
        let max_running_streams = reader.number("MAX_RUNNING_STREAMS", 64_usize, 1, 10_000);
        let max_running_requests = reader.number("MAX_RUNNING_REQUESTS", 1_000_usize, 1, 1_000_000);
        let max_running_queries = reader.number("MAX_RUNNING_QUERIES", 64_usize, 2, 10_000);
        let max_connections = reader.number("MAX_CONNECTIONS", 4_096_usize, 2, 1_000_000);
        let max_bytes_in_flight = reader.number("MAX_BYTES_IN_FLIGHT", 96_usize << 20, 32 << 20, 1 << 40);
        let min_stream_rate = reader.number("MIN_STREAM_BYTES_PER_SECOND", 1_024_u64, 0, 1 << 30);
        let max_stream_minutes = reader.number("MAX_STREAM_MINUTES", 60_u64, 1, 10_080);
        let max_organizations = reader.number("MAX_ORGANIZATIONS", 5_000_u64, 1, 1_000_000);
        let quota_documents = reader.number("QUOTA_DOCUMENTS", 0_u64, 0, 1 << 50);
        let quota_bytes = reader.number("QUOTA_BYTES", 0_u64, 0, 1 << 50);
        let min_free_storage_percent = reader.number("MIN_FREE_STORAGE_PERCENT", 5_u8, 0, 50);
        let grace_days = reader.number("DELETE_GRACE_DAYS", 0_u16, 0, 365);
        let login_attempts_per_minute = reader.rate("LOGIN_ATTEMPTS_PER_MINUTE", 10);
        let creations_per_minute = reader.rate("CREATIONS_PER_MINUTE", 20);
        let unknown_names_per_minute = reader.rate("UNKNOWN_NAMES_PER_MINUTE", 300);
        let registration = reader.registration();
        let expected = "origins such as https://app.example.com, separated by commas, or *";
        let cors_allowed_origins = reader.parsed("CORS_ALLOWED_ORIGINS", "", expected, |text| list(text, origin));
        let expected = "IP addresses or networks such as 10.0.0.0/8, separated by commas";
        let trusted_proxies = reader.parsed("TRUSTED_PROXIES", "", expected, |text| list(text, network));
        let (Some(host), Some(cors_allowed_origins), Some(trusted_proxies)) =
            (host, cors_allowed_origins, trusted_proxies)
        else {
            return Err(reader.errors);
        };
        if !reader.errors.is_empty() {
            return Err(reader.errors);
        }
        Ok(Self {
            mongo_uri: mongo_uri.into(),
            master_db_name,
            jwt_secret: jwt_secret.into(),
            token_lifetime: Duration::from_secs(minutes * 60),
            salt_rounds,
            listen: SocketAddr::new(host, port),
            request_timeout: Duration::from_secs(seconds),
            max_body_bytes,
            max_document_bytes,
            max_import_bytes,
            max_running_streams,
            max_running_requests,
            max_running_queries,
            max_connections,
            max_bytes_in_flight,
            min_stream_rate,
            max_stream_time: Duration::from_secs(max_stream_minutes * 60),
            max_organizations,
            quotas: Quotas::new(quota_documents, quota_bytes),
            min_free_storage_percent,
            delete_grace_days: (grace_days > 0).then_some(grace_days),
            is_log_json: log_format == "json",
            log_filter,
            login_attempts_per_minute,
            creations_per_minute,
            unknown_names_per_minute,
            registration,
            cors_allowed_origins,
            trusted_proxies,
            timings: chaos::timings(),
        })
    }
}

/// A name that MongoDB takes and that is none of its own databases, which hold users and settings, or are not replicated.
fn is_database_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        // MongoDB refuses names that differ from present ones in case alone.
        && !MONGODBS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Long enough, no word of an example in it, and not a few characters again and again.
fn is_strong_secret(secret: &str) -> bool {
    let plain: String = secret.to_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
    let distinct: BTreeSet<u8> = secret.bytes().collect();
    secret.len() >= SECRET_MIN_BYTES
        && distinct.len() >= SECRET_MIN_DISTINCT
        && !WELL_KNOWN.iter().any(|word| plain.contains(word))
}

/// The parts of a list with commas, if each of them can be read.
fn list<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
}

/// `*`, or `scheme://host[:port]` as browsers send it in `Origin`: lower case, no path, no final slash.
fn origin(text: &str) -> Option<HeaderValue> {
    let is_origin = text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https")
                && !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b))
        });
    is_origin.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// A network, or one address as the network that holds it alone.
fn network(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}

struct Reader<F> {
    variable: F,
    errors: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// A text; an empty variable counts as missing. The error never shows the text: it may be a secret.
    fn text(&mut self, name: &str, default: Option<&str>, expected: &str, is_valid: impl Fn(&str) -> bool) -> String {
        let given = (self.variable)(name).filter(|text| !text.is_empty());
        match given.or_else(|| default.map(ToOwned::to_owned)) {
            Some(text) if is_valid(&text) => return text,
            Some(_) => self.errors.push(format!("{name} is not valid: expected {expected}")),
            None => self.errors.push(format!("{name} is missing: expected {expected}")),
        }
        String::new()
    }

    /// A value that is read in a way of its own; `None` when it cannot be.
    fn parsed<T>(&mut self, name: &str, default: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let given = (self.variable)(name).filter(|text| !text.is_empty());
        let value = parse(given.as_deref().unwrap_or(default));
        if value.is_none() {
            self.errors.push(format!("{name} is not valid: expected {expected}"));
        }
        value
    }

    /// Who may create organizations. A token is there exactly when registration takes one: somebody who set one and forgot
    /// the other would leave open what was to be closed.
    fn registration(&mut self) -> Registration {
        let kind = self.text("REGISTRATION", Some("open"), "open, token or closed", |kind| {
            matches!(kind, "open" | "token" | "closed")
        });
        let is_given = (self.variable)("REGISTRATION_TOKEN").is_some_and(|text| !text.is_empty());
        let mut token = String::new();
        if is_given || kind == "token" {
            token = self.text("REGISTRATION_TOKEN", None, SECRET_EXPECTED, is_strong_secret);
        }
        match kind.as_str() {
            "token" => return Registration::Token(token.into()),
            "open" | "closed" if !token.is_empty() => {
                self.errors.push("REGISTRATION_TOKEN is of no use: expected only with REGISTRATION=token".to_owned());
            }
            _ => {}
        }
        if kind == "closed" { Registration::Closed } else { Registration::Open }
    }

    /// How often a minute.
    fn rate(&mut self, name: &str, default: u32) -> NonZeroU32 {
        let default = NonZeroU32::new(default).unwrap_or(NonZeroU32::MIN);
        self.number(name, default, NonZeroU32::MIN, NonZeroU32::MAX)
    }

    /// A value with a smallest and a largest.
    fn number<T: FromStr + PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        least: T,
        most: T,
    ) -> T {
        let Some(text) = (self.variable)(name).filter(|text| !text.is_empty()) else { return default };
        match text.parse::<T>() {
            Ok(value) if value >= least && value <= most => value,
            _ => {
                self.errors.push(format!("{name} is not valid: expected {least} to {most}"));
                default
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_SECRET: &str = "q3Zp7Vx9Kd2Lm5Rt8Yw1Bn4Cf6Gh0Js3";

    /// What is wrong with the settings when these differ from good ones.
    fn errors(changed: &[(&str, &str)]) -> Vec<String> {
        let read = Config::read(|name| {
            let changed = changed.iter().find(|(changed, _)| *changed == name).map(|(_, value)| (*value).to_owned());
            changed.or_else(|| match name {
                "MONGO_URI" => Some("mongodb://localhost".into()),
                "JWT_SECRET" => Some(GOOD_SECRET.into()),
                _ => None,
            })
        });
        read.err().unwrap_or_default()
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once_and_no_secret_is_shown() {
        let wrong = [
            ("MONGO_URI", "localhost:27017"),
            ("MASTER_DB_NAME", "a.b"),
            ("JWT_SECRET", "your-secret-key-change-me-please-now"),
            ("JWT_EXPIRES_MINUTES", "0"),
            ("SALT_ROUNDS", "3"),
            ("HOST", "localhost"),
            ("PORT", "65536"),
            ("LOG_FORMAT", "xml"),
            ("RUST_LOG", "tenantry=loud"),
            ("REQUEST_TIMEOUT_SECONDS", "soon"),
            ("MAX_BODY_BYTES", "-1"),
            ("MAX_DOCUMENT_BYTES", "1"),
            ("MAX_IMPORT_BYTES", "0"),
            ("MAX_RUNNING_STREAMS", "0"),
            ("MAX_RUNNING_REQUESTS", "0"),
            ("MAX_RUNNING_QUERIES", "1"),
            ("MAX_CONNECTIONS", "0"),
            ("MAX_BYTES_IN_FLIGHT", "1000"),
            ("MIN_STREAM_BYTES_PER_SECOND", "fast"),
            ("MAX_STREAM_MINUTES", "0"),
            ("MAX_ORGANIZATIONS", "0"),
            ("QUOTA_DOCUMENTS", "-1"),
            ("QUOTA_BYTES", "1GB"),
            ("MIN_FREE_STORAGE_PERCENT", "51"),
            ("DELETE_GRACE_DAYS", "366"),
            ("LOGIN_ATTEMPTS_PER_MINUTE", "0"),
            ("CREATIONS_PER_MINUTE", "0"),
            ("UNKNOWN_NAMES_PER_MINUTE", "many"),
            ("REGISTRATION", "maybe"),
            ("REGISTRATION_TOKEN", "a-token-that-is-too-weak"),
            ("CORS_ALLOWED_ORIGINS", "https://app.example.com/"),
            ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ];
        let errors = errors(&wrong);
        assert_eq!(errors.len(), wrong.len(), "{errors:#?}");
        for (name, value) in wrong {
            let line = errors.iter().find(|line| line.starts_with(&format!("{name} "))).expect("named");
            assert!(line.contains("expected"), "{line}");
            assert!(!matches!(name, "JWT_SECRET" | "REGISTRATION_TOKEN") || !line.contains(value));
        }
    }

    #[test]
    fn what_is_missing_or_empty_is_named() {
        let errors = errors(&[("MONGO_URI", ""), ("JWT_SECRET", "")]);
        assert!(errors.iter().all(|line| line.contains("is missing")), "{errors:#?}");
        assert_eq!(errors.len(), 2);
    }

    #[test]
    fn the_databases_of_mongodb_itself_are_not_ours() {
        for own in ["admin", "Admin", "LOCAL", "config"] {
            let told = errors(&[("MASTER_DB_NAME", own)]);
            assert!(
                told.len() == 1 && told[0].contains("MASTER_DB_NAME") && told[0].contains("admin, config"),
                "{told:?}"
            );
        }
        assert!(errors(&[("MASTER_DB_NAME", "administration")]).is_empty());
    }

    #[test]
    fn a_token_for_registration_is_there_exactly_when_it_is_asked_for() {
        for (kind, token, is_right) in [
            ("", "", true),
            ("open", "", true),
            ("closed", "", true),
            ("token", GOOD_SECRET, true),
            ("token", "", false),
            ("token", &GOOD_SECRET[..31], false),
            ("", GOOD_SECRET, false),
            ("open", GOOD_SECRET, false),
            ("closed", GOOD_SECRET, false),
        ] {
            let errors = errors(&[("REGISTRATION", kind), ("REGISTRATION_TOKEN", token)]);
            assert_eq!(errors.is_empty(), is_right, "{kind} {errors:?}");
            assert!(errors.iter().all(|line| line.starts_with("REGISTRATION_TOKEN ") && !line.contains(GOOD_SECRET)));
        }
    }

    #[test]
    fn a_secret_is_long_and_random_and_no_example() {
        assert!(is_strong_secret(GOOD_SECRET));
        for weak in [
            &GOOD_SECRET[..31],
            "super-secret-key-that-is-long-enough!",
            "Change_Me Change_Me Change_Me 0123456",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "012345678012345678012345678012345678",
        ] {
            assert!(!is_strong_secret(weak), "{weak}");
        }
    }

    #[test]
    fn lists_are_read_with_or_without_spaces() {
        let networks = list("10.0.0.0/8, 192.0.2.1,::1", network).expect("three");
        assert_eq!(networks.len(), 3);
        assert_eq!(networks[1].to_string(), "192.0.2.1/32");
        assert_eq!(list("", network).expect("none").len(), 0);
        assert!(origin("https://app.example.com:8443").is_some() && origin("*").is_some());
        for broken in ["app.example.com", "ftp://a.example", "https://", "https://A.example", "https://a.example/x"] {
            assert!(origin(broken).is_none(), "{broken}");
        }
    }
}
