//! Organizations: their names, and the slug that identifies all spellings of one name.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{AdminId, ChangeKind, Invalid, OrgState, TenantCollection, object_id_newtype};

object_id_newtype! {
    /// Identifies an organization permanently; never reused.
    OrgId
}

/// Prefixes of tenant collections: those of organizations, and those of deleted ones that can be restored. Neither is a
/// prefix of the other, so no name leads to the collection of a deleted organization.
pub const COLLECTION_PREFIXES: [&str; 2] = ["org_", "deleted_"];

/// Prefix of a deleted organization's slug. No name's slug starts with it, because slugs have neither capitals nor
/// spaces.
const DELETED: &str = "Deleted ";

/// The longest name of a new organization, in characters.
pub const NAME_MAX_CHARS: usize = 64;

/// The longest name to look up, in bytes. Longer than [`NAME_MAX_CHARS`], because the original let a rename choose any
/// name; shorter than MongoDB's limit for a namespace (255 bytes).
pub const REFERENCE_MAX_BYTES: usize = 240;

/// A valid name as typed: 1 to 64 of `A-Z a-z 0-9 space _ -`, with a letter or digit first and last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgName(String);

impl OrgName {
    /// Parses a name for a new organization or a rename.
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

    /// The name as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug under which the name is unique.
    pub fn slug(&self) -> Slug {
        Slug::of(&self.0)
    }
}

/// A name without its spelling: lower case, each run of spaces as one `_`. Names with the same slug are the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// The slug of any name, including the original's names that break our rules.
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

    /// The slug of a deleted organization that is kept.
    pub fn of_deleted(id: OrgId) -> Self {
        Self(format!("{DELETED}{id}"))
    }

    /// Whether it belongs to a deleted organization that is kept.
    pub fn is_of_deleted(&self) -> bool {
        self.0.starts_with(DELETED)
    }

    /// The collection of an organization with this slug: `org_<slug>`, or `deleted_<id>`.
    pub fn collection_name(&self) -> String {
        let [open, put_away] = COLLECTION_PREFIXES;
        match self.0.strip_prefix(DELETED) {
            Some(id) => format!("{put_away}{id}"),
            None => format!("{open}{}", self.0),
        }
    }
}

/// A request's reference to an existing organization: any spelling, including names that only the original allowed.
/// Only the database knows whether it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgReference(Slug);

impl OrgReference {
    /// Parses the name of an organization to look up.
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

/// An organization's name, and the collection name that follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// The name as typed.
    pub name: String,
    /// The slug of the name.
    pub slug: Slug,
    /// The collection's name; it differs from the slug's only where the original chose it.
    pub collection_name: String,
}

impl Title {
    /// The title of an organization with this name.
    pub fn new(name: &str, slug: Slug) -> Self {
        Self { name: name.to_owned(), collection_name: slug.collection_name(), slug }
    }

    /// The title for a newly chosen name.
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
    /// Other fields that the original or an operator stored there; only its own admin sees them.
    #[serde(default)]
    pub extra: bson::Document,
}

/// A former name that an organization still answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldName {
    /// The name as typed.
    pub name: String,
    /// The slug of the name.
    pub slug: Slug,
    /// When it became the organization's name.
    pub since: OffsetDateTime,
    /// When the organization got another name.
    pub given_up_at: OffsetDateTime,
    /// Until when the organization answers to it and no other can take it.
    pub until: OffsetDateTime,
    /// How many calls found the organization by it.
    pub uses: i64,
    /// When the last of those calls was.
    pub last_used_at: Option<OffsetDateTime>,
}

/// What is kept of a deleted organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Its former name, as typed.
    pub name: String,
    /// The slug of the name.
    pub slug: Slug,
    /// Until when it can be restored.
    pub until: OffsetDateTime,
}

/// A stored organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Org {
    /// Its identity; the authority of a token.
    pub id: OrgId,
    /// Its name as typed.
    pub name: String,
    /// The slug of its name.
    pub slug: Slug,
    /// Its collection's name.
    pub collection_name: String,
    /// Its collection's UUID; `None` only during creation.
    pub collection_uuid: Option<Uuid>,
    /// Where its data lives.
    pub connection: Connection,
    /// Its admin; `None` when the original left an organization without one.
    pub admin_id: Option<AdminId>,
    /// Its lifecycle state.
    pub state: OrgState,
    /// Counts changes: a change starts only on the generation that was read.
    pub generation: i64,
    /// Counts restores: tokens from before a restore are refused. Zero if it was never deleted.
    pub token_epoch: i64,
    /// When it was created, to the millisecond.
    pub created_at: OffsetDateTime,
    /// When its name or its admin's credentials last changed, to the millisecond.
    pub updated_at: OffsetDateTime,
    /// When it got its current name.
    pub name_since: OffsetDateTime,
    /// The former names it still answers to, and expired ones.
    pub old_names: Vec<OldName>,
    /// What is kept of it after deletion.
    pub deletion: Option<Deletion>,
}

/// How an organization was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy<'a> {
    /// By its current name.
    Name,
    /// By a former name.
    OldName(&'a OldName),
}

impl Org {
    /// A new organization, as recorded before its admin and collection are created.
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

    /// Its title.
    pub fn title(&self) -> Title {
        Title { name: self.name.clone(), slug: self.slug.clone(), collection_name: self.collection_name.clone() }
    }

    /// Its title while deleted and kept, which no other organization can have.
    pub fn deleted_title(&self) -> Title {
        Title::new(&self.name, Slug::of_deleted(self.id))
    }

    /// Its title under another name. Another spelling of the same name keeps the collection, even where the original
    /// named it differently.
    pub fn title_after(&self, name: &OrgName) -> Title {
        let title = Title::of(name);
        let collection_name =
            if title.slug == self.slug { self.collection_name.clone() } else { title.collection_name };
        Title { collection_name, ..title }
    }

    /// How it answers to this name; `None` when the name is not its own at this time.
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

    /// What is kept of it, while its admin can restore it.
    pub fn restorable(&self, now: OffsetDateTime) -> Option<&Deletion> {
        let is_deleted = ChangeKind::Restore.course(false).from == Some(self.state);
        self.deletion.as_ref().filter(|deletion| is_deleted && deletion.until > now)
    }

    /// The collection that holds its data; `None` only during creation.
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
