//! `dbmail-mesh doctor`.

use std::path::PathBuf;

use serde::Serialize;

use super::output::Output;
use super::{Common, FOUND, OK};
use crate::domain::budget::Level;
use crate::error::{Error, Kind, Result};
use crate::migrate::MigrationSet;
use crate::node::doctor::{Examined, Expected, Finding, Report, examine};

/// The exit code where no database answered.
const UNREACHABLE: u8 = 3;

/// Where dbmail's packages put it.
const DBMAIL_CONF: &str = "/etc/dbmail/dbmail.conf";

/// Checks whether each node is fit for a mesh, before the install and after, and says how to mend what is not.
///
/// Changes nothing. Exit code 1 if anything is worse than a notice, 3 if no node answered.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this node; can be given several times [default: all nodes of the settings].
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Also tells what is well.
    #[arg(long)]
    all: bool,
    /// dbmail's own settings on this machine [default: /etc/dbmail/dbmail.conf, if it is there].
    #[arg(long, value_name = "FILE")]
    dbmail_conf: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    worst: Level,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let nodes = settings.select(&args.nodes)?;
    if let Some(path) = &args.dbmail_conf {
        std::fs::read(path).map_err(|error| {
            Error::new(Kind::Usage, format!("--dbmail-conf {}: cannot be read: {error}", path.display())).source(error)
        })?;
    }
    let dbmail_conf = args.dbmail_conf.unwrap_or_else(|| DBMAIL_CONF.into());
    let set = MigrationSet::embedded()?;
    let expected = Expected {
        set: &set,
        stride: settings.mesh.stride,
        lock_bound: settings.mesh.lock_bound,
        sessions: settings.worker.sessions,
    };
    let report = examine(&nodes, expected, Some(&dbmail_conf)).await;
    let worst = report.worst();
    if args.json {
        output.json(&Whole { report: &report, worst })?;
    } else {
        print_nodes(&report, output)?;
        let well = report.findings.iter().filter(|finding| args.all && finding.level == Level::Ok);
        let first = well.clone().next().map(|_| "");
        first.map_or(Ok(()), |line| output.print(line))?;
        for finding in well.chain(report.findings.iter().filter(|finding| finding.level > Level::Ok)) {
            print_finding(finding, output)?;
        }
        if worst == Level::Ok {
            output.print("\nnothing is wrong")?;
        }
    }
    let nobody = report.nodes.iter().all(|node| !node.reachable);
    Ok(match worst {
        _ if nobody => UNREACHABLE,
        Level::Warning | Level::Critical => FOUND,
        Level::Ok | Level::Notice => OK,
    })
}

fn print_nodes(report: &Report, output: &mut Output) -> Result<()> {
    let row = |node: &Examined| {
        let count = |level: Level| {
            let is_it = |finding: &&Finding| finding.level == level && finding.node.as_ref() == Some(&node.name);
            report.findings.iter().filter(is_it).count().to_string()
        };
        let postgresql = node.postgresql.as_deref().and_then(|version| version.split_whitespace().next());
        let schema = match node.schema_version {
            None => "-".to_owned(),
            Some(0) => "not installed".to_owned(),
            Some(version) => version.to_string(),
        };
        [
            node.name.clone(),
            postgresql.unwrap_or("-").to_owned(),
            schema,
            count(Level::Ok),
            count(Level::Notice),
            count(Level::Warning),
            count(Level::Critical),
        ]
    };
    let headings = ["NODE", "POSTGRESQL", "SCHEMA", "OK", "NOTICE", "WARNING", "CRITICAL"];
    output.table(headings, report.nodes.iter().map(row).collect())
}

fn print_finding(finding: &Finding, output: &mut Output) -> Result<()> {
    let Finding { check, level, found, why, mend, sql, .. } = finding;
    let place = finding.node.as_ref().map_or_else(|| "mesh".to_owned(), |node| format!("node {node}"));
    if *level == Level::Ok {
        return output.print(&format!("{place}: ok: {check}: {found}"));
    }
    let mut text = format!("\n{place}: {}: {check}: {found}\n  why:  {why}\n  mend: {mend}", level.as_str());
    for statement in sql {
        text.push_str(&format!("\n    {};", statement.replace('\n', "\n    ")));
    }
    output.print(&text)
}
