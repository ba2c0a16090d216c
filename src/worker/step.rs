//! One step of a link: the next keys of the source's outbox, read, joined into the target, and acknowledged.

use std::future::ready;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join3;
use tokio::time::Instant;

use super::hub::{Node, Pulse};
use super::link::Link;
use super::outlook::Outlook;
use crate::domain::ids::NodeId;
use crate::error::{Kind, Result};
use crate::node::alike::Alike;
use crate::node::apply::{Applied, Batch, Reading, Route};
use crate::node::cursor::Cursor;
use crate::node::scan::{self, Keys, SourceRead};
use crate::node::tides::Left;
use crate::node::{schema, store};

/// How often the cursor of a link over which nothing comes is stored.
const STORE_INTERVAL: Duration = Duration::from_secs(10);
/// How often at the most the source is told what the target holds.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_secs(1);
/// After so many failures in a row, what a batch brings is no sign of life: it has come before.
const FAILS: u32 = 5;

/// Where a link stands between two batches.
pub(super) struct Position {
    /// As stored on the target.
    pub(super) stored: Cursor,
    /// As far as was looked: the same, or further where there was nothing.
    pub(super) seen: Cursor,
    /// When it was last stored.
    stored_at: Instant,
    /// What the source was told.
    acknowledged: Option<(String, Option<String>)>,
    acknowledged_at: Instant,
}

impl Position {
    pub(super) fn at(stored: Cursor) -> Self {
        let now = Instant::now();
        Self { seen: stored.clone(), stored, stored_at: now, acknowledged: None, acknowledged_at: now }
    }

    /// Goes along with a source in which nothing happens, where that is known. What came to it from third nodes has to be known as well.
    pub(super) fn follow(&mut self, source: &Outlook) -> bool {
        let is_between = |cursor: &Cursor| cursor.to.is_some() || cursor.copy.is_some();
        if is_between(&self.seen) || is_between(&self.stored) {
            return false;
        }
        let relayed = self.seen.relayed.as_deref().and_then(|seen| source.quiet(seen));
        let (Some(from), Some(relayed)) = (source.quiet(&self.seen.from), relayed) else { return false };
        (self.seen.from, self.seen.relayed) = (from, Some(relayed));
        true
    }

    /// Stores on the target how far was looked, and tells the source: now and then, for it keeps its outbox until then.
    pub(super) async fn store_if_due(&mut self, id: NodeId, source: &Node, target: &Node) -> Result<()> {
        if self.seen == self.stored || self.stored_at.elapsed() < STORE_INTERVAL {
            return Ok(());
        }
        // A statement is a transaction, and proves the term by itself.
        self.stored.advance(&target.writer().await?, id, &self.seen, 0).await?;
        self.moved(self.seen.clone());
        self.acknowledge(&source.reader().await?, target.endpoint.id).await
    }

    /// The target's cursor stands there now.
    pub(super) fn moved(&mut self, stored: Cursor) {
        self.seen = stored.clone();
        (self.stored, self.stored_at) = (stored, Instant::now());
    }

    /// Tells the source what the target holds, so that the outbox can be emptied: only when something was applied since.
    pub(super) async fn acknowledge(&mut self, source: &deadpool_postgres::Client, target: NodeId) -> Result<()> {
        let held = (self.stored.from.clone(), self.stored.relayed.clone());
        if self.stored.copy.is_some()
            || self.acknowledged.as_ref() == Some(&held)
            || (self.acknowledged.is_some() && self.acknowledged_at.elapsed() < ACKNOWLEDGE_INTERVAL)
        {
            return Ok(());
        }
        scan::acknowledge(source, target, &held.0, held.1.as_deref()).await?;
        self.acknowledged = Some(held);
        self.acknowledged_at = Instant::now();
        Ok(())
    }
}

/// What a step did.
pub(super) struct Stepped {
    /// Whether anything but HIGHESTMODSEQs was applied.
    pub(super) moved: bool,
    /// Whether there is more.
    pub(super) more: bool,
    /// How long it took, once it had its turn.
    pub(super) took: Duration,
}

impl Link {
    /// One batch.
    pub(super) async fn step(&mut self, source: &Node, target: &Node, position: &mut Position) -> Result<Stepped> {
        let _permit = target.batches.acquire().await;
        let begun = Instant::now();
        let (moved, more) = self.batch(source, target, position).await?;
        Ok(Stepped { moved, more, took: begun.elapsed() })
    }

    /// Returns whether anything but HIGHESTMODSEQs was applied, and whether there is more.
    async fn batch(&mut self, source: &Node, target: &Node, position: &mut Position) -> Result<(bool, bool)> {
        let mut of_target = target.writer().await?;
        let beside = target.writer().await?;
        let mut of_source = source.reader().await?;
        let read = SourceRead::begin(&mut of_source).await?;
        let scan = read.keys(&position.seen, self.portion.keys());
        let fits = schema::check(&source.endpoint, read.transaction());
        let (fits, scanned, limits) = join3(fits, scan, store::limits(&beside)).await;
        let (mut keys, next) = fits.and(scanned)?;
        let more = next.to.is_some() || next.copy.is_some();
        self.following.choose(&mut keys, next.ends_range_after(&position.stored));
        let reached = match &self.following.waiting {
            Some(waiting) => waiting.are_reached(&of_target, self.source).await?,
            None => false,
        };
        let (hub, unheard) = (self.hub.clone(), Pulse::default());
        let pulse = hub.pulse(self.source, self.target).filter(|_| self.failures < FAILS).unwrap_or(&unheard);
        let bounds = self.bounds();
        let route = Route { source: &source.endpoint, here: self.target, bounds, pulse: &pulse.beats };
        let again = Keys::default();
        let batch = Batch {
            keys: &keys,
            again: &again,
            cursor: &position.stored,
            next: &next,
            waiting: self.following.waiting.as_ref(),
            is_relayed: false,
        };
        if !reached && next.copy == position.stored.copy {
            let looked = match &limits {
                Ok(limits) if !keys.is_empty() => route.look(&read, &of_target, limits, batch).await?,
                _ => None,
            };
            if keys.is_empty() || looked.is_some() {
                if let Some(left) = looked {
                    self.followed(target, &keys, left);
                }
                read.end().await?;
                self.nothing_comes((&of_source, &mut of_target), target, position, next, keys.marked).await?;
                return Ok((false, more));
            }
        }
        pulse.at_work.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let reading = match limits {
            Ok(limits) => route.read(&read, &beside, limits, batch).await,
            Err(error) => Err(error),
        };
        let (weighs, most) = (reading.as_ref().map_or(0, |reading| reading.bytes), self.hub.worker.batch_bytes);
        if reading.as_ref().is_ok_and(|reading| self.portion.is_too_heavy(keys.len(), reading.messages(), weighs, most))
        {
            pulse.at_work.store(false, Ordering::Relaxed);
            read.end().await?;
            return Ok((false, true));
        }
        let reading = reading.and_then(|reading| believe(&mut self.alike, reading));
        let applied = match reading {
            Ok(reading) => route.apply(&read, &mut of_target, &beside, batch, reading, ready(Ok(()))).await,
            Err(error) => Err(error),
        };
        pulse.at_work.store(false, Ordering::Relaxed);
        let applied = match applied {
            Ok(applied) => {
                self.portion.went_with(weighs, most);
                if applied.messages > 0 || applied.aside == 0 {
                    self.alike.went();
                }
                applied
            }
            Err(error) => {
                // What is at fault stands alone in the end. HIGHESTMODSEQs that come along are nobody's fault.
                let of_a_row = error.kind() == Kind::Data && !keys.are_seqs();
                // What is nobody's fault is no other in a smaller batch: in one of a few rows each would seem to be to blame.
                if error.kind() != Kind::Internal {
                    self.halved = self.portion.failed(of_a_row && keys.len() - keys.seqs.len() > 1);
                }
                if !of_a_row || keys.len() - keys.seqs.len() > 1 {
                    return Err(error);
                }
                self.portion.found();
                self.alike.failed(&error);
                if self.alike.is_no_rows_fault() {
                    return Err(self.alike.stop(&error));
                }
                tracing::warn!(source = source.endpoint.name, target = target.endpoint.name, %error, "row set aside");
                let tides =
                    Left { waiting: self.following.waiting.clone(), mailboxes: keys.seqs.clone(), ..Left::default() };
                Applied { tides, ..route.put_aside(&mut of_target, batch, &error).await? }
            }
        };
        read.end().await?;
        hub.has_applied((source, target), keys.len(), &applied, begun.elapsed());
        self.followed(target, &keys, applied.tides);
        self.has_brought(i64::try_from(applied.messages).unwrap_or_default(), &beside).await?;
        position.moved(next);
        position.acknowledge(&of_source, self.target).await?;
        Ok((!keys.are_seqs(), more))
    }

    /// Nothing is to be written. Where nothing comes from, the cursor moves too, now and then: the source keeps its outbox until it does. So it
    /// does where somebody waits for that, and at once behind a range that took several batches, the last of which was full.
    async fn nothing_comes(
        &self,
        (source, target): (&deadpool_postgres::Client, &mut deadpool_postgres::Client),
        of: &Node,
        position: &mut Position,
        next: Cursor,
        is_waited_for: bool,
    ) -> Result<()> {
        position.seen = next;
        let ends_range = position.stored.to.is_some() && position.seen.to.is_none();
        let due = is_waited_for || ends_range || position.stored_at.elapsed() >= STORE_INTERVAL || of.waiters.any();
        if position.seen != position.stored && due {
            let transaction = target.transaction().await?;
            position.stored.advance(&transaction, self.source, &position.seen, 0).await?;
            transaction.commit().await?;
            position.moved(position.seen.clone());
        }
        position.acknowledge(source, self.target).await
    }

    /// What is left to do about HIGHESTMODSEQs after a batch.
    fn followed(&mut self, target: &Node, keys: &Keys, left: Left) {
        let waited = self.following.waiting.is_some();
        self.following.applied(keys, left);
        target.waiters.change(waited, self.following.waiting.is_some());
    }
}

/// Rows that cannot be read are set aside, unless it is no matter of rows.
fn believe(alike: &mut Alike, reading: Reading) -> Result<Reading> {
    for row in reading.not_read() {
        alike.not_read(row);
    }
    match reading.not_read().last().filter(|_| alike.is_no_rows_fault()) {
        Some(row) => Err(alike.stop(&row.reason)),
        None => Ok(reading),
    }
}
