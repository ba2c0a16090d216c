//! What came of a simulation.

use serde::Serialize;

use super::options::{Options, Outages, show_presence};
use super::queue::Micros;
use crate::config::show_duration;
use crate::domain::budget::UID_LAST;

/// Seconds of a year of 365.25 days.
const YEAR_S: f64 = 31_557_600.0;

/// What came of a simulation. Serialised, its field names and meanings are a written contract (docs/simulate.md).
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was simulated, as on the command line.
    pub options: Simulated,
    /// Messages delivered.
    pub messages: u64,
    /// Of these, expunged by their owners.
    pub expunged: u64,
    /// Messages that were late on at least one node.
    pub late: u64,
    /// Messages that were given a new UID.
    pub renumbered: u64,
    /// New UIDs that messages were given: more than `renumbered` where one got several.
    pub renumbers: u64,
    /// Numbers drawn for deliveries and set aside for settlements, used or not.
    pub numbers_drawn: u64,
    /// The same by message.
    pub numbers_per_message: f64,
    /// Numbers that were set aside for a settlement and given to nobody.
    pub numbers_unused: u64,
    /// What settlements did.
    pub settlements: Settlements,
    /// The clients, by where they read.
    pub clients: Vec<ClientsOfKind>,
    /// How long messages took.
    pub convergence: Convergence,
    /// The longest that a delivery waited for a settlement's lock, in milliseconds.
    pub delivery_wait_max_ms: f64,
    /// How far the UIDs have got.
    pub uid_space: UidSpace,
    /// What of the guarantees did not hold, in words. Empty: all held.
    pub findings: Vec<String>,
}

/// What was simulated.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "named as the options of the command line")]
pub struct Simulated {
    pub nodes: i16,
    pub stride: i16,
    pub mailboxes: u32,
    pub rate: String,
    pub duration: String,
    pub latency: String,
    pub affinity: f64,
    pub roaming: f64,
    pub visits: String,
    pub expunge: f64,
    pub partitions: String,
    pub partition_length: String,
    pub crashes: String,
    pub crash_length: String,
    pub worker_crashes: String,
    pub worker_crash_length: String,
    pub faults: f64,
    pub presence: String,
    pub settle_after: String,
    pub patience: String,
    pub lock_bound: String,
    pub seed: u64,
}

/// What settlements did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Settlements {
    /// Those that were written.
    pub written: u64,
    /// Those that found nothing left to do: another worker was faster.
    pub idle: u64,
    /// Those that broke off: a crash, a partition, a fault that was asked for.
    pub broken_off: u64,
    /// Times that a node did not give its lock in time.
    pub lock_refused: u64,
    /// Times that deliveries had passed the numbers by the time the locks were held.
    pub numbers_passed: u64,
}

/// Clients that read in one way.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClientsOfKind {
    /// `at_home`, `roaming_caught_up`, `roaming_anywhere`.
    pub kind: &'static str,
    /// Clients.
    pub clients: u64,
    /// Times that they looked.
    pub visits: u64,
    /// Messages that they downloaded.
    pub downloads: u64,
    /// Downloads of a message that the client had under another UID.
    pub duplicates: u64,
    /// Messages that a node showed to a client below the highest UID that it knew, and so did not announce at that time.
    pub overlooked: u64,
    /// Messages that are there in the end and that a client never downloaded.
    pub lost: u64,
}

/// How long messages took, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Convergence {
    /// From the commit of a delivery until all nodes show the message: half of them are faster.
    pub visible_p50_seconds: f64,
    /// 99 % are faster.
    pub visible_p99_seconds: f64,
    /// The slowest.
    pub visible_max_seconds: f64,
    /// From the last write of dbmail, or the last healing, until nothing changed any more.
    pub after_last_write_seconds: f64,
}

/// How far the UIDs have got.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct UidSpace {
    /// The highest UID of any message.
    pub highest: i64,
    /// The same by message.
    pub per_message: f64,
    /// What part of 4294967294 that is.
    pub used_fraction: f64,
    /// Messages that a new mesh can take at this rate until the UIDs end.
    pub messages_until_the_end: u64,
    /// How long that takes, in seconds.
    pub seconds_until_the_end: f64,
}

impl UidSpace {
    pub(super) fn of(highest: i64, messages: u64, during: Micros) -> Self {
        let messages = (messages.max(1)) as f64;
        let used_fraction = highest as f64 / UID_LAST as f64;
        let left = (1.0 - used_fraction).max(0.0);
        let runs = if used_fraction > 0.0 { left / used_fraction } else { f64::INFINITY };
        Self {
            highest,
            per_message: highest as f64 / messages,
            used_fraction,
            messages_until_the_end: (runs * messages).min(1e18) as u64,
            seconds_until_the_end: (runs * during.as_seconds()).min(1e18),
        }
    }

    /// The same in years.
    pub fn years_until_the_end(&self) -> f64 {
        self.seconds_until_the_end / YEAR_S
    }
}

impl Convergence {
    pub(super) fn of(mut took: Vec<Micros>, after_last_write: Micros) -> Self {
        took.sort_unstable();
        let at = |share: f64| {
            let index = ((took.len() as f64 * share).ceil() as usize).saturating_sub(1);
            took.get(index.min(took.len().saturating_sub(1))).copied().unwrap_or_default().as_seconds()
        };
        Self {
            visible_p50_seconds: at(0.5),
            visible_p99_seconds: at(0.99),
            visible_max_seconds: at(1.0),
            after_last_write_seconds: after_last_write.as_seconds(),
        }
    }
}

impl From<&Options> for Simulated {
    fn from(options: &Options) -> Self {
        let outages = |outages: Outages| (outages.rate.to_string(), show_duration(outages.length));
        let (partitions, partition_length) = outages(options.partitions);
        let (crashes, crash_length) = outages(options.crashes);
        let (worker_crashes, worker_crash_length) = outages(options.worker_crashes);
        Self {
            nodes: options.nodes,
            stride: options.stride.0,
            mailboxes: options.mailboxes,
            rate: options.rate.to_string(),
            duration: show_duration(options.duration),
            latency: options.latency.to_string(),
            affinity: options.affinity,
            roaming: options.roaming,
            visits: options.visits.to_string(),
            expunge: options.expunge,
            partitions,
            partition_length,
            crashes,
            crash_length,
            worker_crashes,
            worker_crash_length,
            faults: options.faults,
            presence: show_presence(options.presence),
            settle_after: show_duration(options.settle_after),
            patience: show_duration(options.patience),
            lock_bound: show_duration(options.lock_bound),
            seed: options.seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let took = (1..=200).rev().map(|seconds| Micros(seconds * 1_000_000)).collect();
        let found = Convergence::of(took, Micros::ZERO);
        assert_eq!(
            [found.visible_p50_seconds, found.visible_p99_seconds, found.visible_max_seconds],
            [100.0, 198.0, 200.0]
        );
        assert_eq!(Convergence::of(Vec::new(), Micros::ZERO).visible_max_seconds, 0.0);
    }

    #[test]
    fn the_uids_end_when_what_is_left_is_used_up_at_the_same_rate() {
        let space = UidSpace::of(UID_LAST / 4, 1_000_000, Micros(3_600_000_000));
        assert!((space.used_fraction - 0.25).abs() < 1e-9);
        assert!((2_999_990..=3_000_010).contains(&space.messages_until_the_end), "{space:?}");
        assert!((space.seconds_until_the_end - 3.0 * 3600.0).abs() < 1.0, "{space:?}");
    }
}
