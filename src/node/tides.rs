//! HIGHESTMODSEQ (RFC 7162) of a source's mailboxes, and the messages that its clients have passed on their way here.

use std::time::{Duration, Instant};

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::Row;

use super::ask;
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::rule::RowId;
use crate::error::Result;

/// The most messages that one batch numbers anew.
const PASSED_AT_ONCE: i64 = 2000;
/// To look for them must not take more than this part of the time, where it takes longer than [`SHORT`].
const SHARE: u32 = 20;
const SHORT: Duration = Duration::from_millis(20);

/// What a source says of its mailboxes, and of what it has taken over from others.
#[derive(Clone, Debug)]
pub struct Tides {
    /// A list of `{mailbox, seq}`.
    mailboxes: Value,
    /// `{node: [what it surely has, what it may have]}`, snapshots of these nodes.
    pub cursors: Value,
}

impl Tides {
    /// From the row of `sql/source/read_tides.sql`.
    pub fn from_row(row: &Row) -> Self {
        Self { mailboxes: row.get("tides"), cursors: row.get("cursors") }
    }

    /// `{mailbox, seq}` each.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Value> {
        self.mailboxes.as_array().into_iter().flatten()
    }
}

/// A message that clients of a source have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its row here.
    pub row: RowId,
    /// The mailbox in which that is.
    pub mailbox: MailboxId,
    /// Whether the change was made here; else on a third node.
    pub is_own: bool,
}

/// What a look for them brought.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The messages.
    pub passed: Vec<Passed>,
    /// Whether there may be more.
    pub more: bool,
    /// For how long to look no more.
    pub rest: Duration,
}

/// Looks for messages whose last change `source` did not have, and that its clients have passed. Without locks, for there may be many
/// changes that a source has not taken over.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn passed(target: &impl GenericClient, source: NodeId, tides: &Tides) -> Result<Look> {
    if tides.mailboxes().next().is_none() {
        return Ok(Look::default());
    }
    let begun = Instant::now();
    let sql = include_str!("../../sql/target/passed_messages.sql");
    let rows = ask::rows(target, sql, &[&source.0, &tides.mailboxes, &tides.cursors, &PASSED_AT_ONCE]).await?;
    let passed: Vec<Passed> = rows
        .iter()
        .map(|row| Passed {
            row: RowId(row.get("row_idnr")),
            mailbox: MailboxId(row.get("mailbox_idnr")),
            is_own: row.get("is_own"),
        })
        .collect();
    let took = begun.elapsed();
    let rest = if took > SHORT { took * SHARE } else { Duration::ZERO };
    Ok(Look { more: passed.len() as i64 >= PASSED_AT_ONCE, passed, rest })
}
