//! A finding: what was looked at, what it means, and how to mend it.

use serde::Serialize;

use crate::domain::budget::Level;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, for programs.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The node; `None` where it is about the whole mesh or this machine.
    pub node: Option<String>,
    /// What was found. One line.
    pub found: String,
    /// Why it matters; empty where all is well.
    pub why: String,
    /// What to do, for people; empty where all is well.
    pub mend: String,
    /// Statements that mend it, to be run on the node one by one, by a superuser or the owner; empty where SQL alone does not.
    pub sql: Vec<String>,
}

/// Gathers findings about one node, or about none.
#[derive(Debug)]
pub(super) struct Findings {
    node: Option<String>,
    pub(super) all: Vec<Finding>,
}

impl Findings {
    pub(super) fn about(node: Option<&str>) -> Self {
        Self { node: node.map(str::to_owned), all: Vec::new() }
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Level::Ok, found, "", "", []);
    }

    /// Something that SQL cannot mend.
    pub(super) fn say(
        &mut self,
        level: Level,
        check: &'static str,
        found: impl Into<String>,
        why: &str,
        mend: impl Into<String>,
    ) {
        self.add(check, level, found, why, mend, []);
    }

    /// Something that `sql` mends.
    pub(super) fn mend<const N: usize>(
        &mut self,
        level: Level,
        check: &'static str,
        found: impl Into<String>,
        why: &str,
        sql: [String; N],
    ) {
        self.add(check, level, found, why, "run what follows on the node, as a superuser or the owner", sql);
    }

    pub(super) fn add<const N: usize>(
        &mut self,
        check: &'static str,
        level: Level,
        found: impl Into<String>,
        why: &str,
        mend: impl Into<String>,
        sql: [String; N],
    ) {
        self.add_all(check, level, found, why, mend, sql.into());
    }

    /// The same with any number of statements.
    pub(super) fn add_all(
        &mut self,
        check: &'static str,
        level: Level,
        found: impl Into<String>,
        why: &str,
        mend: impl Into<String>,
        sql: Vec<String>,
    ) {
        let (node, found) = (self.node.clone(), found.into());
        let (why, mend) = (why.to_owned(), mend.into());
        self.all.push(Finding { check, level, node, found, why, mend, sql });
    }

    /// Whether a check has found nothing wrong so far.
    pub(super) fn is_well(&self, check: &str) -> bool {
        !self.all.iter().any(|finding| finding.check == check)
    }
}
