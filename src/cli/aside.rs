//! `dbmail-mesh aside` and `dbmail-mesh retry`.

use clap::ValueEnum;
use serde::Serialize;

use super::output::Output;
use super::sessions::Sessions;
use super::{Common, FOUND, OK, UNREACHABLE, output};
use crate::config::{NodeSettings, Settings};
use crate::error::Result;
use crate::node::aside::{self, SetAside, Wanted};
use crate::node::pause;

/// Lists what nodes could not join of what their sources have, each with its error.
///
/// The link has gone on without it; it is tried again, ever more rarely, or when "retry" says so. Names of users and mailboxes are those
/// on the source. Exit code 1 if there is any.
#[derive(Debug, clap::Args)]
pub(super) struct AsideArgs {
    #[command(flatten)]
    which: Which,
    /// The most rows of a node, the oldest first.
    #[arg(long, value_name = "ROWS", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
}

/// Has what was set aside tried again at once.
///
/// Without any condition, all of it. Returns when that is noted; a link that is at work tries within seconds. What is refused again stays in
/// the list.
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: Which,
    /// Keys, as "aside" shows them; needs --kind.
    #[arg(value_name = "KEY", requires = "kind")]
    keys: Vec<i64>,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only this node; can be given several times.
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// Only what came from this node; can be given several times.
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Only this kind.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    User,
    Mailbox,
    Entry,
    Message,
    Modseq,
}

impl Which {
    fn targets<'a>(&self, settings: &'a Settings) -> Result<Vec<&'a NodeSettings>> {
        settings.select(&self.nodes)
    }

    fn wanted(&self, settings: &Settings) -> Result<Wanted> {
        let sources = if self.sources.is_empty() {
            None
        } else {
            Some(settings.select(&self.sources)?.iter().map(|node| node.id).collect())
        };
        let kind = self.kind.and_then(|kind| Some(kind.to_possible_value()?.get_name().to_owned()));
        Ok(Wanted { sources, kind })
    }
}

/// A row in `--json`.
#[derive(Serialize)]
struct Row {
    node: String,
    #[serde(flatten)]
    row: SetAside,
}

/// What `aside --json` prints.
#[derive(Serialize)]
struct Listing {
    rows: Vec<Row>,
    count: i64,
    silent: Vec<String>,
}

pub(super) async fn run_aside(args: AsideArgs, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let (targets, wanted) = (args.which.targets(&settings)?, args.which.wanted(&settings)?);
    let sessions = Sessions::open(&settings.nodes, "aside").await;
    let mut listing = Listing { rows: Vec::new(), count: 0, silent: Vec::new() };
    for node in targets {
        let Some(client) = with(&sessions, node, &mut listing.silent) else { continue };
        let (mut rows, count) = aside::list(client, &wanted, args.limit).await?;
        for (source, client) in sessions.all() {
            // It is only about names.
            if let Err(error) = aside::name(client, source, &mut rows).await {
                tracing::debug!(%source, %error, "rows are not called by their names");
            }
        }
        listing.count += count;
        listing.rows.extend(rows.into_iter().map(|row| Row { node: node.name.to_string(), row }));
    }
    let code = match (listing.silent.is_empty(), listing.count) {
        (false, _) => UNREACHABLE,
        (true, 0) => OK,
        (true, _) => FOUND,
    };
    if args.which.json {
        output.json(&listing)?;
    } else if listing.rows.is_empty() {
        output.print("nothing is set aside")?;
    } else {
        output.table(HEADINGS, listing.rows.iter().map(line).collect())?;
        let left_out = listing.count - i64::try_from(listing.rows.len()).unwrap_or_default();
        if left_out > 0 {
            output.print(&format!("and {left_out} more (--limit)"))?;
        }
    }
    Ok(code)
}

const HEADINGS: [&str; 10] = ["NODE", "SOURCE", "KIND", "KEY", "NAME", "FIRST", "LAST", "TRIES", "NEXT", "WHY"];

fn line(Row { node, row }: &Row) -> [String; 10] {
    let time = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    [
        node.clone(),
        row.source.clone(),
        row.kind.clone(),
        row.key.to_string(),
        printable(row.name.as_deref().unwrap_or("-")),
        time(row.first_seen),
        time(row.last_tried),
        row.tries.to_string(),
        time(row.next_try),
        printable(&row.reason),
    ]
}

/// A name may hold what a terminal takes for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What `retry --json` prints.
#[derive(Serialize)]
struct Retried {
    nodes: Vec<Told>,
    silent: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    node: String,
    rows: i64,
}

pub(super) async fn run_retry(args: RetryArgs, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let (targets, wanted) = (args.which.targets(&settings)?, args.which.wanted(&settings)?);
    let sessions = Sessions::open(&settings.nodes, "retry").await;
    let keys = (!args.keys.is_empty()).then_some(args.keys.as_slice());
    let mut retried = Retried { nodes: Vec::new(), silent: Vec::new() };
    for node in targets {
        let Some(client) = with(&sessions, node, &mut retried.silent) else { continue };
        let rows = aside::retry(client, &wanted, keys).await?;
        if !args.which.json {
            output.print(&format!("node {}: rows that are tried again: {rows}", node.name))?;
        }
        retried.nodes.push(Told { node: node.name.to_string(), rows });
    }
    // Links that sleep look sooner.
    for (node, client) in sessions.all() {
        if let Err(error) = pause::wake(client).await {
            tracing::debug!(%node, %error, "links are not woken");
        }
    }
    if args.which.json {
        output.json(&retried)?;
    }
    let found = args.keys.is_empty() || retried.nodes.iter().any(|told| told.rows > 0);
    Ok(match (retried.silent.is_empty(), found) {
        (false, _) => UNREACHABLE,
        (true, true) => OK,
        (true, false) => FOUND,
    })
}

/// The session with a node; one that cannot be asked is complained about, and the others are asked.
fn with<'a>(
    sessions: &'a Sessions,
    node: &NodeSettings,
    silent: &mut Vec<String>,
) -> Option<&'a deadpool_postgres::Client> {
    match sessions.with(node) {
        Ok(client) => Some(client),
        Err(error) => {
            output::complain(&error);
            silent.push(node.name.to_string());
            None
        }
    }
}
