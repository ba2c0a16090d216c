//! What an operator sees from outside: the log, metrics, whether the process and the nodes are well, and what systemd is told.

pub mod health;
pub mod knowledge;
pub mod log;
pub mod metrics;
pub mod systemd;
pub mod vitals;

use crate::error::Result;
use metrics::counters::Counters;
use vitals::Vitals;

/// What a worker tells about itself.
#[derive(Debug)]
pub struct Telemetry {
    /// What it counts.
    pub counters: Counters,
    /// Whether its tasks are alive.
    pub vitals: Vitals,
}

impl Telemetry {
    /// Of a worker that begins now.
    ///
    /// # Errors
    /// `Internal` when a metric cannot be set up.
    pub fn new() -> Result<Self> {
        Ok(Self { counters: Counters::new()?, vitals: Vitals::default() })
    }
}
