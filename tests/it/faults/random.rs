//! Faults at random, several at a time.

use std::time::Duration;

use super::kinds::{Begun, FAULTS, Fault, Place};
use super::run::Run;

const NODES: i16 = 3;
/// The most that come before the mesh is left alone until it works again.
const BURST_MAX: usize = 12;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seed of a run: told, or new. It decides which faults come, where, and for how long, and what the sessions do; when
/// each gets its turn is the machine's.
pub fn seed() -> u64 {
    let seed = number("DBMAIL_MESH_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (repeat with DBMAIL_MESH_SEED={seed})");
    seed
}

/// Each fault once, in random order; `FAULTS=200` makes it so many, each kind in turn. A to E hold at the end, and nobody helps.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes a minute and more: make soak, make faults"]
async fn the_guarantees_hold_whatever_happens_to_the_databases() {
    let seed = seed();
    let count = number("FAULTS").unwrap_or(FAULTS.len() as u64) as usize;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut run = Run::start(NODES, 1, seed).await;
    if !run.has(Fault::DiskFull) {
        println!("no disk gets full: this machine does not let us mount one");
    }
    let mut to_come: Vec<Fault> = Vec::new();
    let mut had = 0;
    while had < count {
        let (mut under_way, mut over): (Vec<Begun>, Vec<Fault>) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(1..=BURST_MAX) {
            if to_come.is_empty() {
                to_come = FAULTS.iter().map(|(fault, ..)| *fault).filter(|fault| run.has(*fault)).collect();
                random.shuffle(&mut to_come);
            }
            let id = random.i16(1..=NODES);
            tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
            if !under_way.is_empty() && random.u8(..3) == 0 {
                over.push(run.end(under_way.swap_remove(random.usize(..under_way.len()))).await);
            }
            let Some(fault) = to_come.last().copied().filter(|fault| fits(*fault, id, &under_way)) else { continue };
            if let Some(begun) = run.begin(fault, id).await {
                to_come.pop();
                had += 1;
                under_way.push(begun);
            }
        }
        tokio::time::sleep(Duration::from_millis(random.u64(200..1500))).await;
        while !under_way.is_empty() {
            over.push(run.end(under_way.swap_remove(random.usize(..under_way.len()))).await);
        }
        if !over.is_empty() {
            run.recover(&over).await;
        }
        if count > FAULTS.len() {
            println!("{had} of {count}");
        }
    }
    let outcome = run.finish().await;
    println!("{outcome}");
    assert!(outcome.report.held(), "seed {seed}: {}", outcome.report);
    assert!(outcome.faults() as usize >= count, "{} faults", outcome.faults());
    assert!(outcome.deliveries > 2 * count && outcome.numbers > 0, "too little happened to prove anything");
}

/// One fault of a place on a node; there is one worker.
fn fits(fault: Fault, id: i16, under_way: &[Begun]) -> bool {
    under_way.iter().all(|begun| {
        let place = begun.fault.place();
        place != fault.place() || (place != Place::Worker && begun.id != id)
    })
}
