//! HIGHESTMODSEQ (RFC 7162) of a source's mailboxes, and the messages that its clients have passed on their way here.
//!
//! A node takes a source's HIGHESTMODSEQ over once it has all that the source had. Until then its own clients, given that number, would
//! pass what others hold and this node does not; and whoever holds it would have to number it anew, which would raise the source again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::Row;

use super::ask::{self, Columns as _, corrupt, corrupt_peer};
use super::store::Aside;
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::rule::RowId;
use crate::domain::snapshot::Snapshot;
use crate::domain::sound;
use crate::error::Result;

/// The most messages that one batch numbers anew.
const PASSED_AT_ONCE: i64 = 2000;
/// To look for them must take no more than this part of the time, where it takes longer than [`SHORT`].
const SHARE: u32 = 20;
const SHORT: Duration = Duration::from_millis(5);
/// And not be put off for longer than this, however busy the node was: somebody may be waiting for a HIGHESTMODSEQ.
const REST_MAX: Duration = Duration::from_secs(15);

/// What a source says of its mailboxes, and of what it has taken over from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tides {
    /// A list of `{mailbox, seq}`.
    mailboxes: Value,
    /// `{node: [what it surely has, what it may have]}`, snapshots of these nodes.
    cursors: Value,
    /// Mailboxes whose HIGHESTMODSEQ cannot be true.
    aside: Vec<Aside>,
}

/// What the source of a batch says besides: its clock, in microseconds since 2020.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock(pub i64);

impl Tides {
    /// From the row of `sql/source/read_tides.sql`.
    ///
    /// # Errors
    /// `Refused` when what it has of others is not in the form that this version knows.
    pub fn from_row(row: &Row) -> Result<(Self, Clock)> {
        let told: Value = row.read("tides").map_err(corrupt_peer)?;
        let cursors: Value = row.read("cursors").map_err(corrupt_peer)?;
        let clock = Clock(row.read("clock").map_err(corrupt_peer)?);
        check_cursors(&cursors)?;
        let (mut mailboxes, mut aside) = (Vec::new(), Vec::new());
        for tide in told.as_array().into_iter().flatten() {
            let field = |name: &str| tide.get(name).and_then(Value::as_i64);
            let (Some(mailbox), Some(seq)) = (field("mailbox"), field("seq")) else {
                return Err(corrupt_peer("HIGHESTMODSEQs that are none"));
            };
            match sound::tide(MailboxId(mailbox), seq) {
                Ok(()) => mailboxes.push(tide.clone()),
                Err(wrong) => aside.push(Aside::refused('s', mailbox, &corrupt(wrong))),
            }
        }
        Ok((Self { mailboxes: Value::Array(mailboxes), cursors, aside }, clock))
    }

    /// Mailboxes whose HIGHESTMODSEQ cannot be true.
    pub fn aside(&self) -> &[Aside] {
        &self.aside
    }

    /// `{mailbox, seq}` each.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Value> {
        self.mailboxes.as_array().into_iter().flatten()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.mailboxes().next().is_none()
    }

    /// Whether the target has all that `source` had when it said this.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn are_reached(&self, target: &impl GenericClient, source: NodeId) -> Result<bool> {
        let sql = include_str!("../../sql/target/has_all_of.sql");
        Ok(ask::row(target, sql, &[&source.0, &self.cursors]).await?.get("has_all"))
    }

    /// Messages whose last change `source` did not have, and that its clients have passed; and for how long to look no more. Without
    /// locks, for there may be many changes that a source has not taken over.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn passed(&self, target: &impl GenericClient, source: NodeId) -> Result<(Vec<Passed>, Duration)> {
        if self.is_empty() {
            return Ok((Vec::new(), Duration::ZERO));
        }
        let begun = Instant::now();
        let sql = include_str!("../../sql/target/passed_messages.sql");
        let rows = ask::rows(target, sql, &[&source.0, &self.mailboxes, &self.cursors, &PASSED_AT_ONCE]).await?;
        let took = begun.elapsed();
        let rest = if took > SHORT { (took * SHARE).min(REST_MAX) } else { Duration::ZERO };
        Ok((rows.iter().map(Passed::from_row).collect(), rest))
    }
}

fn check_cursors(cursors: &Value) -> Result<()> {
    let is_snapshot = |value: &Value| value.as_str().is_some_and(|text| text.parse::<Snapshot>().is_ok());
    for (node, pair) in cursors.as_object().into_iter().flatten() {
        let pair = pair.as_array().map(Vec::as_slice).unwrap_or_default();
        if node.parse::<i16>().is_err() || pair.len() != 2 || !pair.iter().all(is_snapshot) {
            return Err(corrupt_peer(format!("how far it has taken over node {node} is no snapshot")));
        }
    }
    Ok(())
}

/// A message that clients of a source have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its row here.
    pub row: RowId,
    /// The mailbox in which that is.
    pub mailbox: MailboxId,
    /// What its MODSEQ must be above.
    pub above: i64,
    /// Whether the change was made here; else on a third node.
    pub is_own: bool,
}

impl Passed {
    fn from_row(row: &Row) -> Self {
        Self {
            row: RowId(row.get("row_idnr")),
            mailbox: MailboxId(row.get("mailbox_idnr")),
            above: row.get("above"),
            is_own: row.get("is_own"),
        }
    }
}

/// What a batch does about them.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// What the source says now; `None`: the batch does not bring all that it has.
    pub now: Option<Tides>,
    /// Whether the target has all that the source has now.
    pub has_all: bool,
    /// What the source said before and is taken over only now.
    pub before: Option<Tides>,
    /// Messages that get a new number.
    pub passed: Vec<Passed>,
}

/// What is left to do about them after a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// To be taken over once the target has all that the source had.
    pub waiting: Option<Tides>,
    /// Mailboxes to be looked at again: for more messages, and what the source says next.
    pub mailboxes: BTreeSet<i64>,
    /// For how long not to look.
    pub rest: Duration,
}

impl Follow {
    /// Finds out what is to be done: `now` is what the source says in this batch, `waiting` what it said before.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn find(
        target: &impl GenericClient,
        source: NodeId,
        now: Option<Tides>,
        waiting: Option<&Tides>,
    ) -> Result<(Self, Left)> {
        let (mut follow, mut left) = (Self::default(), Left::default());
        if let Some(before) = waiting {
            if before.are_reached(target, source).await? {
                follow.before = Some(before.clone());
            } else {
                left.waiting = Some(before.clone());
            }
        }
        let Some(now) = now else { return Ok((follow, left)) };
        follow.has_all = now.are_reached(target, source).await?;
        (follow.passed, left.rest) = now.passed(target, source).await?;
        let mailboxes = || now.mailboxes().filter_map(|tide| tide["mailbox"].as_i64());
        if !follow.has_all && left.waiting.is_some() {
            left.mailboxes = mailboxes().collect();
        } else if !follow.has_all && !now.is_empty() {
            left.waiting = Some(now.clone());
        }
        if follow.passed.len() as i64 >= PASSED_AT_ONCE {
            left.mailboxes = mailboxes().collect();
        }
        follow.now = Some(now);
        Ok((follow, left))
    }

    /// Whether the target has all of this already. No lock is needed to know: HIGHESTMODSEQ never goes down.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn changes_nothing(&self, target: &impl GenericClient) -> Result<bool> {
        if self.before.is_some() || !self.passed.is_empty() {
            return Ok(false);
        }
        let Some(now) = self.now.as_ref().filter(|now| self.has_all && !now.is_empty()) else { return Ok(true) };
        let sql = include_str!("../../sql/target/is_above.sql");
        Ok(ask::row(target, sql, &[&now.mailboxes]).await?.get("is_above"))
    }
}
