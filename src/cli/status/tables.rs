//! What `status` shows to people.

use jiff::Timestamp;

use super::super::output::table_text;
use crate::domain::budget::{Level, Window};
use crate::node::status::check::{Problem, date, one_line, paused};
use crate::node::status::numbers::SpaceStatus;
use crate::node::status::{LinkStatus, NodeStatus, Status};

/// Text in the making.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn table<const N: usize>(&mut self, headings: [&str; N], rows: Vec<[String; N]>) {
        self.line(&table_text(headings, rows));
    }
}

/// The nodes, their numbers, the links; and with `problems` what is wrong.
pub(super) fn text(status: &Status, problems: Option<&[Problem]>) -> String {
    let mut page = Page::default();
    nodes(status, &mut page);
    numbers(status, &mut page);
    links(status, &mut page);
    if let Some(problems) = problems {
        page.line("");
        if problems.is_empty() {
            page.line("nothing is wrong");
        }
        problems.iter().for_each(|problem| page.line(&problem.text));
    }
    page.0
}

fn nodes(status: &Status, page: &mut Page) {
    let headings =
        ["NODE", "ID", "STATE", "WORKER", "SCHEMA", "LATE", "RENUMBERED", "OUTBOX", "ASIDE", "RESERVED", "CLOCK"];
    page.table(headings, status.nodes.iter().map(|node| node_row(node, status)).collect());
    for node in &status.nodes {
        if let Some(error) = &node.error {
            page.line(&format!("{} ({}): {}", node.name, node.address, one_line(error)));
        }
    }
    for node in &status.nodes {
        remarks(node, page);
    }
    for (node, pause) in status.nodes.iter().filter_map(|node| Some((node, node.paused.as_ref()?))) {
        page.line(&one_line(&format!("{}: {}", node.name, paused(pause))));
    }
    let mut meshes: Vec<&str> = status.nodes.iter().filter_map(|node| node.mesh_id.as_deref()).collect();
    meshes.sort_unstable();
    meshes.dedup();
    for mesh in meshes {
        let members = status.nodes.iter().filter(|node| node.mesh_id.as_deref() == Some(mesh));
        let members: Vec<_> = members.map(|node| node.name.as_str()).collect();
        page.line(&format!("mesh {mesh}: {}", members.join(", ")));
    }
}

/// What is not there as a rule, a line each.
fn remarks(node: &NodeStatus, page: &mut Page) {
    let name = &node.name;
    if let Some(reason) = &node.out_reason {
        page.line(&one_line(&format!("{name}: out of the mesh: {reason}")));
    }
    let some = |count: Option<i64>| count.filter(|count| *count > 0);
    if let Some(kept) = some(node.kept_messages) {
        page.line(&format!("{name}: {kept} kept for users who were deleted (dbmail_mesh.kept_messages)"));
    }
    let conflicts = [
        (node.mailboxes_merged, "mailboxes merged"),
        (node.mailboxes_displaced, "mailboxes displaced"),
        (node.accounts_displaced, "users displaced"),
    ];
    let conflicts: Vec<_> =
        conflicts.iter().filter_map(|(count, what)| Some(format!("{what}: {}", some(*count)?))).collect();
    if !conflicts.is_empty() {
        page.line(&format!("{name}: two of one name; {}", conflicts.join(", ")));
    }
    if let Some(readers) = some(node.readers_waiting) {
        page.line(&format!("{name}: readers from a node that is gone whose messages are looked through: {readers}"));
    }
}

fn node_row(node: &NodeStatus, status: &Status) -> [String; 11] {
    let late = with_wait(node.late_messages, node.late_longest_seconds);
    let renumbered = match (node.renumbers_total, node.renumbers_last_hour) {
        (Some(total), Some(recent)) if recent > 0 => format!("{total} ({recent} in 1h)"),
        (total, _) => number(total),
    };
    [
        node.name.clone(),
        node.id.to_string(),
        node_state(node, status).into(),
        worker(node),
        node.schema_version.map_or("-".into(), |version| version.to_string()),
        late,
        renumbered,
        number(node.outbox_rows),
        with_wait(node.set_aside_rows, node.set_aside_oldest_seconds),
        number(node.numbers_reserved),
        node.clock_offset_seconds.map_or("-".into(), clock),
    ]
}

/// For how long one has been at work.
fn worker(node: &NodeStatus) -> String {
    match (node.worker_active, node.worker_since) {
        (Some(true), Some(since)) => age(node.asked_at, Some(since)),
        (Some(true), None) => "at work".into(),
        (Some(false), _) => "none".into(),
        (None, _) => "-".into(),
    }
}

/// How far a clock is ahead of this machine's.
fn clock(seconds: f64) -> String {
    // A minus before a zero says nothing.
    let tenths = (seconds * 10.0).round() / 10.0 + 0.0;
    format!("{tenths:+.1}s")
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
    } else if node.out_reason.is_some() {
        "out"
    } else if node.mesh_id.is_none() {
        "not admitted"
    } else if node.paused.is_some() {
        "paused"
    } else {
        "member"
    }
}

/// How far numbers are used up, and when they end: a line a node.
fn numbers(status: &Status, page: &mut Page) {
    let rows: Vec<_> = status
        .nodes
        .iter()
        .filter_map(|node| match node.numbers.as_deref()? {
            [uids, physmessages, mailboxes] => Some(numbers_row(&node.name, [uids, physmessages, mailboxes])),
            _ => None,
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    page.line("");
    page.table(["NUMBERS", "UIDS", "ENDS", "PHYSMSG", "ENDS", "MAILBOXES", "ENDS", "MEASURED"], rows);
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
pub(in crate::cli) fn share(space: &SpaceStatus) -> String {
    let percent = format!("{:.1}%", space.used_percent);
    if space.level == Level::Ok { percent } else { format!("{percent} {}", space.level.as_str()) }
}

/// The day on which the last number is reached.
pub(in crate::cli) fn ends(space: &SpaceStatus) -> String {
    match (space.ends_at, space.per_day) {
        (Some(at), _) => date(at),
        (None, Some(0)) => "never".into(),
        (None, Some(_)) => "after 9999".into(),
        (None, None) => "-".into(),
    }
}

fn links(status: &Status, page: &mut Page) {
    if status.links.is_empty() {
        return;
    }
    page.line("");
    let now = |link: &LinkStatus| status.nodes.iter().find(|node| node.name == link.target)?.asked_at;
    let rows = status.links.iter().map(|link| link_row(link, now(link))).collect();
    page.table(["LINK", "STATE", "SINCE", "LAG", "OLDEST", "APPLIED", "ASIDE", "FIRST COPY"], rows);
    let of_nodes: Vec<_> = status.nodes.iter().filter_map(|node| node.paused.as_ref()).collect();
    for link in &status.links {
        if let Some(pause) = link.paused.as_ref().filter(|pause| !of_nodes.contains(pause)) {
            page.line(&one_line(&format!("{}: {}", name(link), paused(pause))));
        }
        if let Some(error) = &link.last_error {
            let ago = age(now(link), link.last_error_at);
            page.line(&format!("{}, {ago} ago: {}", name(link), one_line(error)));
        }
        if let Some(error) = &link.lag_error
            && !status.tells_of(&link.source)
        {
            page.line(&format!("{}: the lag is not known: {error}", name(link)));
        }
        if !link.relays.is_empty() {
            let of: Vec<String> = link.relays.iter().map(|id| node_name(*id, status)).collect();
            page.line(&format!(
                "{}: {} not heard of; what came from there is taken over from {}",
                name(link),
                of.join(", "),
                link.source
            ));
        }
        if let Some(seconds) = link.behind_seconds {
            page.line(&format!("{}: HIGHESTMODSEQs have waited {} to be taken over", name(link), short(seconds)));
        }
    }
}

fn node_name(id: i16, status: &Status) -> String {
    let known = status.nodes.iter().find(|node| node.id == id);
    known.map_or_else(|| format!("node {id}"), |node| node.name.clone())
}

fn name(link: &LinkStatus) -> String {
    format!("{} -> {}", link.source, link.target)
}

fn link_row(link: &LinkStatus, now: Option<Timestamp>) -> [String; 8] {
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
        oldest(link),
        applied,
        number(link.set_aside_rows),
        copy,
    ]
}

/// For how long the first change of any kind has been waiting.
fn oldest(link: &LinkStatus) -> String {
    match (link.changes_waiting, link.oldest_change_seconds) {
        (Some(0), _) => "0".into(),
        (_, seconds) => seconds.map_or("-".into(), short),
    }
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
    fn clocks_have_a_sign_and_a_tenth() {
        for (seconds, text) in [(-0.04, "+0.0s"), (0.0, "+0.0s"), (-0.1, "-0.1s"), (3.26, "+3.3s")] {
            assert_eq!(clock(seconds), text, "{seconds}");
        }
    }

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
