//! Random histories of three nodes that are connected now and then: what happens in them is drawn from a seed, and made small when it
//! ends in a fault.
//!
//! Many histories are lived at once, each by accounts of its own; the links that come and go are the same for all.

mod act;
mod book;
mod draw;
mod run;
mod shrink;

use crate::mesh::conflicts::quiet::lines;
use draw::Plan;

/// Histories at once.
const WORLDS: usize = 24;
/// How many times so many in the normal test, and the first seed.
const RUNS: u64 = 2;
const SEED: u64 = 20_261_123;

/// Guarantees D and E, and the quota counters, whatever happens. `MESH_HISTORIES` says how many runs, `MESH_SEED` the first seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_all_nodes_end_the_same_and_nothing_is_lost() {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = from_environment("MESH_SEED").unwrap_or(SEED);
    for seed in first..first + from_environment("MESH_HISTORIES").unwrap_or(RUNS) {
        let plan = Plan::draw(seed, WORLDS);
        let (faults, took_place) = run::run(&plan, "history").await;
        println!("seed {seed}: {took_place} acts");
        assert!(took_place > WORLDS * 5, "too little happened to prove anything");
        if !faults.is_empty() {
            println!("seed {seed} (repeat with MESH_SEED={seed} MESH_HISTORIES=1):\n{}", faults.text());
            let (small, faults) = shrink::shrink(plan, faults).await;
            panic!("seed {seed}: the shortest history that was found:\n{}{}", lines(&small.lines()), faults.text());
        }
    }
}
