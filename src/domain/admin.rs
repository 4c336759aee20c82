//! Admins and their email addresses.

use std::fmt;

use email_address::{EmailAddress, Options};

use super::{Invalid, OrgId, PasswordHash, object_id_newtype};

object_id_newtype! {
    /// Identifies an admin permanently.
    AdminId
}

/// The longest email address, in bytes (RFC 5321, erratum 1690).
pub const EMAIL_MAX_BYTES: usize = 254;

/// A well-formed email address in lower case, as it is stored, compared and kept unique. `Debug` hides it, so that no
/// address reaches a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Parses a new address: RFC 5321 syntax, a domain with at least one dot, no display name, no IP address literal.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        parse_if(text, |text| EmailAddress::parse_with_options(text, options).is_ok())
    }

    /// Wraps an address from the database, whatever rules it was accepted under.
    pub fn from_stored(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(hidden)")
    }
}

/// Accepts an address that has a valid length and form.
fn parse_if(text: &str, is_well_formed: impl Fn(&str) -> bool) -> Result<Email, Invalid> {
    if text.len() > EMAIL_MAX_BYTES {
        return Err(Invalid::new("too_long", format!("must have at most {EMAIL_MAX_BYTES} bytes")));
    }
    if !is_well_formed(text) {
        return Err(Invalid::new("invalid_email", "must be an email address such as admin@example.com"));
    }
    Ok(Email::from_stored(text))
}

/// The email in a login. It is only looked up, so admins of the original can log in with addresses that today's rules
/// refuse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailQuery(Email);

impl EmailQuery {
    /// Refuses only what cannot be an address: too long, without an `@`, or with a NUL.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parse_if(text, |text| text.contains('@') && !text.contains('\0')).map(Self)
    }

    /// The address to look up.
    pub fn email(&self) -> &Email {
        &self.0
    }
}

/// An organization's admin.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The `sub` of its tokens.
    pub id: AdminId,
    /// The organization it administers.
    pub org_id: OrgId,
    /// Unique among all admins.
    pub email: Email,
    /// The hash of its password.
    pub password_hash: PasswordHash,
    /// The original has only `admin`.
    pub role: String,
    /// Increases with every password change; tokens of another version are refused. Zero for a password set by the
    /// original.
    pub credential_version: i64,
}

impl Admin {
    /// Its login credentials.
    pub fn credentials(&self) -> Credentials {
        let (email, password_hash) = (self.email.clone(), self.password_hash.clone());
        Credentials { email, password_hash, version: self.credential_version }
    }
}

/// Login credentials of an admin.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The email address.
    pub email: Email,
    /// The hash that a password is checked against.
    pub password_hash: PasswordHash,
    /// The version of the password; see [`Admin::credential_version`].
    pub version: i64,
}

/// A change of an admin's credentials that can safely be repeated.
#[derive(Debug, Clone)]
pub struct CredentialsChange {
    /// Whose credentials.
    pub admin_id: AdminId,
    /// Their version before the change.
    pub from_version: i64,
    /// The new credentials.
    pub after: Credentials,
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
    fn malformed_addresses_are_refused() {
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
