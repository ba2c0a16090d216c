//! How many messages are settled at once.
//!
//! Deliveries to the mailbox wait while its lines are held, so that must not last: the numbers are learned from how long it lasted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The most messages at once. On a fast server they take as long as the bound of the locks allows.
const MOST: usize = 3000;
/// The fewest: most of the time goes by before the first is written, and a few take hardly less than so many.
const LEAST: usize = 100;
/// The fewest after they broke off.
const LEAST_AFTER_FAILURE: usize = 10;
/// How many are tried at first: on a server that is six times as slow as an idle core they do not take too long.
const FIRST: usize = 400;
/// One portion has at the most so many times as many as the one before.
const GROWTH_MAX: f64 = 4.0;

/// How many messages are settled at once.
#[derive(Debug)]
pub(super) struct Portion(AtomicUsize);

impl Portion {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(FIRST))
    }

    pub(super) fn size(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// So many were settled, and the lines were held for so long.
    pub(super) fn settled(&self, count: usize, held: Duration, bound: Duration) {
        let size = self.size();
        if count < size.min(LEAST) {
            return;
        }
        if held > bound * 4 / 5 && size > LEAST {
            self.set((size * 2 / 3).max(LEAST));
        } else if held < bound * 3 / 5 || size < LEAST {
            // Part of that time is the same for one message and for a thousand, so this leaves room.
            let fitting = (bound / 2).as_secs_f64() / held.max(Duration::from_millis(1)).as_secs_f64();
            self.set(size.max((count as f64 * fitting.clamp(1.5, GROWTH_MAX)) as usize));
        }
    }

    /// They broke off.
    pub(super) fn failed(&self) {
        self.set((self.size() / 2).max(LEAST_AFTER_FAILURE));
    }

    fn set(&self, size: usize) {
        self.0.store(size.min(MOST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_as_large_as_can_be_written_soon_enough() {
        let (portion, bound) = (Portion::new(), Duration::from_millis(250));
        let ms = Duration::from_millis;
        // A small one says nothing of a large one.
        portion.settled(3, ms(200), bound);
        portion.settled(FIRST, ms(170), bound);
        assert_eq!(portion.size(), FIRST);
        portion.settled(FIRST, ms(140), bound);
        assert_eq!(portion.size(), FIRST * 3 / 2);
        portion.settled(FIRST * 3 / 2, ms(210), bound);
        assert_eq!(portion.size(), FIRST);
        portion.settled(FIRST, ms(50), bound);
        assert_eq!(portion.size(), FIRST * 5 / 2, "twice and a half as many take as long as may be");
        portion.settled(FIRST * 5 / 2, ms(210), bound);
        portion.settled(FIRST, ms(1), bound);
        assert_eq!(portion.size(), FIRST * 4, "but not more than four times as many");
        for _ in 0..20 {
            portion.settled(portion.size(), ms(300), bound);
        }
        assert_eq!(portion.size(), LEAST);
        for _ in 0..20 {
            portion.failed();
        }
        assert_eq!(portion.size(), LEAST_AFTER_FAILURE);
        for _ in 0..20 {
            portion.settled(portion.size(), ms(1), bound);
        }
        assert_eq!(portion.size(), MOST);
    }
}
