//! Making a history small that ends in a fault: what can be left out is left out.

use std::time::{Duration, Instant};

use super::act::Act;
use super::draw::Plan;
use super::run::{Faults, run};

/// How long to look for a shorter one.
const BUDGET: Duration = Duration::from_secs(240);
/// So many are tried at once, side by side.
const AT_ONCE: usize = 16;

type History = Vec<(usize, i16, Act)>;

/// A small plan with one history that ends in a fault, and its faults; the whole plan where no history does so by itself.
pub async fn shrink(plan: Plan, faults: Faults) -> (Plan, Faults) {
    let begun = Instant::now();
    let suspects = if faults.of.is_empty() { (0..plan.worlds).collect() } else { faults.of.keys().copied().collect() };
    let Some((mut small, mut faults)) = first_alone(&plan, suspects, begun).await else { return (plan, faults) };
    loop {
        let before = small.lines().len();
        (small, faults) = without_acts(small, faults, begun).await;
        (small, faults) = without_events(small, faults, begun).await;
        if small.lines().len() == before || begun.elapsed() > BUDGET {
            return (small, faults);
        }
    }
}

async fn first_alone(plan: &Plan, suspects: Vec<usize>, begun: Instant) -> Option<(Plan, Faults)> {
    for world in suspects {
        let alone = plan.only(world);
        let faults = run(&alone, "shrink").await.0;
        if !faults.is_empty() {
            return Some((alone, faults));
        }
        if begun.elapsed() > BUDGET {
            break;
        }
    }
    None
}

/// Leaves out acts: many shorter histories are lived at once, and the shortest that ends in a fault goes on.
async fn without_acts(mut plan: Plan, mut faults: Faults, begun: Instant) -> (Plan, Faults) {
    let mut size = plan.history(0).len().div_ceil(2);
    while size > 0 && begun.elapsed() < BUDGET {
        let history = plan.history(0);
        let shorter: Vec<History> =
            (0..history.len()).step_by(size).map(|from| without(&history, from, size)).take(AT_ONCE).collect();
        let found = run(&plan.with(shorter.clone()), "shrink").await.0;
        let Some(index) = found.of.keys().next().copied() else {
            size /= 2;
            continue;
        };
        // By itself, too?
        let alone = plan.with(vec![shorter[index].clone()]);
        let again = run(&alone, "shrink").await.0;
        if again.is_empty() {
            size /= 2;
        } else {
            (plan, faults) = (alone, again);
            size = size.min(plan.history(0).len());
        }
    }
    (plan, faults)
}

fn without(history: &History, from: usize, size: usize) -> History {
    history.iter().enumerate().filter(|(at, _)| !(from..from + size).contains(at)).map(|(_, it)| *it).collect()
}

/// Leaves out events, one by one.
async fn without_events(mut plan: Plan, mut faults: Faults, begun: Instant) -> (Plan, Faults) {
    let places: Vec<(usize, usize)> = plan
        .rounds
        .iter()
        .enumerate()
        .flat_map(|(at, round)| (0..round.events.len()).map(move |event| (at, event)))
        .collect();
    for (round, event) in places.into_iter().rev() {
        if begun.elapsed() > BUDGET {
            break;
        }
        let mut shorter = plan.clone();
        shorter.rounds[round].events.remove(event);
        let found = run(&shorter, "shrink").await.0;
        if !found.is_empty() {
            (plan, faults) = (shorter, found);
        }
    }
    (plan, faults)
}
