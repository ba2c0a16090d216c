//! What the sessions of a test were told: the yardstick for guarantee E.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::standin::Mail;

/// What was acknowledged, noted by any number of tasks at once. Messages go by their `unique_id`.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

/// What a [`Ledger`] holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) deliveries: BTreeMap<String, Delivery>,
    pub(super) expunged: BTreeSet<String>,
    pub(super) doubtful: BTreeSet<String>,
    /// Owner and name of the mailboxes that were deleted.
    pub(super) deleted: BTreeSet<(String, String)>,
}

/// An acknowledged delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) userid: String,
    pub(super) mailbox: String,
    /// See [`Mail::digest`].
    pub(super) digest: String,
    /// Whether the mailbox was deleted after this was noted: the message may have gone with it.
    pub(super) deleted_since: bool,
}

impl Ledger {
    /// A delivery or APPEND of `mail` into the account's mailbox was acknowledged.
    pub fn delivered(&self, userid: &str, mailbox: &str, mail: &Mail) {
        let (userid, mailbox, digest) = (userid.to_owned(), mailbox.to_owned(), mail.digest());
        let delivery = Delivery { userid, mailbox, digest, deleted_since: false };
        self.entries().deliveries.insert(mail.unique_id.clone(), delivery);
    }

    /// An EXPUNGE that removed the message was acknowledged.
    pub fn expunged(&self, unique_id: &str) {
        self.entries().expunged.insert(unique_id.to_owned());
    }

    /// It is unknown whether the message is there: an operation on it ended with an error or was cut off. It may be
    /// visible or not, but not twice, and alike on every node.
    pub fn doubtful(&self, unique_id: &str) {
        self.entries().doubtful.insert(unique_id.to_owned());
    }

    /// A DELETE of the mailbox was acknowledged. What was delivered into it before may be gone; what comes later may
    /// be in INBOX instead, but not lost. A delivery that was under way meanwhile can be either: note it as
    /// [`doubtful`](Self::doubtful) as well.
    pub fn mailbox_deleted(&self, userid: &str, mailbox: &str) {
        let mut entries = self.entries();
        let its = |delivery: &&mut Delivery| delivery.userid == userid && delivery.mailbox == mailbox;
        for delivery in entries.deliveries.values_mut().filter(its) {
            delivery.deleted_since = true;
        }
        entries.deleted.insert((userid.to_owned(), mailbox.to_owned()));
    }

    /// How many deliveries were acknowledged.
    pub fn deliveries(&self) -> usize {
        self.entries().deliveries.len()
    }

    /// How many messages were expunged.
    pub fn expunges(&self) -> usize {
        self.entries().expunged.len()
    }

    /// The messages that must be visible in that mailbox.
    pub fn expected(&self, userid: &str, mailbox: &str) -> Vec<String> {
        let entries = self.entries();
        let its = |delivery: &Delivery| delivery.userid == userid && delivery.mailbox == mailbox;
        let expected =
            entries.deliveries.iter().filter(|(name, delivery)| its(delivery) && entries.must_be_there(name));
        expected.map(|(name, _)| name.clone()).collect()
    }

    /// All of it as it is now.
    pub(super) fn snapshot(&self) -> Entries {
        self.entries().clone()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Whether that message must be visible.
    pub(super) fn must_be_there(&self, unique_id: &str) -> bool {
        let certain = |delivery: &Delivery| !delivery.deleted_since;
        self.deliveries.get(unique_id).is_some_and(certain)
            && !self.expunged.contains(unique_id)
            && !self.doubtful.contains(unique_id)
    }

    /// Whether a delivery is allowed to be in that mailbox.
    pub(super) fn may_be_in(&self, delivery: &Delivery, userid: &str, mailbox: &str) -> bool {
        let rescued = || self.deleted.contains(&(delivery.userid.clone(), delivery.mailbox.clone()));
        delivery.userid == userid && (delivery.mailbox == mailbox || (mailbox == "INBOX" && rescued()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_there_is_what_nobody_took_away() {
        let ledger = Ledger::default();
        for name in ["kept", "expunged", "doubtful", "deleted"] {
            ledger.delivered("ann", if name == "deleted" { "Old" } else { "INBOX" }, &Mail::named(name));
        }
        ledger.expunged("expunged");
        ledger.doubtful("doubtful");
        ledger.mailbox_deleted("ann", "Old");
        ledger.delivered("ann", "Old", &Mail::named("late"));
        assert_eq!(ledger.expected("ann", "INBOX"), ["kept"]);
        assert_eq!(ledger.expected("ann", "Old"), ["late"]);
        let entries = ledger.snapshot();
        assert!(entries.may_be_in(&entries.deliveries["late"], "ann", "INBOX"));
        assert!(!entries.may_be_in(&entries.deliveries["kept"], "ann", "Old"));
        assert_eq!((ledger.deliveries(), ledger.expunges()), (5, 1));
    }
}
