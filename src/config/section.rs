//! One table of the settings, read key by key; every key that will not do is noted, none stops the reading.

use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use ::config::{Value, ValueKind};

use super::problems::Problems;
use super::source::is_name;
use super::units;

/// What is left of a table while it is being read.
pub(super) struct Section<'a> {
    path: String,
    values: HashMap<String, Value>,
    known: &'a [&'a str],
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// The table at `path`, which knows the keys `known`. Absent is empty; anything but a table is a problem.
    pub(super) fn new(path: &str, value: Option<Value>, known: &'a [&'a str], problems: &'a mut Problems) -> Self {
        let values = match value.map(|value| value.kind) {
            None | Some(ValueKind::Nil) => HashMap::new(),
            Some(ValueKind::Table(table)) => table.into_iter().collect(),
            Some(other) => {
                problems.add(path, show(&other), "must be a table of keys");
                HashMap::new()
            }
        };
        Self { path: path.to_owned(), values, known, problems }
    }

    /// The full name of `key`.
    pub(super) fn field(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// Whether `key` was given at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Takes `key`, whatever it is.
    pub(super) fn pass_over(&mut self, key: &str) {
        self.values.remove(key);
    }

    /// Notes a problem with `key`.
    pub(super) fn problem(&mut self, key: &str, value: impl Into<Option<String>>, reason: impl Into<String>) {
        let field = self.field(key);
        self.problems.add(field, value, reason);
    }

    /// Where `key` was given, if not in the file.
    pub(super) fn origin(&self, key: &str) -> Option<String> {
        self.problems.origin(&self.field(key)).map(str::to_owned)
    }

    /// Takes `key` as a text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.values.remove(key)?;
        match value.kind {
            ValueKind::String(text) => Some(text),
            other => {
                self.problem(key, show(&other), "must be a text in quotes");
                None
            }
        }
    }

    /// Takes `key` as a text that must be there.
    pub(super) fn required_text(&mut self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.problem(key, None, "missing");
        }
        self.text(key)
    }

    /// Takes `key` as a whole number within `range`. The environment and flags give texts, hence texts are read, too.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let kind = self.values.remove(key)?.kind;
        let number = match &kind {
            ValueKind::I64(number) => Some(*number),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => return Some(number),
            Some(_) => self.problem(key, show(&kind), format!("must be {} to {}", range.start(), range.end())),
            None => self.problem(key, show(&kind), "must be a whole number"),
        }
        None
    }

    /// Takes `key` as a whole number within `range` that must be there.
    pub(super) fn required_number(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        if !self.has(key) {
            self.problem(key, None, "missing");
        }
        self.number(key, range)
    }

    /// Takes `key` as a duration within `range`, or `default`.
    pub(super) fn duration(&mut self, key: &str, default: Duration, range: RangeInclusive<Duration>) -> Duration {
        self.measure(key, default, range, units::duration, units::show_duration)
    }

    /// Takes `key` as a size in bytes within `range`, or `default`.
    pub(super) fn size(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.measure(key, default, range, units::size, units::show_size)
    }

    fn measure<T: PartialOrd + Copy + Debug>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
        read: fn(&str) -> Result<T, String>,
        write: fn(T) -> String,
    ) -> T {
        let Some(text) = self.text(key) else { return default };
        let reason = match read(&text) {
            Ok(value) if range.contains(&value) => return value,
            Ok(_) => format!("must be {} to {}", write(*range.start()), write(*range.end())),
            Err(reason) => reason,
        };
        self.problem(key, format!("{text:?}"), reason);
        default
    }

    /// Notes every key that nobody asked for. Their values are not shown: a mistyped `password` is one of them.
    pub(super) fn done(self) {
        let Self { path, values, known, problems } = self;
        let mut unknown: Vec<_> = values.into_keys().collect();
        unknown.sort();
        for key in unknown {
            let hint = if path.is_empty() { "the sections are" } else { "known here are" };
            let key = if is_name(&key) { key } else { "(a key that is none)".to_owned() };
            let field = if path.is_empty() { key } else { format!("{path}.{key}") };
            problems.add(field, None, format!("unknown key; {hint} {}", known.join(", ")));
        }
    }
}

/// A value as people write it; tables and arrays only by their kind, for they may hold anything.
pub(super) fn show(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Nil => "nothing".into(),
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::Float(value) => value.to_string(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::I64(value) => value.to_string(),
        ValueKind::I128(value) => value.to_string(),
        ValueKind::U64(value) => value.to_string(),
        ValueKind::U128(value) => value.to_string(),
    }
}
