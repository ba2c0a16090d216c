//! Virtual time, and what is to happen when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{Add, AddAssign, Mul, Sub};
use std::time::Duration;

use crate::domain::reported::Time;

/// A point of virtual time, or a length of it: microseconds since the simulation began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Micros(pub(super) i64);

impl Micros {
    pub(super) const ZERO: Self = Self(0);

    pub(super) const fn from_ms(ms: i64) -> Self {
        Self(ms * 1000)
    }

    pub(super) fn of(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4))
    }

    /// As the nodes' clocks have it: all of them are right.
    pub(super) fn on_the_clock(self) -> Time {
        // Long after the epoch, so that no time is mistaken for "never".
        Time(self.0 + 1_000_000)
    }

    pub(super) fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Micros {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Micros {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<i64> for Micros {
    type Output = Self;
    fn mul(self, by: i64) -> Self {
        Self(self.0 * by)
    }
}

/// Events in the order of their times; of those at one time the one that was put in first comes first.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<(Micros, u64, Slot)>>,
    events: Vec<Option<E>>,
    free: Vec<Slot>,
    count: u64,
}

/// Where an event lies: the heap moves small things about.
type Slot = u32;

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<E> Queue<E> {
    /// `event` is to happen at `at`.
    pub(super) fn put(&mut self, at: Micros, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                (self.events.len() - 1) as Slot
            }
        };
        self.count += 1;
        self.heap.push(Reverse((at, self.count, slot)));
    }

    /// The next event and its time; `None`: nothing is to happen any more.
    pub(super) fn take(&mut self) -> Option<(Micros, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let event = self.events.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_as_they_were_put_in() {
        let mut queue = Queue::default();
        for (at, event) in [(5, 'c'), (3, 'a'), (5, 'd'), (4, 'b')] {
            queue.put(Micros(at), event);
        }
        assert_eq!(queue.take(), Some((Micros(3), 'a')));
        queue.put(Micros(5), 'e');
        let rest: String = std::iter::from_fn(|| queue.take()).map(|(_, event)| event).collect();
        assert_eq!(rest, "bcde");
    }
}
