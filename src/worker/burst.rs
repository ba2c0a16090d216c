//! A backlog: several batches of a link are under way at once.
//!
//! Each is read and its content written while the one before it is; what takes locks, and moves the cursor, is done one after the other, in
//! the order of the outbox. So nothing is different on the target from what single batches would have done. A burst is for what goes well:
//! at the first trouble it ends, what was not committed is forgotten, and the link goes on batch by batch, which knows what to do.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Client;
use futures_util::future::{join, join_all};
use tokio::sync::watch;
use tokio::time::Instant;

use super::following::Following;
use super::hub::{Hub, Node, Pulse};
use super::link::Link;
use super::pause::Halt;
use super::step::Position;
use crate::error::{Error, Kind, Result};
use crate::node::apply::{Applied, Batch, Bounds, Route, Subject};
use crate::node::cursor::{CopyStage, Cursor};
use crate::node::scan::{Keys, SourceRead};
use crate::node::{content, schema, store};
use crate::telemetry::vitals::Vital;

/// How many are under way at once: as many as a node takes from all its links. More would wait for one another.
const LANES: usize = 2;
/// A link has other things to see to, now and then.
const BURST_MAX: Duration = Duration::from_secs(10);
/// So many batches go one by one after a burst that met with trouble.
const ONE_BY_ONE: u32 = 8;
/// With fewer physmessage ids left than this, batches go one by one.
const IDS_LEFT: usize = 1_000_000;

/// When a link may have several batches under way.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    one_by_one: u32,
}

/// How far the batches of a burst are. They are numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Of so many it is known what they are about.
    known: u64,
    committed: u64,
    has_failed: bool,
}

/// Where the next batch begins: none where the burst is to end.
struct Ahead {
    begins: Option<Cursor>,
    batches: u64,
}

/// What the lanes of a burst share.
struct Burst<'a> {
    hub: &'a Hub,
    source: &'a Node,
    target: &'a Node,
    bounds: Bounds,
    pulse: &'a Pulse,
    vital: &'a Vital,
    most_keys: i64,
    begun: Instant,
    ahead: tokio::sync::Mutex<Ahead>,
    halt: tokio::sync::Mutex<&'a mut Halt>,
    position: tokio::sync::Mutex<&'a mut Position>,
    progress: watch::Sender<Progress>,
    under_way: Mutex<BTreeMap<u64, HashSet<Subject>>>,
    following: Mutex<&'a mut Following>,
    /// Messages that have come.
    brought: Mutex<i64>,
}

/// A batch of a burst.
struct Taken {
    number: u64,
    keys: Keys,
    cursor: Cursor,
    next: Cursor,
}

impl Link {
    /// Whether there is so much to do, and it goes so well, that several batches may be under way.
    pub(super) fn may_burst(&mut self, position: &Position) -> bool {
        if self.bursts.one_by_one > 0 {
            self.bursts.one_by_one -= 1;
            return false;
        }
        let is_well = self.failures == 0 && self.portion.is_whole() && self.following.waiting.is_none();
        is_well && position.seen == position.stored && has_messages_behind(&position.stored)
    }

    /// Takes batch after batch, several at once, until the range or the copy ends, for some seconds at the most.
    pub(super) async fn burst(&mut self, source: &Node, target: &Node, position: &mut Position) -> Result<()> {
        let (hub, unheard) = (self.hub.clone(), Pulse::default());
        // One that is rolled back has drawn its ids in vain: not of the last ones.
        if content::ids_left(&target.writer().await?).await? < IDS_LEFT {
            self.bursts.one_by_one = ONE_BY_ONE;
            return Ok(());
        }
        let burst = Burst {
            hub: &hub,
            source,
            target,
            bounds: self.bounds(),
            pulse: hub.pulse(self.source, self.target).unwrap_or(&unheard),
            vital: &self.vital,
            most_keys: self.portion.keys(),
            begun: Instant::now(),
            ahead: tokio::sync::Mutex::new(Ahead { begins: Some(position.stored.clone()), batches: 0 }),
            halt: tokio::sync::Mutex::new(&mut self.halt),
            position: tokio::sync::Mutex::new(position),
            progress: watch::Sender::new(Progress::default()),
            under_way: Mutex::default(),
            following: Mutex::new(&mut self.following),
            brought: Mutex::default(),
        };
        burst.pulse.at_work.store(true, Ordering::Relaxed);
        let ended = join_all((0..LANES).map(|_| burst.lane())).await;
        burst.pulse.at_work.store(false, Ordering::Relaxed);
        let brought = burst.brought.into_inner().unwrap_or_default();
        let trouble = ended.into_iter().filter_map(Result::err).next();
        if brought > 0 {
            self.alike.went();
            self.has_brought(brought, &target.writer().await?).await?;
        }
        if let Some(error) = trouble {
            let (source, target) = (&source.endpoint.name, &target.endpoint.name);
            tracing::debug!(source, target, %error, "several batches at once do not go; on one by one");
            self.bursts.one_by_one = ONE_BY_ONE;
        }
        Ok(())
    }

    /// So many messages have come: a new node's statistics are looked at now and then.
    pub(super) async fn has_brought(&mut self, messages: i64, target: &Client) -> Result<()> {
        self.brought += messages;
        if self.brought >= self.look_at_statistics {
            self.look_at_statistics = self.brought * 4;
            store::refresh_statistics(target, self.brought).await?;
        }
        Ok(())
    }
}

/// Whether the next batch is in the midst of a range, or of a copy, and about messages.
fn has_messages_behind(cursor: &Cursor) -> bool {
    match cursor.copy {
        Some((stage, _)) => matches!(stage, CopyStage::Messages | CopyStage::Tombstones),
        None => cursor.to.is_some(),
    }
}

impl Burst<'_> {
    /// Batch after batch, until there is no next one. One that fails takes those behind it along.
    async fn lane(&self) -> Result<()> {
        let ended = async {
            while self.batch().await? {}
            Ok(())
        }
        .await;
        if ended.is_err() {
            self.progress.send_modify(|progress| progress.has_failed = true);
        }
        ended
    }

    /// One batch; false when there is none.
    async fn batch(&self) -> Result<bool> {
        // First the permit, then the number: whoever waits for another one waits for somebody who has what he needs.
        let _permit = self.target.batches.acquire().await;
        let mut of_target = self.target.writer().await?;
        let beside = self.target.writer().await?;
        let mut of_source = self.source.reader().await?;
        let read = SourceRead::begin(&mut of_source).await?;
        let Some(taken) = self.take(&read).await? else { return Ok(false) };
        let begun = Instant::now();
        let again = Keys::default();
        let Taken { number, keys, cursor, next } = &taken;
        let batch = Batch { keys, again: &again, cursor, next, waiting: None, is_relayed: false };
        if !is_of_messages(keys) {
            self.turn(*number).await?;
        }
        let here = self.target.endpoint.id;
        let route = Route { source: &self.source.endpoint, here, bounds: self.bounds, pulse: &self.pulse.beats };
        let reading = route.ask_and_read(&read, &beside, batch).await?;
        if reading.bytes > self.bounds.batch_bytes && reading.messages() > 1 {
            return Err(Error::new(Kind::Transient, "a batch that weighs too much"));
        }
        if let Some(row) = reading.not_read().first() {
            return Err(Error::new(Kind::Transient, format!("a row cannot be read: {}", row.reason)));
        }
        if self.overlaps(*number, reading.subjects().collect()).await? {
            self.turn(*number).await?;
        }
        let applied = route.apply(&read, &mut of_target, &beside, batch, reading, self.turn(*number)).await?;
        let mut position = self.position.lock().await;
        position.moved(next.clone());
        self.committed(*number, keys, applied, begun);
        read.end().await?;
        position.acknowledge(&of_source, here).await?;
        Ok(true)
    }

    /// The next keys, with their place among the batches.
    async fn take(&self, read: &SourceRead<'_>) -> Result<Option<Taken>> {
        let mut ahead = self.ahead.lock().await;
        let Some(cursor) = ahead.begins.take() else { return Ok(None) };
        if self.begun.elapsed() > BURST_MAX || self.halt.lock().await.is_on(self.source, self.target, false).await? {
            return Ok(None);
        }
        let fits = schema::check(&self.source.endpoint, read.transaction());
        let (fits, scanned) = join(fits, read.keys(&cursor, self.most_keys)).await;
        let (mut keys, next) = fits.and(scanned)?;
        self.following.lock().unwrap_or_else(PoisonError::into_inner).choose(&mut keys, false);
        ahead.batches += 1;
        // What is about accounts and mailboxes, too, is joined before any content is written: nothing else may be under way.
        ahead.begins = Some(next.clone()).filter(|next| is_of_messages(&keys) && has_messages_behind(next));
        Ok(Some(Taken { number: ahead.batches, keys, cursor, next }))
    }

    /// Whether a batch is about something that one before it, which is not committed, is about, too: it would not find it yet.
    async fn overlaps(&self, number: u64, subjects: HashSet<Subject>) -> Result<bool> {
        self.until(|progress| progress.known + 1 == number).await?;
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let overlaps = under_way.values().any(|others| !others.is_disjoint(&subjects));
        under_way.insert(number, subjects);
        self.progress.send_modify(|progress| progress.known = number);
        Ok(overlaps)
    }

    /// Waits until all batches before this one are committed.
    async fn turn(&self, number: u64) -> Result<()> {
        self.until(|progress| progress.committed + 1 == number).await
    }

    async fn until(&self, is_so: impl Fn(&Progress) -> bool) -> Result<()> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.has_failed || is_so(progress)).await;
        let has_come = reached.is_ok_and(|progress| is_so(&progress));
        if has_come { Ok(()) } else { Err(Error::new(Kind::Transient, "the batch before it was not applied")) }
    }

    /// A batch is on the target.
    fn committed(&self, number: u64, keys: &Keys, applied: Applied, begun: Instant) {
        self.vital.beat();
        self.pulse.answers.fetch_add(1, Ordering::Relaxed);
        self.hub.has_applied((self.source, self.target), keys.len(), &applied, begun.elapsed());
        self.following.lock().unwrap_or_else(PoisonError::into_inner).applied(keys, applied.tides);
        *self.brought.lock().unwrap_or_else(PoisonError::into_inner) +=
            i64::try_from(applied.messages).unwrap_or_default();
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        self.progress.send_modify(|progress| progress.committed = number);
    }
}

/// Whether there are no accounts, mailboxes and entries among the keys.
fn is_of_messages(keys: &Keys) -> bool {
    keys.len() == keys.messages.len() + keys.seqs.len()
}
