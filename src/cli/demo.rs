//! `dbmail-mesh demo`.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::output::Output;
use super::{Common, FOUND, OK};
use crate::config::LogSettings;
use crate::error::{Error, Kind, Result};
use crate::scratch::demo::{self, NODES, Options, Story};
use crate::telemetry::log;

/// Shows on throwaway PostgreSQL nodes how late mail gets new UIDs, and checks every guarantee under load.
///
/// Starts PostgreSQL servers of its own from the programs of this machine, runs the real worker, and leaves nothing behind. Needs
/// no settings file. Ends with exit code 0 only when everything held, and with 1 when something did not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Nodes of the second part, the one under load.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i16).range(as_clap(NODES)))]
    nodes: i16,
    /// How long the load lasts, in seconds.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// What the random choices of the load start from [default: another one each time].
    #[arg(long, value_name = "X")]
    seed: Option<u64>,
}

fn as_clap(range: std::ops::RangeInclusive<i16>) -> std::ops::RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let level = common.log_level.clone().unwrap_or_else(|| "warn".into());
    log::init(&LogSettings { level, ..LogSettings::default() })?;
    let program = std::env::current_exe()
        .map_err(|error| Error::new(Kind::Internal, format!("cannot find this program: {error}")).source(error))?;
    let length = Duration::from_secs(args.seconds.into());
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let options = Options { nodes: args.nodes, length, seed, program };
    let mut print = |text: &str| output.print(text);
    let mut story = Story::new(&mut print);
    let stop = |kind, name| {
        signal(kind).map_err(|error| Error::new(Kind::Internal, format!("cannot wait for {name}: {error}")))
    };
    let (mut interrupt, mut terminate) =
        (stop(SignalKind::interrupt(), "SIGINT")?, stop(SignalKind::terminate(), "SIGTERM")?);
    let held = tokio::select! {
        held = demo::play(&options, &mut story) => held?,
        // Dropping the demo stops its worker and servers.
        _ = interrupt.recv() => return stopped(output),
        _ = terminate.recv() => return stopped(output),
    };
    Ok(if held { OK } else { FOUND })
}

fn stopped(output: &mut Output) -> Result<u8> {
    output.print("\nStopped before everything was checked.")?;
    Ok(FOUND)
}
