//! A mesh of up to 64 nodes in virtual time: `dbmail-mesh simulate`.
//!
//! The nodes are those of [`crate::model`], so what becomes visible and what is renumbered is decided by the code that the worker runs.
//! What is simulated around them is the rest of the world: senders, clients, links with latencies, workers that read, apply and
//! settle as the real ones do (`worker::link`, `worker::settle`), and what goes wrong. No I/O and no clock; chance comes from a seed,
//! so the same options give the same report.
//!
//! The guarantees are checked on the way, where something happens, and on all nodes in the end (`ledger`, `verdict`).

mod arrivals;
mod clients;
mod faults;
mod ledger;
mod links;
mod network;
mod options;
mod queue;
mod random;
mod report;
mod settling;
#[cfg(test)]
mod tests;
mod verdict;
mod visits;
mod world;

pub use options::{Latency, NODES, Options, Outages, Rate, presence};
pub use report::{ClientsOfKind, Convergence, Report, Settlements, Simulated, UidSpace};

use crate::error::Result;
use world::World;

/// Runs a simulation to its end: until nothing is to happen any more.
///
/// # Errors
/// `Usage`: options that cannot be simulated.
pub fn run(options: &Options) -> Result<Report> {
    options.check()?;
    let mut world = World::new(options);
    world.live();
    Ok(world.judge())
}
