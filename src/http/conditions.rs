//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1): what a client knows about a document.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::{Problem, answers, kinds};
use super::state::HttpState;
use crate::domain::documents::{EntityTag, Precondition};

/// The conditions of a request.
#[derive(Debug)]
pub(super) struct Conditions {
    /// `If-Match`.
    pub(super) if_match: Precondition,
    if_none_match: NoneMatch,
}

/// `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
enum NoneMatch {
    Absent,
    /// `*`: the document must not exist.
    Anything,
    /// The document must be in none of these states.
    Tags(Vec<EntityTag>),
}

impl FromRequestParts<HttpState> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let if_match = match read(&parts.headers, &header::IF_MATCH)? {
            None => Precondition::None,
            Some(Listed::Anything) => Precondition::Exists,
            // A weak tag never matches here: it does not promise that two states are equal byte for byte.
            Some(Listed::Tags(tags)) => {
                Precondition::IsOneOf(tags.into_iter().filter(|tag| !tag.is_weak).map(|tag| tag.tag).collect())
            }
        };
        let if_none_match = match read(&parts.headers, &header::IF_NONE_MATCH)? {
            None => NoneMatch::Absent,
            Some(Listed::Anything) => NoneMatch::Anything,
            Some(Listed::Tags(tags)) => NoneMatch::Tags(tags.into_iter().map(|tag| tag.tag).collect()),
        };
        Ok(Self { if_match, if_none_match })
    }
}

answers! { Conditions = []; }

impl Conditions {
    /// Whether the reading client has this state already.
    pub(super) fn is_known(&self, tag: &EntityTag) -> bool {
        match &self.if_none_match {
            NoneMatch::Absent => false,
            NoneMatch::Anything => true,
            NoneMatch::Tags(tags) => tags.contains(tag),
        }
    }

    /// Whether a write that can create must not replace.
    pub(super) fn must_create(&self) -> Result<bool, Problem> {
        match self.if_none_match {
            NoneMatch::Absent => Ok(false),
            NoneMatch::Anything if self.if_match.is_none() => Ok(true),
            NoneMatch::Anything => Err(bad("If-Match and If-None-Match contradict each other")),
            NoneMatch::Tags(_) => Err(bad("If-None-Match of a write can only be *")),
        }
    }

    /// The precondition of a write that cannot create.
    pub(super) fn of_change(self) -> Result<Precondition, Problem> {
        match self.if_none_match {
            NoneMatch::Absent => Ok(self.if_match),
            NoneMatch::Anything | NoneMatch::Tags(_) => Err(bad("If-None-Match has no meaning for this call")),
        }
    }
}

/// The value of one of the headers.
enum Listed {
    Anything,
    Tags(Vec<SentTag>),
}

struct SentTag {
    tag: EntityTag,
    is_weak: bool,
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Listed>, Problem> {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let broken = || bad(format!("{name} must be * or a list of entity tags such as \"691f2a3b4c5d6e7f80910a1b\""));
    let lines: Result<Vec<&str>, _> = values.map(HeaderValue::to_str).collect();
    let text = lines.map_err(|_not_ascii| broken())?.join(",");
    if text.trim() == "*" {
        return Ok(Some(Listed::Anything));
    }
    tags(&text).filter(|tags| !tags.is_empty()).map(|tags| Some(Listed::Tags(tags))).ok_or_else(broken)
}

/// Parses a comma-separated list of entity tags, which may contain commas themselves; `None` if it is malformed.
fn tags(mut text: &str) -> Option<Vec<SentTag>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Some(found);
        }
        let (is_weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
        let (tag, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        found.push(SentTag { tag: EntityTag::new(tag), is_weak });
        text = rest;
        if !text.trim_start().is_empty() && !text.trim_start().starts_with(',') {
            return None;
        }
    }
}

fn bad(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(kinds::BAD_REQUEST).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Option<Vec<String>> {
        let tags = tags(text)?;
        Some(tags.iter().map(|sent| format!("{}{}", if sent.is_weak { "W/" } else { "" }, sent.tag)).collect())
    }

    #[test]
    fn lists_of_tags_are_read_as_the_rfc_writes_them() {
        assert_eq!(sent("\"a\""), Some(vec!["\"a\"".to_owned()]));
        assert_eq!(sent("\"a\", W/\"b,c\" ,\"\""), Some(vec!["\"a\"".into(), "W/\"b,c\"".into(), "\"\"".into()]));
        for broken in ["a", "\"a", "\"a\" \"b\"", "w/\"a\"", "\"a\", b"] {
            assert_eq!(sent(broken), None, "{broken}");
        }
    }
}
