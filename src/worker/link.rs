//! A link: from the outbox of a source into a target, batch by batch.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::following::{Following, LOOK_AGAIN, ToldBehind};
use super::guard::Guard;
use super::hub::{Hub, Nap, Node, Pulse};
use super::opening;
use super::pause::{Halt, LOOK_INTERVAL};
use super::portion::Portion;
use super::retry::Retry;
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::apply::{Applied, Batch, Bounds, Route};
use crate::node::cursor::Cursor;
use crate::node::listen::Doorbell;
use crate::node::scan::{self, Keys, SourceRead};
use crate::node::schema;
use crate::node::store;
use crate::node::tides::Left;
use crate::telemetry::metrics::counters::BatchCounts;
use crate::telemetry::vitals::Vital;

/// After so many messages the target's statistics are looked at; then after four times as many, and so on.
const FIRST_LOOK_AT_STATISTICS: i64 = 200;
/// How often the cursor of a link over which nothing comes is stored.
const STORE_INTERVAL: Duration = Duration::from_secs(10);
/// How often at the most the source is told what the target holds.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_secs(1);
/// A link that has had more to do for so many batches in a row says that it is behind.
const BATCHES_BEHIND: u32 = 5;
/// So many passing failures in a row are reported.
const TRANSIENT_FAILURES: u32 = 10;
/// A link rests for as long as its last batch took, but not longer than this.
const BREATH_MAX: Duration = Duration::from_millis(200);
/// After so many failures in a row, what a batch brings is no sign of life: it has come before.
const FAILS: u32 = 5;
/// So often a batch gives way to sessions of dbmail that wait for a message which it renumbers.
const GIVES_WAY: u32 = 5;
/// No batch takes longer than this: a connection on which nothing moves must not hold up other links.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// A link that has shown no sign of life for longer is told of: longer than a batch, and than any wait between two attempts.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2 * 600);
/// A refusal needs a person: it is not asked for again at once.
const REFUSED_WAIT: Duration = Duration::from_secs(5);

/// What the target is told about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Current,
    Working,
    Failing,
    Refused,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Working => "working",
            Self::Failing => "failing",
            Self::Refused => "refused",
        }
    }
}

/// One link of this worker.
pub(crate) struct Link {
    pub(super) hub: Arc<Hub>,
    source: NodeId,
    target: NodeId,
    guard: Guard,
    reported: Option<State>,
    /// Keys a batch: fewer after a batch that failed.
    portion: Portion,
    /// Whether the last batch failed for a row in it, and the next one is smaller.
    halved: bool,
    pub(super) retry: Retry,
    /// Messages brought by this worker, and when the target's statistics are looked at next.
    brought: i64,
    look_at_statistics: i64,
    /// Failures in a row that pass by themselves, as a rule.
    transient: u32,
    /// Failures in a row.
    failures: u32,
    pub(super) following: Following,
    halt: Halt,
    /// What is known of it to a watchdog.
    vital: Vital,
    behind: ToldBehind,
}

/// Where a link stands between two batches.
struct Position {
    /// As stored on the target.
    stored: Cursor,
    /// As far as was looked: the same, or further where there was nothing.
    seen: Cursor,
    /// When it was last stored.
    stored_at: Instant,
    /// What the source was told.
    acknowledged: Option<String>,
    acknowledged_at: Instant,
}

impl Position {
    fn at(stored: Cursor) -> Self {
        let now = Instant::now();
        Self { seen: stored.clone(), stored, stored_at: now, acknowledged: None, acknowledged_at: now }
    }
}

impl Link {
    pub(crate) fn new(hub: Arc<Hub>, source: NodeId, target: NodeId, guard: Guard, vital: Vital) -> Self {
        Self {
            portion: Portion::new(most_rows(&hub)),
            retry: Retry::new(most_rows(&hub)),
            vital,
            hub,
            source,
            target,
            guard,
            reported: None,
            halved: false,
            brought: 0,
            look_at_statistics: FIRST_LOOK_AT_STATISTICS,
            transient: 0,
            failures: 0,
            following: Following::new(),
            halt: Halt::default(),
            behind: ToldBehind::default(),
        }
    }

    /// Drives the link, for ever.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.hub.worker.retry_max);
        let (source, target) = (self.name(self.source), self.name(self.target));
        let counters = &self.hub.telemetry.clone().counters;
        loop {
            self.vital.wait();
            if !self.guard.is_active() {
                self.vital.say("waiting");
                self.guard.active().await;
                self.vital.say("starting");
            }
            counters.link_started(&source, &target);
            let error = match AssertUnwindSafe(self.session(&mut backoff)).catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                // A defect must not take a link away for ever without a word.
                Err(_) => Error::new(Kind::Internal, "the link panicked; the log of the process says where"),
            };
            self.vital.beat();
            counters.link_failed(&source, &target, error.kind());
            self.failures = self.failures.saturating_add(1);
            self.halt.forget();
            if let Some(pulse) = self.hub.pulse(self.source, self.target) {
                // A batch that timed out did not come to where this is said.
                pulse.at_work.store(false, Ordering::Relaxed);
            }
            let refused = error.kind() == Kind::Refused;
            let state = if refused { State::Refused } else { State::Failing };
            // A lock that could not be had in time is everyday life on a busy node; only if it goes on is it a failure.
            self.transient = if error.kind() == Kind::Transient { self.transient + 1 } else { 0 };
            let matters = !self.halved && (self.transient == 0 || self.transient >= TRANSIENT_FAILURES);
            if matters && self.reported != Some(state) {
                tracing::warn!(source, target, %error, "link stopped; it is tried again");
            } else {
                tracing::debug!(source, target, %error, "link stopped; it is tried again");
            }
            if matters {
                self.report(state, Some(&error)).await;
            }
            // A row that the target refuses is looked for by halves, at once.
            if std::mem::take(&mut self.halved) {
                continue;
            }
            if refused {
                // Somebody may have changed what statements were prepared for.
                self.forget_statements();
            }
            let wait = backoff.wait();
            tokio::time::sleep(if refused { wait.max(REFUSED_WAIT) } else { wait }).await;
        }
    }

    fn name(&self, id: NodeId) -> String {
        self.hub.node(id).map_or_else(|_| id.to_string(), |node| node.endpoint.name.clone())
    }

    /// Tells the target how the link is doing, when that has changed. A target that cannot be told is no further trouble.
    async fn report(&mut self, state: State, error: Option<&Error>) {
        self.vital.say(state.name());
        if self.reported == Some(state) && error.is_none() {
            return;
        }
        let told: Result<()> = async {
            let client = self.hub.node(self.target)?.writer().await?;
            store::report_link(&client, self.source, state.name(), error.map(Error::to_string).as_deref()).await
        }
        .await;
        self.reported = told.is_ok().then_some(state);
    }

    /// Tells the target since when HIGHESTMODSEQs wait, when that has changed.
    async fn report_behind(&mut self, target: &Node) -> Result<()> {
        let since = self.following.behind_since();
        if let Some(waited) = self.behind.news(since, std::time::Instant::now()) {
            store::report_behind(&target.writer().await?, self.source, waited).await?;
            self.behind.tell(since, waited);
        }
        Ok(())
    }

    /// Admits the two nodes to one another, then takes batch after batch.
    async fn session(&mut self, backoff: &mut Backoff) -> Result<()> {
        let hub = self.hub.clone();
        let (source, target) = (hub.node(self.source)?, hub.node(self.target)?);
        let mut bell = source.bell();
        self.stand_still(source, target).await?;
        if !self.guard.is_active() {
            return Ok(());
        }
        let mut position = Position::at(opening::open(&hub, source, target).await?);
        let mut nap: Option<Nap> = None;
        let mut poll = hub.worker.poll_min;
        let mut full_batches = 0;
        while self.guard.is_active() {
            bell.borrow_and_update();
            self.vital.beat();
            if self.halt.is_on(source, target).await? {
                // Whatever happens to the nodes meanwhile: they are admitted anew afterwards.
                return Ok(());
            }
            let begun = Instant::now();
            let (moved, more) = tokio::time::timeout(STEP_TIMEOUT, self.step(source, target, &mut position))
                .await
                .map_err(|_| Error::new(Kind::Unreachable, "a batch did not come to an end"))??;
            backoff.reset();
            (self.transient, self.failures) = (0, 0);
            full_batches = if more { full_batches + 1 } else { 0 };
            if full_batches >= BATCHES_BEHIND || !more {
                self.report(if more { State::Working } else { State::Current }, None).await;
            }
            self.report_behind(target).await?;
            tokio::time::timeout(STEP_TIMEOUT, self.retry(source, target, &position.stored))
                .await
                .map_err(|_| Error::new(Kind::Unreachable, "a batch of retries did not come to an end"))??;
            if moved && !more {
                // What one message costs is a small part of what a batch costs: let some more come together.
                tokio::time::sleep(begun.elapsed().min(BREATH_MAX)).await;
            }
            if moved {
                nap = None;
                poll = hub.worker.poll_min;
            }
            if !more {
                nap.get_or_insert_with(|| source.nap());
                if self.following.is_busy() || self.retry.is_busy {
                    poll = poll.min(LOOK_AGAIN);
                }
                poll = self.rest(&mut bell, poll).await;
            }
        }
        Ok(())
    }

    /// Waits for as long as the link is paused.
    async fn stand_still(&mut self, source: &Node, target: &Node) -> Result<()> {
        let mut stood = false;
        while self.guard.is_active() && self.halt.is_on(source, target).await? {
            (stood, self.reported) = (true, None);
            self.vital.wait();
            // Not until the bell rings: it may ring all the time.
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        if stood && self.guard.is_active() {
            self.report(State::Working, None).await;
        }
        Ok(())
    }

    /// Waits for the doorbell or the poll; returns the next poll interval.
    async fn rest(&self, bell: &mut Doorbell, poll: Duration) -> Duration {
        tokio::select! {
            _ = bell.changed() => self.hub.worker.poll_min,
            () = tokio::time::sleep(poll) => (poll * 2).min(self.hub.worker.poll_max),
        }
    }

    /// One batch. Returns whether anything was applied, and whether there is more.
    async fn step(&mut self, source: &Node, target: &Node, position: &mut Position) -> Result<(bool, bool)> {
        let _permit = target.batches.acquire().await;
        let mut of_target = target.writer().await?;
        let beside = target.writer().await?;
        let mut of_source = source.reader().await?;
        let read = SourceRead::begin(&mut of_source).await?;
        let scan = read.keys(&position.seen, self.portion.keys());
        let (fits, scanned) = join(schema::check(&source.endpoint, read.transaction()), scan).await;
        let (mut keys, next) = fits.and(scanned)?;
        let more = next.to.is_some() || next.copy.is_some();
        self.following.choose(&mut keys, next.ends_range_after(&position.stored));
        let reached = match &self.following.waiting {
            Some(waiting) => waiting.are_reached(&of_target, self.source).await?,
            None => false,
        };
        if keys.is_empty() && !reached && next.copy == position.stored.copy {
            read.end().await?;
            position.seen = next;
            // Where nothing comes from, the cursor moves too, now and then: the source keeps its outbox until it does. So it does where
            // somebody waits for that.
            let due = keys.marked || position.stored_at.elapsed() >= STORE_INTERVAL || target.waiters.any();
            if position.seen != position.stored && due {
                let transaction = of_target.transaction().await?;
                position.stored.advance(&transaction, self.source, &position.seen, 0).await?;
                transaction.commit().await?;
                position.stored = position.seen.clone();
                position.stored_at = Instant::now();
            }
            self.acknowledge(&of_source, position).await?;
            return Ok((false, more));
        }
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
        };
        pulse.at_work.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let applied = route.apply(&read, &mut of_target, &beside, batch).await;
        pulse.at_work.store(false, Ordering::Relaxed);
        let applied = match applied {
            Ok(applied) => {
                self.portion.went();
                applied
            }
            Err(error) => {
                // What is at fault stands alone in the end. HIGHESTMODSEQs that come along are nobody's fault.
                let of_a_row = error.kind() == Kind::Data && !keys.are_seqs();
                self.halved = self.portion.failed(of_a_row && keys.len() - keys.seqs.len() > 1);
                if !of_a_row || keys.len() - keys.seqs.len() > 1 {
                    return Err(error);
                }
                self.portion.found();
                tracing::warn!(source = source.endpoint.name, target = target.endpoint.name, %error, "row set aside");
                let tides =
                    Left { waiting: self.following.waiting.clone(), mailboxes: keys.seqs.clone(), ..Left::default() };
                Applied { tides, ..route.put_aside(&mut of_target, batch, &error).await? }
            }
        };
        read.end().await?;
        tracing::debug!(
            source = source.endpoint.name,
            target = target.endpoint.name,
            keys = keys.len(),
            messages = applied.messages,
            written = applied.written,
            late = applied.late,
            aside = applied.aside,
            "batch applied"
        );
        let counts = BatchCounts {
            applied: applied.messages,
            written: applied.written,
            late: applied.late,
            aside: applied.aside,
            took: begun.elapsed(),
        };
        self.hub.telemetry.counters.batch(&source.endpoint.name, &target.endpoint.name, counts);
        let waited = self.following.waiting.is_some();
        self.following.applied(&keys, applied.tides);
        target.waiters.change(waited, self.following.waiting.is_some());
        self.brought += i64::try_from(applied.messages).unwrap_or_default();
        if self.brought >= self.look_at_statistics {
            self.look_at_statistics = self.brought * 4;
            store::refresh_statistics(&beside, self.brought).await?;
        }
        if applied.late > 0 {
            self.hub.late.notify_one();
        }
        position.stored = next.clone();
        position.stored_at = Instant::now();
        position.seen = next;
        self.acknowledge(&of_source, position).await?;
        Ok((!keys.are_seqs(), more))
    }

    /// Tells the source what the target holds, so that the outbox can be emptied: only when something was applied since.
    async fn acknowledge(&self, source: &deadpool_postgres::Client, position: &mut Position) -> Result<()> {
        let held = &position.stored.from;
        if position.stored.copy.is_some()
            || position.acknowledged.as_ref() == Some(held)
            || (position.acknowledged.is_some() && position.acknowledged_at.elapsed() < ACKNOWLEDGE_INTERVAL)
        {
            return Ok(());
        }
        scan::acknowledge(source, self.target, held).await?;
        position.acknowledged = Some(held.clone());
        position.acknowledged_at = Instant::now();
        Ok(())
    }

    /// What was prepared on either side may not fit any more: a column has another type, say.
    fn forget_statements(&self) {
        for id in [self.source, self.target] {
            if let Ok(node) = self.hub.node(id) {
                node.forget_statements();
            }
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            chunk_bytes: usize::try_from(self.hub.worker.batch_bytes).unwrap_or(usize::MAX),
            lock_ms: self.hub.lock_ms(),
            insists: self.transient >= GIVES_WAY,
        }
    }
}

fn most_rows(hub: &Hub) -> i64 {
    i64::try_from(hub.worker.batch_messages).unwrap_or(i64::MAX)
}
