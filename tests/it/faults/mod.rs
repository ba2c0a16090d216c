//! What happens to real databases: the real worker, clusters of their own, a network between them that fails.
//!
//! `kinds` has the faults, `relay` the network. `FAULTS=200 make faults` has so many of them at random.

mod disk;
mod ground;
mod kinds;
mod random;
pub mod relay;
mod run;
mod takeover;
mod torn;
mod traffic;
mod vanished;
