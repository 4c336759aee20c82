//! What the doctor finds, what it is about, and what can be done; and how it is said.

use serde::Serialize;

use super::code::Code;
use super::fixes::Fix;

/// What a finding is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct About {
    /// The organization's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The organization's name, as far as it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_name: Option<String>,
    /// The admin's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// The collection's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The index, as `collection.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The ids of organizations that collide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// The ids of admins that collide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admins: Vec<String>,
}

impl About {
    /// The same, about this collection too.
    pub(super) fn and_collection(mut self, name: &str) -> Self {
        self.collection = Some(name.to_owned());
        self
    }
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let organization = self.organization.as_ref().map(|id| match &self.organization_name {
            Some(name) => format!("organization {id} ({name:?})"),
            None => format!("organization {id}"),
        });
        let one = |kind: &str, id: &Option<String>| id.as_ref().map(|id| format!("{kind} {id}"));
        let many = |kind: &str, ids: &[String]| (!ids.is_empty()).then(|| format!("{kind} {}", ids.join(" and ")));
        let parts = [
            organization,
            one("admin", &self.admin),
            one("collection", &self.collection),
            one("index", &self.index),
            many("organizations", &self.organizations),
            many("admins", &self.admins),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "MongoDB" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Something that is wrong, as it was seen once.
pub(super) struct Suspicion {
    pub(super) code: Code,
    pub(super) about: About,
    /// What is wrong.
    pub(super) detail: String,
    /// The state of everything that it was concluded from: only what is seen twice in the same state counts.
    pub(super) evidence: String,
    /// What can safely be done about it.
    pub(super) fix: Option<Fix>,
}

impl Suspicion {
    pub(super) fn new(code: Code, about: About, detail: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { code, about, detail: detail.into(), evidence: evidence.into(), fix: None }
    }

    pub(super) fn fixed_by(mut self, fix: Option<Fix>) -> Self {
        self.fix = fix;
        self
    }

    /// What it is and from what it was concluded.
    pub(super) fn key(&self) -> (Code, About, String) {
        (self.code, self.about.clone(), self.evidence.clone())
    }
}

/// Something that is wrong, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// What it is about.
    pub about: About,
    /// What is wrong.
    pub detail: String,
    /// What a person can do.
    pub remedy: &'static str,
    /// Whether the doctor can do it.
    pub fixable: bool,
    /// Whether the doctor did it, and has seen since that it is so.
    pub fixed: bool,
    /// What the doctor did, or why it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LookedAt {
    /// Organizations in whatever state.
    pub organizations: usize,
    /// Admins.
    pub admins: usize,
    /// Tenant collections.
    pub collections: usize,
}

/// What the doctor says.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What is wrong, or was.
    pub findings: Vec<Finding>,
    /// How much was looked at, the last time.
    pub looked_at: LookedAt,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong (any more).
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.fixed)
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, about, detail, remedy, .. } = self;
        write!(f, "{}: {about}: {detail}; ", code.name())?;
        match &self.done {
            Some(done) if self.fixed => write!(f, "fixed: {done}"),
            Some(done) => write!(f, "{remedy} (not fixed: {done})"),
            None if self.fixable => write!(f, "{remedy} (fixable)"),
            None => write!(f, "{remedy}"),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let LookedAt { organizations, admins, collections } = self.looked_at;
        let fixed = self.findings.iter().filter(|finding| finding.fixed).count();
        let remaining = self.findings.len() - fixed;
        writeln!(
            f,
            "{remaining} findings, {fixed} fixed; {organizations} organizations, {admins} admins and {collections} tenant \
             collections looked at"
        )
    }
}
