//! `dbmail-mesh demo`: throwaway nodes, the real worker, the scenario that this program is for, busy traffic, and a check of every
//! guarantee.
//!
//! The worker is this program's own binary in a process of its own. It ends with the demo, however the demo ends, and so do the
//! servers; nothing is left behind.

mod busy;
mod ground;
mod progress;
mod pulse;
mod readers;
mod scenario;
mod story;
mod traffic;
mod verdict;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

pub use story::Story;

use crate::error::Result;
use ground::Ground;

/// The fewest and the most nodes of the second part; its stride is the latter.
pub const NODES: std::ops::RangeInclusive<i16> = 2..=8;

/// How often a condition that is waited for is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes of the second part, within [`NODES`].
    pub nodes: i16,
    /// How long the traffic of the second part lasts.
    pub length: Duration,
    /// What the traffic's random choices start from. Equal seeds choose alike; what the nodes make of it depends on the moment.
    pub seed: u64,
    /// The `dbmail-mesh` binary.
    pub program: PathBuf,
}

/// Plays both parts. Returns whether everything held; what did not has been told.
///
/// # Errors
/// `Usage` when this machine cannot run PostgreSQL; otherwise what kept the demo from going on.
pub async fn play(options: &Options, story: &mut Story<'_>) -> Result<bool> {
    let ground = Ground::start(options.nodes, options.program.clone(), story).await?;
    let held = play_on(&ground, options, story).await;
    if !matches!(held, Ok(true)) {
        ground.tell_worker_log(story)?;
    }
    held
}

async fn play_on(ground: &Ground, options: &Options, story: &mut Story<'_>) -> Result<bool> {
    let scenario_held = scenario::play(ground, story).await?;
    let traffic_held = busy::play(ground, options, story).await?;
    story.say(match (scenario_held, traffic_held) {
        (true, true) => "\nEverything held.",
        (false, true) => "\nNOT everything held: part 1 did not go as it should.",
        (true, false) => "\nNOT everything held: see the findings above.",
        (false, false) => "\nNOT everything held, in both parts: see above.",
    })?;
    Ok(scenario_held && traffic_held)
}
