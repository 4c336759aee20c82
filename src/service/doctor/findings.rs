//! The doctor's findings: what they are about, what can be done, and how they are reported.

use serde::Serialize;

use super::code::Code;
use super::fixes::Fix;

/// What a finding is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct About {
    /// The organization's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The organization's name, if readable.
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
    /// The same, about this collection as well.
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

/// A problem, as seen once.
pub(super) struct Suspicion {
    pub(super) code: Code,
    pub(super) about: About,
    /// What is wrong.
    pub(super) detail: String,
    /// The state that it was concluded from: only problems seen twice in the same state count.
    pub(super) evidence: String,
    /// The safe repair, if any.
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

    /// Identifies the problem and the state it was concluded from.
    pub(super) fn key(&self) -> (Code, About, String) {
        (self.code, self.about.clone(), self.evidence.clone())
    }
}

/// A problem, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The kind of problem.
    pub code: Code,
    /// The subject.
    pub about: About,
    /// What is wrong.
    pub detail: String,
    /// What a person can do.
    pub remedy: &'static str,
    /// Whether the doctor can do it.
    pub fixable: bool,
    /// Whether the doctor did it, and has since confirmed it.
    pub fixed: bool,
    /// What the doctor did, or why it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
}

/// How much was examined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LookedAt {
    /// Organizations in any state.
    pub organizations: usize,
    /// Admins.
    pub admins: usize,
    /// Tenant collections.
    pub collections: usize,
}

/// The doctor's report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Current and former problems.
    pub findings: Vec<Finding>,
    /// How much the last look examined.
    pub looked_at: LookedAt,
    /// What could not be examined.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong, or no longer.
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
