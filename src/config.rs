//! The settings of a server: the only reader of the environment. All that is wrong is reported at once.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

/// The fewest bytes of a signing secret: as many as HS256's hash has (RFC 7518, section 3.2).
const SECRET_MIN_BYTES: usize = 32;

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
    /// How many organizations this server holds.
    pub max_organizations: u64,
    /// Whether log lines are JSON objects.
    pub is_log_json: bool,
    /// How often one email may be tried in a minute.
    pub login_attempts_per_minute: NonZeroU32,
}

impl Config {
    /// Reads the settings through `variable`, which gives a variable's text.
    ///
    /// # Errors
    /// A line for each variable that is missing or broken, with what was expected.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let mut reader = Reader { variable, errors: Vec::new() };
        let mongo_uri =
            reader.text("MONGO_URI", None, "a connection string, mongodb://… or mongodb+srv://…", |uri| {
                uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://")
            });
        let master_db_name = reader.text("MASTER_DB_NAME", Some("master_db"), "1 to 63 of A-Z a-z 0-9 _ -", |name| {
            (1..=63).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        });
        let expected = "at least 32 random bytes, for example from: openssl rand -base64 48";
        let jwt_secret = reader.text("JWT_SECRET", None, expected, |secret| {
            let lower = secret.to_lowercase();
            let is_example = ["change", "example", "your", "secret"].iter().any(|word| lower.contains(word));
            secret.len() >= SECRET_MIN_BYTES && !is_example
        });
        let log_format =
            reader.text("LOG_FORMAT", Some("pretty"), "pretty or json", |format| matches!(format, "pretty" | "json"));
        let minutes = reader.number("JWT_EXPIRES_MINUTES", 60_u64, 1, 525_600);
        let salt_rounds = reader.number("SALT_ROUNDS", 12_u32, 4, 16);
        let host =
            reader.number("HOST", IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0]), IpAddr::from([0xff; 16]));
        let port = reader.number("PORT", 8_000_u16, 0, u16::MAX);
        let seconds = reader.number("REQUEST_TIMEOUT_SECONDS", 10_u64, 1, 600);
        let max_body_bytes = reader.number("MAX_BODY_BYTES", 65_536_usize, 1_024, 16 << 20);
        let max_organizations = reader.number("MAX_ORGANIZATIONS", 5_000_u64, 1, 1_000_000);
        let attempts = reader.number(
            "LOGIN_ATTEMPTS_PER_MINUTE",
            NonZeroU32::MIN.saturating_add(9),
            NonZeroU32::MIN,
            NonZeroU32::MAX,
        );
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
            max_organizations,
            is_log_json: log_format == "json",
            login_attempts_per_minute: attempts,
        })
    }
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

    #[test]
    fn everything_that_is_wrong_is_named_at_once_and_no_secret_is_shown() {
        let errors = Config::read(|name| match name {
            "JWT_SECRET" => Some("your-secret-key-change-me-please-now".into()),
            "SALT_ROUNDS" => Some("3".into()),
            _ => None,
        });
        let errors = errors.expect_err("three are wrong").join("\n");
        for name in ["MONGO_URI", "JWT_SECRET", "SALT_ROUNDS"] {
            assert!(errors.contains(name), "{errors}");
        }
        assert!(!errors.contains("please"));
    }
}
