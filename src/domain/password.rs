//! Passwords and their hashes. None can be printed.

use secrecy::{ExposeSecret, SecretString};

use super::Invalid;

/// The fewest characters of a new password.
pub const PASSWORD_MIN_CHARS: usize = 8;

/// The most bytes of a new password: bcrypt reads no more, and we never truncate.
pub const PASSWORD_MAX_BYTES: usize = 72;

/// A password that meets the rules for new ones.
#[derive(Debug, Clone)]
pub struct NewPassword(SecretString);

impl NewPassword {
    /// Parses a new password.
    ///
    /// # Errors
    /// Too short, too long, or with a NUL, where C implementations of bcrypt stop reading.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() < PASSWORD_MIN_CHARS {
            return Err(Invalid::new("too_short", format!("must have at least {PASSWORD_MIN_CHARS} characters")));
        }
        if text.len() > PASSWORD_MAX_BYTES {
            return Err(Invalid::new("too_long", format!("must have at most {PASSWORD_MAX_BYTES} bytes in UTF-8")));
        }
        if text.contains('\0') {
            return Err(Invalid::new("invalid_characters", "must not contain a NUL character"));
        }
        Ok(Self(text.into()))
    }

    /// The text, only for hashing.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The same password, for comparison with a hash.
    pub fn as_attempt(&self) -> PasswordAttempt {
        PasswordAttempt(self.0.clone())
    }
}

/// A password typed at login. No rules apply, because it may be wrong.
#[derive(Debug, Clone)]
pub struct PasswordAttempt(SecretString);

impl PasswordAttempt {
    /// Accepts any text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, only for comparing.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A bcrypt hash in its modular form (`$2b$12$…`).
#[derive(Debug, Clone)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    /// Wraps a hash.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text, only for storing and comparing.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_counts_characters_and_the_maximum_bytes() {
        let code = |text: &str| NewPassword::parse(text).err().map(|invalid| invalid.code);
        assert_eq!(code("1234567"), Some("too_short"));
        assert_eq!(code("12345678"), None);
        assert_eq!(code("éééé"), Some("too_short"), "eight bytes, but four characters");
        assert_eq!(code(&"x".repeat(72)), None);
        assert_eq!(code(&"x".repeat(73)), Some("too_long"));
        assert_eq!(code(&"é".repeat(37)), Some("too_long"), "37 characters, but 74 bytes");
        assert_eq!(code("with\0nul!"), Some("invalid_characters"));
    }

    #[test]
    fn nothing_prints_a_password() {
        let password = NewPassword::parse("hunter2hunter2").expect("long enough");
        assert!(!format!("{password:?} {:?}", password.as_attempt()).contains("hunter2"));
    }
}
