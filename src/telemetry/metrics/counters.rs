//! What the worker counts itself.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::names::{self, Metric};
use crate::error::{Error, Kind, Result};

/// From what keeps nobody waiting up to `mesh.lock_bound` and what is above it.
const HELD_SECONDS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5];

/// Counts from the start of the process on.
#[derive(Debug)]
pub struct Counters {
    registry: Registry,
    batches: IntCounterVec,
    batch_seconds: CounterVec,
    applied: IntCounterVec,
    written: IntCounterVec,
    late: IntCounterVec,
    set_aside: IntCounterVec,
    relayed: IntCounterVec,
    starts: IntCounterVec,
    errors: IntCounterVec,
    bells_lost: IntCounterVec,
    settlements: IntCounter,
    renumbered: IntCounter,
    settlement_errors: IntCounterVec,
    lock_refusals: IntCounterVec,
    lock_held: Histogram,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchCounts {
    /// Message states joined.
    pub applied: usize,
    /// Messages that became visible, moved or died.
    pub written: usize,
    /// Messages that were late.
    pub late: usize,
    /// Rows that were set aside.
    pub aside: usize,
    /// How long it took.
    pub took: Duration,
}

impl Counters {
    /// All at zero.
    ///
    /// # Errors
    /// `Internal` for names that are none.
    pub fn new() -> Result<Self> {
        let registry = Registry::new();
        let held = HistogramOpts::from(opts(&names::LOCK_HELD)).buckets(HELD_SECONDS.to_vec());
        Ok(Self {
            batches: vector(&registry, &names::BATCHES)?,
            batch_seconds: add(&registry, CounterVec::new(opts(&names::BATCH_SECONDS), names::BATCH_SECONDS.labels))?,
            applied: vector(&registry, &names::APPLIED)?,
            written: vector(&registry, &names::WRITTEN)?,
            late: vector(&registry, &names::LATE)?,
            set_aside: vector(&registry, &names::SET_ASIDE)?,
            relayed: vector(&registry, &names::RELAYED)?,
            starts: vector(&registry, &names::LINK_STARTS)?,
            errors: vector(&registry, &names::LINK_ERRORS)?,
            bells_lost: vector(&registry, &names::BELLS_LOST)?,
            settlements: add(&registry, IntCounter::with_opts(opts(&names::SETTLEMENTS)))?,
            renumbered: add(&registry, IntCounter::with_opts(opts(&names::RENUMBERED)))?,
            settlement_errors: vector(&registry, &names::SETTLEMENT_ERRORS)?,
            lock_refusals: vector(&registry, &names::LOCK_REFUSALS)?,
            lock_held: add(&registry, Histogram::with_opts(held))?,
            registry,
        })
        .and_then(Self::with_process)
    }

    fn with_process(self) -> Result<Self> {
        let build = add(&self.registry, GaugeVec::new(opts(&names::BUILD_INFO), names::BUILD_INFO.labels))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let start = add(&self.registry, Gauge::with_opts(opts(&names::START_TIME)))?;
        start.set(jiff::Timestamp::now().as_second() as f64);
        Ok(self)
    }

    /// A link of this worker: its counts are there from the beginning, at zero.
    pub fn link(&self, source: &str, target: &str) {
        let link = &[source, target];
        for vector in
            [&self.batches, &self.applied, &self.written, &self.late, &self.set_aside, &self.relayed, &self.starts]
        {
            vector.with_label_values(link);
        }
        self.batch_seconds.with_label_values(link);
        for kind in KINDS {
            self.errors.with_label_values(&[source, target, kind_name(kind)]);
        }
    }

    /// A node of this worker, likewise.
    pub fn node(&self, node: &str) {
        self.bells_lost.with_label_values(&[node]);
        self.lock_refusals.with_label_values(&[node]);
    }

    /// A link began.
    pub fn link_started(&self, source: &str, target: &str) {
        self.starts.with_label_values(&[source, target]).inc();
    }

    /// A link stopped; it is tried again.
    pub fn link_failed(&self, source: &str, target: &str, kind: Kind) {
        self.errors.with_label_values(&[source, target, kind_name(kind)]).inc();
    }

    /// A batch was applied.
    pub fn batch(&self, source: &str, target: &str, counts: BatchCounts) {
        let link = &[source, target];
        let add = |vector: &IntCounterVec, count: usize| vector.with_label_values(link).inc_by(count as u64);
        add(&self.batches, 1);
        add(&self.applied, counts.applied);
        add(&self.written, counts.written);
        add(&self.late, counts.late);
        add(&self.set_aside, counts.aside);
        self.batch_seconds.with_label_values(link).inc_by(counts.took.as_secs_f64());
    }

    /// Message states of third nodes were taken over from the source.
    pub fn relayed(&self, source: &str, target: &str, messages: usize) {
        self.relayed.with_label_values(&[source, target]).inc_by(messages as u64);
    }

    /// The session that is notified of a node's changes was lost.
    pub fn bell_lost(&self, node: &str) {
        self.bells_lost.with_label_values(&[node]).inc();
    }

    /// A mailbox was settled.
    pub fn settled(&self, messages: usize, held: Duration) {
        self.lock_held.observe(held.as_secs_f64());
        if messages > 0 {
            self.settlements.inc();
            self.renumbered.inc_by(messages as u64);
        }
    }

    /// A settlement broke off.
    pub fn settlement_failed(&self, kind: Kind) {
        self.settlement_errors.with_label_values(&[kind_name(kind)]).inc();
    }

    /// A node did not give its lock in time.
    pub fn lock_refused(&self, node: &str) {
        self.lock_refusals.with_label_values(&[node]).inc();
    }

    /// As they stand.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

const KINDS: [Kind; 7] =
    [Kind::Usage, Kind::Unreachable, Kind::Refused, Kind::Transient, Kind::Superseded, Kind::Data, Kind::Internal];

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => "usage",
        Kind::Unreachable => "unreachable",
        Kind::Refused => "refused",
        Kind::Transient => "transient",
        Kind::Superseded => "superseded",
        Kind::Data => "data",
        Kind::Internal => "internal",
    }
}

pub(super) fn opts(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

fn vector(registry: &Registry, metric: &Metric) -> Result<IntCounterVec> {
    add(registry, IntCounterVec::new(opts(metric), metric.labels))
}

/// Puts a collector into the registry, and keeps a handle of it.
pub(super) fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> Result<C> {
    let added = collector.and_then(|collector| registry.register(Box::new(collector.clone())).map(|()| collector));
    added.map_err(|error| Error::new(Kind::Internal, format!("a metric cannot be set up: {error}")))
}
