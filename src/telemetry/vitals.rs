//! Signs of life of the process's tasks: whether a supervisor should start it anew.
//!
//! A task that has ended, by a defect, is never well. One that shows no sign for too long is not either if all nodes depend on it; a link
//! is told of only, for what holds it up may be its nodes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// In place of a time: the task waits for something that may never come.
const WAITS: u64 = u64::MAX;
/// In place of a time: the task is no more.
const ENDED: u64 = u64::MAX - 1;

/// All tasks that were begun.
#[derive(Debug)]
pub struct Vitals {
    clock: Instant,
    stopping: Arc<AtomicBool>,
    tasks: Mutex<Vec<Arc<Signs>>>,
}

#[derive(Debug)]
struct Signs {
    name: String,
    /// How long it may be silent; `None`: for ever.
    silence_max: Option<Duration>,
    /// Whether the whole process is ill if it is silent for longer.
    is_central: bool,
    /// When it was heard of last: milliseconds of the clock.
    at_ms: AtomicU64,
    /// What a link is doing, in a word; of others nothing is told.
    doing: Mutex<Option<&'static str>>,
}

/// A task's own end: it ends with the task.
#[derive(Debug)]
pub struct Vital {
    clock: Instant,
    stopping: Arc<AtomicBool>,
    signs: Arc<Signs>,
}

/// What is to be said of the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checkup {
    /// Whether the process is well.
    pub healthy: bool,
    /// How many tasks there are.
    pub tasks: usize,
    /// Why it is not.
    pub reasons: Vec<String>,
    /// Links that show no sign of life.
    pub stalled: Vec<String>,
}

impl Default for Vitals {
    fn default() -> Self {
        Self { clock: Instant::now(), stopping: Arc::default(), tasks: Mutex::default() }
    }
}

impl Vitals {
    /// A task that may be silent for as long as it likes, but must not end.
    pub fn task(&self, name: impl Into<String>) -> Vital {
        self.add(name.into(), None, false, None)
    }

    /// A link: if it is silent for longer than `silence_max`, that is told.
    pub fn link(&self, name: impl Into<String>, silence_max: Duration) -> Vital {
        self.add(name.into(), Some(silence_max), false, Some("starting"))
    }

    /// A task on which all nodes depend.
    pub fn central(&self, name: impl Into<String>, silence_max: Duration) -> Vital {
        self.add(name.into(), Some(silence_max), true, None)
    }

    fn add(&self, name: String, silence_max: Option<Duration>, is_central: bool, doing: Option<&'static str>) -> Vital {
        let (at_ms, doing) = (AtomicU64::new(0), Mutex::new(doing));
        let signs = Arc::new(Signs { name, silence_max, is_central, at_ms, doing });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(signs.clone());
        let vital = Vital { clock: self.clock, stopping: self.stopping.clone(), signs };
        vital.beat();
        vital
    }

    /// From now on, tasks end because they were told to.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What the links are doing, in one line.
    pub fn summary(&self) -> String {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: Vec<(&str, usize)> = Vec::new();
        let doing = |task: &Arc<Signs>| *task.doing.lock().unwrap_or_else(PoisonError::into_inner);
        for doing in tasks.iter().filter_map(doing) {
            match counts.iter_mut().find(|(name, _)| *name == doing) {
                Some((_, count)) => *count += 1,
                None => counts.push((doing, 1)),
            }
        }
        let counts: Vec<_> = counts.iter().map(|(doing, count)| format!("{count} {doing}")).collect();
        format!("links: {}", counts.join(", "))
    }

    /// How they are.
    pub fn check(&self) -> Checkup {
        self.check_after(self.clock.elapsed())
    }

    fn check_after(&self, elapsed: Duration) -> Checkup {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checkup = Checkup { tasks: tasks.len(), ..Checkup::default() };
        for task in tasks.iter() {
            let at_ms = task.at_ms.load(Ordering::Relaxed);
            if at_ms == ENDED {
                checkup.reasons.push(format!("{}: it has ended", task.name));
            } else if let Some(silence_max) = task.silence_max.filter(|_| at_ms != WAITS) {
                let silence = elapsed.saturating_sub(Duration::from_millis(at_ms));
                if silence > silence_max {
                    let text = format!("{}: no sign of life for {} s", task.name, silence.as_secs());
                    if task.is_central { &mut checkup.reasons } else { &mut checkup.stalled }.push(text);
                }
            }
        }
        checkup.healthy = checkup.reasons.is_empty();
        checkup
    }
}

impl Vital {
    /// The task is alive.
    pub fn beat(&self) {
        let now_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or_default();
        self.signs.at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The task waits for something that may never come, until it beats again.
    pub fn wait(&self) {
        self.signs.at_ms.store(WAITS, Ordering::Relaxed);
    }

    /// What the link is doing, in a word.
    pub fn say(&self, doing: &'static str) {
        *self.signs.doing.lock().unwrap_or_else(PoisonError::into_inner) = Some(doing);
    }

    /// Runs a task that shows no other signs than that it has not ended.
    pub async fn watch<T>(self, task: impl Future<Output = T>) -> T {
        task.await
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if !self.stopping.load(Ordering::Relaxed) {
            self.signs.at_ms.store(ENDED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(vitals: &Vitals, seconds: u64) -> Checkup {
        vitals.check_after(vitals.clock.elapsed() + Duration::from_secs(seconds))
    }

    #[test]
    fn who_is_silent_for_too_long_is_told_of() {
        let vitals = Vitals::default();
        let link = vitals.link("link a -> b", Duration::from_secs(60));
        let _settler = vitals.central("settlement", Duration::from_secs(600));
        let _patient = vitals.task("housekeeping of a");
        assert_eq!(vitals.summary(), "links: 1 starting");
        assert_eq!(after(&vitals, 59), Checkup { healthy: true, tasks: 3, ..Checkup::default() });
        let checkup = after(&vitals, 100);
        assert!(checkup.healthy);
        assert_eq!(checkup.stalled, ["link a -> b: no sign of life for 100 s"]);
        link.wait();
        assert_eq!(after(&vitals, 100).stalled, [""; 0], "another worker is at work for its target");
        let checkup = after(&vitals, 700);
        assert!(!checkup.healthy);
        assert_eq!(checkup.reasons, ["settlement: no sign of life for 700 s"]);
    }

    #[test]
    fn a_task_that_has_ended_is_never_well_unless_it_was_told_to() {
        let vitals = Vitals::default();
        let task = vitals.task("housekeeping of a");
        drop(vitals.task("other"));
        assert_eq!(vitals.check().reasons, ["other: it has ended"]);
        vitals.stop();
        drop(task);
        assert_eq!(vitals.check().reasons.len(), 1);
    }
}
