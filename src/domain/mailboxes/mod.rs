//! Mailboxes: what a node knows of one, how two such states are joined, and what the names of several mean for one another.
//!
//! # Why all nodes end with the same
//!
//! Each register of a mailbox is a maximum by stamp, its fate a maximum too ([`Alive::join`] and [`Held::join`]). So nodes that have
//! exchanged all states hold the same of each mailbox by itself. Two that are alive with one name cannot both have a row with it:
//! the node that sees them decides ([`join`]), and writes what it decides as a change of its own, which goes round like any other. A
//! merge is final. A mailbox that is displaced gets a name that no other is ever given by displacement, with a stamp just after its old
//! one: a true rename wins over it, wherever it comes from and whenever it arrives. Nodes that see the same two decide the same,
//! and each decision takes a mailbox away or moves it on to a name that it never had, so an end is reached.

mod name;
mod resolve;
#[cfg(test)]
mod tests;

pub use name::{Key, NAME_MAX, displaced};
pub use resolve::{Change, Conflict, Outcome, Owners, contenders, join};

use std::collections::BTreeMap;

use super::ids::MailboxId;
use super::register::Register;

/// What a mailbox is called, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The account of its owner.
    pub owner: String,
    /// The name, without namespace.
    pub name: String,
    /// False: it was created with it.
    pub renamed: bool,
}

/// What is copied of a mailbox that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alive {
    /// Its name.
    pub name: Register<Name>,
    /// As in `dbmail_mailboxes`.
    pub no_select: Register<i16>,
    /// As in `dbmail_mailboxes`.
    pub permission: Register<i16>,
    /// `seen_flag`, `answered_flag`, `deleted_flag`, `flagged_flag`, `recent_flag`, `draft_flag`, `no_inferiors`, in this order.
    pub rest: Register<[i16; 7]>,
}

impl Alive {
    /// Joins each register with the other's.
    pub fn join(&mut self, other: &Self) {
        self.name.join(other.name.clone());
        self.no_select.join(other.no_select.clone());
        self.permission.join(other.permission.clone());
        self.rest.join(other.rest.clone());
    }

    /// The stamps of the registers, in the order of the fields.
    pub fn stamps(&self) -> [i64; 4] {
        [self.name.stamp.0, self.no_select.stamp.0, self.permission.stamp.0, self.rest.stamp.0]
    }

    /// Owner and name as they are compared with those of others.
    pub fn key(&self) -> Key {
        Key::of(&self.name.value.owner, &self.name.value.name)
    }
}

/// How a mailbox has ended. The greater is the later; no end is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Deleted.
    Deleted,
    /// Another of its name, with a higher id, has taken its place.
    MergedInto(MailboxId),
}

/// What a node tells of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is alive.
    Alive(Alive),
    /// It has ended.
    Ended(Fate),
}

/// What a node has of a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What its row has, if there is one. A mailbox that has ended keeps its row until its messages have been taken out.
    pub row: Option<Alive>,
    /// How it has ended.
    pub fate: Option<Fate>,
}

impl Held {
    /// The row of a mailbox that has not ended.
    pub fn alive(&self) -> Option<&Alive> {
        self.row.as_ref().filter(|_| self.fate.is_none())
    }

    /// Joins what another node tells. A mailbox that has ended takes nothing over any more.
    pub fn join(&mut self, other: &State) {
        match (other, &mut self.row) {
            (State::Ended(fate), _) => self.fate = self.fate.max(Some(*fate)),
            (State::Alive(_), _) if self.fate.is_some() => {}
            (State::Alive(alive), Some(row)) => row.join(alive),
            (State::Alive(alive), row @ None) => *row = Some(alive.clone()),
        }
    }

    /// Joins what another node tells, but for the name.
    pub fn join_attributes(&mut self, other: &State) {
        let mut other = other.clone();
        if let (State::Alive(alive), Some(row)) = (&mut other, &self.row) {
            alive.name.clone_from(&row.name);
            self.join(&other);
        }
    }
}

/// What a node has of mailboxes.
pub type View = BTreeMap<MailboxId, Held>;
