//! `dbmail-mesh migrate up|down|status|rights`.

mod rights;

use std::path::PathBuf;

use clap::Subcommand;

use super::output::Output;
use super::{Common, FOUND, OK};
use crate::config::{NodeSettings, Settings, read_password};
use crate::error::{Error, Kind, Result};
use crate::migrate::{Direction, MigrationSet, NodeStatus, OnStep, Runner, State, Step};

/// Installs dbmail-mesh on the nodes' databases, takes it away, or tells what is installed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Connects to the nodes as this role, and not as that of the settings, which is the worker's.
    #[arg(long, global = true, value_name = "ROLE")]
    user: Option<String>,
    /// That role's password. Others must not be able to read the file.
    #[arg(long, global = true, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
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
    /// Prints the SQL that makes the three roles of a node and gives them the least rights, or runs it.
    ///
    /// An owner for what is installed, a worker that owns nothing and is no superuser, and a reader that sees no mail. What is printed is for
    /// psql, as a superuser, before the install or after it, and as often as you like. Nothing is connected to unless --apply is given.
    Rights(rights::Args),
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
    let all = connected(&settings, &args)?;
    let runner = |which: &Which| -> Result<Runner<'_>> {
        let chosen = settings.select(&which.nodes)?;
        let nodes = all.iter().filter(|node| chosen.iter().any(|one| one.name == node.name)).collect();
        let runner = Runner::new(&set, settings.mesh.stride, nodes, &all);
        let worker = |node: &NodeSettings| Some((node.name.to_string(), node.connection.get_user()?.to_owned()));
        Ok(if args.user.is_some() {
            runner.workers(chosen.iter().copied().filter_map(worker).collect())
        } else {
            runner
        })
    };
    match &args.command {
        Command::Up(change) => run_steps(runner(&change.which)?, Direction::Up, change.dry_run, output).await,
        Command::Down(change) => run_steps(runner(&change.which)?, Direction::Down, change.dry_run, output).await,
        Command::Status { which, json } => status(&runner(which)?.status().await, *json, output),
        Command::Rights(rights) => {
            let chosen = settings.select(&rights.which.nodes)?;
            let with = |node: &NodeSettings| all.iter().find(|other| other.name == node.name).cloned();
            let nodes: Vec<_> = chosen.into_iter().filter_map(|node| Some((node, with(node)?))).collect();
            rights::run(rights, &nodes, output).await
        }
    }
}

/// The settings' nodes, connected to as the role that was named.
fn connected(settings: &Settings, args: &Args) -> Result<Vec<NodeSettings>> {
    let Some(user) = &args.user else { return Ok(settings.nodes.clone()) };
    let password = args.password_file.as_deref().map(|file| {
        let wrong = |reason| Error::new(Kind::Usage, format!("--password-file {}: {reason}", file.display()));
        read_password(file).map_err(wrong)
    });
    let password = password.transpose()?;
    Ok(settings.nodes.iter().map(|node| node.connecting_as(user, password.as_deref())).collect())
}

async fn run_steps(runner: Runner<'_>, direction: Direction, dry_run: bool, output: &mut Output) -> Result<u8> {
    if dry_run {
        let steps = runner.plan(direction).await?;
        for step in &steps {
            output.print(&step.script())?;
        }
        if direction == Direction::Up {
            for script in runner.plan_rights().await? {
                output.print(&script)?;
            }
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
