//! How the nodes and the links between them are doing, asked from all nodes at once.
//!
//! A node answers for itself and for the links into it; how much a link has still to take over only its source can tell, from
//! the position that the target has stored. Nothing here fails: what could not be asked is a field that is empty, with the reason
//! beside it. What is wrong with all this is judged by [`check`].

pub mod check;
pub mod clocks;
pub mod numbers;
pub mod reader;
mod reading;
pub mod ready;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Endpoint;
use super::pause::Pause;
use crate::domain::budget::{History, PHYSMESSAGE_ID_LAST, UID_LAST};
use crate::domain::ids::Stride;
use numbers::SpaceStatus;
use reader::Reader;

/// A node to ask.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The node.
    pub endpoint: Endpoint,
    /// Where it is, without a password.
    pub address: String,
    /// Whether it and the links into it are to be shown; the others are asked as sources only.
    pub selected: bool,
}

/// What the nodes answered.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// When they were asked, by this machine's clock.
    pub read_at: Timestamp,
    /// The largest difference between the clocks of two nodes; `None` unless two answered.
    pub clock_skew_seconds: Option<f64>,
    /// The stride of the settings.
    pub stride: i16,
    /// The schema version that this program works with.
    pub schema_version_expected: i32,
    /// The selected nodes, in the settings' order.
    pub nodes: Vec<NodeStatus>,
    /// The links into them, by target and source in the settings' order.
    pub links: Vec<LinkStatus>,
}

impl Status {
    /// Whether `node` is shown itself with what keeps it from answering, so that its links need not repeat it.
    pub fn tells_of(&self, node: &str) -> bool {
        self.nodes.iter().any(|other| other.name == node && !other.is_known())
    }
}

/// One node. Everything behind `error` is `None` when it is not known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeStatus {
    /// Its name in the settings.
    pub name: String,
    /// Its number in the settings.
    pub id: i16,
    /// Where it is, without a password.
    pub address: String,
    /// Whether it can be connected to.
    pub reachable: bool,
    /// Whether dbmail-mesh is installed there; `None` when that is not known.
    pub installed: Option<bool>,
    /// Why it could not be asked.
    pub error: Option<String>,
    /// When it was asked, by its own clock.
    pub asked_at: Option<Timestamp>,
    /// How far its clock is ahead of this machine's: seconds, negative if it is behind.
    pub clock_offset_seconds: Option<f64>,
    /// By how much that may be wrong: half the time that the question took.
    pub clock_error_seconds: Option<f64>,
    /// The last migration that was run there.
    pub schema_version: Option<i32>,
    /// The number that it was installed with.
    pub installed_id: Option<i16>,
    /// The stride that it was installed with.
    pub installed_stride: Option<i16>,
    /// The mesh that it was admitted to.
    pub mesh_id: Option<String>,
    /// Why it stays out of the mesh until it joins again; `None` if it does not.
    pub out_reason: Option<String>,
    /// Peers that were taken out of the mesh, by what it knows.
    #[serde(skip)]
    pub dismissed: Vec<i16>,
    /// When it was installed, or joined anew.
    #[serde(skip)]
    pub began_at: Option<Timestamp>,
    /// Whether it was installed where mail was already, and has not joined anew.
    #[serde(skip)]
    pub came_with_mail: Option<bool>,
    /// Whether a worker drives the links into it: somebody holds the lock for that.
    pub worker_active: Option<bool>,
    /// Since when: its term began then.
    pub worker_since: Option<Timestamp>,
    /// Which one: its host and process id.
    pub worker_name: Option<String>,
    /// The last term that a worker has begun there; it only grows.
    pub worker_term: Option<i64>,
    /// Messages that wait there for a new UID.
    pub late_messages: Option<i64>,
    /// Seconds that the first of them has been waiting; 0 without any.
    pub late_longest_seconds: Option<f64>,
    /// Rows of the renumber log.
    pub renumbers_total: Option<i64>,
    /// Those of the last hour, counted up to 100,000.
    pub renumbers_last_hour: Option<i64>,
    /// Rows of the outbox, those that peers have applied included.
    pub outbox_rows: Option<i64>,
    /// What the outbox takes on disk, indexes included.
    pub outbox_bytes: Option<i64>,
    /// Rows of sources that could not be joined.
    pub set_aside_rows: Option<i64>,
    /// Seconds since the first of them was tried first; 0 without any.
    pub set_aside_oldest_seconds: Option<f64>,
    /// Users who came from a node that is gone, and whose messages could not all be looked through yet.
    pub readers_waiting: Option<i64>,
    /// Mailboxes that were merged into another of the same name.
    pub mailboxes_merged: Option<i64>,
    /// Mailboxes that got another name, because two had one.
    pub mailboxes_displaced: Option<i64>,
    /// Users that are called otherwise now, because two had one name.
    pub accounts_displaced: Option<i64>,
    /// Messages of deleted users that are kept aside (`dbmail_mesh.kept_messages`).
    pub kept_messages: Option<i64>,
    /// UIDs that it has reserved for late messages, used ones included.
    pub numbers_reserved: Option<i64>,
    /// The highest UID in use there.
    pub uid_highest: Option<i64>,
    /// The same in percent of the UID space, which ends at [`UID_LAST`].
    pub uid_used_percent: Option<f64>,
    /// The highest `dbmail_physmessage.id`.
    pub physmessage_id_highest: Option<i64>,
    /// The same in percent of what dbmail can handle, up to [`PHYSMESSAGE_ID_LAST`].
    pub physmessage_id_used_percent: Option<f64>,
    /// How far the numbers of each space are used up, and when they end: UIDs, physmessage ids, mailbox ids.
    pub numbers: Option<Vec<SpaceStatus>>,
    /// What [`NodeStatus::numbers`] is made of.
    #[serde(skip)]
    pub history: Option<History>,
    /// Whether somebody has paused it, with all links into it and out of it.
    pub paused: Option<Pause>,
    /// What keeps dbmail-mesh from numbering or capturing there, a sentence each.
    pub trigger_faults: Option<Vec<String>>,
}

impl NodeStatus {
    /// Whether it answered everything.
    pub fn is_known(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Takes over what changes slowly, and costs much to count, from an `earlier` answer of the node.
    pub fn take_totals(&mut self, earlier: &Self) {
        if !self.is_known() {
            return;
        }
        self.renumbers_total = earlier.renumbers_total;
        self.renumbers_last_hour = earlier.renumbers_last_hour;
        self.outbox_rows = earlier.outbox_rows;
        self.outbox_bytes = earlier.outbox_bytes;
        self.kept_messages = earlier.kept_messages;
        self.numbers_reserved = earlier.numbers_reserved;
        self.mailboxes_merged = earlier.mailboxes_merged;
        self.mailboxes_displaced = earlier.mailboxes_displaced;
        self.accounts_displaced = earlier.accounts_displaced;
        self.uid_highest = earlier.uid_highest;
        self.uid_used_percent = earlier.uid_used_percent;
        self.physmessage_id_highest = earlier.physmessage_id_highest;
        self.physmessage_id_used_percent = earlier.physmessage_id_used_percent;
        self.numbers.clone_from(&earlier.numbers);
        self.history.clone_from(&earlier.history);
        self.trigger_faults.clone_from(&earlier.trigger_faults);
    }
}

/// One link: from a source into a selected target.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkStatus {
    /// The source's name.
    pub source: String,
    /// Its number.
    pub source_id: i16,
    /// The target's name.
    pub target: String,
    /// Its number.
    pub target_id: i16,
    /// In one word.
    pub state: LinkState,
    /// Since when, by the target's clock.
    pub since: Option<Timestamp>,
    /// Whether somebody has paused it, or one of its nodes.
    pub paused: Option<Pause>,
    /// Changes to messages on the source that the target has not applied; without those that a first copy will bring.
    pub lag_messages: Option<i64>,
    /// Seconds that the first of them has been waiting, by the source's clock; 0 without any.
    pub lag_seconds: Option<f64>,
    /// Changes of any kind on the source that the target has not applied, but for HIGHESTMODSEQs.
    pub changes_waiting: Option<i64>,
    /// When the first of them was made, by the source's clock; `None` without any.
    pub oldest_change_at: Option<Timestamp>,
    /// Seconds since then; 0 without any.
    pub oldest_change_seconds: Option<f64>,
    /// Seconds that the first HIGHESTMODSEQ has been waiting to be read; 0 without any.
    pub oldest_modseq_seconds: Option<f64>,
    /// Since when HIGHESTMODSEQs of the source that were read wait to be taken over; `None` when none does.
    pub behind_since: Option<Timestamp>,
    /// Seconds since then.
    pub behind_seconds: Option<f64>,
    /// Numbers of third nodes that the target does not hear of: what they gave to the source it takes over from there.
    pub relays: Vec<i16>,
    /// Why the lag of a link that has begun is not known.
    pub lag_error: Option<String>,
    /// What a first copy is at: `users`, `mailboxes`, `messages`, `tombstones`; `None` when none is under way.
    pub copy_stage: Option<String>,
    /// The last key of it that is applied.
    pub copy_position: Option<i64>,
    /// When something was applied last, by the target's clock; when the link began, if nothing was.
    pub applied_at: Option<Timestamp>,
    /// Rows of the source that could not be joined.
    pub set_aside_rows: Option<i64>,
    /// The last error since the link was last current.
    pub last_error: Option<String>,
    /// When that was, by the target's clock.
    pub last_error_at: Option<Timestamp>,
}

/// A link's state in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Its target could not be asked.
    #[default]
    Unknown,
    /// No worker has ever driven it.
    NotBegun,
    /// It has more to take over.
    Working,
    /// It had taken over everything when it was last heard of.
    Current,
    /// It is tried again and again.
    Failing,
    /// A person has to do something.
    Refused,
    /// Somebody has said that it is to stand still.
    Paused,
}

impl LinkState {
    /// The word, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotBegun => "not begun",
            Self::Working => "working",
            Self::Current => "current",
            Self::Failing => "failing",
            Self::Refused => "refused",
            Self::Paused => "paused",
        }
    }

    /// The state of a link whose target says `reported`, and has a cursor for it if it has `begun`. A link that has just begun
    /// has not been reported yet.
    fn of(reported: Option<&str>, begun: bool) -> Self {
        match reported {
            Some("current") => Self::Current,
            // One that was paused a moment ago is about to go on.
            Some("working" | "paused") => Self::Working,
            Some("failing") => Self::Failing,
            Some("refused") => Self::Refused,
            Some(_) => Self::Unknown,
            None if begun => Self::Working,
            None => Self::NotBegun,
        }
    }
}

impl Serialize for LinkState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_str().replace(' ', "_"))
    }
}

/// Asks all nodes at once. A node that does not answer costs some seconds, and nothing of the others' answers.
pub async fn read(nodes: &[Asked], stride: Stride, schema_version_expected: i32) -> Status {
    Reader::new(nodes.to_vec(), stride, schema_version_expected).read().await
}

/// `part` of `whole` in percent, with two decimals: enough to see, and no noise.
fn percent(part: i64, whole: i64) -> f64 {
    (part as f64 / whole as f64 * 10_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_nobody_has_reported_yet_has_begun_or_not() {
        assert_eq!(LinkState::of(None, false), LinkState::NotBegun);
        assert_eq!(LinkState::of(None, true), LinkState::Working);
        assert_eq!(LinkState::of(Some("refused"), false), LinkState::Refused);
        assert_eq!(LinkState::of(Some("something new"), true), LinkState::Unknown);
        assert_eq!(serde_json::to_string(&LinkState::NotBegun).unwrap(), "\"not_begun\"");
    }

    #[test]
    fn percentages_have_two_decimals() {
        assert_eq!(percent(UID_LAST, UID_LAST), 100.0);
        assert_eq!(percent(1, 3), 33.33);
        assert_eq!(percent(0, PHYSMESSAGE_ID_LAST), 0.0);
    }
}
