//! What bounds each session with a node: the server keeps to it, whatever becomes of the program.

use std::time::Duration;

use ::config::Value;

use super::problems::Problems;
use super::section::Section;
use super::{HOUR, MINUTE, SECOND};

/// `[session]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// How long a node may take to accept a connection, where its URL does not say.
    pub connect_timeout: Duration,
    /// A statement that takes longer is stuck. While locks are held that dbmail may want, `mesh.lock_bound` counts in its place.
    pub statement_timeout: Duration,
    /// How long any other lock is waited for.
    pub lock_timeout: Duration,
    /// How long a transaction may stand still before the server ends it.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(120),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(30),
        }
    }
}

pub(super) fn read(value: Option<Value>, problems: &mut Problems) -> SessionSettings {
    let known = ["connect_timeout", "statement_timeout", "lock_timeout", "idle_in_transaction_timeout"];
    let mut section = Section::new("session", value, &known, problems);
    let default = SessionSettings::default();
    let session = SessionSettings {
        connect_timeout: section.duration("connect_timeout", default.connect_timeout, SECOND..=MINUTE),
        statement_timeout: section.duration("statement_timeout", default.statement_timeout, 10 * SECOND..=HOUR),
        lock_timeout: section.duration("lock_timeout", default.lock_timeout, SECOND..=MINUTE),
        idle_in_transaction_timeout: section.duration(
            "idle_in_transaction_timeout",
            default.idle_in_transaction_timeout,
            SECOND..=10 * MINUTE,
        ),
    };
    section.done();
    session
}
