//! The rule: what a node does with the state of a message that reaches it.

use super::ids::{BirthUid, Uid};

/// The number of a row of `dbmail_messages` (`message_idnr`): the message's UID while it is visible, a number above 2^48 while it
/// is hidden in the staging mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// Rows from here on are in the staging mailbox; no client is ever shown them. The same number is in the SQL. Numbers run on above the last
/// UID, since an error would lose mail; they never get here: at a thousand a second that takes 8,900 years.
pub const FIRST_HIDDEN_ROW: i64 = 1 << 48;

/// What a node has of a message. A message that it has never seen is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incoming {
    /// Which message.
    pub birth: BirthUid,
    /// Its UID.
    pub uid: Uid,
    /// Whether it was expunged.
    pub dead: bool,
}

/// Where the message belongs on this node, after both sides' mailbox registers were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mailbox's reported line; `None`: there is no place for it any more (its owner was deleted), so it is kept aside.
    pub reported: Option<Uid>,
    /// Whether that is another mailbox than the one it is in here.
    pub changes: bool,
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
    /// A row gets a new number, or a new mailbox: a visible message is renumbered or moved, or a hidden one becomes visible.
    Move {
        /// The row.
        row: RowId,
        /// The UID that dies.
        from: Uid,
        /// The UID that the message has from now on.
        to: Uid,
    },
    /// A stored message waits for a new UID, because `uid` cannot be shown; one that is visible stays where it is meanwhile.
    Wait {
        /// The row, which stays as it is.
        row: RowId,
        /// The UID that cannot be shown.
        uid: Uid,
    },
    /// A visible message has no place any more: it is kept aside, where no client sees it.
    Stow {
        /// Its row.
        row: RowId,
        /// Its UID.
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

impl Action {
    /// The row that is here already and that it is about.
    pub fn row(self) -> Option<RowId> {
        match self {
            Self::Move { row, .. } | Self::Wait { row, .. } | Self::Stow { row, .. } => Some(row),
            Self::Kill { row, .. } => row,
            Self::Take { .. } | Self::Hide { .. } => None,
        }
    }
}

/// Whether a message with this UID may become visible in a mailbox whose reported line is `reported` (guarantee B).
pub fn may_show(uid: Uid, reported: Uid) -> bool {
    uid > reported
}

/// Joins the state of a message into what a node holds: the UID is the maximum, death is final. `None`: nothing is to be written.
pub fn decide(held: Option<Held>, incoming: &Incoming, place: Place) -> Option<Action> {
    let uid = held.and_then(Held::uid).map_or(incoming.uid, |held| held.max(incoming.uid));
    match held {
        Some(Held::Dead) => None,
        held if incoming.dead => Some(Action::Kill { row: held.and_then(Held::row), uid }),
        None => Some(match place.reported {
            Some(reported) if may_show(uid, reported) => Action::Take { uid },
            _ => Action::Hide { uid },
        }),
        Some(held) if held.uid() == Some(uid) && !place.changes => None,
        Some(held) => raise(held, uid, place.reported),
    }
}

fn raise(held: Held, to: Uid, reported: Option<Uid>) -> Option<Action> {
    let (row, from, hidden) = match held {
        Held::Visible { uid } => (RowId(uid.0), uid, false),
        Held::Waiting { row, .. } => (row, Uid(row.0), false),
        Held::Hidden { uid, row } => (row, uid, true),
        Held::Dead => return None,
    };
    Some(match reported {
        Some(reported) if may_show(to, reported) => Action::Move { row, from, to },
        None if !hidden => Action::Stow { row, uid: to },
        _ => Action::Wait { row, uid: to },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: RowId = RowId(1 << 48);

    fn alive(uid: i64) -> Incoming {
        Incoming { birth: BirthUid(6), uid: Uid(uid), dead: false }
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
            let place = Place { reported: Some(Uid(reported)), changes: false };
            assert_eq!(decide(held, &incoming, place), expected, "{held:?} {incoming:?} {reported}");
        }
    }

    /// The same where the mailbox is another one on the other side, or none is left.
    #[test]
    fn the_rule_for_messages_that_move_as_a_table() {
        let visible = Some(Held::Visible { uid: Uid(6) });
        let waiting = Some(Held::Waiting { uid: Uid(9), row: RowId(6) });
        let hidden = Some(Held::Hidden { uid: Uid(6), row: HIDDEN });
        let to = |reported| Place { reported: Some(Uid(reported)), changes: true };
        let nowhere = |changes| Place { reported: None, changes };
        for (held, incoming, place, expected) in [
            (visible, alive(6), to(5), Some(Action::Move { row: RowId(6), from: Uid(6), to: Uid(6) })),
            (visible, alive(6), to(6), Some(Action::Wait { row: RowId(6), uid: Uid(6) })),
            (visible, alive(9), to(8), Some(Action::Move { row: RowId(6), from: Uid(6), to: Uid(9) })),
            (visible, alive(4), to(8), Some(Action::Wait { row: RowId(6), uid: Uid(6) })),
            (visible, dead(6), to(5), Some(Action::Kill { row: Some(RowId(6)), uid: Uid(6) })),
            (waiting, alive(6), to(8), Some(Action::Move { row: RowId(6), from: Uid(6), to: Uid(9) })),
            (waiting, alive(6), to(9), Some(Action::Wait { row: RowId(6), uid: Uid(9) })),
            (hidden, alive(6), to(5), Some(Action::Move { row: HIDDEN, from: Uid(6), to: Uid(6) })),
            (hidden, alive(6), to(7), Some(Action::Wait { row: HIDDEN, uid: Uid(6) })),
            (None, alive(6), nowhere(false), Some(Action::Hide { uid: Uid(6) })),
            (visible, alive(6), nowhere(true), Some(Action::Stow { row: RowId(6), uid: Uid(6) })),
            (hidden, alive(9), nowhere(true), Some(Action::Wait { row: HIDDEN, uid: Uid(9) })),
            (visible, alive(6), nowhere(false), None),
            (Some(Held::Dead), alive(9), to(0), None),
        ] {
            assert_eq!(decide(held, &incoming, place), expected, "{held:?} {incoming:?} {place:?}");
        }
    }
}
