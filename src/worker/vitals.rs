//! Signs of life of the worker's loops, for a watchdog.
//!
//! A loop says before each step how long the step may take at the longest: a batch ten minutes, a rest as long as it rests. One that
//! waits for a node that cannot be reached, or stands by for another worker, is alive. One that is past its time is not: something holds
//! it that no timeout has ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A loop may be late by this much: the machine may be busy, or have slept.
const SLACK: Duration = Duration::from_secs(60);

/// The loops of a worker.
#[derive(Debug, Default)]
pub struct Vitals(Mutex<Vec<Arc<Sign>>>);

/// A loop's sign of life.
#[derive(Debug)]
pub(crate) struct Sign {
    name: String,
    is_link: bool,
    state: Mutex<State>,
}

/// What a loop that has not said anything is doing.
const STARTING: &str = "starting";

#[derive(Clone, Copy, Debug)]
struct State {
    /// When the step that it is in is over at the latest; `None` where that cannot be said.
    over_at: Option<Instant>,
    doing: &'static str,
}

impl Vitals {
    /// A new link.
    pub(crate) fn link(&self, name: String) -> Arc<Sign> {
        self.sign(name, true)
    }

    /// A new loop that is no link.
    pub(crate) fn other(&self, name: &str) -> Arc<Sign> {
        self.sign(name.to_owned(), false)
    }

    fn sign(&self, name: String, is_link: bool) -> Arc<Sign> {
        let sign = Arc::new(Sign { name, is_link, state: Mutex::new(State { over_at: None, doing: STARTING }) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sign.clone());
        sign
    }

    /// The loops that should have come to the end of their step by now.
    pub fn stuck(&self, now: Instant) -> Vec<String> {
        let signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stuck = |sign: &&Arc<Sign>| sign.read().over_at.is_some_and(|over_at| over_at + SLACK < now);
        signs.iter().filter(is_stuck).map(|sign| sign.name.clone()).collect()
    }

    /// What the links are doing, in one line.
    pub fn summary(&self) -> String {
        let signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for doing in signs.iter().filter(|sign| sign.is_link).map(|sign| sign.read().doing) {
            match counts.iter_mut().find(|(name, _)| *name == doing) {
                Some((_, count)) => *count += 1,
                None => counts.push((doing, 1)),
            }
        }
        let counts: Vec<_> = counts.iter().map(|(doing, count)| format!("{count} {doing}")).collect();
        format!("links: {}", counts.join(", "))
    }
}

impl Sign {
    /// The next step takes no longer than this.
    pub(crate) fn within(&self, longest: Duration) {
        self.write(|state| state.over_at = Some(Instant::now() + longest));
    }

    /// The next step may take any time.
    pub(crate) fn at_leisure(&self) {
        self.write(|state| state.over_at = None);
    }

    /// What the loop is doing, in a word.
    pub(crate) fn say(&self, doing: &'static str) {
        self.write(|state| state.doing = doing);
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn read(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_past_its_time_is_stuck_and_one_that_waits_is_not() {
        let vitals = Vitals::default();
        let (link, other) = (vitals.link("ams -> fra".into()), vitals.link("fra -> ams".into()));
        link.within(Duration::from_secs(600));
        link.say("current");
        other.say("failing");
        vitals.other("settlement");
        let now = Instant::now();
        assert_eq!(vitals.stuck(now + Duration::from_secs(600)), [""; 0]);
        assert_eq!(vitals.stuck(now + Duration::from_secs(700)), ["ams -> fra"]);
        assert_eq!(vitals.summary(), "links: 1 current, 1 failing");
        link.at_leisure();
        assert_eq!(vitals.stuck(now + Duration::from_secs(86_400)), [""; 0]);
    }
}
