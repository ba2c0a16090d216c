//! Where a message belongs on a node: its mailbox register, joined, and led on where that mailbox is gone.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;

use super::ask;
use super::plan::{Found, View};
use crate::domain::ids::{MailboxId, Uid};
use crate::domain::register::Register;
use crate::domain::rule::Place;
use crate::domain::stamp::Stamp;
use crate::error::{Error, Kind, Result};

/// What a node says of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its messages belong into this one: itself, or the one that it was merged into.
    Into(MailboxId),
    /// It was deleted: what comes for it is rescued into the owner's INBOX.
    Rescue(MailboxId),
    /// It was deleted with its owner: what comes for it is kept aside.
    Aside,
    /// It is not known here.
    Unknown,
}

/// What a node says of mailboxes.
#[derive(Debug, Default)]
pub struct Verdicts(BTreeMap<MailboxId, Verdict>);

impl Verdicts {
    /// Asks the node; makes the INBOX that messages are rescued into, where it is missing.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn ask(client: &impl GenericClient, mailboxes: &BTreeSet<MailboxId>) -> Result<Self> {
        if mailboxes.is_empty() {
            return Ok(Self::default());
        }
        let ids: Vec<i64> = mailboxes.iter().map(|id| id.0).collect();
        let rows = ask::rows(client, include_str!("../../sql/target/places_of.sql"), &[&ids]).await?;
        Ok(Self(
            rows.iter()
                .map(|row| {
                    let place = row.get::<_, Option<i64>>("place").map(MailboxId);
                    let verdict = match (row.get::<_, i8>("verdict") as u8, place) {
                        (b'a' | b'm', Some(place)) => Verdict::Into(place),
                        (b'r', Some(place)) => Verdict::Rescue(place),
                        (b'k', _) => Verdict::Aside,
                        _ => Verdict::Unknown,
                    };
                    (MailboxId(row.get("id")), verdict)
                })
                .collect(),
        ))
    }

    fn of(&self, mailbox: MailboxId) -> Verdict {
        self.0.get(&mailbox).copied().unwrap_or(Verdict::Unknown)
    }

    /// The mailbox whose line has to be locked for messages of `mailbox`, if any; `None` when nothing is known of it.
    pub fn line(&self, mailbox: MailboxId) -> Option<Option<MailboxId>> {
        match self.of(mailbox) {
            Verdict::Into(line) | Verdict::Rescue(line) => Some(Some(line)),
            Verdict::Aside => Some(None),
            Verdict::Unknown => None,
        }
    }

    /// Where a message goes that is in `incoming` on its source, and that this node has as `held`. `None`: into a mailbox that is not
    /// known here.
    pub fn destination(&self, incoming: &Register<MailboxId>, held: Option<&Found>) -> Option<Destination> {
        let stays = held.is_some_and(|held| held.place.stamp >= incoming.stamp);
        let winner = held.filter(|_| stays).map_or(incoming, |held| &held.place);
        let (mailbox, rescued, aside) = match self.of(winner.value) {
            Verdict::Into(mailbox) => (mailbox, false, false),
            Verdict::Rescue(mailbox) => (mailbox, true, false),
            Verdict::Aside => (winner.value, false, true),
            Verdict::Unknown => return None,
        };
        let changes = held.is_some_and(|held| held.place.value != mailbox);
        let stamp = (!stays).then_some(winner.stamp);
        Some(Destination { mailbox, rescued, aside, changes, stamp })
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The mailbox; one that is gone when it is kept aside.
    pub mailbox: MailboxId,
    /// Whether that is a decision of this node, because the mailbox that everybody says is gone.
    pub rescued: bool,
    /// Whether it is kept aside.
    pub aside: bool,
    /// Whether it is another mailbox than it has here.
    pub changes: bool,
    /// The stamp that its register gets; `None`: it keeps the one that it has.
    pub stamp: Option<Stamp>,
}

impl Destination {
    /// The mailbox whose line has to be locked for it.
    pub fn line(&self) -> Option<MailboxId> {
        (!self.aside).then_some(self.mailbox)
    }

    /// The place, as seen under the locks.
    ///
    /// # Errors
    /// `Transient` when the mailbox is not among those that were locked: it, or the message, has moved since it was looked at.
    pub fn place(&self, view: &View) -> Result<Place> {
        let line = |mailbox: MailboxId| -> Result<Uid> {
            view.lines.get(&mailbox).map(|lines| lines.reported).ok_or_else(|| {
                Error::new(
                    Kind::Transient,
                    format!("mailbox {mailbox} is not what it was a moment ago; it is looked at again"),
                )
            })
        };
        Ok(Place { reported: self.line().map(line).transpose()?, changes: self.changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Uid;
    use crate::domain::marks::Marks;
    use crate::domain::modseq::Modseq;
    use crate::domain::rule::Held;

    fn at(stamp: i64, mailbox: i64) -> Register<MailboxId> {
        Register { stamp: Stamp(stamp), value: MailboxId(mailbox) }
    }

    fn found(place: Register<MailboxId>) -> Found {
        let row_mailbox = place.value;
        Found {
            held: Held::Visible { uid: Uid(6) },
            place,
            row_mailbox,
            marks: Marks::default(),
            modseq: Modseq::default(),
        }
    }

    /// 1 is INBOX, 2 a folder, 3 merged into 4, 5 deleted, 6 deleted with its owner.
    fn verdicts() -> Verdicts {
        let into = |id| Verdict::Into(MailboxId(id));
        Verdicts(
            [
                (1, into(1)),
                (2, into(2)),
                (3, into(4)),
                (4, into(4)),
                (5, Verdict::Rescue(MailboxId(1))),
                (6, Verdict::Aside),
            ]
            .map(|(id, verdict)| (MailboxId(id), verdict))
            .into(),
        )
    }

    /// What comes, what is held, where it goes, whether it is rescued, whether it changes.
    #[test]
    fn destinations_as_a_table() {
        for (incoming, held, mailbox, rescued, changes) in [
            (at(0, 2), None, 2, false, false),
            (at(0, 3), None, 4, false, false),
            (at(0, 5), None, 1, true, false),
            (at(0, 6), None, 6, false, false),
            (at(9, 2), Some(at(8, 1)), 2, false, true),
            (at(8, 2), Some(at(9, 1)), 1, false, false),
            (at(9, 2), Some(at(9, 1)), 1, false, false),
            (at(9, 5), Some(at(8, 2)), 1, true, true),
            (at(8, 2), Some(at(9, 3)), 4, false, true),
            (at(8, 5), Some(at(9, 1)), 1, false, false),
        ] {
            let held = held.map(found);
            let goes = verdicts().destination(&incoming, held.as_ref()).unwrap();
            assert_eq!(
                (goes.mailbox, goes.rescued, goes.changes),
                (MailboxId(mailbox), rescued, changes),
                "{incoming:?} {held:?}"
            );
        }
        assert_eq!(verdicts().destination(&at(0, 7), None), None);
        assert!(verdicts().destination(&at(0, 6), None).unwrap().aside);
    }
}
