//! Everything that is wrong with the settings, at once.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Kind};

/// One thing that is wrong: which field, its value where it may be shown, where that came from, and why it will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, `section.key` or `node.<name>.<key>`; a node without a usable name is `node[N]`, counted from 1.
    pub field: String,
    /// The value as it was given; none where the field is missing or could hold a secret.
    pub value: Option<String>,
    /// The environment variable or flag that gave the value; none when it was the file.
    pub origin: Option<String>,
    /// Why it will not do, and what would.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " (from {origin})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The problems of one settings file with its overrides. Becomes an [`Error`] of [`Kind::Usage`].
#[derive(Clone, Debug, Default)]
pub struct Problems {
    file: String,
    origins: BTreeMap<String, String>,
    list: Vec<Problem>,
}

impl Problems {
    /// No problems yet with `file`.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Remembers that `field` was given by `origin` and not by the file.
    pub(super) fn comes_from(&mut self, field: &str, origin: &str) {
        self.origins.insert(field.to_owned(), origin.to_owned());
    }

    /// Where `field` was given, if not in the file.
    pub(super) fn origin(&self, field: &str) -> Option<&str> {
        self.origins.get(field).map(String::as_str)
    }

    /// Notes that `field` with `value` will not do because of `reason`.
    pub(super) fn add(
        &mut self,
        field: impl Into<String>,
        value: impl Into<Option<String>>,
        reason: impl Into<String>,
    ) {
        let field = field.into();
        let origin = self.origins.get(&field).cloned();
        self.list.push(Problem { field, value: value.into(), origin, reason: reason.into() });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        write!(f, "{}: {count} problem{}", self.file, if count == 1 { "" } else { "s" })?;
        for problem in &self.list {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Self::new(Kind::Usage, problems.to_string())
    }
}
