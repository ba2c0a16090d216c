//! How long to wait before trying again.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);

/// Waits that double up to a bound, with jitter, so that many tasks that failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(max: Duration) -> Self {
        Self { next: FIRST.min(max), max }
    }

    /// After a success: the next failure begins small again.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }

    /// How long to wait now: between a half and all of the current bound.
    pub(crate) fn wait(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(self.max);
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for bound_ms in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait();
            assert!(wait <= Duration::from_millis(bound_ms) && wait >= Duration::from_millis(bound_ms / 2), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
