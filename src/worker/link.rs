//! A link: from the outbox of a source into a target, batch by batch.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::burst::Bursts;
use super::following::{Following, LOOK_AGAIN, ToldBehind};
use super::guard::{self, Guard};
use super::hub::{Hub, Nap, Node};
use super::opening;
use super::pause::{Halt, LOOK_INTERVAL};
use super::portion::Portion;
use super::relay::{Relay, Step, Way};
use super::retry::Retry;
use super::step::{Position, Stepped};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::alike::Alike;
use crate::node::apply::Bounds;
use crate::node::listen::Doorbell;
use crate::node::store;
use crate::telemetry::vitals::Vital;

/// After so many messages the target's statistics are looked at; then after four times as many, and so on.
const FIRST_LOOK_AT_STATISTICS: i64 = 200;
/// A link that has had more to do for so many batches in a row says that it is behind.
const BATCHES_BEHIND: u32 = 5;
/// What a link has said of itself it says again after this: a worker that was the active one before, and did not know yet that it is no
/// more, may have said otherwise since.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// So many passing failures in a row are reported.
const TRANSIENT_FAILURES: u32 = 10;
/// So often a batch gives way to sessions of dbmail that wait for a message which it renumbers.
const GIVES_WAY: u32 = 5;
/// No batch takes longer than this: a connection on which nothing moves must not hold up other links.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// A link that has shown no sign of life for longer is told of: longer than a batch, and than any wait between two attempts.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(2 * 600);
/// Content is read and sent on in chunks of so many bytes at the most. Several copies of one are in memory at a time, and several batches may
/// be under way; much smaller ones cost round trips.
const CHUNK_BYTES_MAX: usize = 2 << 20;
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
    pub(super) source: NodeId,
    pub(super) target: NodeId,
    guard: Guard,
    reported: Option<State>,
    reported_at: Instant,
    /// Keys a batch: fewer after a batch that failed.
    pub(super) portion: Portion,
    /// Whether the last batch failed for a row in it, and the next one is smaller.
    pub(super) halved: bool,
    /// Whether the rows that fail are to blame.
    pub(super) alike: Alike,
    pub(super) retry: Retry,
    /// Messages brought by this worker, and when the target's statistics are looked at next.
    pub(super) brought: i64,
    pub(super) look_at_statistics: i64,
    /// Failures in a row that pass by themselves, as a rule.
    transient: u32,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) following: Following,
    relay: Relay,
    pub(super) halt: Halt,
    pub(super) bursts: Bursts,
    /// What is known of it to a watchdog.
    pub(super) vital: Vital,
    behind: ToldBehind,
}

impl Link {
    pub(crate) fn new(hub: Arc<Hub>, source: NodeId, target: NodeId, guard: Guard, vital: Vital) -> Self {
        Self {
            portion: Portion::new(most_rows(&hub)),
            retry: Retry::new(most_rows(&hub)),
            relay: Relay::new(most_rows(&hub)),
            vital,
            hub,
            source,
            target,
            guard,
            reported: None,
            reported_at: Instant::now(),
            halved: false,
            alike: Alike::default(),
            brought: 0,
            look_at_statistics: FIRST_LOOK_AT_STATISTICS,
            transient: 0,
            failures: 0,
            following: Following::new(),
            halt: Halt::default(),
            bursts: Bursts::default(),
            behind: ToldBehind::default(),
        }
    }

    /// Drives the link, for ever.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(self.hub.worker.retry_max);
        let (source, target) = (self.hub.name(self.source), self.hub.name(self.target));
        let counters = &self.hub.telemetry.clone().counters;
        loop {
            self.vital.wait();
            if !self.guard.is_active() {
                self.vital.say("waiting");
                self.guard.active().await;
                self.vital.say("starting");
            }
            counters.link_started(&source, &target);
            let guard = self.guard.clone();
            // A worker that is no longer the active one drops what it was about.
            let session = guard.while_active(AssertUnwindSafe(self.session(&mut backoff)).catch_unwind());
            let ended = session.await;
            // Other links may have their turn.
            self.relay.lie_down();
            let error = match ended {
                None => {
                    self.lie_down();
                    continue;
                }
                Some(Ok(Ok(()))) => continue,
                Some(Ok(Err(error))) => error,
                // A defect must not take a link away for ever without a word.
                Some(Err(_)) => Error::new(Kind::Internal, "the link panicked; the log of the process says where"),
            };
            self.vital.beat();
            guard.heed(&error);
            if error.kind() == Kind::Superseded {
                self.lie_down();
                tokio::time::sleep(backoff.wait()).await;
                continue;
            }
            counters.link_failed(&source, &target, error.kind());
            self.failures = self.failures.saturating_add(1);
            self.lie_down();
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
            // One that is not the active worker's any more has no say.
            if matters && self.guard.is_active() {
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

    /// What it said of pauses no longer holds, and no batch is under way: one that broke off did not come to where that is said.
    fn lie_down(&mut self) {
        self.halt.forget();
        if let Some(pulse) = self.hub.pulse(self.source, self.target) {
            pulse.at_work.store(false, Ordering::Relaxed);
        }
        if !self.guard.is_active() {
            // Another worker tells the target of the link meanwhile.
            (self.reported, self.behind) = (None, ToldBehind::default());
        }
    }

    /// Tells the target how the link is doing, when that has changed. A target that cannot be told is no further trouble.
    async fn report(&mut self, state: State, error: Option<&Error>) {
        self.vital.say(state.name());
        if self.reported == Some(state) && error.is_none() && self.reported_at.elapsed() < SAY_AGAIN {
            return;
        }
        let told: Result<()> = async {
            let client = self.hub.node(self.target)?.writer().await?;
            store::report_link(&client, self.source, state.name(), error.map(Error::to_string).as_deref()).await
        }
        .await;
        (self.reported, self.reported_at) = (told.is_ok().then_some(state), Instant::now());
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
        let (mut full_batches, mut at_ease) = (0, false);
        while self.guard.is_active() {
            bell.borrow_and_update();
            self.vital.beat();
            if self.halt.is_on(source, target, at_ease).await? {
                // Whatever happens to the nodes meanwhile: they are admitted anew afterwards.
                return Ok(());
            }
            if at_ease && self.stays_quiet(source, target, &mut position).await? {
                self.report(State::Current, None).await;
                (poll, at_ease) = self.rest(&mut bell, poll).await;
                continue;
            }
            if self.may_burst(&position) {
                tokio::time::timeout(STEP_TIMEOUT, self.burst(source, target, &mut position))
                    .await
                    .map_err(|_| Error::new(Kind::Unreachable, "batches did not come to an end"))??;
                self.report(State::Working, None).await;
                self.see_to_rest(source, target, &position).await?;
                // It may have ended for a pause.
                continue;
            }
            let Stepped { moved, more, took } =
                tokio::time::timeout(STEP_TIMEOUT, self.step(source, target, &mut position))
                    .await
                    .map_err(|_| Error::new(Kind::Unreachable, "a batch did not come to an end"))??;
            if let Some(pulse) = hub.pulse(self.source, self.target) {
                pulse.answers.fetch_add(1, Ordering::Relaxed);
            }
            let relays = !more && self.relay(source, target, &mut position).await?;
            backoff.reset();
            (self.transient, self.failures) = (0, 0);
            full_batches = if more { full_batches + 1 } else { 0 };
            if full_batches >= BATCHES_BEHIND || !more {
                self.report(if more { State::Working } else { State::Current }, None).await;
            }
            self.see_to_rest(source, target, &position).await?;
            if moved && !more {
                tokio::time::sleep(target.breath.after(took, Instant::now())).await;
            }
            if moved {
                nap = None;
                poll = hub.worker.poll_min;
            }
            at_ease = false;
            if relays {
                continue;
            }
            if !more {
                nap.get_or_insert_with(|| source.nap());
                if self.following.is_busy() || self.retry.is_busy {
                    poll = poll.min(LOOK_AGAIN);
                }
                (poll, at_ease) = self.rest(&mut bell, poll).await;
            }
        }
        Ok(())
    }

    /// What there is to do besides batches.
    async fn see_to_rest(&mut self, source: &Node, target: &Node, position: &Position) -> Result<()> {
        self.report_behind(target).await?;
        tokio::time::timeout(STEP_TIMEOUT, self.retry(source, target, &position.stored))
            .await
            .map_err(|_| Error::new(Kind::Unreachable, "a batch of retries did not come to an end"))?
    }

    /// Whether there is surely nothing to do, by what both nodes have said last: the position moves on without asking them.
    async fn stays_quiet(&mut self, source: &Node, target: &Node, position: &mut Position) -> Result<bool> {
        let is_idle = !self.following.is_busy()
            && !self.retry.is_busy
            && self.relay.is_at_rest()
            && target.outlook.has_none_due(self.source)
            && target.outlook.has_none_aside()
            && !target.waiters.any()
            && self.behind.news(self.following.behind_since(), std::time::Instant::now()).is_none();
        if !is_idle || !position.follow(&source.outlook) {
            return Ok(false);
        }
        if let Some(pulse) = self.hub.pulse(self.source, self.target) {
            pulse.answers.fetch_add(1, Ordering::Relaxed);
        }
        position.store_if_due(self.source, source, target).await?;
        Ok(true)
    }

    /// What third nodes gave to the source and cannot give to the target. Returns whether there is more to do at once.
    async fn relay(&mut self, source: &Node, target: &Node, position: &mut Position) -> Result<bool> {
        let hub = self.hub.clone();
        let way = Way { hub: &hub, source, target, bounds: self.bounds() };
        let step = tokio::time::timeout(STEP_TIMEOUT, self.relay.step(&way, &position.stored, &position.seen))
            .await
            .map_err(|_| Error::new(Kind::Unreachable, "a relayed batch did not come to an end"))??;
        match step {
            Step::Nothing => Ok(false),
            Step::More => Ok(true),
            Step::Reached(snapshot) => {
                // It is stored when the cursor next moves, or with the time.
                position.seen.relayed = Some(snapshot);
                Ok(false)
            }
        }
    }

    /// Waits for as long as the link is paused.
    async fn stand_still(&mut self, source: &Node, target: &Node) -> Result<()> {
        let mut stood = false;
        while self.guard.is_active() && self.halt.is_on(source, target, false).await? {
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

    /// Waits for the doorbell or the poll; returns the next poll interval, and whether the link is at ease: nobody rang for as long as it
    /// takes the nodes to say of themselves how they are.
    async fn rest(&self, bell: &mut Doorbell, poll: Duration) -> (Duration, bool) {
        tokio::select! {
            _ = bell.changed() => (self.hub.worker.poll_min, false),
            () = tokio::time::sleep(poll) => ((poll * 2).min(self.hub.worker.poll_max), poll >= guard::INTERVAL),
        }
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
            batch_bytes: self.hub.worker.batch_bytes,
            chunk_bytes: usize::try_from(self.hub.worker.batch_bytes).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX),
            lock_ms: self.hub.lock_ms(),
            insists: self.transient >= GIVES_WAY,
        }
    }
}

fn most_rows(hub: &Hub) -> i64 {
    i64::try_from(hub.worker.batch_messages).unwrap_or(i64::MAX)
}
