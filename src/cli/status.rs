//! `dbmail-mesh status`.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::output::Output;
use super::{Common, FOUND, OK};
use crate::config::{NodeSettings, Settings, duration};
use crate::domain::budget::{Level, Window};
use crate::error::Result;
use crate::migrate::MigrationSet;
use crate::node::Endpoint;
use crate::node::status::check::{Bounds, Problem, date, one_line, problems};
use crate::node::status::numbers::SpaceStatus;
use crate::node::status::{Asked, LinkStatus, NodeStatus, Status, read};

/// The exit code where no database answered.
const UNREACHABLE: u8 = 3;

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
    /// How long a change may wait for a link.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    max_lag: Duration,
    /// How long a late message may wait for its new UID.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    max_late: Duration,
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
    let status = read(&asked, settings.mesh.stride, MigrationSet::embedded()?.latest()).await;
    let problems = problems(&status, Bounds { lag: args.max_lag, late: args.max_late });
    if args.json {
        output.json(&Whole { status: &status, problems: &problems })?;
    } else {
        print_nodes(&status, output)?;
        print_numbers(&status, output)?;
        print_links(&status, output)?;
    }
    if args.check {
        if !args.json {
            print_problems(&problems, output)?;
        }
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

fn print_nodes(status: &Status, output: &mut Output) -> Result<()> {
    let headings = ["NODE", "ID", "STATE", "SCHEMA", "LATE", "RENUMBERED", "OUTBOX", "ASIDE", "RESERVED"];
    output.table(headings, status.nodes.iter().map(|node| node_row(node, status)).collect())?;
    for node in &status.nodes {
        if let Some(error) = &node.error {
            output.print(&format!("{} ({}): {}", node.name, node.address, one_line(error)))?;
        }
    }
    for (node, kept) in
        status.nodes.iter().filter_map(|node| Some((node, node.kept_messages.filter(|kept| *kept > 0)?)))
    {
        output.print(&format!("{}: {kept} kept for users who were deleted (dbmail_mesh.kept_messages)", node.name))?;
    }
    let mut meshes: Vec<&str> = status.nodes.iter().filter_map(|node| node.mesh_id.as_deref()).collect();
    meshes.sort_unstable();
    meshes.dedup();
    for mesh in meshes {
        let members = status.nodes.iter().filter(|node| node.mesh_id.as_deref() == Some(mesh));
        let members: Vec<_> = members.map(|node| node.name.as_str()).collect();
        output.print(&format!("mesh {mesh}: {}", members.join(", ")))?;
    }
    Ok(())
}

fn node_row(node: &NodeStatus, status: &Status) -> [String; 9] {
    let late = with_wait(node.late_messages, node.late_longest_seconds);
    let renumbered = match (node.renumbers_total, node.renumbers_last_hour) {
        (Some(total), Some(recent)) if recent > 0 => format!("{total} ({recent} in 1h)"),
        (total, _) => number(total),
    };
    [
        node.name.clone(),
        node.id.to_string(),
        node_state(node, status).into(),
        node.schema_version.map_or("-".into(), |version| version.to_string()),
        late,
        renumbered,
        number(node.outbox_rows),
        number(node.set_aside_rows),
        number(node.numbers_reserved),
    ]
}

fn node_state(node: &NodeStatus, status: &Status) -> &'static str {
    if !node.reachable {
        "unreachable"
    } else if node.error.is_some() {
        "failing"
    } else if node.installed == Some(false) {
        "not installed"
    } else if node.schema_version != Some(status.schema_version_expected) {
        "other schema"
    } else if node.mesh_id.is_none() {
        "not admitted"
    } else {
        "member"
    }
}

/// How far numbers are used up, and when they end: a line a node.
fn print_numbers(status: &Status, output: &mut Output) -> Result<()> {
    let rows: Vec<_> = status
        .nodes
        .iter()
        .filter_map(|node| match node.numbers.as_deref()? {
            [uids, physmessages, mailboxes] => Some(numbers_row(&node.name, [uids, physmessages, mailboxes])),
            _ => None,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    output.print("")?;
    output.table(["NUMBERS", "UIDS", "ENDS", "PHYSMSG", "ENDS", "MAILBOXES", "ENDS", "MEASURED"], rows)
}

fn numbers_row(node: &str, spaces: [&SpaceStatus; 3]) -> [String; 8] {
    let [uids, physmessages, mailboxes] = spaces;
    let window = spaces.iter().find_map(|space| space.measured_over);
    [
        node.to_owned(),
        share(uids),
        ends(uids),
        share(physmessages),
        ends(physmessages),
        share(mailboxes),
        ends(mailboxes),
        window.map_or("-".into(), Window::measured),
    ]
}

/// How much is used, with a word where that is much.
pub(super) fn share(space: &SpaceStatus) -> String {
    let percent = format!("{:.1}%", space.used_percent);
    if space.level == Level::Ok { percent } else { format!("{percent} {}", space.level.as_str()) }
}

/// The day on which the last number is reached.
pub(super) fn ends(space: &SpaceStatus) -> String {
    match (space.ends_at, space.per_day) {
        (Some(at), _) => date(at),
        (None, Some(0)) => "never".into(),
        (None, Some(_)) => "after 9999".into(),
        (None, None) => "-".into(),
    }
}

fn print_links(status: &Status, output: &mut Output) -> Result<()> {
    if status.links.is_empty() {
        return Ok(());
    }
    output.print("")?;
    let now = |link: &LinkStatus| status.nodes.iter().find(|node| node.name == link.target)?.asked_at;
    let rows = status.links.iter().map(|link| link_row(link, now(link))).collect();
    output.table(["LINK", "STATE", "SINCE", "LAG", "APPLIED", "ASIDE", "FIRST COPY"], rows)?;
    for link in &status.links {
        if let Some(error) = &link.last_error {
            output.print(&format!(
                "{}, {} ago: {}",
                name(link),
                age(now(link), link.last_error_at),
                one_line(error)
            ))?;
        }
        if let Some(error) = &link.lag_error
            && !status.tells_of(&link.source)
        {
            output.print(&format!("{}: the lag is not known: {error}", name(link)))?;
        }
    }
    Ok(())
}

fn name(link: &LinkStatus) -> String {
    format!("{} -> {}", link.source, link.target)
}

fn link_row(link: &LinkStatus, now: Option<Timestamp>) -> [String; 7] {
    let copy = match (&link.copy_stage, link.copy_position) {
        (Some(stage), Some(position)) => format!("{stage}, at {position}"),
        _ => String::new(),
    };
    let applied = match link.applied_at {
        Some(at) => format!("{} ago", age(now, Some(at))),
        None => "-".into(),
    };
    [
        name(link),
        link.state.as_str().into(),
        age(now, link.since),
        with_wait(link.lag_messages, link.lag_seconds),
        applied,
        number(link.set_aside_rows),
        copy,
    ]
}

fn print_problems(problems: &[Problem], output: &mut Output) -> Result<()> {
    output.print("")?;
    if problems.is_empty() {
        return output.print("nothing is wrong");
    }
    problems.iter().try_for_each(|problem| output.print(&problem.text))
}

fn number(number: Option<i64>) -> String {
    number.map_or("-".into(), |number| number.to_string())
}

/// How many wait, and for how long.
fn with_wait(count: Option<i64>, seconds: Option<f64>) -> String {
    match (count, seconds) {
        (Some(count), Some(seconds)) if count > 0 => format!("{count} ({})", short(seconds)),
        (count, _) => number(count),
    }
}

fn age(now: Option<Timestamp>, then: Option<Timestamp>) -> String {
    let age = |now: Timestamp, then| short(now.duration_since(then).as_secs_f64());
    now.zip(then).map_or("-".into(), |(now, then)| age(now, then))
}

/// A duration to read at a glance: its largest unit of which there are two or more.
fn short(seconds: f64) -> String {
    const UNITS: [(&str, f64); 3] = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)];
    let seconds = seconds.max(0.0);
    match UNITS.iter().find(|(_, length)| seconds >= 2.0 * length) {
        Some((unit, length)) => format!("{:.0}{unit}", (seconds / length).floor()),
        None => format!("{:.0}s", seconds.floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (-1.0, "0s"),
            (0.9, "0s"),
            (119.9, "119s"),
            (120.0, "2min"),
            (7_199.0, "119min"),
            (7_200.0, "2h"),
            (172_800.0, "2d"),
        ] {
            assert_eq!(short(seconds), text, "{seconds}");
        }
    }
}
