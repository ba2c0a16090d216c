//! Whether clients can be sent to a node: judged from what all nodes answered. Pure.
//!
//! Ready means that the node has all that was committed, longer than a bound ago, on the nodes that can be asked. One that cannot be asked
//! keeps no other from being ready, or the failure of one would take all away; it is named among what was ignored.

use std::time::Duration;

use serde::Serialize;

use super::{LinkState, LinkStatus, NodeStatus, Status};

/// A HIGHESTMODSEQ rings no bell, and the cursor of a link over which nothing else comes is stored only now and then: so much longer
/// than other changes it may wait.
const MODSEQ_GRACE: Duration = Duration::from_secs(10);

/// So much longer than other changes a late message may wait for its new UID: a settlement gives a node that is stuck that time.
const SETTLE_GRACE: Duration = Duration::from_secs(60);

/// Whether a node is ready, and why not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Readiness {
    /// The node.
    pub node: String,
    /// Whether clients can be sent there.
    pub ready: bool,
    /// What keeps it from being ready.
    pub reasons: Vec<Remark>,
    /// What would, if it were not the fault of another node.
    pub ignored: Vec<Remark>,
}

/// One thing to say of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// What it is, for programs.
    pub code: Reason,
    /// Of a link, its source.
    pub source: Option<String>,
    /// What it is, for people. One line.
    pub text: String,
}

/// What can keep a node from being ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It cannot be connected to.
    NodeUnreachable,
    /// It can be connected to, but did not answer.
    NodeFailing,
    /// dbmail-mesh is not installed there.
    NotInstalled,
    /// Its schema is not the one that this program works with.
    SchemaVersion,
    /// It was installed with another id or stride than the settings have.
    SettingsDiffer,
    /// It belongs to no mesh yet.
    NotAdmitted,
    /// Nobody drives the links into it.
    NoWorker,
    /// Somebody has paused it.
    Paused,
    /// A source cannot be asked.
    SourceSilent,
    /// Somebody has paused a source.
    SourcePaused,
    /// A source is not a member of the node's mesh.
    SourceNotMember,
    /// The link has never run.
    LinkNotBegun,
    /// The link was refused.
    LinkRefused,
    /// The link is at its first copy.
    FirstCopy,
    /// It has taken over a whole copy from nobody.
    Empty,
    /// How far the link is behind is not known.
    LagUnknown,
    /// Changes of the source have been waiting for too long.
    Lag,
    /// HIGHESTMODSEQs of the source have been waiting for too long.
    Modseq,
    /// Messages have been late for too long: they are not to be seen, or under a UID that will change.
    Late,
    /// Rows of sources could not be joined.
    SetAside,
    /// Somebody came from a node that is gone, and not all of his messages were looked through.
    MovedReader,
    /// It is not known how the node is doing now.
    Stale,
}

impl Readiness {
    /// Of a node of which nothing is known, or nothing recent.
    pub fn unknown(node: &str, text: String) -> Self {
        let reasons = vec![Remark { code: Reason::Stale, source: None, text }];
        Self { node: node.to_owned(), ready: false, reasons, ignored: Vec::new() }
    }
}

/// Judges `node`. All nodes must have been selected in `status`. A change may wait for up to `max_lag`.
pub fn readiness(status: &Status, node: &NodeStatus, max_lag: Duration) -> Readiness {
    let links: Vec<&LinkStatus> = status.links.iter().filter(|link| link.target_id == node.id).collect();
    let mut judging = Judging { status, node, max_lag, links, reasons: Vec::new(), ignored: Vec::new() };
    if judging.can_be_asked() {
        judging.membership();
        judging.sources();
        judging.late();
        judging.set_aside();
        judging.moved_readers();
    }
    let Judging { reasons, ignored, .. } = judging;
    Readiness { node: node.name.clone(), ready: reasons.is_empty(), reasons, ignored }
}

/// What is found on the way.
struct Judging<'a> {
    status: &'a Status,
    node: &'a NodeStatus,
    max_lag: Duration,
    /// Into the node.
    links: Vec<&'a LinkStatus>,
    reasons: Vec<Remark>,
    ignored: Vec<Remark>,
}

impl Judging<'_> {
    fn because(&mut self, code: Reason, source: Option<&str>, text: impl Into<String>) {
        self.reasons.push(Remark { code, source: source.map(str::to_owned), text: text.into() });
    }

    fn ignoring(&mut self, code: Reason, source: &str, text: impl Into<String>) {
        self.ignored.push(Remark { code, source: Some(source.to_owned()), text: text.into() });
    }

    fn can_be_asked(&mut self) -> bool {
        let Self { status, node, .. } = *self;
        let expected = status.schema_version_expected;
        match (&node.error, node.schema_version) {
            (Some(_), _) if !node.reachable => self.because(Reason::NodeUnreachable, None, "it cannot be reached"),
            (Some(_), _) => self.because(Reason::NodeFailing, None, "it does not answer"),
            _ if node.installed == Some(false) => {
                self.because(Reason::NotInstalled, None, "dbmail-mesh is not installed there");
            }
            // A newer one may let older programs go on: then it was asked.
            (_, Some(version)) if version < expected || (version > expected && !node.is_known()) => {
                let text = format!("its schema is at version {version}, and this program works with {expected}");
                self.because(Reason::SchemaVersion, None, text);
            }
            _ if !node.is_known() => self.because(Reason::NodeFailing, None, "it did not answer everything"),
            _ => {}
        }
        self.reasons.is_empty()
    }

    /// Of the node by itself.
    fn membership(&mut self) {
        let Self { status, node, .. } = *self;
        if node.installed_id != Some(node.id) || node.installed_stride != Some(status.stride) {
            self.because(Reason::SettingsDiffer, None, "it was installed with another id or stride");
        }
        if let Some(reason) = &node.out_reason {
            self.because(Reason::NotAdmitted, None, format!("it is out of the mesh: {reason}"));
        } else if node.mesh_id.is_none() && !self.links.is_empty() {
            // A mesh of one has nobody to be admitted by.
            self.because(Reason::NotAdmitted, None, "it belongs to no mesh yet");
        }
        if node.worker_active != Some(true) {
            self.because(Reason::NoWorker, None, "no worker is at work for it");
        }
        if node.paused.is_some() {
            self.because(Reason::Paused, None, "it is paused");
        }
    }

    fn sources(&mut self) {
        let agrees = self.links.iter().any(|link| !self.is_silent(link) && link.state != LinkState::Refused);
        for link in self.links.clone() {
            self.source(link, agrees);
        }
        if !self.links.is_empty()
            && self.reasons.is_empty()
            && !self.links.iter().any(|link| is_filled(link) || self.joins(link))
        {
            self.because(Reason::Empty, None, "it has taken over all mail from nobody yet");
        }
    }

    /// One link. `agrees`: with another source that can be asked nothing was refused.
    fn source(&mut self, link: &LinkStatus, agrees: bool) {
        let source = link.source.as_str();
        if self.is_silent(link) {
            return self.ignoring(Reason::SourceSilent, source, "the source cannot be asked");
        }
        // Whoever paused it knows that the others lack what it has; were none of them ready for that, no client would have a node.
        if self.node_of(link).is_some_and(|other| other.paused.is_some()) {
            return self.ignoring(Reason::SourcePaused, source, "the source is paused");
        }
        let is_member = |other: &NodeStatus| other.mesh_id.is_some() && other.mesh_id == self.node.mesh_id;
        if self.node.dismissed.contains(&link.source_id) || !self.node_of(link).is_some_and(is_member) {
            return self.ignoring(Reason::SourceNotMember, source, "the source is not a member of this mesh");
        }
        match link.state {
            LinkState::NotBegun => return self.because(Reason::LinkNotBegun, Some(source), "the link has not begun"),
            // Where only one is refused, it is that one which cannot be had.
            LinkState::Refused if agrees => return self.ignoring(Reason::LinkRefused, source, "the link was refused"),
            LinkState::Refused => return self.because(Reason::LinkRefused, Some(source), "the link was refused"),
            _ => {}
        }
        if let Some(stage) = &link.copy_stage {
            let text = format!("first copy is at {stage}");
            // One that is being filled itself has nothing that this node waits for.
            let is_new = self.is_being_filled(source) && self.links.iter().any(|other| is_filled(other));
            if is_new || self.joins(link) {
                return self.ignoring(Reason::FirstCopy, source, text);
            }
            return self.because(Reason::FirstCopy, Some(source), text);
        }
        self.lag(link);
        self.modseq(link);
    }

    fn lag(&mut self, link: &LinkStatus) {
        let source = Some(link.source.as_str());
        match (link.changes_waiting, link.oldest_change_seconds) {
            (Some(changes), Some(seconds)) if seconds > self.max_lag.as_secs_f64() => {
                self.because(
                    Reason::Lag,
                    source,
                    format!("changes that wait: {changes}, the first for {seconds:.0} s"),
                );
            }
            (Some(_), Some(_)) => {}
            _ => self.because(Reason::LagUnknown, source, "the lag is not known"),
        }
    }

    fn modseq(&mut self, link: &LinkStatus) {
        let source = link.source.as_str();
        let unread = link.oldest_modseq_seconds.unwrap_or_default();
        if unread > (self.max_lag + MODSEQ_GRACE).as_secs_f64() {
            let text = format!("HIGHESTMODSEQs have not been read for {unread:.0} s");
            self.because(Reason::Modseq, Some(source), text);
        }
        let behind = link.behind_seconds.unwrap_or_default();
        if behind > self.max_lag.as_secs_f64() {
            let text = format!("HIGHESTMODSEQs wait to be taken over, the first for {behind:.0} s");
            // What the source has from a node that is gone may come only when that one is back.
            if self.silent() > 0 {
                self.ignoring(Reason::Modseq, source, text);
            } else {
                self.because(Reason::Modseq, Some(source), text);
            }
        }
    }

    fn late(&mut self) {
        let (Some(count), Some(seconds)) = (self.node.late_messages, self.node.late_longest_seconds) else { return };
        if seconds > (self.max_lag + SETTLE_GRACE).as_secs_f64() {
            let text = format!("late messages that wait for a new UID: {count}, the first for {seconds:.0} s");
            self.because(Reason::Late, None, text);
        }
    }

    /// Everything else was joined, and the rows are tried again: to send clients elsewhere would help nobody for long.
    fn set_aside(&mut self) {
        let Some(count) = self.node.set_aside_rows.filter(|count| *count > 0) else { return };
        let text = format!("rows that could not be joined, and are tried again: {count}");
        self.ignored.push(Remark { code: Reason::SetAside, source: None, text });
    }

    /// They are looked after again each minute, until all nodes but the one that is gone could be asked.
    fn moved_readers(&mut self) {
        let Some(count) = self.node.readers_waiting.filter(|count| *count > 0) else { return };
        let text = format!("readers who came from a node that is gone, and whose messages are looked through: {count}");
        let remark = Remark { code: Reason::MovedReader, source: None, text };
        if self.silent() > 1 { self.ignored.push(remark) } else { self.reasons.push(remark) }
    }

    fn node_of(&self, link: &LinkStatus) -> Option<&NodeStatus> {
        self.status.nodes.iter().find(|node| node.id == link.source_id)
    }

    /// Whether the source cannot be asked, for whatever reason.
    fn is_silent(&self, link: &LinkStatus) -> bool {
        self.node_of(link).is_none_or(|node| !node.is_known() || node.error.is_some())
    }

    /// How many sources are.
    fn silent(&self) -> usize {
        self.links.iter().filter(|link| self.is_silent(link)).count()
    }

    /// Whether a first copy from the source goes on only because the source joins this node: it is being filled from here, it began later,
    /// and it was empty then or comes back. Of two nodes it can be said of one only, for each began after the other then; of two that both
    /// came with mail of their own it is said of none.
    fn joins(&self, link: &LinkStatus) -> bool {
        let filled_from_here = |back: &&LinkStatus| {
            back.target_id == link.source_id && back.source_id == self.node.id && back.copy_stage.is_some()
        };
        self.status.links.iter().any(|back| filled_from_here(&back))
            && self.node_of(link).is_some_and(|source| {
                source.came_with_mail == Some(false)
                    && self.node.began_at.is_some()
                    && source.began_at > self.node.began_at
            })
    }

    fn is_being_filled(&self, name: &str) -> bool {
        self.status.links.iter().any(|link| link.target == name && link.copy_stage.is_some())
    }
}

/// Whether all that the source had at the beginning was taken over.
fn is_filled(link: &LinkStatus) -> bool {
    link.state != LinkState::NotBegun && link.state != LinkState::Unknown && link.copy_stage.is_none()
}

#[cfg(test)]
mod tests;
