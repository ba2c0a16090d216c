//! What dbmail and its clients do on a node.

use std::collections::BTreeSet;

use super::node::{Node, Stored};
use crate::domain::ids::{BirthUid, MailboxId, Uid};
use crate::domain::register::Register;
use crate::domain::reported::{Readers, Time};
use crate::domain::rule::Held;
use crate::domain::stamp::Stamp;

impl Node {
    /// dbmail delivers a message (`dbmail_mesh.number_message`).
    pub fn deliver(&mut self, mailbox: MailboxId, now: Time) -> BirthUid {
        let high = self.high(mailbox);
        let uid = self.draw(high);
        let birth = BirthUid(uid.0);
        let stored = Stored {
            held: Held::Visible { uid },
            uid,
            row_mailbox: Some(mailbox),
            place: Register { stamp: Stamp::NEVER, value: mailbox },
            seen: Register::default(),
            numbers: BTreeSet::new(),
        };
        self.put(birth, stored, now);
        self.show(mailbox, uid, now);
        self.note(birth, None);
        birth
    }

    /// The owner logs in, or there is another sign that he reads: he may be reading for `presence` (microseconds) from now on.
    pub fn login(&mut self, mailbox: MailboxId, now: Time, presence: i64) {
        let mailbox = self.mailboxes.entry(mailbox).or_default();
        let until = Readers::Until(Time(now.0.saturating_add(presence)));
        mailbox.owner = mailbox.owner.max(until);
    }

    /// Others than the owner get access, or lose it.
    pub fn set_shared(&mut self, mailbox: MailboxId, shared: bool, now: Time) {
        let mailbox = self.mailboxes.entry(mailbox).or_default();
        mailbox.line = mailbox.line.pinned(mailbox.readers(), now);
        mailbox.shared = shared;
    }

    /// The highest UID that was ever visible in a mailbox.
    pub fn high(&self, mailbox: MailboxId) -> Uid {
        self.mailboxes.get(&mailbox).map(|mailbox| mailbox.line.high).unwrap_or_default()
    }

    /// What a client is shown now, in the order of the UIDs.
    pub fn shown(&self, mailbox: MailboxId) -> impl Iterator<Item = (Uid, BirthUid)> + '_ {
        self.shown_above(mailbox, Uid(0))
    }

    /// What a client is shown that asks for what is above a UID.
    pub fn shown_above(&self, mailbox: MailboxId, above: Uid) -> impl Iterator<Item = (Uid, BirthUid)> + '_ {
        let visible = self.mailboxes.get(&mailbox).map(|mailbox| &mailbox.visible);
        visible
            .into_iter()
            .flat_map(move |visible| visible.range(Uid(above.0 + 1)..).map(|(&uid, &birth)| (uid, birth)))
    }

    /// The message that clients are shown under a UID.
    pub fn birth_of(&self, uid: Uid) -> Option<BirthUid> {
        self.mailboxes.values().find_map(|mailbox| mailbox.visible.get(&uid).copied())
    }

    /// A client expunges a message (`dbmail_mesh.capture_expunge`); `false`: there is none with this UID.
    pub fn expunge(&mut self, uid: Uid, now: Time) -> bool {
        self.change(uid, now, |_, stored| {
            stored.held = Held::Dead;
            // Its tombstone bears the number that its row has.
            stored.uid = uid;
            stored.row_mailbox = None;
        })
    }

    /// Somebody sets or clears \Seen; `false`: there is no message with this UID.
    pub fn set_seen(&mut self, uid: Uid, seen: bool, now: Time) -> bool {
        self.change(uid, now, |node, stored| {
            stored.seen = Register { stamp: stored.seen.stamp.next(now.0, node.id), value: seen };
        })
    }

    /// A row gets another mailbox (`dbmail_mesh.number_moved`): it keeps its UID where that is above all that was visible there, and gets a
    /// new one otherwise, or if it has been waiting for one. Returns the UID; `None`: there is no message with this UID, or it is there.
    pub fn move_to(&mut self, uid: Uid, mailbox: MailboxId, now: Time) -> Option<Uid> {
        let birth = self.birth_of(uid)?;
        let stored = self.messages.get(&birth)?.clone();
        if stored.row_mailbox == Some(mailbox) {
            return None;
        }
        let high = self.high(mailbox);
        let due = matches!(stored.held, Held::Waiting { .. });
        let chosen = if uid <= high || due { self.draw(high.max(stored.uid)) } else { uid };
        let stamp = stored.place.stamp.next(now.0, self.id);
        let mut moved = Stored {
            held: Held::Visible { uid: chosen },
            uid: chosen,
            row_mailbox: Some(mailbox),
            place: Register { stamp, value: mailbox },
            ..stored
        };
        if chosen != uid {
            moved.numbers.insert(chosen);
        }
        self.put(birth, moved, now);
        self.show(mailbox, chosen, now);
        self.note(birth, None);
        Some(chosen)
    }

    fn change(&mut self, uid: Uid, now: Time, change: impl FnOnce(&Self, &mut Stored)) -> bool {
        let Some(birth) = self.birth_of(uid) else { return false };
        let Some(mut stored) = self.messages.get(&birth).cloned() else { return false };
        change(self, &mut stored);
        self.put(birth, stored, now);
        self.note(birth, None);
        true
    }
}
