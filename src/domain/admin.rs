//! Admins and their email addresses.

use std::fmt;

use email_address::{EmailAddress, Options};

use super::{Invalid, OrgId, PasswordHash, object_id_newtype};

object_id_newtype! {
    /// Names an admin for ever.
    AdminId
}

/// The longest email address, in bytes (RFC 5321, erratum 1690).
pub const EMAIL_MAX_BYTES: usize = 254;

/// A well-formed email address, in lower case: the form in which addresses are stored, compared and unique.
/// Its `Debug` hides it, so that no address reaches a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Reads an address for a new admin or for a change: RFC 5321 syntax, a domain with at least one dot, no
    /// display name, no literal IP address.
    ///
    /// # Errors
    /// Says that it is not an address, or that it is too long.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > EMAIL_MAX_BYTES {
            return Err(Invalid::new("too_long", format!("must have at most {EMAIL_MAX_BYTES} bytes")));
        }
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        match EmailAddress::parse_with_options(text, options) {
            Ok(address) => Ok(Self(address.as_str().to_lowercase())),
            // The library's error names the reason but not the text; "not an address" is enough for a person.
            Err(_) => Err(Invalid::new("invalid_email", "must be an email address such as admin@example.com")),
        }
    }

    /// An address that is in the database already, whatever rules it was accepted under.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(hidden)")
    }
}

/// The email of somebody who logs in: looked up, not judged, so that admins of the original log in under
/// addresses that today's rules would refuse.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailQuery(Email);

impl EmailQuery {
    /// Reads what was typed into a login.
    ///
    /// # Errors
    /// Has no `@` or is too long: it cannot be anybody's address.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > EMAIL_MAX_BYTES {
            return Err(Invalid::new("too_long", format!("must have at most {EMAIL_MAX_BYTES} bytes")));
        }
        if !text.contains('@') || text.contains('\0') {
            return Err(Invalid::new("invalid_email", "must be an email address such as admin@example.com"));
        }
        Ok(Self(Email::from_stored(text)))
    }

    /// The address to look up.
    #[must_use]
    pub fn email(&self) -> &Email {
        &self.0
    }
}

impl fmt::Debug for EmailQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailQuery(hidden)")
    }
}

/// The one who may log in to an organization.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Its identity, the `sub` of its tokens.
    pub id: AdminId,
    /// The organization that it administers.
    pub org_id: OrgId,
    /// Its address, unique over all admins.
    pub email: Email,
    /// What its password is checked against.
    pub password_hash: PasswordHash,
    /// Its role; the original only knows `admin`.
    pub role: String,
    /// Rises with every change of the password; a token of another version is refused. Zero for an admin whose
    /// password was set by the original.
    pub credential_version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        let email = Email::parse("Admin@Example.COM").expect("an address");
        assert_eq!(email.as_str(), "admin@example.com");
        assert_eq!(&email, EmailQuery::parse("aDMIN@example.com").expect("an address").email());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "a", "a@", "@b.c", "a@b", "A <a@b.co>", "a@[127.0.0.1]", "a b@c.de", "a@b..de", "a\0@b.de"] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@example.com", "a".repeat(250))).map_err(|e| e.code), Err("too_long"));
    }

    #[test]
    fn no_address_is_printed_by_accident() {
        let email = Email::parse("someone@example.com").expect("an address");
        assert!(!format!("{email:?}").contains("someone"));
    }
}
