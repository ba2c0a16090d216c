//! What the databases know, as metrics. Made anew of each reading: what is not known is absent, and does not stand still.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Registry};
use serde::Serialize;

use super::counters::{add, opts};
use super::names::{self, Metric};
use crate::error::Result;
use crate::node::status::check::Problem;
use crate::node::status::ready::Readiness;
use crate::node::status::{LinkState, LinkStatus, NodeStatus, Status};

const STATES: [LinkState; 7] = [
    LinkState::Unknown,
    LinkState::NotBegun,
    LinkState::Working,
    LinkState::Current,
    LinkState::Failing,
    LinkState::Refused,
    LinkState::Paused,
];

/// Metrics under construction.
struct Gauges {
    registry: Registry,
    vectors: BTreeMap<&'static str, GaugeVec>,
}

impl Gauges {
    /// Sets one, unless it is not known.
    fn set(&mut self, metric: &Metric, labels: &[&str], value: Option<f64>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        if !self.vectors.contains_key(metric.name) {
            let vector = add(&self.registry, GaugeVec::new(opts(metric), metric.labels))?;
            self.vectors.insert(metric.name, vector);
        }
        if let Some(vector) = self.vectors.get(metric.name) {
            vector.with_label_values(labels).set(value);
        }
        Ok(())
    }

    fn count(&mut self, metric: &Metric, labels: &[&str], value: Option<i64>) -> Result<()> {
        self.set(metric, labels, value.map(|value| value as f64))
    }
}

/// The metrics of a reading that took `seconds`.
///
/// # Errors
/// `Internal` for names that are none.
pub fn gather(
    status: &Status,
    readiness: &[Readiness],
    problems: &[Problem],
    seconds: f64,
) -> Result<Vec<MetricFamily>> {
    let mut gauges = Gauges { registry: Registry::new(), vectors: BTreeMap::new() };
    gauges.set(&names::STATUS_SECONDS, &[], Some(seconds))?;
    gauges.set(&names::CLOCK_SKEW, &[], status.clock_skew_seconds)?;
    let mut counts: BTreeMap<(String, &str), f64> = BTreeMap::new();
    for problem in problems {
        *counts.entry((word(&problem.code), problem.level.as_str())).or_default() += 1.0;
    }
    for ((code, level), count) in counts {
        gauges.set(&names::PROBLEMS, &[&code, level], Some(count))?;
    }
    for node in &status.nodes {
        of_node(node, &mut gauges)?;
    }
    for one in readiness {
        gauges.set(&names::NODE_READY, &[&one.node], Some(flag(one.ready)))?;
    }
    for link in &status.links {
        of_link(link, &mut gauges)?;
    }
    Ok(gauges.registry.gather())
}

/// How old the knowledge is, which is told at each scrape.
///
/// # Errors
/// `Internal` for a name that is none.
pub fn age(seconds: f64) -> Result<Vec<MetricFamily>> {
    let mut gauges = Gauges { registry: Registry::new(), vectors: BTreeMap::new() };
    gauges.set(&names::STATUS_AGE, &[], Some(seconds))?;
    Ok(gauges.registry.gather())
}

/// The word that stands for it in JSON.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn of_node(node: &NodeStatus, gauges: &mut Gauges) -> Result<()> {
    let label = &[node.name.as_str()];
    gauges.set(&names::NODE_UP, label, Some(flag(node.is_known() && node.error.is_none())))?;
    gauges.set(&names::NODE_WORKER, label, node.worker_active.map(flag))?;
    gauges.count(&names::NODE_SCHEMA, label, node.schema_version.map(i64::from))?;
    gauges.set(&names::NODE_CLOCK, label, node.clock_offset_seconds)?;
    gauges.set(&names::NODE_CLOCK_ERROR, label, node.clock_error_seconds)?;
    gauges.count(&names::NODE_LATE, label, node.late_messages)?;
    gauges.set(&names::NODE_LATE_SECONDS, label, node.late_longest_seconds)?;
    gauges.count(&names::NODE_RENUMBERS, label, node.renumbers_total)?;
    gauges.count(&names::NODE_OUTBOX, label, node.outbox_rows)?;
    gauges.count(&names::NODE_OUTBOX_BYTES, label, node.outbox_bytes)?;
    gauges.count(&names::NODE_SET_ASIDE, label, node.set_aside_rows)?;
    gauges.set(&names::NODE_ASIDE_OLDEST, label, node.set_aside_oldest_seconds)?;
    gauges.count(&names::NODE_KEPT, label, node.kept_messages)?;
    gauges.count(&names::NODE_READERS, label, node.readers_waiting)?;
    let faults = node.trigger_faults.as_ref().and_then(|faults| i64::try_from(faults.len()).ok());
    gauges.count(&names::NODE_FAULTS, label, faults)?;
    for (kind, count) in [
        ("mailbox_merged", node.mailboxes_merged),
        ("mailbox_displaced", node.mailboxes_displaced),
        ("account_displaced", node.accounts_displaced),
    ] {
        gauges.count(&names::NODE_CONFLICTS, &[&node.name, kind], count)?;
    }
    for space in node.numbers.iter().flatten() {
        let labels = &[node.name.as_str(), &word(&space.space)];
        gauges.count(&names::NODE_HIGHEST, labels, Some(space.highest))?;
        gauges.set(&names::NODE_USED, labels, Some(space.highest as f64 / space.last as f64))?;
        gauges.count(&names::NODE_ENDS, labels, space.ends_at.map(jiff::Timestamp::as_second))?;
    }
    Ok(())
}

fn of_link(link: &LinkStatus, gauges: &mut Gauges) -> Result<()> {
    let label = &[link.source.as_str(), link.target.as_str()];
    for state in STATES {
        let labels = &[link.source.as_str(), link.target.as_str(), &word(&state)];
        gauges.set(&names::LINK_STATE, labels, Some(flag(link.state == state)))?;
    }
    let is_known = link.state != LinkState::Unknown;
    gauges.count(&names::LINK_LAG, label, link.lag_messages)?;
    gauges.set(&names::LINK_LAG_SECONDS, label, link.lag_seconds)?;
    gauges.count(&names::LINK_CHANGES, label, link.changes_waiting)?;
    gauges.set(&names::LINK_OLDEST, label, link.oldest_change_seconds)?;
    gauges.set(&names::LINK_BEHIND, label, is_known.then(|| link.behind_seconds.unwrap_or_default()))?;
    gauges.set(&names::LINK_COPY, label, is_known.then(|| flag(link.copy_stage.is_some())))?;
    gauges.count(&names::LINK_ASIDE, label, link.set_aside_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_series() {
        let place = |state: &LinkState| match state {
            LinkState::Unknown => 0,
            LinkState::NotBegun => 1,
            LinkState::Working => 2,
            LinkState::Current => 3,
            LinkState::Failing => 4,
            LinkState::Refused => 5,
            LinkState::Paused => 6,
        };
        assert_eq!(STATES.iter().map(place).collect::<Vec<usize>>(), (0..7).collect::<Vec<_>>());
    }
}
