//! The rule: what a node does with the state of a message that reaches it.

use super::ids::{BirthUid, MailboxId, Uid};

/// The number of a row of `dbmail_messages` (`message_idnr`): the message's UID while it is visible, a number above 2^33 while it
/// is hidden in the staging mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// What a node has of a message. A message that it has never seen is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Visible under its UID.
    Visible {
        /// The UID, and number of its row.
        uid: Uid,
    },
    /// Visible under an old UID (the row's number) while a new one is needed: `uid` cannot be shown here.
    Waiting {
        /// The UID that cannot be shown.
        uid: Uid,
        /// The row.
        row: RowId,
    },
    /// Stored, but hidden: `uid` cannot be shown here.
    Hidden {
        /// The UID that cannot be shown.
        uid: Uid,
        /// The row in the staging mailbox.
        row: RowId,
    },
    /// Dead, for ever.
    Dead,
}

impl Held {
    /// The UID that the message has in this state; `None` for the dead.
    pub fn uid(self) -> Option<Uid> {
        match self {
            Self::Visible { uid } | Self::Waiting { uid, .. } | Self::Hidden { uid, .. } => Some(uid),
            Self::Dead => None,
        }
    }

    /// The row that holds it; `None` for the dead.
    pub fn row(self) -> Option<RowId> {
        match self {
            Self::Visible { uid } => Some(RowId(uid.0)),
            Self::Waiting { row, .. } | Self::Hidden { row, .. } => Some(row),
            Self::Dead => None,
        }
    }
}

/// The state of a message as another node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Which message.
    pub birth: BirthUid,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// Its UID.
    pub uid: Uid,
    /// Whether it was expunged.
    pub dead: bool,
}

/// What is to be written for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A new message becomes visible under `uid`.
    Take {
        /// Its UID.
        uid: Uid,
    },
    /// A new message is stored, but hidden: it is late.
    Hide {
        /// The UID that cannot be shown.
        uid: Uid,
    },
    /// A row gets a new number: a visible message is renumbered, or a hidden one becomes visible.
    Move {
        /// The row.
        row: RowId,
        /// The UID that dies.
        from: Uid,
        /// The UID that the message has from now on.
        to: Uid,
    },
    /// A stored message waits for a new UID, because `uid` cannot be shown.
    Wait {
        /// The row, which stays as it is.
        row: RowId,
        /// The UID that cannot be shown.
        uid: Uid,
    },
    /// The message dies.
    Kill {
        /// Its row, if there is one.
        row: Option<RowId>,
        /// The UID that dies.
        uid: Uid,
    },
}

/// Whether a message with this UID may become visible in a mailbox whose reported line is `reported` (guarantee B).
pub fn may_show(uid: Uid, reported: Uid) -> bool {
    uid > reported
}

/// Joins the state of a message into what a node holds: the UID is the maximum, death is final. `reported` is the mailbox's
/// reported line on this node. `None`: nothing is to be written.
pub fn decide(held: Option<Held>, incoming: &Incoming, reported: Uid) -> Option<Action> {
    let uid = incoming.uid;
    match held {
        Some(Held::Dead) => None,
        held if incoming.dead => Some(Action::Kill {
            row: held.and_then(Held::row),
            uid: held.and_then(Held::uid).map_or(uid, |held| held.max(uid)),
        }),
        None if may_show(uid, reported) => Some(Action::Take { uid }),
        None => Some(Action::Hide { uid }),
        Some(Held::Visible { uid: old }) => (uid > old).then(|| raise(RowId(old.0), old, uid, reported)),
        Some(Held::Waiting { uid: old, row }) => (uid > old).then(|| raise(row, Uid(row.0), uid, reported)),
        Some(Held::Hidden { uid: old, row }) => (uid > old).then(|| raise(row, old, uid, reported)),
    }
}

fn raise(row: RowId, from: Uid, to: Uid, reported: Uid) -> Action {
    if may_show(to, reported) { Action::Move { row, from, to } } else { Action::Wait { row, uid: to } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: RowId = RowId(1 << 33);

    fn alive(uid: i64) -> Incoming {
        Incoming { birth: BirthUid(6), mailbox: MailboxId(1), uid: Uid(uid), dead: false }
    }

    fn dead(uid: i64) -> Incoming {
        Incoming { dead: true, ..alive(uid) }
    }

    /// One event a line: what is held, what arrives, the reported line, what is done.
    #[test]
    fn the_rule_as_a_table() {
        let visible = |uid| Some(Held::Visible { uid: Uid(uid) });
        let hidden = |uid| Some(Held::Hidden { uid: Uid(uid), row: HIDDEN });
        let waiting = |uid, row| Some(Held::Waiting { uid: Uid(uid), row: RowId(row) });
        let row = |row| RowId(row);
        for (held, incoming, reported, expected) in [
            (None, alive(8), 7, Some(Action::Take { uid: Uid(8) })),
            (None, alive(6), 7, Some(Action::Hide { uid: Uid(6) })),
            (None, alive(7), 7, Some(Action::Hide { uid: Uid(7) })),
            (None, dead(6), 7, Some(Action::Kill { row: None, uid: Uid(6) })),
            (visible(6), alive(6), 7, None),
            (visible(9), alive(6), 9, None),
            (visible(6), alive(9), 8, Some(Action::Move { row: row(6), from: Uid(6), to: Uid(9) })),
            (visible(6), alive(9), 10, Some(Action::Wait { row: row(6), uid: Uid(9) })),
            (visible(6), dead(9), 10, Some(Action::Kill { row: Some(row(6)), uid: Uid(9) })),
            (waiting(9, 6), alive(9), 10, None),
            (waiting(9, 6), alive(11), 10, Some(Action::Move { row: row(6), from: Uid(6), to: Uid(11) })),
            (waiting(9, 6), alive(11), 12, Some(Action::Wait { row: row(6), uid: Uid(11) })),
            (hidden(6), alive(6), 7, None),
            (hidden(6), alive(9), 7, Some(Action::Move { row: HIDDEN, from: Uid(6), to: Uid(9) })),
            (hidden(6), alive(9), 9, Some(Action::Wait { row: HIDDEN, uid: Uid(9) })),
            (hidden(6), dead(6), 9, Some(Action::Kill { row: Some(HIDDEN), uid: Uid(6) })),
            (Some(Held::Dead), alive(9), 0, None),
            (Some(Held::Dead), dead(9), 0, None),
        ] {
            assert_eq!(decide(held, &incoming, Uid(reported)), expected, "{held:?} {incoming:?} {reported}");
        }
    }
}
