//! For how long third nodes have shown no sign of life to a target.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Way;
use crate::domain::ids::NodeId;

/// For how long third nodes have shown no sign of life to a target.
#[derive(Debug, Default)]
pub(super) struct Silence(BTreeMap<NodeId, ([i64; 2], Instant)>);

impl Silence {
    /// Whether it is so long that the node is not waited for.
    pub(super) fn is_long(&mut self, way: &Way<'_>, node: NodeId, now: Instant) -> bool {
        let signs = way
            .hub
            .pulse(node, way.target.endpoint.id)
            .map_or([0; 2], |pulse| [&pulse.answers, &pulse.beats].map(|counter| counter.load(Ordering::Relaxed)));
        let last = self.0.entry(node).or_insert((signs, now));
        if last.0 != signs {
            *last = (signs, now);
        }
        now.duration_since(last.1) >= way.hub.worker.relay_after
    }
}
