//! Organizations: their names, and the slug that makes two spellings one name.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{AdminId, ChangeKind, Invalid, OrgState, TenantCollection, object_id_newtype};

object_id_newtype! {
    /// Names an organization for ever; never used again for another one.
    OrgId
}

/// How the names of tenants' collections begin: those of organizations, and those of deleted ones that can be brought back.
/// Neither begins with the other, so no organization can be called so that it gets the collection of a deleted one.
pub const COLLECTION_PREFIXES: [&str; 2] = ["org_", "deleted_"];

/// How the slug of a deleted organization begins: as no name's does, because slugs have neither capitals nor spaces.
const DELETED: &str = "Deleted ";

/// The longest name that a new organization may have, in characters.
pub const NAME_MAX_CHARS: usize = 64;

/// The longest name that is looked up, in bytes. Longer than [`NAME_MAX_CHARS`], because the original let a
/// rename choose any name; shorter than MongoDB's limit for a namespace (255 bytes).
pub const REFERENCE_MAX_BYTES: usize = 240;

/// A name that our rules allow, as it was typed: 1 to 64 of `A-Z a-z 0-9 space _ -`, with a letter or digit
/// first and last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgName(String);

impl OrgName {
    /// Reads a name for a new organization or for a rename.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-');
        let count = text.chars().count();
        if count == 0 {
            return Err(Invalid::new("too_short", "must not be empty"));
        }
        if count > NAME_MAX_CHARS {
            return Err(Invalid::new(
                "too_long",
                format!("must have at most {NAME_MAX_CHARS} characters, has {count}"),
            ));
        }
        if !text.chars().all(allowed) {
            return Err(Invalid::new(
                "invalid_characters",
                "may only contain the letters A-Z and a-z, digits, spaces, '_' and '-'",
            ));
        }
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if !is_edge(text.chars().next()) || !is_edge(text.chars().next_back()) {
            return Err(Invalid::new("invalid_edges", "must begin and end with a letter or a digit"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which it is unique.
    pub fn slug(&self) -> Slug {
        Slug::of(&self.0)
    }
}

/// A name without its spelling: lower case, runs of spaces turned into one `_`. Two names with one slug are the
/// same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// The slug of any name, also of the original's names that break our rules.
    pub fn of(name: &str) -> Self {
        let mut slug = String::with_capacity(name.len());
        let mut in_spaces = false;
        for c in name.chars() {
            if c == ' ' {
                if !in_spaces {
                    slug.push('_');
                }
                in_spaces = true;
            } else {
                in_spaces = false;
                slug.extend(c.to_lowercase());
            }
        }
        Self(slug)
    }

    /// The slug's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug of an organization that was deleted and is kept.
    pub fn of_deleted(id: OrgId) -> Self {
        Self(format!("{DELETED}{id}"))
    }

    /// Whether it is that of an organization that was deleted and is kept.
    pub fn is_of_deleted(&self) -> bool {
        self.0.starts_with(DELETED)
    }

    /// The collection that an organization of this name has: `org_<slug>`, or `deleted_<id>`.
    pub fn collection_name(&self) -> String {
        let [open, put_away] = COLLECTION_PREFIXES;
        match self.0.strip_prefix(DELETED) {
            Some(id) => format!("{put_away}{id}"),
            None => format!("{open}{}", self.0),
        }
    }
}

/// How a request names an organization that should exist: any spelling, and also names that only the original
/// allowed. Whether there is one is for the database to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgReference(Slug);

impl OrgReference {
    /// Reads the name of an organization to look up.
    ///
    /// # Errors
    /// Empty, longer than any name can be, or with a NUL.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("too_short", "must not be empty"));
        }
        if text.len() > REFERENCE_MAX_BYTES {
            return Err(Invalid::new("too_long", format!("must have at most {REFERENCE_MAX_BYTES} bytes")));
        }
        if text.contains('\0') {
            return Err(Invalid::new("invalid_characters", "must not contain a NUL character"));
        }
        Ok(Self(Slug::of(text)))
    }

    /// The slug to look up.
    pub fn slug(&self) -> &Slug {
        &self.0
    }
}

/// What an organization is called, and what its collection is called therefore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// The name as typed.
    pub name: String,
    /// The name without spelling.
    pub slug: Slug,
    /// The collection's name; only where the original chose it, another than the slug's.
    pub collection_name: String,
}

impl Title {
    /// That of an organization of this name.
    pub fn new(name: &str, slug: Slug) -> Self {
        Self { name: name.to_owned(), collection_name: slug.collection_name(), slug }
    }

    /// The same for a name that was just chosen.
    pub fn of(name: &OrgName) -> Self {
        Self::new(name.as_str(), name.slug())
    }
}

/// Where an organization's data lives, as the original described it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Connection {
    /// The database of the tenant collection.
    pub db_name: String,
    /// The tenant collection's name.
    pub collection_name: String,
    /// Whatever else the original or an operator kept there; only its own admin sees it.
    #[serde(default)]
    pub extra: bson::Document,
}

/// A name that an organization had, and still answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldName {
    /// The name as typed.
    pub name: String,
    /// The name without spelling.
    pub slug: Slug,
    /// Since when it was the organization's name.
    pub since: OffsetDateTime,
    /// When the organization got another.
    pub given_up_at: OffsetDateTime,
    /// Until when the organization answers to it and nobody else can take it.
    pub until: OffsetDateTime,
    /// How many calls found the organization by it.
    pub uses: i64,
    /// When the last of them did.
    pub last_used_at: Option<OffsetDateTime>,
}

/// What is kept of an organization that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The name that it had, as typed.
    pub name: String,
    /// The name without spelling.
    pub slug: Slug,
    /// Until when it can be brought back.
    pub until: OffsetDateTime,
}

/// An organization as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Org {
    /// Its identity; the authority of a token.
    pub id: OrgId,
    /// Its name as typed.
    pub name: String,
    /// Its name without spelling.
    pub slug: Slug,
    /// Its collection's name.
    pub collection_name: String,
    /// Its collection's UUID; absent only while it is being created.
    pub collection_uuid: Option<Uuid>,
    /// Where its data lives.
    pub connection: Connection,
    /// Its admin; absent when the original left an organization without one.
    pub admin_id: Option<AdminId>,
    /// Where it is in its life.
    pub state: OrgState,
    /// Counts the changes: a change begins only on the generation that was read.
    pub generation: i64,
    /// Counts how often it was brought back: the tokens of a former life are refused. Zero for one that was never deleted.
    pub token_epoch: i64,
    /// When it was made, to the millisecond.
    pub created_at: OffsetDateTime,
    /// When its name or its admin's credentials last changed, to the millisecond.
    pub updated_at: OffsetDateTime,
    /// Since when it has its name.
    pub name_since: OffsetDateTime,
    /// The names that it had and still answers to, those whose time is over included.
    pub old_names: Vec<OldName>,
    /// What is kept of it, after it was deleted.
    pub deletion: Option<Deletion>,
}

/// How an organization was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy<'a> {
    /// By the name that it has.
    Name,
    /// By a name that it had.
    OldName(&'a OldName),
}

impl Org {
    /// A new one: what is recorded of it before its admin and its collection are made.
    pub fn provisional(id: OrgId, title: Title, db_name: &str, admin_id: AdminId, now: OffsetDateTime) -> Self {
        let Title { name, slug, collection_name } = title;
        let (db_name, extra) = (db_name.to_owned(), bson::Document::new());
        Self {
            id,
            name,
            slug,
            connection: Connection { db_name, collection_name: collection_name.clone(), extra },
            collection_name,
            collection_uuid: None,
            admin_id: Some(admin_id),
            state: OrgState::Provisioning,
            generation: 0,
            token_epoch: 0,
            created_at: now,
            updated_at: now,
            name_since: now,
            old_names: Vec::new(),
            deletion: None,
        }
    }

    /// What it is called.
    pub fn title(&self) -> Title {
        Title { name: self.name.clone(), slug: self.slug.clone(), collection_name: self.collection_name.clone() }
    }

    /// What it is called while it is deleted and kept: as nobody else can be.
    pub fn deleted_title(&self) -> Title {
        Title::new(&self.name, Slug::of_deleted(self.id))
    }

    /// What it is called under another name. Another spelling of the same name keeps the collection, also where the
    /// original called it otherwise than we would.
    pub fn title_after(&self, name: &OrgName) -> Title {
        let title = Title::of(name);
        let collection_name =
            if title.slug == self.slug { self.collection_name.clone() } else { title.collection_name };
        Title { collection_name, ..title }
    }

    /// Whether it answers to this name, and to which of its own; `None` when the name is not its own at this time.
    pub fn found_by(&self, slug: &Slug, now: OffsetDateTime) -> Option<FoundBy<'_>> {
        if self.slug == *slug {
            return Some(FoundBy::Name);
        }
        self.old_names.iter().find(|old| old.slug == *slug && old.until > now).map(FoundBy::OldName)
    }

    /// The old names that it answers to at this time.
    pub fn live_old_names(&self, now: OffsetDateTime) -> impl Iterator<Item = &OldName> {
        self.old_names.iter().filter(move |old| old.until > now)
    }

    /// What is kept of it, while its admin can bring it back.
    pub fn restorable(&self, now: OffsetDateTime) -> Option<&Deletion> {
        let is_deleted = ChangeKind::Restore.course(false).from == Some(self.state);
        self.deletion.as_ref().filter(|deletion| is_deleted && deletion.until > now)
    }

    /// The collection that holds its data; `None` only while it is being created.
    pub fn tenant_collection(&self) -> Option<TenantCollection> {
        self.collection_uuid.map(|uuid| TenantCollection { name: self.collection_name.clone(), uuid })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_demo_names_have_the_collections_of_the_original() {
        assert_eq!(Slug::of("amazon").collection_name(), "org_amazon");
        assert_eq!(Slug::of("amazon_global").collection_name(), "org_amazon_global");
        assert_eq!(Slug::of("Acme   Inc").collection_name(), "org_acme_inc");
    }

    #[test]
    fn no_name_has_the_slug_of_a_deleted_organization() {
        let id = OrgId::generate();
        let deleted = Slug::of_deleted(id);
        assert!(deleted.is_of_deleted());
        assert!(!Slug::of(deleted.as_str()).is_of_deleted());
        assert_eq!(deleted.collection_name(), format!("deleted_{id}"));
    }

    #[test]
    fn each_broken_rule_has_its_code() {
        let code = |text: &str| OrgName::parse(text).err().map(|invalid| invalid.code);
        assert_eq!(code(""), Some("too_short"));
        assert_eq!(code(&"a".repeat(65)), Some("too_long"));
        assert_eq!(code(&"a".repeat(64)), None);
        assert_eq!(code("a.b"), Some("invalid_characters"));
        assert_eq!(code("a$b"), Some("invalid_characters"));
        assert_eq!(code("zürich"), Some("invalid_characters"));
        assert_eq!(code("a\nb"), Some("invalid_characters"));
        assert_eq!(code(" a"), Some("invalid_edges"));
        assert_eq!(code("a_"), Some("invalid_edges"));
        assert_eq!(code("-"), Some("invalid_edges"));
        assert_eq!(code("A"), None);
    }

    proptest! {
        #[test]
        fn every_allowed_name_parses_and_its_slug_is_a_name_of_the_same_slug(
            name in "[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9])?"
        ) {
            let parsed = OrgName::parse(&name).expect("allowed");
            prop_assert_eq!(parsed.as_str(), name.as_str());
            let slug = parsed.slug();
            prop_assert!(!slug.as_str().contains(' '));
            prop_assert_eq!(slug.as_str().to_lowercase(), slug.as_str());
            prop_assert_eq!(Slug::of(slug.as_str()), slug.clone(), "a slug is its own slug");
            prop_assert!(OrgName::parse(slug.as_str()).is_ok(), "a slug is an allowed name");
            prop_assert!(slug.collection_name().len() <= 68);
        }

        #[test]
        fn spelling_does_not_matter(name in "[A-Za-z0-9]([A-Za-z0-9 _-]{0,30}[A-Za-z0-9])?") {
            let louder = name.to_uppercase().replace(' ', "   ");
            prop_assert_eq!(Slug::of(&louder), Slug::of(&name));
        }

        #[test]
        fn whatever_is_sent_is_read_or_refused_and_never_changed(name in any::<String>()) {
            if let Ok(parsed) = OrgName::parse(&name) {
                prop_assert_eq!(parsed.as_str(), name.as_str());
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c)));
            }
        }
    }
}
