//! How long a link rests between two batches when it is not behind.
//!
//! What one message costs is a small part of what a batch costs, and a batch costs dbmail's server nearly the same whether it brings one
//! message or fifty. So links into a node together keep to a share of its time, and what comes meanwhile comes together. A node to which
//! nothing has come for a while gets the next message at once; one with many busy links gets from each less often, and more at a time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For the time that a batch took, links into the node rest so many times as long.
const REST: u32 = 3;
/// But no link rests longer.
const REST_MAX: Duration = Duration::from_secs(1);
/// What a batch takes as a rule is the mean of about so many.
const MEMORY: u32 = 16;

/// What the links into a node owe it of rest.
#[derive(Debug, Default)]
pub(crate) struct Breath(Mutex<Owed>);

#[derive(Debug, Default)]
struct Owed {
    until: Option<Instant>,
    /// What a batch takes as a rule.
    usual: Option<Duration>,
}

impl Breath {
    /// How long a link rests, of which a batch has just ended that took so long. One that had to wait, for a disk or for a lock, has not cost
    /// more for that.
    pub(crate) fn after(&self, took: Duration, now: Instant) -> Duration {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = owed.usual.map_or(took, |usual| (usual * (MEMORY - 1)).saturating_add(took) / MEMORY);
        owed.usual = Some(usual);
        let left = owed.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let rest = left.saturating_add(took.min(usual).saturating_mul(REST)).min(REST_MAX);
        owed.until = Some(now + rest);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_millis(10);

    #[test]
    fn one_link_rests_three_times_as_long_as_it_worked() {
        let (breath, now) = (Breath::default(), Instant::now());
        assert_eq!(breath.after(BATCH, now), 3 * BATCH);
        // It has rested.
        assert_eq!(breath.after(BATCH, now + 4 * BATCH), 3 * BATCH);
    }

    #[test]
    fn links_into_a_node_rest_for_one_another() {
        let (breath, now) = (Breath::default(), Instant::now());
        assert_eq!(breath.after(BATCH, now), 3 * BATCH);
        assert_eq!(breath.after(BATCH, now + BATCH), 5 * BATCH);
    }

    #[test]
    fn one_that_had_to_wait_owes_what_others_owe() {
        let (breath, mut now) = (Breath::default(), Instant::now());
        for _ in 0..100 {
            now += breath.after(BATCH, now);
        }
        assert!(breath.after(100 * BATCH, now) < 30 * BATCH);
        // All take longer now.
        for _ in 0..100 {
            now += REST_MAX;
            breath.after(3 * BATCH, now);
        }
        assert!(breath.after(3 * BATCH, now + REST_MAX) >= 8 * BATCH);
    }

    #[test]
    fn none_rests_for_longer_than_a_second() {
        let (breath, now) = (Breath::default(), Instant::now());
        assert_eq!(breath.after(Duration::from_secs(600), now), REST_MAX);
        assert_eq!(breath.after(Duration::MAX, now), REST_MAX);
        // Nor is more owed.
        assert_eq!(breath.after(BATCH, now + REST_MAX), 3 * BATCH);
    }
}
