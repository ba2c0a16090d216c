//! What a node has.

use std::collections::{BTreeMap, BTreeSet};

use super::exchange::{Change, Cursor};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Stride, Uid};
use crate::domain::register::Register;
use crate::domain::reported::{Line, Readers, Time};
use crate::domain::rule::{FIRST_HIDDEN_ROW, Held, RowId};

/// A sequence stays at most so many steps behind the UIDs that come from elsewhere.
const STEPS_BEHIND_MAX: i64 = 1000;

/// A mailbox on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox {
    /// Its lines.
    pub line: Line,
    /// Until when its owner may be reading it.
    pub owner: Readers,
    /// Whether others than the owner may read it.
    pub shared: bool,
    /// What a client is shown now.
    pub visible: BTreeMap<Uid, BirthUid>,
    /// The late messages that belong into it, each with the time since when.
    pub late: BTreeMap<BirthUid, Time>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            line: Line::default(),
            owner: Readers::Never,
            shared: false,
            visible: BTreeMap::new(),
            late: BTreeMap::new(),
        }
    }
}

impl Mailbox {
    /// Until when somebody may be reading it.
    pub fn readers(&self) -> Readers {
        if self.shared { Readers::Always } else { self.owner }
    }

    /// The highest UID that a client may have been told of.
    pub fn reported(&self, now: Time) -> Uid {
        self.line.reported(self.readers(), now)
    }
}

/// A message on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stored {
    /// Its row and UID.
    pub held: Held,
    /// The UID; of a dead one, the one that it died with.
    pub uid: Uid,
    /// The mailbox in which its row is, while clients are shown it: another one than it belongs into while it waits.
    pub row_mailbox: Option<MailboxId>,
    /// The mailbox that it belongs into.
    pub place: Register<MailboxId>,
    /// \Seen.
    pub seen: Register<bool>,
    /// The numbers that it was given after its birth, as far as the node knows.
    pub numbers: BTreeSet<Uid>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Which one.
    pub id: NodeId,
    /// The step of its sequence.
    pub stride: Stride,
    /// The number that it drew last.
    pub sequence: Uid,
    /// Its mailboxes.
    pub mailboxes: BTreeMap<MailboxId, Mailbox>,
    /// All messages of which it knows, the dead ones too.
    pub messages: BTreeMap<BirthUid, Stored>,
    /// What has changed, in the order of time; append only.
    pub outbox: Vec<Change>,
    /// How far it has read the outbox of each other node.
    pub cursors: BTreeMap<NodeId, Cursor>,
    /// How far each other node has said that it has read this one's outbox.
    pub acknowledged: BTreeMap<NodeId, Cursor>,
    /// The numbers that it has set aside for settlements.
    pub reservations: BTreeSet<Uid>,
}

impl Node {
    /// An empty node that has these mailboxes.
    pub fn new(id: NodeId, stride: Stride, mailboxes: impl IntoIterator<Item = MailboxId>) -> Self {
        Self {
            id,
            stride,
            sequence: Uid(i64::from(id.0) - i64::from(stride.0)),
            mailboxes: mailboxes.into_iter().map(|mailbox| (mailbox, Mailbox::default())).collect(),
            messages: BTreeMap::new(),
            outbox: Vec::new(),
            cursors: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            reservations: BTreeSet::new(),
        }
    }

    /// The next number of this node's class above `above`, and above all that it drew before (`dbmail_mesh.next_uid`).
    pub(super) fn draw(&mut self, above: Uid) -> Uid {
        let step = i64::from(self.stride.0);
        let missing = (above.0 - self.sequence.0).max(0) / step;
        self.sequence = Uid(self.sequence.0 + (missing + 1) * step);
        self.sequence
    }

    /// Moves the sequence towards a UID that came from elsewhere (`dbmail_mesh.keep_up`).
    pub fn keep_up(&mut self, uid: Uid) {
        let below = Uid(uid.0 - STEPS_BEHIND_MAX * i64::from(self.stride.0));
        // A sequence from which nothing was drawn says that its first number was (`last_value`).
        let last = self.sequence.max(Uid(i64::from(self.id.0)));
        if last < below {
            self.draw(below);
        }
    }

    /// The row of a message while no client is shown it.
    pub(super) fn hidden_row(birth: BirthUid) -> RowId {
        RowId(FIRST_HIDDEN_ROW + birth.0)
    }

    /// A row becomes visible, or shows another number: the line follows.
    pub(super) fn show(&mut self, mailbox: MailboxId, uid: Uid, now: Time) {
        let mailbox = self.mailboxes.entry(mailbox).or_default();
        mailbox.line = mailbox.line.showing(uid, mailbox.readers(), now);
    }

    /// Writes a message, and keeps what is visible and what is late in step with it. The line is the caller's.
    pub fn put(&mut self, birth: BirthUid, stored: Stored, now: Time) {
        let before = self.remove(birth);
        if let Some((row, mailbox)) = visible_row(&stored) {
            self.mailboxes.entry(mailbox).or_default().visible.insert(row, birth);
        }
        if is_late(stored.held) {
            let late = &mut self.mailboxes.entry(stored.place.value).or_default().late;
            late.insert(birth, before.unwrap_or(now));
        }
        self.messages.insert(birth, stored);
    }

    /// Forgets a message; returns since when it was late.
    pub fn remove(&mut self, birth: BirthUid) -> Option<Time> {
        let stored = self.messages.remove(&birth)?;
        if let Some((row, mailbox)) = visible_row(&stored) {
            self.mailboxes.entry(mailbox).or_default().visible.remove(&row);
        }
        self.mailboxes.entry(stored.place.value).or_default().late.remove(&birth)
    }

    /// Notes that a message has changed: here, or on `origin`.
    pub(super) fn note(&mut self, birth: BirthUid, origin: Option<NodeId>) {
        self.outbox.push(Change { birth, origin });
    }
}

/// The number and the mailbox under which clients are shown a message.
fn visible_row(stored: &Stored) -> Option<(Uid, MailboxId)> {
    let row = stored.held.row().filter(|row| row.0 < FIRST_HIDDEN_ROW)?;
    Some((Uid(row.0), stored.row_mailbox?))
}

fn is_late(held: Held) -> bool {
    matches!(held, Held::Waiting { .. } | Held::Hidden { .. })
}
