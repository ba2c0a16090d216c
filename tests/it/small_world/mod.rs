//! Every history of a small world, over the functions that the worker runs, and mutants of them that have to be caught.

mod explore;
mod law;
mod mutants;
mod story;
mod watch;
mod world;
mod worlds;

use std::time::Instant;

use explore::explore;
use law::Production;
use world::Bounds;

/// Set to `full` for larger worlds.
const ENV: &str = "MESH_SMALL_WORLD";

/// A world, and what it is for.
type World = (&'static str, Bounds);

/// All guarantees hold in all histories of these worlds; of the larger ones too, where that is asked for.
fn hold(worlds: &[World], larger: &[World]) {
    let full = std::env::var(ENV).is_ok_and(|value| value == "full");
    for (name, bounds) in worlds.iter().chain(larger.iter().filter(|_| full)) {
        let begun = Instant::now();
        let explored = explore(&Production, bounds).unwrap_or_else(|broken| panic!("{name}:\n{}", broken.history));
        println!("{name}: {explored} in {:.1?}", begun.elapsed());
    }
}

#[test]
fn one_node() {
    hold(worlds::ONE, &[]);
}

#[test]
fn two_nodes() {
    hold(worlds::TWO, worlds::TWO_LARGER);
}

#[test]
fn three_nodes() {
    hold(worlds::THREE, worlds::THREE_LARGER);
}
