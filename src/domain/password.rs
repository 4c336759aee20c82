//! Passwords and their hashes. Nothing here can be printed.

use secrecy::{ExposeSecret, SecretString};

use super::Invalid;

/// The fewest characters of a new password.
pub const PASSWORD_MIN_CHARS: usize = 8;

/// The most bytes of a new password: bcrypt reads no more, and we never cut one off.
pub const PASSWORD_MAX_BYTES: usize = 72;

/// A password that may be set.
#[derive(Debug, Clone)]
pub struct NewPassword(SecretString);

impl NewPassword {
    /// Reads a password for a new admin or for a change.
    ///
    /// # Errors
    /// Too short, too long, or with a NUL, at which C implementations of bcrypt stop reading.
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

    /// The password's bytes, for hashing alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The same password, to be compared with a hash.
    #[must_use]
    pub fn as_attempt(&self) -> PasswordAttempt {
        PasswordAttempt(self.0.clone())
    }
}

/// What somebody typed who wants to log in; right or wrong, so no rule applies.
#[derive(Debug, Clone)]
pub struct PasswordAttempt(SecretString);

impl PasswordAttempt {
    /// Takes whatever was typed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The bytes, for comparing alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A bcrypt hash in its modular form (`$2b$12$…`).
#[derive(Debug, Clone)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    /// Wraps a hash that was made or loaded.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The hash's text, for storing and comparing alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_characters_below_and_bytes_above() {
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
