//! What a comparison has found: the contract of `--json`, which docs/verify.md documents.

use std::collections::BTreeMap;

use serde::Serialize;

/// So many differences are listed; all are counted, and mended.
pub const SHOWN_MAX: usize = 1_000;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The nodes that were to be compared, in the settings' order.
    pub nodes: Vec<NodeReport>,
    /// How many differences there are.
    pub differences_total: usize,
    /// How many of each kind.
    pub differences_by_kind: BTreeMap<String, usize>,
    /// The first of them, up to [`SHOWN_MAX`].
    pub differences: Vec<Difference>,
    /// How much is under way and can be neither called equal nor different.
    pub in_flight_total: usize,
    /// The first of it, up to [`SHOWN_MAX`].
    pub in_flight: Vec<InFlight>,
    /// What the repair did; `None`: none was asked for.
    pub repair: Option<RepairReport>,
    /// How long all this took.
    pub seconds: f64,
}

/// One node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeReport {
    /// Its name in the settings.
    pub name: String,
    /// Its number.
    pub id: i16,
    /// Whether it was compared.
    pub compared: bool,
    /// Why not.
    pub error: Option<String>,
    /// Its mailboxes in the scope.
    pub mailboxes: Option<i64>,
    /// Its visible messages in the scope.
    pub messages: Option<i64>,
}

/// One difference.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Difference {
    /// `message`, `mailbox`, `user`, or the kind of an entry.
    pub kind: String,
    /// A message's birth UID, a mailbox's id, a user's account, an entry's key.
    pub key: String,
    /// Owner of the mailbox, where it is about one.
    pub owner: Option<String>,
    /// Name of the mailbox.
    pub mailbox: Option<String>,
    /// What differs: `missing`, or names of values.
    pub what: Vec<String>,
    /// What each node has.
    pub nodes: Vec<OnNode>,
    /// Of a repair: `mended`, `in_flight` (marked, and on its way) or `not_mended`.
    pub repair: Option<&'static str>,
    /// What a person can do, where the join mends nothing.
    pub advice: Option<&'static str>,
}

/// What a node has of something that differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OnNode {
    /// Its name.
    pub node: String,
    /// `here`, `missing`, `dead` or `waiting`.
    pub state: &'static str,
    /// Its values; credentials are not told.
    pub values: BTreeMap<String, String>,
}

/// Something that is under way.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InFlight {
    /// As of a difference.
    pub kind: String,
    /// As of a difference.
    pub key: String,
    /// What keeps it from being judged.
    pub reason: String,
}

/// What a repair did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RepairReport {
    /// Differences that were marked for shipping.
    pub marked: usize,
    /// Those that are none any more.
    pub mended: usize,
    /// Those that are on their way.
    pub in_flight: usize,
    /// Those that are left.
    pub not_mended: usize,
}

impl Report {
    /// Whether differences are left.
    pub fn differs(&self) -> bool {
        match &self.repair {
            Some(repair) => repair.mended < self.differences_total,
            None => self.differences_total > 0,
        }
    }
}
