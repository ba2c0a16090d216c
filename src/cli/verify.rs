//! `dbmail-mesh verify`.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use super::status::asked;
use super::{Common, FOUND, OK, UNREACHABLE};
use crate::config::duration;
use crate::error::{Error, Kind, Result};
use crate::node::status::check::one_line;
use crate::node::verify::{Difference, NodeReport, Options, Progress, Report, SHOWN_MAX, verify};

/// So much of what is under way is listed for people; the rest is counted.
const IN_FLIGHT_SHOWN: usize = 10;

/// Compares the nodes while mail flows, down to the messages that differ, and mends what does.
///
/// Compared are users, mailboxes, the rows of dbmail's small tables, and of each message its UID, mailbox, flags, keywords, unique_id and
/// content. What is merely in flight is no difference: it is waited for, and counted by itself if it does not arrive.
///
/// --repair marks what differs on every node that has it, so that the links ship it again and join it: the highest UID, the last writer and
/// death win. It takes a running worker.
///
/// Exit code 1 when nodes differ (after --repair: when something is not mended), 3 when a node could not be compared.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this node; give two or more [default: all nodes of the settings].
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// Only this mailbox, as owner/name or by its mailbox_idnr; can be given several times [default: everything].
    #[arg(long = "mailbox", value_name = "OWNER/NAME")]
    mailboxes: Vec<String>,
    /// Reads all bodies and header fields, instead of what dbmail has noted of them (sizes and hashes). Takes long.
    #[arg(long)]
    content: bool,
    /// How long what is in flight is waited for.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    wait: Duration,
    /// Marks what differs for shipping, waits, and looks again.
    #[arg(long)]
    repair: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let asked = asked(&settings, &args.nodes)?;
    if asked.iter().filter(|asked| asked.selected).count() < 2 {
        return Err(Error::new(Kind::Usage, "there is one node, and nothing to compare it with")
            .remedy("give --node twice or more, or not at all"));
    }
    let options = Options { mailboxes: args.mailboxes, bodies: args.content, wait: args.wait, repair: args.repair };
    let bar = Bar::new();
    let report = verify(&asked, &options, &bar).await;
    bar.finish();
    let report = report?;
    if args.json {
        output.json(&report)?;
    } else {
        print(&report, output)?;
    }
    let all = report.nodes.iter().all(|node| node.compared);
    Ok(match (report.differs(), all) {
        (true, _) => FOUND,
        (false, false) => UNREACHABLE,
        (false, true) => OK,
    })
}

fn print(report: &Report, output: &mut Output) -> Result<()> {
    output.table(["NODE", "STATE", "MAILBOXES", "MESSAGES"], report.nodes.iter().map(node_row).collect())?;
    for node in &report.nodes {
        if let Some(error) = &node.error {
            output.print(&format!("{}: {}", node.name, one_line(error)))?;
        }
    }
    if !report.differences.is_empty() {
        output.print("")?;
        print_differences(report, output)?;
    }
    if report.in_flight_total > 0 {
        output.print("")?;
        let rows = report.in_flight.iter().take(IN_FLIGHT_SHOWN);
        let rows = rows.map(|it| [it.kind.clone(), it.key.clone(), it.reason.clone()]).collect();
        output.table(["IN FLIGHT", "KEY", "WHY"], rows)?;
    }
    output.print("")?;
    output.print(&summary(report))
}

fn node_row(node: &NodeReport) -> [String; 4] {
    let number = |number: Option<i64>| number.map_or("-".into(), |number| number.to_string());
    let state = if node.compared { "compared" } else { "not compared" };
    [node.name.clone(), state.into(), number(node.mailboxes), number(node.messages)]
}

fn print_differences(report: &Report, output: &mut Output) -> Result<()> {
    let repaired = |difference: &Difference| difference.repair.unwrap_or_default().replace('_', " ");
    let rows: Vec<[String; 6]> = report
        .differences
        .iter()
        .map(|it| [subject(it), it.mailbox_name(), uids(it), it.what.join(", "), on_nodes(it), repaired(it)])
        .collect();
    output.table(["WHAT", "MAILBOX", "UID", "DIFFERS", "ON THE NODES", ""], rows)?;
    if report.differences_total > SHOWN_MAX {
        output.print(&format!("... and {} more", report.differences_total - report.differences.len()))?;
    }
    let advice: BTreeSet<&str> = report.differences.iter().filter_map(|it| it.advice).collect();
    advice.into_iter().try_for_each(|advice| output.print(advice))
}

impl Difference {
    fn mailbox_name(&self) -> String {
        match (&self.owner, &self.mailbox) {
            (Some(owner), Some(name)) => format!("{owner}/{name}"),
            _ => "-".into(),
        }
    }
}

fn subject(difference: &Difference) -> String {
    match difference.kind.as_str() {
        "message" => "message".into(),
        kind => format!("{kind} {}", difference.key),
    }
}

/// The UIDs that a message has on the nodes.
fn uids(difference: &Difference) -> String {
    if difference.kind != "message" {
        return "-".into();
    }
    let mut uids: Vec<&str> = difference.nodes.iter().filter_map(|on| Some(on.values.get("uid")?.as_str())).collect();
    uids.dedup();
    if uids.is_empty() { difference.key.clone() } else { uids.join(", ") }
}

/// What differs, node by node, in a few words.
fn on_nodes(difference: &Difference) -> String {
    let told = |value: &str| match value {
        "" => "none".to_owned(),
        value if value.chars().count() > 24 => format!("{}...", value.chars().take(21).collect::<String>()),
        value => value.to_owned(),
    };
    let of = |on: &crate::node::verify::OnNode| {
        if on.state != "here" {
            return format!("{}: {}", on.node, on.state);
        }
        let values: Vec<String> =
            difference.what.iter().filter_map(|name| on.values.get(name)).map(|value| told(value)).collect();
        format!("{}: {}", on.node, if values.is_empty() { "here".into() } else { values.join(", ") })
    };
    difference.nodes.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn summary(report: &Report) -> String {
    let seconds = report.seconds;
    let count = |count: usize, one: &str, many: &str| {
        if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
    };
    if report.nodes.iter().filter(|node| node.compared).count() < 2 {
        return "nothing was compared".into();
    }
    let differences = match report.differences_total {
        0 => "no difference".into(),
        total => count(total, "difference", "differences"),
    };
    let repair = report.repair.filter(|_| report.differences_total > 0).map_or(String::new(), |repair| {
        format!(" ({} mended, {} in flight, {} not mended)", repair.mended, repair.in_flight, repair.not_mended)
    });
    let in_flight = match report.in_flight_total {
        0 => String::new(),
        total => format!(", {total} in flight, which cannot be told apart yet"),
    };
    format!("{differences}{repair}{in_flight}; {seconds:.1} s")
}

/// A bar on a terminal, and nothing elsewhere.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new() -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        // A template that cannot be read would be a slip of ours: then the default one will do.
        if let Ok(style) = ProgressStyle::with_template("  {bar:30} {percent} %  {eta} left  {msg}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn compared(&self, done: usize, of: usize) {
        if let Some(bar) = &self.0 {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        }
    }

    fn judging(&self, open: usize) {
        if let Some(bar) = &self.0 {
            bar.set_message(format!("looking again at {open}"));
        }
    }
}
