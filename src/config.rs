//! The settings of a server, and the only reader of the environment. Reports all errors at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// A signing secret must be as long as HS256's hash (RFC 7518, section 3.2).
const SECRET_MIN_BYTES: usize = 32;

/// Words found in the secrets of examples and tutorials, without `-`, `_` and spaces. All are too long to occur in a random
/// secret by chance.
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

/// Databases that belong to MongoDB itself.
const MONGODBS_OWN: [&str; 3] = ["admin", "config", "local"];
const MONGO_URI_EXPECTED: &str = "a connection string, mongodb://… or mongodb+srv://…, with a percent-encoded password";
const DATABASE_EXPECTED: &str =
    "1 to 63 of A-Z a-z 0-9 _ -, and none of MongoDB's own databases admin, config and local";
const SECRET_EXPECTED: &str = "at least 32 random bytes, not taken from an example; openssl rand -base64 48 makes some";
const FILTER_EXPECTED: &str = "a level, or levels by module, such as info,tenantry=debug";
const ORIGINS_EXPECTED: &str = "origins such as https://app.example.com, separated by commas, or *";
const PROXIES_EXPECTED: &str = "IP addresses or networks such as 10.0.0.0/8, separated by commas";

/// A signing secret must have this many distinct bytes; 32 random ones have about twice as many.
const SECRET_MIN_DISTINCT: usize = 10;

/// The settings of a server; README.md explains each.
#[derive(Debug)]
pub struct Config {
    /// Where MongoDB is, credentials included.
    pub mongo_uri: SecretString,
    /// The database of organizations, admins and tenant collections.
    pub master_db_name: String,
    /// Signs tokens.
    pub jwt_secret: SecretString,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// bcrypt's cost.
    pub salt_rounds: u32,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// The largest body.
    pub max_body_bytes: usize,
    /// The largest JSON of one document.
    pub max_document_bytes: usize,
    /// The largest body of an import.
    pub max_import_bytes: u64,
    /// Concurrent imports and exports.
    pub max_running_streams: usize,
    /// Concurrent requests.
    pub max_running_requests: usize,
    /// Concurrent calls on tenants' data.
    pub max_running_queries: usize,
    /// Connections with clients.
    pub max_connections: usize,
    /// Bytes of bodies and answers in memory at once.
    pub max_bytes_in_flight: usize,
    /// The slowest import or export, in bytes per second.
    pub min_stream_rate: u64,
    /// The longest import or export.
    pub max_stream_time: Duration,
    /// The most organizations.
    pub max_organizations: u64,
    /// The limits of each organization.
    pub quotas: Quotas,
    /// Below this much free disk, in percent, MongoDB takes no more data; 0 turns the check off.
    pub min_free_storage_percent: u8,
    /// How long a deleted organization can be restored; `None` deletes at once.
    pub delete_grace_days: Option<u16>,
    /// Whether log lines are JSON objects.
    pub is_log_json: bool,
    /// The log filter, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Attempts per email and network.
    pub login_attempts_per_minute: NonZeroU32,
    /// Attempts per network to create an organization.
    pub creations_per_minute: NonZeroU32,
    /// Lookups per network of names that do not exist.
    pub unknown_names_per_minute: NonZeroU32,
    /// Who may create organizations.
    pub registration: Registration,
    /// The origins whose pages may call the API; `*` allows all.
    pub cors_allowed_origins: Vec<HeaderValue>,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// How long servers wait for each other, which nobody sets but tests.
    pub timings: Timings,
}

impl Config {
    /// Reads the settings through `variable`, which gives a variable's text.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut reader = Reader { variable, errors: Vec::new() };
        let config = Self {
            mongo_uri: reader.text("MONGO_URI", None, MONGO_URI_EXPECTED, is_connection_string).into(),
            master_db_name: reader.text("MASTER_DB_NAME", Some("master_db"), DATABASE_EXPECTED, is_database_name),
            jwt_secret: reader.text("JWT_SECRET", None, SECRET_EXPECTED, is_strong_secret).into(),
            token_lifetime: reader.minutes("JWT_EXPIRES_MINUTES", 60, 525_600),
            salt_rounds: reader.number("SALT_ROUNDS", 12, 4, 16),
            listen: reader.listen(),
            request_timeout: Duration::from_secs(reader.number("REQUEST_TIMEOUT_SECONDS", 10, 1, 600)),
            max_body_bytes: reader.number("MAX_BODY_BYTES", 65_536, 1_024, 16 << 20),
            max_document_bytes: reader.number("MAX_DOCUMENT_BYTES", 1 << 20, 1_024, 64 << 20),
            max_import_bytes: reader.number("MAX_IMPORT_BYTES", 1 << 30, 1_024, 1 << 50),
            max_running_streams: reader.number("MAX_RUNNING_STREAMS", 64, 1, 10_000),
            max_running_requests: reader.number("MAX_RUNNING_REQUESTS", 1_000, 1, 1_000_000),
            max_running_queries: reader.number("MAX_RUNNING_QUERIES", 64, 2, 10_000),
            max_connections: reader.number("MAX_CONNECTIONS", 4_096, 2, 1_000_000),
            max_bytes_in_flight: reader.number("MAX_BYTES_IN_FLIGHT", 96 << 20, 32 << 20, 1 << 40),
            min_stream_rate: reader.number("MIN_STREAM_BYTES_PER_SECOND", 1_024, 0, 1 << 30),
            max_stream_time: reader.minutes("MAX_STREAM_MINUTES", 60, 10_080),
            max_organizations: reader.number("MAX_ORGANIZATIONS", 5_000, 1, 1_000_000),
            quotas: Quotas::new(
                reader.number("QUOTA_DOCUMENTS", 0, 0, 1 << 50),
                reader.number("QUOTA_BYTES", 0, 0, 1 << 50),
            ),
            min_free_storage_percent: reader.number("MIN_FREE_STORAGE_PERCENT", 5, 0, 50),
            delete_grace_days: Some(reader.number("DELETE_GRACE_DAYS", 0, 0, 365)).filter(|days| *days > 0),
            is_log_json: reader.choice("LOG_FORMAT", &["pretty", "json"]) == "json",
            log_filter: reader
                .text("RUST_LOG", Some("info"), FILTER_EXPECTED, |filter| EnvFilter::try_new(filter).is_ok()),
            login_attempts_per_minute: reader.rate("LOGIN_ATTEMPTS_PER_MINUTE", 10),
            creations_per_minute: reader.rate("CREATIONS_PER_MINUTE", 20),
            unknown_names_per_minute: reader.rate("UNKNOWN_NAMES_PER_MINUTE", 300),
            registration: reader.registration(),
            cors_allowed_origins: reader.list("CORS_ALLOWED_ORIGINS", ORIGINS_EXPECTED, origin),
            trusted_proxies: reader.list("TRUSTED_PROXIES", PROXIES_EXPECTED, network),
            timings: chaos::timings(),
        };
        if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors) }
    }
}

/// A name that MongoDB accepts, and none of its own databases: those hold users and settings, or are not replicated.
fn is_database_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        // MongoDB refuses a name that differs from an existing one only in case.
        && !MONGODBS_OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Long enough, without a word from an example, and not a few characters repeated.
fn is_strong_secret(secret: &str) -> bool {
    let plain: String = secret.to_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
    let distinct: BTreeSet<u8> = secret.bytes().collect();
    secret.len() >= SECRET_MIN_BYTES
        && distinct.len() >= SECRET_MIN_DISTINCT
        && !WELL_KNOWN.iter().any(|word| plain.contains(word))
}

/// The parts of a list with commas, if all can be parsed.
fn list<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
}

/// `*`, or `scheme://host[:port]` as browsers send it in `Origin`: lower case, no path, no trailing slash.
fn origin(text: &str) -> Option<HeaderValue> {
    let is_origin = text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https")
                && !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b))
        });
    is_origin.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// A network, or a single address as a network of one.
fn network(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
}

struct Reader<F> {
    variable: F,
    errors: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// A variable's text; an empty one counts as missing.
    fn given(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|text| !text.is_empty())
    }

    /// The error never quotes the value, which may be a secret.
    fn refuse(&mut self, name: &str, expected: impl Display) {
        self.errors.push(format!("{name} is not valid: expected {expected}"));
    }

    fn text(&mut self, name: &str, default: Option<&str>, expected: &str, is_valid: impl Fn(&str) -> bool) -> String {
        match self.given(name).or_else(|| default.map(ToOwned::to_owned)) {
            Some(text) if is_valid(&text) => return text,
            Some(_) => self.refuse(name, expected),
            None => self.errors.push(format!("{name} is missing: expected {expected}")),
        }
        String::new()
    }

    /// One of a few words; the first is the default.
    fn choice(&mut self, name: &str, words: &[&str]) -> String {
        self.text(name, words.first().copied(), &words.join(" or "), |text| words.contains(&text))
    }

    /// A number in a range, its ends included.
    fn number<T: FromStr + PartialOrd + Display + Copy>(&mut self, name: &str, default: T, least: T, most: T) -> T {
        let Some(text) = self.given(name) else { return default };
        match text.parse() {
            Ok(value) if (least..=most).contains(&value) => value,
            _ => {
                self.refuse(name, format_args!("{least} to {most}"));
                default
            }
        }
    }

    fn minutes(&mut self, name: &str, default: u64, most: u64) -> Duration {
        Duration::from_secs(self.number(name, default, 1, most) * 60)
    }

    /// How often per minute.
    fn rate(&mut self, name: &str, default: u32) -> NonZeroU32 {
        let default = NonZeroU32::new(default).unwrap_or(NonZeroU32::MIN);
        self.number(name, default, NonZeroU32::MIN, NonZeroU32::MAX)
    }

    /// The parts of a list with commas, none by default.
    fn list<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        list(&self.given(name).unwrap_or_default(), parse).unwrap_or_else(|| {
            self.refuse(name, expected);
            Vec::new()
        })
    }

    fn listen(&mut self) -> SocketAddr {
        let host = self.given("HOST").map_or(Ok(Ipv4Addr::LOCALHOST.into()), |text| text.parse());
        let host = host.unwrap_or_else(|_| {
            self.refuse("HOST", "an IP address, such as 127.0.0.1, 0.0.0.0 or ::");
            Ipv4Addr::LOCALHOST.into()
        });
        SocketAddr::new(host, self.number("PORT", 8_000, 0, u16::MAX))
    }

    /// The token must be set exactly when registration takes one: setting only one of the two would leave open what was
    /// meant to be closed.
    fn registration(&mut self) -> Registration {
        let kind = self.choice("REGISTRATION", &["open", "token", "closed"]);
        let is_given = self.given("REGISTRATION_TOKEN").is_some();
        let mut token = String::new();
        if is_given || kind == "token" {
            token = self.text("REGISTRATION_TOKEN", None, SECRET_EXPECTED, is_strong_secret);
        }
        match kind.as_str() {
            "token" => return Registration::Token(token.into()),
            "open" | "closed" if !token.is_empty() => {
                self.errors.push("REGISTRATION_TOKEN has no effect: expected only with REGISTRATION=token".to_owned());
            }
            _ => {}
        }
        if kind == "closed" { Registration::Closed } else { Registration::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_SECRET: &str = "q3Zp7Vx9Kd2Lm5Rt8Yw1Bn4Cf6Gh0Js3";

    /// The errors of good settings with these changes.
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
    fn all_errors_are_reported_at_once_without_showing_a_secret() {
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
    fn missing_and_empty_settings_are_reported() {
        let errors = errors(&[("MONGO_URI", ""), ("JWT_SECRET", "")]);
        assert!(errors.iter().all(|line| line.contains("is missing")), "{errors:#?}");
        assert_eq!(errors.len(), 2);
    }

    #[test]
    fn mongodbs_own_databases_are_refused() {
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
    fn a_registration_token_is_set_exactly_when_registration_takes_one() {
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
    fn weak_secrets_are_refused() {
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
