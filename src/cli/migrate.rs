//! `dbmail-mesh migrate up|down|status`.

use clap::Subcommand;

use super::output::Output;
use super::{Common, FOUND, OK};
use crate::error::Result;
use crate::migrate::{Direction, MigrationSet, NodeStatus, OnStep, Runner, State, Step};

/// Installs dbmail-mesh on the nodes' databases, takes it away, or tells what is installed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the nodes to the latest version.
    ///
    /// All of them are checked before any is changed. The numbers in use must be known on every node of the settings,
    /// hence all must be reachable, also those that are not named.
    Up(Change),
    /// Takes everything of dbmail-mesh away from the nodes; dbmail and its mail stay.
    Down(Change),
    /// Shows the version that each node is at; exit code 1 if anything is to be run.
    Status {
        #[command(flatten)]
        which: Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Change {
    #[command(flatten)]
    which: Which,
    /// Prints the SQL with its parameters, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only this node; can be given several times [default: all nodes of the settings].
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let set = MigrationSet::embedded()?;
    let runner = |which: &Which| -> Result<Runner<'_>> {
        let nodes = settings.select(&which.nodes)?;
        Ok(Runner::new(&set, settings.mesh.stride, nodes, &settings.nodes))
    };
    match args.command {
        Command::Up(change) => run_steps(runner(&change.which)?, Direction::Up, change.dry_run, output).await,
        Command::Down(change) => run_steps(runner(&change.which)?, Direction::Down, change.dry_run, output).await,
        Command::Status { which, json } => status(&runner(&which)?.status().await, json, output),
    }
}

async fn run_steps(runner: Runner<'_>, direction: Direction, dry_run: bool, output: &mut Output) -> Result<u8> {
    if dry_run {
        let steps = runner.plan(direction).await?;
        for step in &steps {
            output.print(&step.script())?;
        }
        if steps.is_empty() {
            output.print("-- nothing to do")?;
        }
        return Ok(OK);
    }
    let mut count = 0;
    // A line that cannot be written is told at the end: the migration itself must not stop for it.
    let mut written = Ok(());
    let mut tell = |step: &Step| {
        count += 1;
        let told = output.print(&format!("{}: {}", step.node, step.file));
        if written.is_ok() {
            written = told;
        }
    };
    let on_step: OnStep<'_> = &mut tell;
    match direction {
        Direction::Up => runner.up(on_step).await?,
        Direction::Down => runner.down(on_step).await?,
    }
    written?;
    if count == 0 {
        output.print("nothing to do")?;
    }
    Ok(OK)
}

fn status(nodes: &[NodeStatus], json: bool, output: &mut Output) -> Result<u8> {
    if json {
        output.json(&nodes)?;
    } else {
        let rows = nodes.iter().map(|node| {
            let installed = node.installed.map_or("?".into(), |version| version.to_string());
            [node.node.clone(), installed, node.latest.to_string(), node.state.as_str().to_owned()]
        });
        output.table(["NODE", "INSTALLED", "LATEST", "STATE"], rows.collect())?;
        for node in nodes.iter().filter(|node| !node.detail.is_empty()) {
            output.print(&format!("{} ({}): {}", node.node, node.address, node.detail))?;
        }
    }
    Ok(exit_code(nodes))
}

/// A node that cannot be asked weighs more than one that has something to run.
fn exit_code(nodes: &[NodeStatus]) -> u8 {
    const UNREACHABLE: u8 = 3;
    let any = |state| nodes.iter().any(|node| node.state == state);
    if any(State::Unreachable) {
        UNREACHABLE
    } else if any(State::Wrong) || any(State::Pending) {
        FOUND
    } else {
        OK
    }
}
