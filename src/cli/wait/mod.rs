//! `dbmail-mesh wait`.

mod progress;
mod watching;

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use super::output::Output;
use super::sessions::Sessions;
use super::status::asked;
use super::{Common, FOUND, OK};
use crate::config::{NodeSettings, Settings, duration};
use crate::error::{Error, Result};
use crate::migrate::MigrationSet;
use crate::node::status::check::{one_line, paused};
use crate::node::status::{LinkState, LinkStatus, Status, read};
use progress::Progress;
use watching::{Missing, Watch};

/// Returns when everything that has been committed anywhere by now is visible on a node.
///
/// For cut-overs, and tests. What is late there has been given its new UID by then. Nothing is written but a mark where a link has nothing
/// to do. Exit code 1 if it takes longer than --timeout, with what is missing; 3 if a node cannot be asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node on which everything is to be visible; can be given several times [default: all nodes of the settings].
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// What to wait for.
    #[arg(long = "for", value_enum, default_value_t = For::Visible)]
    until: For,
    /// Goes on without nodes that cannot be asked. What the others have of them counts all the same.
    #[arg(long)]
    ignore_unreachable: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum For {
    /// Every message can be seen.
    Visible,
    /// And nothing of it is to get another UID, on any node; HIGHESTMODSEQs are as high as on the others.
    Settled,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole {
    reached: bool,
    #[serde(rename = "for")]
    until: For,
    waited_seconds: f64,
    nodes: Vec<OfNode>,
    unreachable: Vec<Silent>,
}

#[derive(Serialize)]
struct OfNode {
    name: String,
    reached: bool,
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Silent {
    name: String,
    error: String,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let targets = settings.select(&args.nodes)?;
    let begun = Instant::now();
    let sessions = Sessions::open(&settings.nodes, "wait").await;
    let silent = silent(&settings, &sessions);
    if let Some((node, error)) = silent.first().filter(|_| !args.ignore_unreachable) {
        return Err(Error::new(error.kind(), format!("cannot tell what {} has: {error}", node.name))
            .remedy("--ignore-unreachable goes on without it"));
    }
    for target in &targets {
        sessions.with(target)?;
    }
    let watch = Watch { sessions: &sessions, settings: &settings, deadline: begun + args.timeout };
    let mut progress = Progress::new(!args.json);
    let mut missing = Missing::new();
    if args.until == For::Settled {
        // What is late elsewhere will get another UID here as well.
        let all: Vec<_> = settings.nodes.iter().filter(|node| sessions.with(node).is_ok()).collect();
        missing = watch.until_visible(&all, true, &mut progress).await?;
    }
    if missing.is_empty() {
        missing = watch.until_visible(&targets, args.until == For::Settled, &mut progress).await?;
    }
    progress.finish();
    let reached = missing.is_empty();
    let told = if reached { Vec::new() } else { tell(&settings, &missing).await? };
    let waited = begun.elapsed().as_secs_f64();
    if args.json {
        let nodes = targets.iter().map(|node| of_node(node, &missing, &told)).collect();
        let unreachable = silent
            .iter()
            .map(|(node, error)| Silent { name: node.name.to_string(), error: error.to_string() })
            .collect();
        output.json(&Whole { reached, until: args.until, waited_seconds: waited, nodes, unreachable })?;
    } else {
        for (node, error) in &silent {
            output.print(&format!("without {}: {}", node.name, one_line(&error.to_string())))?;
        }
        if !reached {
            output.print(&format!("not there after {waited:.1} s:"))?;
        }
        for (_, text) in &told {
            output.print(&format!("  {text}"))?;
        }
        if reached {
            let names: Vec<_> = targets.iter().map(|node| node.name.as_str()).collect();
            let what = if args.until == For::Settled { "visible and settled" } else { "visible" };
            output.print(&format!("everything is {what} on {} after {waited:.1} s", names.join(", ")))?;
        }
    }
    Ok(if reached { OK } else { FOUND })
}

fn silent<'a>(settings: &'a Settings, sessions: &'a Sessions) -> Vec<(&'a NodeSettings, &'a Error)> {
    settings.nodes.iter().filter_map(|node| Some((node, sessions.silent.get(&node.id)?))).collect()
}

fn of_node(node: &NodeSettings, missing: &Missing, told: &[(String, String)]) -> OfNode {
    let lines = told.iter().filter(|(of, _)| of == node.name.as_str()).map(|(_, text)| text.clone()).collect();
    OfNode { name: node.name.to_string(), reached: !missing.contains_key(&node.id), missing: lines }
}

/// What is missing where, and as far as can be seen why: a node, and a line each.
async fn tell(settings: &Settings, missing: &Missing) -> Result<Vec<(String, String)>> {
    let status = read(&asked(settings, &[])?, settings.mesh.stride, MigrationSet::embedded()?.latest()).await;
    let mut told = Vec::new();
    for (node, lacks) in settings.nodes.iter().filter_map(|node| Some((node, missing.get(&node.id)?))) {
        let name = |id| settings.nodes.iter().find(|node| node.id == id).map_or("?", |node| node.name.as_str());
        for source in &lacks.links {
            told.push((node.name.to_string(), link_text(name(*source), node.name.as_str(), &status)));
        }
        if lacks.hidden.late > 0 {
            let text = format!("node {}: messages that wait for a UID or a place: {}", node.name, lacks.hidden.late);
            told.push((node.name.to_string(), text));
        }
        if lacks.hidden.ending > 0 {
            let text = format!(
                "node {}: mailboxes and users that are deleted or merged, and not gone: {}",
                node.name, lacks.hidden.ending
            );
            told.push((node.name.to_string(), text));
        }
        for (source, mailboxes) in &lacks.tides {
            let text = format!(
                "node {}: mailboxes whose HIGHESTMODSEQ is behind that of {}: {}",
                node.name,
                name(*source),
                mailboxes.len()
            );
            told.push((node.name.to_string(), text));
        }
        for (source, rows) in &lacks.hidden.set_aside {
            let text = format!(
                "node {}: rows of {} that could not be joined: {rows} (dbmail-mesh aside tells why)",
                node.name,
                name(*source)
            );
            told.push((node.name.to_string(), text));
        }
    }
    Ok(told)
}

fn link_text(source: &str, target: &str, status: &Status) -> String {
    let link = status.links.iter().find(|link| link.source == source && link.target == target);
    let why = link.map_or_else(|| "unknown".to_owned(), why);
    one_line(&format!("link {source} -> {target}: {why}"))
}

fn why(link: &LinkStatus) -> String {
    let waiting = match (link.lag_messages, link.lag_seconds) {
        (Some(rows), Some(seconds)) if rows > 0 => {
            format!("; changes to messages that wait: {rows}, the first for {seconds:.0} s")
        }
        _ => String::new(),
    };
    let state = match (&link.paused, link.state, &link.last_error) {
        (Some(pause), ..) => paused(pause),
        (None, LinkState::Failing | LinkState::Refused, Some(error)) => format!("{}: {error}", link.state.as_str()),
        (None, LinkState::Current | LinkState::Working, _) => {
            format!("{}, but not as far (is dbmail-mesh run at work?)", link.state.as_str())
        }
        _ => link.state.as_str().to_owned(),
    };
    format!("{state}{waiting}")
}
