//! What is known of the nodes: read from the databases in the background, so that nobody who asks makes them any work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::proto::MetricFamily;

use super::metrics::gauges;
use super::vitals::Vital;
use crate::node::status::check::{Bounds, problems};
use crate::node::status::reader::Reader;
use crate::node::status::ready::{Readiness, readiness};
use crate::node::status::{NodeStatus, Status};

/// What is counted row by row is asked for so rarely, and more rarely where it takes long.
const TOTALS_INTERVAL: Duration = Duration::from_secs(60);
/// To count it takes no more than this part of the time.
const TOTALS_SHARE: u32 = 20;
/// So many intervals after a reading was begun, it is no longer known how the nodes are. A reading takes less than three.
const STALE_AFTER: u32 = 4;
/// A node that is asked more often than this is given so long for its answer all the same.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
/// As the defaults of `status --check`.
const BOUNDS: Bounds =
    Bounds { lag: Duration::from_secs(60), late: Duration::from_secs(60), pause: Duration::from_secs(3600) };

/// One reading.
#[derive(Debug)]
pub struct Reading {
    /// What the nodes said.
    pub status: Status,
    /// The same as metrics.
    pub families: Vec<MetricFamily>,
    /// When it was begun.
    begun: Instant,
}

/// The last reading.
#[derive(Debug)]
pub struct Knowledge {
    refresh: Duration,
    ready_lag: Duration,
    last: Mutex<Option<Arc<Reading>>>,
    totals: Mutex<Vec<NodeStatus>>,
}

impl Knowledge {
    /// To be renewed every `refresh`; a node is ready if no change waits for longer than `ready_lag`.
    pub fn new(refresh: Duration, ready_lag: Duration) -> Self {
        Self { refresh, ready_lag, last: Mutex::default(), totals: Mutex::default() }
    }

    /// For how long a change may wait where a node is ready.
    pub fn ready_lag(&self) -> Duration {
        self.ready_lag
    }

    /// How long a reading may take, more or less.
    pub fn patience(&self) -> Duration {
        self.refresh.max(PATIENCE_MIN)
    }

    /// The last reading and its age; `None` before the first.
    pub fn last(&self) -> Option<(Arc<Reading>, Duration)> {
        let reading = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let age = reading.begun.elapsed();
        Some((reading, age))
    }

    /// Whether the node called `name` is ready, if no change may wait for longer than `max_lag`.
    pub fn readiness(&self, name: &str, max_lag: Duration) -> Readiness {
        let Some((reading, age)) = self.last() else {
            return Readiness::unknown(name, "the nodes have not been asked yet".into());
        };
        if age > self.patience() * STALE_AFTER {
            return Readiness::unknown(name, format!("the nodes were last asked {} s ago", age.as_secs()));
        }
        match reading.status.nodes.iter().find(|node| node.name == name) {
            Some(node) => readiness(&reading.status, node, max_lag),
            None => Readiness::unknown(name, "the node has not been asked".into()),
        }
    }

    /// Reads every `refresh`, for ever. `readers`: one for what changes from second to second, one for what is to be counted.
    pub async fn renew(&self, [quick, thorough]: [Reader; 2], vital: Vital) {
        futures_util::future::join(self.renew_quickly(&quick, vital), self.renew_totals(&thorough)).await;
    }

    async fn renew_quickly(&self, reader: &Reader, vital: Vital) {
        loop {
            let begun = Instant::now();
            let status = reader.read_quickly().await;
            self.publish(status, begun);
            vital.beat();
            tokio::time::sleep(self.refresh.saturating_sub(begun.elapsed())).await;
        }
    }

    async fn renew_totals(&self, reader: &Reader) {
        loop {
            let begun = Instant::now();
            let totals = reader.read_totals().await;
            for node in totals.iter().filter(|node| node.reachable && node.error.is_some()) {
                let error = node.error.as_deref().unwrap_or_default();
                tracing::debug!(node = node.name, error, "its rows could not be counted");
            }
            *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
            tokio::time::sleep((begun.elapsed() * TOTALS_SHARE).max(TOTALS_INTERVAL)).await;
        }
    }

    fn publish(&self, mut status: Status, begun: Instant) {
        for (node, totals) in
            status.nodes.iter_mut().zip(self.totals.lock().unwrap_or_else(PoisonError::into_inner).iter())
        {
            node.take_totals(totals);
        }
        let ready: Vec<Readiness> = status.nodes.iter().map(|node| readiness(&status, node, self.ready_lag)).collect();
        let problems = problems(&status, BOUNDS);
        let families = gauges::gather(&status, &ready, &problems, begun.elapsed().as_secs_f64());
        let families = families.unwrap_or_else(|error| {
            tracing::warn!(%error, "what the nodes said cannot be shown as metrics");
            Vec::new()
        });
        let reading = Reading { status, families, begun };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(reading));
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::node::status::ready::Reason;

    /// A mesh of one, which is well.
    fn status() -> Status {
        let node = NodeStatus {
            name: "ams".into(),
            id: 1,
            reachable: true,
            installed: Some(true),
            asked_at: Some(Timestamp::UNIX_EPOCH),
            schema_version: Some(20),
            installed_id: Some(1),
            installed_stride: Some(8),
            worker_active: Some(true),
            ..NodeStatus::default()
        };
        Status {
            read_at: Timestamp::UNIX_EPOCH,
            clock_skew_seconds: None,
            stride: 8,
            schema_version_expected: 20,
            nodes: vec![node],
            links: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_known_now_is_not_ready() {
        let (refresh, lag) = (Duration::from_secs(5), Duration::from_secs(10));
        let knowledge = Knowledge::new(refresh, lag);
        let reason = |name: &str| knowledge.readiness(name, lag).reasons.first().map(|remark| remark.code);
        assert_eq!(reason("ams"), Some(Reason::Stale), "before the first reading");
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        knowledge.publish(status(), ago(19));
        assert_eq!(reason("ams"), None);
        assert_eq!(reason("fra"), Some(Reason::Stale));
        knowledge.publish(status(), ago(21));
        assert_eq!(reason("ams"), Some(Reason::Stale));
    }
}
