//! All histories, the shortest first; worlds that are equal are visited once.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::law::Law;
use super::story;
use super::watch::Violation;
use super::world::{Bounds, Step, World};

/// What was found.
#[derive(Debug, Default)]
pub struct Explored {
    /// Different worlds.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Worlds that are quiet: D and E were checked.
    pub healed: usize,
    /// Worlds in which nothing more can happen: where histories end.
    pub ends: usize,
    /// The most steps that a history has.
    pub longest: usize,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, healed, ends, longest } = self;
        write!(f, "{states} states, {steps} steps, {ends} ends, {healed} healed, at most {longest} steps long")
    }
}

/// A history that breaks a guarantee.
#[derive(Debug)]
pub struct Broken {
    pub violation: Violation,
    pub history: String,
}

/// Visits all worlds within the bounds.
pub fn explore(law: &dyn Law, bounds: &Bounds) -> Result<Explored, Broken> {
    let start = World::new(bounds);
    let mut visited: HashSet<u64> = [digest(&start)].into();
    let mut path: Vec<(u32, Step)> = vec![(0, Step::Wait)];
    let mut front = vec![(0, start)];
    let mut explored = Explored { states: 1, ..Explored::default() };
    while !front.is_empty() {
        let mut next = Vec::new();
        for (at, world) in front {
            if world.is_quiet(law) {
                explored.healed += 1;
                let healed = world.check_healed();
                healed.map_err(|violation| broken(law, bounds, violation, &path, at, None))?;
            }
            let steps = world.steps(law, bounds);
            explored.ends += usize::from(steps.is_empty());
            for step in steps {
                explored.steps += 1;
                let after = world.after(law, step);
                let after = after.map_err(|violation| broken(law, bounds, violation, &path, at, Some(step)))?;
                if visited.insert(digest(&after)) {
                    path.push((at, step));
                    next.push((path.len() as u32 - 1, after));
                }
            }
        }
        explored.longest += usize::from(!next.is_empty());
        front = next;
    }
    explored.states = visited.len();
    Ok(explored)
}

fn digest(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn broken(
    law: &dyn Law,
    bounds: &Bounds,
    violation: Violation,
    path: &[(u32, Step)],
    at: u32,
    last: Option<Step>,
) -> Broken {
    let mut steps = Vec::from_iter(last);
    let mut at = at;
    while at != 0 {
        let (before, step) = path[at as usize];
        steps.push(step);
        at = before;
    }
    let mut world = World::new(bounds);
    let mut history = String::new();
    for step in steps.into_iter().rev() {
        match world.after(law, step) {
            Ok(after) => {
                _ = writeln!(history, "{}", story::tell(step, &after));
                world = after;
            }
            Err(_) => _ = writeln!(history, "{}", story::what(step, &world)),
        }
    }
    _ = writeln!(history, "{}: {}", violation.guarantee, violation.what);
    Broken { violation, history }
}
