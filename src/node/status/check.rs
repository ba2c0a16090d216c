//! What is wrong with a mesh: judged from what its nodes answered. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::numbers::SpaceStatus;
use super::{LinkState, LinkStatus, NodeStatus, Status, clocks};
use crate::domain::budget::{Level, Space};
use crate::node::pause::Pause;

/// From where on a wait is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For a change to a message, until a target has applied it.
    pub lag: Duration,
    /// For a late message, until it has its new UID.
    pub late: Duration,
    /// For a pause.
    pub pause: Duration,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is, for programs.
    pub code: Code,
    /// How bad it is: a notice is no fault yet.
    pub level: Level,
    /// The node that it is on; of a link the target.
    pub node: String,
    /// Of a link, its source.
    pub source: Option<String>,
    /// What it is, where, and what to do, for people. One line.
    pub text: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A node cannot be connected to.
    NodeUnreachable,
    /// A node can be connected to, but did not answer.
    NodeFailing,
    /// dbmail-mesh is not installed on a node.
    NotInstalled,
    /// A node's schema is older or newer than what this program works with.
    SchemaVersion,
    /// A node was installed with another id or stride than the settings have.
    SettingsDiffer,
    /// A trigger is missing or disabled, or the default of `message_idnr` is back.
    TriggerFault,
    /// A node stays out of the mesh until it joins again.
    NodeOut,
    /// Nobody drives the links into a node.
    NoWorker,
    /// A node's clock is not that of the others.
    ClockSkew,
    /// Late messages have been waiting for too long.
    LateWaiting,
    /// Rows could not be joined.
    RowsSetAside,
    /// UIDs run out.
    UidSpace,
    /// Physmessage ids run out.
    PhysmessageIdSpace,
    /// Mailbox ids run out.
    MailboxIdSpace,
    /// A link has never run although there is a mesh.
    LinkNotBegun,
    /// A link fails, and is tried again.
    LinkFailing,
    /// A link was refused: a person has to do something.
    LinkRefused,
    /// Somebody has paused a node, with its links.
    NodePaused,
    /// Somebody has paused a link.
    LinkPaused,
    /// Changes have been waiting for too long.
    Lag,
    /// How many changes wait cannot be told.
    LagUnknown,
}

/// Everything that is wrong, nodes first.
pub fn problems(status: &Status, bounds: Bounds) -> Vec<Problem> {
    let mut problems = Vec::new();
    for node in &status.nodes {
        problems.extend(of_node(node, status, bounds));
    }
    // Before the first admission it is no fault that nothing has begun.
    let is_mesh = status.nodes.iter().any(|node| node.mesh_id.is_some());
    for link in &status.links {
        problems.extend(of_link(link, status, bounds, is_mesh));
    }
    problems
}

/// `text` in one line: an error of PostgreSQL's may have several.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Gathers the problems of one node or one link.
struct Gathering<'a> {
    node: &'a str,
    source: Option<&'a str>,
    found: Vec<Problem>,
}

impl<'a> Gathering<'a> {
    fn new(node: &'a str, source: Option<&'a str>) -> Self {
        Self { node, source, found: Vec::new() }
    }

    fn add(&mut self, code: Code, what: impl std::fmt::Display) {
        self.add_at(Level::Warning, code, what);
    }

    fn add_at(&mut self, level: Level, code: Code, what: impl std::fmt::Display) {
        let place = match self.source {
            None => format!("node {}", self.node),
            Some(source) => format!("link {source} -> {}", self.node),
        };
        let text = one_line(&format!("{place}: {what}"));
        let (node, source) = (self.node.to_owned(), self.source.map(str::to_owned));
        self.found.push(Problem { code, level, node, source, text });
    }
}

fn of_node(node: &NodeStatus, status: &Status, bounds: Bounds) -> Vec<Problem> {
    let mut gathering = Gathering::new(&node.name, None);
    match (&node.error, node.schema_version) {
        (Some(error), _) if !node.reachable => gathering.add(Code::NodeUnreachable, format!("unreachable: {error}")),
        (Some(error), _) => gathering.add(Code::NodeFailing, format!("cannot be asked: {error}")),
        _ if node.installed == Some(false) => {
            gathering.add(Code::NotInstalled, "dbmail-mesh is not installed (run dbmail-mesh migrate up)");
        }
        (_, Some(version)) if version != status.schema_version_expected => {
            // A newer schema may let this program go on; then all the rest is known.
            let level = if node.is_known() { Level::Notice } else { Level::Warning };
            gathering.add_at(level, Code::SchemaVersion, schema_differs(version, status.schema_version_expected));
        }
        _ => {}
    }
    differences(node, status, &mut gathering);
    for fault in node.trigger_faults.iter().flatten() {
        gathering.add(Code::TriggerFault, fault);
    }
    if let Some(pause) = &node.paused {
        gathering.add_at(pause_level(pause, bounds), Code::NodePaused, format!("{} ({RESUME})", paused(pause)));
    }
    if let Some(reason) = &node.out_reason {
        let text = format!("it is out of the mesh: {reason} (run dbmail-mesh join --node {})", node.name);
        gathering.add(Code::NodeOut, text);
    }
    if node.mesh_id.is_some() && node.worker_active == Some(false) {
        gathering.add(Code::NoWorker, "no worker is at work for it (start dbmail-mesh run)");
    }
    if let Some(astray) = clocks::astray(node, &status.nodes) {
        let (seconds, of) = (astray.ahead_seconds.abs(), &astray.of);
        let side = if astray.ahead_seconds > 0.0 { "ahead of" } else { "behind" };
        gathering.add(
            Code::ClockSkew,
            format!("its clock is {seconds:.1} s {side} that of node {of}: they decide who wrote later (set up NTP)"),
        );
    }
    waiting(node, bounds, &mut gathering);
    spaces(node, &mut gathering);
    gathering.found
}

fn schema_differs(version: i32, expected: i32) -> String {
    let remedy = if version < expected { "run dbmail-mesh migrate up" } else { "use the newer dbmail-mesh" };
    format!("its schema is at version {version}, this program works with {expected} ({remedy})")
}

/// What is to be done about a pause, some day.
const RESUME: &str = "dbmail-mesh resume; the outboxes keep everything until then";

/// A pause that somebody has in mind is no fault; one that lasts may have been forgotten, and outboxes grow.
fn pause_level(pause: &Pause, bounds: Bounds) -> Level {
    if pause.seconds > bounds.pause.as_secs_f64() { Level::Warning } else { Level::Notice }
}

/// Since when, by whom, and why, for people.
pub fn paused(pause: &Pause) -> String {
    let reason = pause.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("paused since {} by {}{reason}", pause.since.strftime("%Y-%m-%d %H:%M:%SZ"), pause.by)
}

fn differences(node: &NodeStatus, status: &Status, gathering: &mut Gathering<'_>) {
    if let Some(id) = node.installed_id.filter(|id| *id != node.id) {
        gathering.add(
            Code::SettingsDiffer,
            format!("its id is {} in the settings, but it was installed with {id} (correct the settings)", node.id),
        );
    }
    if let Some(stride) = node.installed_stride.filter(|stride| *stride != status.stride) {
        gathering.add(
            Code::SettingsDiffer,
            format!(
                "mesh.stride is {} in the settings, but it was installed with {stride} (correct the settings)",
                status.stride
            ),
        );
    }
}

fn waiting(node: &NodeStatus, bounds: Bounds, gathering: &mut Gathering<'_>) {
    if let (Some(count), Some(seconds)) = (node.late_messages, node.late_longest_seconds)
        && seconds > bounds.late.as_secs_f64()
    {
        gathering.add(
            Code::LateWaiting,
            format!(
                "late messages that wait for a new UID: {count}, the first for {seconds:.0} s (see dbmail_mesh.late_messages)"
            ),
        );
    }
    if let Some(count) = node.set_aside_rows.filter(|count| *count > 0) {
        gathering.add(
            Code::RowsSetAside,
            format!(
                "rows that could not be joined, and are tried again: {count} (the first {:.0} s ago; dbmail-mesh aside tells why)",
                node.set_aside_oldest_seconds.unwrap_or_default()
            ),
        );
    }
}

fn spaces(node: &NodeStatus, gathering: &mut Gathering<'_>) {
    for space in node.numbers.iter().flatten().filter(|space| space.level > Level::Ok) {
        let (code, what, then) = match space.space {
            Space::Uids => (
                Code::UidSpace,
                "UIDs",
                "above, clients accept no new mail (plan a new mesh, which counts from 1: docs/plan.md)",
            ),
            Space::PhysmessageIds => (
                Code::PhysmessageIdSpace,
                "ids of dbmail_physmessage",
                "above, dbmail loses mail, and links stop before (replace the node by a new, empty one with an id of its own, \
                 which counts from 1: docs/plan.md)",
            ),
            Space::MailboxIds => (
                Code::MailboxIdSpace,
                "mailbox ids",
                "above, a new mailbox has a UIDVALIDITY that no client accepts (plan a new mesh: docs/plan.md)",
            ),
        };
        gathering.add_at(space.level, code, format!("{}; {then}", used(space, what)));
    }
}

fn used(space: &SpaceStatus, what: &str) -> String {
    let level = space.level.as_str();
    let ends = match (space.ends_at, space.measured_over) {
        (Some(at), Some(window)) => format!(", and the rest by {} at the rate {}", date(at), window.measured()),
        _ => String::new(),
    };
    format!("{level}: {} % of the {what} up to {} are used{ends}", space.used_percent, space.last)
}

/// The day of a time, in UTC.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn of_link(link: &LinkStatus, status: &Status, bounds: Bounds, is_mesh: bool) -> Vec<Problem> {
    let mut gathering = Gathering::new(&link.target, Some(&link.source));
    let error = link.last_error.as_deref().unwrap_or("no error was noted");
    match link.state {
        LinkState::Failing => gathering.add(Code::LinkFailing, format!("failing, and tried again: {error}")),
        LinkState::Refused => gathering.add(Code::LinkRefused, format!("refused: {error}")),
        LinkState::NotBegun if is_mesh => {
            gathering.add(Code::LinkNotBegun, "not begun (does a dbmail-mesh run drive this target?)");
        }
        _ => {}
    }
    let is_of_node = |pause: &Pause| status.nodes.iter().filter_map(|node| node.paused.as_ref()).any(|of| of == pause);
    if let Some(pause) = link.paused.as_ref().filter(|pause| !is_of_node(pause)) {
        let waiting = link.lag_messages.map_or(String::new(), |rows| format!("; changes that wait: {rows}"));
        let text = format!("{}{waiting} ({RESUME})", paused(pause));
        gathering.add_at(pause_level(pause, bounds), Code::LinkPaused, text);
    }
    if let (Some(messages), Some(seconds)) = (link.lag_messages, link.lag_seconds)
        && link.paused.is_none()
        && seconds > bounds.lag.as_secs_f64()
    {
        gathering.add(
            Code::Lag,
            format!("changes that wait: {messages}, the first for {seconds:.0} s (is dbmail-mesh run at work?)"),
        );
    }
    if let Some(error) = &link.lag_error
        && !status.tells_of(&link.source)
    {
        gathering.add(Code::LagUnknown, format!("the lag is not known: {error}"));
    }
    gathering.found
}
