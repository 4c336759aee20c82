//! Who may create organizations.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

use super::{OrgError, OrgService};
use crate::domain::{Email, Network};
use crate::service::passwords::HashOwner;

/// Who may create organizations, by the operator's choice.
#[derive(Debug, Clone)]
pub enum Registration {
    /// Anyone, with a rate limit per network.
    Open,
    /// Holders of this token, such as the operator's own signup.
    Token(SecretString),
    /// Nobody.
    Closed,
}

/// A caller allowed to create organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrant {
    /// Anyone, from this network.
    Visitor(Network),
    /// A holder of the operator's token, from this network. It acts for many people there, and limits them itself.
    Operator(Network),
}

/// Why a caller may not create an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Registration is closed.
    #[error("registration is closed")]
    Closed,
    /// A token is required, and none was sent.
    #[error("the token for registration is missing")]
    NoToken,
    /// The token is wrong.
    #[error("the token for registration is wrong")]
    WrongToken,
}

impl Registration {
    /// Whether a caller with this token, or none, may create organizations.
    fn admit(&self, token: Option<&SecretString>, from: Network) -> Result<Registrant, NotAdmitted> {
        match (self, token) {
            (Self::Open, _) => Ok(Registrant::Visitor(from)),
            (Self::Closed, _) => Err(NotAdmitted::Closed),
            (Self::Token(_), None) => Err(NotAdmitted::NoToken),
            (Self::Token(right), Some(token)) => {
                let (token, right) = (token.expose_secret().as_bytes(), right.expose_secret().as_bytes());
                // In constant time, so that timing does not reveal how much of it is right.
                let is_right = verify_slices_are_equal(token, right).is_ok();
                if is_right { Ok(Registrant::Operator(from)) } else { Err(NotAdmitted::WrongToken) }
            }
        }
    }
}

impl Registrant {
    /// The account that its password hashing counts towards.
    pub(super) fn hash_owner(self) -> HashOwner {
        let (Self::Visitor(from) | Self::Operator(from)) = self;
        HashOwner::Creator(from.site())
    }
}

impl OrgService {
    /// Whether a caller with this token, or none, may create organizations.
    pub fn admit(&self, token: Option<&SecretString>, from: Network) -> Result<Registrant, NotAdmitted> {
        self.rules.registration.admit(token, from)
    }

    /// Counts an attempt to create an organization: each, even if refused or repeated, reveals known names and emails.
    pub fn count_creation(&self, by: Registrant) -> Result<(), OrgError> {
        match by {
            Registrant::Visitor(from) => Ok(self.attempts.create(from)?),
            Registrant::Operator(_) => Ok(()),
        }
    }

    /// Counts a creation with a known idempotency key as a login attempt: a matching body reveals a right password.
    pub fn count_repetition(&self, by: Registrant, email: &Email) -> Result<(), OrgError> {
        match by {
            Registrant::Visitor(from) => Ok(self.attempts.log_in(email, from)?),
            Registrant::Operator(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_registration_lets_in_whom_it_should() {
        let here = Network::of([192, 0, 2, 1].into());
        let right = SecretString::from("q3Zp7Vx9Kd2Lm5Rt8Yw1Bn4Cf6Gh0Js3");
        let (shorter, other) = (SecretString::from("q3Zp"), SecretString::from("x3Zp7Vx9Kd2Lm5Rt8Yw1Bn4Cf6Gh0Js3"));
        let token = Registration::Token(right.clone());
        let (visitor, operator) = (Ok(Registrant::Visitor(here)), Ok(Registrant::Operator(here)));
        for (registration, sent, expected) in [
            (&Registration::Open, None, visitor),
            (&Registration::Open, Some(&right), visitor),
            (&Registration::Closed, None, Err(NotAdmitted::Closed)),
            (&Registration::Closed, Some(&right), Err(NotAdmitted::Closed)),
            (&token, None, Err(NotAdmitted::NoToken)),
            (&token, Some(&shorter), Err(NotAdmitted::WrongToken)),
            (&token, Some(&other), Err(NotAdmitted::WrongToken)),
            (&token, Some(&right), operator),
        ] {
            assert_eq!(registration.admit(sent, here), expected, "{registration:?} {sent:?}");
        }
        assert!(!format!("{token:?}").contains("q3Zp"), "it cannot be printed");
    }
}
