//! `dbmail-mesh status`.

mod tables;
mod watch;

use std::time::Duration;

use serde::Serialize;

use super::output::Output;
use super::{Common, FOUND, OK, UNREACHABLE};
use crate::config::{NodeSettings, Settings, duration};
use crate::domain::budget::Level;
use crate::error::Result;
use crate::migrate::MigrationSet;
use crate::node::Endpoint;
use crate::node::status::check::{Bounds, Problem, problems};
use crate::node::status::reader::Reader;
use crate::node::status::{Asked, Status};

pub(super) use tables::{ends, share};

/// Shows how the nodes and the links between them are doing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this node and the links into it; can be given several times [default: all nodes of the settings].
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Also tells what is wrong, a line each; exit code 1 if anything is that is more than a notice.
    #[arg(long)]
    check: bool,
    /// Again and again, every 2 seconds or as many as are given, until Ctrl-C; with --json one object a line.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// How long a change may wait for a link.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    max_lag: Duration,
    /// How long a late message may wait for its new UID.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    max_late: Duration,
    /// How long a pause may last.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    max_pause: Duration,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    status: &'a Status,
    problems: &'a [Problem],
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let asked = asked(&settings, &args.nodes)?;
    let reader = Reader::new(asked, settings.mesh.stride, MigrationSet::embedded()?.latest());
    let bounds = Bounds { lag: args.max_lag, late: args.max_late, pause: args.max_pause };
    if let Some(seconds) = args.watch {
        return watch::run(&reader, &args, bounds, Duration::from_secs(seconds), output).await;
    }
    let status = reader.read().await;
    let problems = problems(&status, bounds);
    if args.json {
        output.json(&Whole { status: &status, problems: &problems })?;
    } else {
        output.print(&tables::text(&status, args.check.then_some(&problems)))?;
    }
    if args.check {
        return Ok(if problems.iter().any(|problem| problem.level > Level::Notice) { FOUND } else { OK });
    }
    let nobody = status.nodes.iter().all(|node| !node.reachable);
    Ok(if nobody { UNREACHABLE } else { OK })
}

/// All nodes of the settings: those that were not named may be sources of those that were.
pub(super) fn asked(settings: &Settings, names: &[String]) -> Result<Vec<Asked>> {
    let selected = settings.select(names)?;
    let is_selected = |node: &NodeSettings| selected.iter().any(|other| other.name == node.name);
    let asked = |node: &NodeSettings| Asked {
        endpoint: Endpoint::from(node),
        address: node.address.clone(),
        selected: is_selected(node),
    };
    Ok(settings.nodes.iter().map(asked).collect())
}
