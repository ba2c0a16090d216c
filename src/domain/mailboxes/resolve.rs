//! Joining the mailboxes of a batch into what a node has, and settling who may have which name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alive, Fate, Held, Key, State, View, displaced};
use crate::domain::ids::{MailboxId, NodeId};

/// Accounts as the node has them: true while the user is here, false once he is dead and gone. No entry: not known yet.
pub type Owners = BTreeMap<String, bool>;

/// What becomes of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the node has of it.
    pub before: Held,
    /// What it is to have.
    pub after: Held,
    /// Whether the node has decided any of it by itself: its peers must learn of it from here.
    pub own: bool,
}

/// A mailbox that gave way to another of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The one that gave way.
    pub mailbox: MailboxId,
    /// The account of its owner.
    pub owner: String,
    /// The name that both had.
    pub name: String,
    /// The name that it has instead; none: it was merged into the other.
    pub new_name: Option<String>,
    /// The one that it gave way to.
    pub other: MailboxId,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The mailboxes that change.
    pub changes: BTreeMap<MailboxId, Change>,
    /// Who gave way to whom.
    pub conflicts: Vec<Conflict>,
}

/// Of which mailboxes the source is to be asked too before [`join`]: those that are alive here with a name that one of `incoming` has,
/// for the source may know that they have another by now; and those that one was merged into, if they are not known here.
pub fn contenders(view: &View, incoming: &BTreeMap<MailboxId, State>) -> BTreeSet<MailboxId> {
    let names: BTreeSet<Key> = incoming
        .values()
        .filter_map(|state| match state {
            State::Alive(alive) => Some(alive.key()),
            State::Ended(_) => None,
        })
        .collect();
    let holders = view.iter().filter(|(_, held)| held.alive().is_some_and(|alive| names.contains(&alive.key())));
    let winners = incoming.values().filter_map(|state| match state {
        State::Ended(Fate::MergedInto(winner)) => Some(winner),
        _ => None,
    });
    let winners = winners.filter(|winner| !view.contains_key(winner));
    holders.map(|(id, _)| id).chain(winners).filter(|id| !incoming.contains_key(id)).copied().collect()
}

/// Joins `incoming` into `view`, which holds all of these mailboxes that are known here and all others of the owners in question.
/// `node` is the one that holds them. A mailbox whose owner is not known here yet is left out.
pub fn join(node: NodeId, view: &View, owners: &Owners, incoming: &BTreeMap<MailboxId, State>) -> Outcome {
    let mut work = Work { node, view: view.clone(), own: BTreeSet::new(), conflicts: Vec::new() };
    for (&id, state) in incoming {
        work.take(id, state, owners);
    }
    while work.settle_names() {}
    work.clear_names();
    work.outcome(view)
}

struct Work {
    node: NodeId,
    view: View,
    own: BTreeSet<MailboxId>,
    conflicts: Vec<Conflict>,
}

impl Work {
    fn take(&mut self, id: MailboxId, state: &State, owners: &Owners) {
        let owner = match state {
            State::Alive(alive) => owners.get(&alive.name.value.owner),
            State::Ended(_) => Some(&true),
        };
        match (owner, self.view.get_mut(&id)) {
            (Some(true), held) => match held {
                Some(held) => held.join(state),
                None => self.view.entry(id).or_default().join(state),
            },
            // Its owner is dead: it ends with him.
            (Some(false), None) => {
                self.own.insert(id);
                self.view.insert(id, Held { row: None, fate: Some(Fate::Deleted) });
            }
            // It was given to one who is not here: it stays with whom it is, and takes the rest over.
            (_, Some(held)) => held.join_attributes(state),
            (None, None) => {}
        }
    }

    /// Looks once at all names that more than one has; says whether there was any.
    fn settle_names(&mut self) -> bool {
        let mut by_name: BTreeMap<Key, Vec<MailboxId>> = BTreeMap::new();
        for (&id, held) in &self.view {
            if let Some(alive) = held.alive() {
                by_name.entry(alive.key()).or_default().push(id);
            }
        }
        by_name.retain(|_, ids| ids.len() > 1);
        for (key, ids) in &by_name {
            let rest = self.merge(key, ids);
            self.displace(&rest);
        }
        !by_name.is_empty()
    }

    /// Merges those that were created with the name into the highest of them; returns who is left.
    fn merge(&mut self, key: &Key, ids: &[MailboxId]) -> Vec<MailboxId> {
        let same = |id: &&MailboxId| key.is_inbox() || self.alive(**id).is_some_and(|alive| !alive.name.value.renamed);
        let twins: Vec<MailboxId> = ids.iter().filter(same).copied().collect();
        let Some((&winner, losers)) = twins.split_last() else { return ids.to_vec() };
        for &loser in losers {
            self.note(loser, winner, None);
            if let Some(held) = self.view.get_mut(&loser) {
                held.fate = Some(Fate::MergedInto(winner));
            }
        }
        ids.iter().filter(|id| !losers.contains(id)).copied().collect()
    }

    /// Leaves the name to the one that was given it last.
    fn displace(&mut self, ids: &[MailboxId]) {
        let stamp = |id: &&MailboxId| self.alive(**id).map(|alive| alive.name.stamp);
        let Some(&keeper) = ids.iter().max_by_key(|id| (stamp(id), **id)) else { return };
        for &id in ids.iter().filter(|id| **id != keeper) {
            let Some(name) = self.alive(id).map(|alive| displaced(&alive.name.value.name, id)) else { continue };
            self.note(id, keeper, Some(name.clone()));
            self.rename(id, name);
        }
    }

    /// Rows of mailboxes that have ended must not stand in the way of those that are alive.
    fn clear_names(&mut self) {
        let key = |held: &Held| held.row.as_ref().map(Alive::key);
        let mut taken: BTreeSet<Key> = self.view.values().filter(|held| held.fate.is_none()).filter_map(key).collect();
        let ended: Vec<MailboxId> =
            self.view.iter().filter(|(_, held)| held.fate.is_some()).map(|(id, _)| *id).collect();
        for id in ended {
            while let Some(row) = self.view.get(&id).and_then(|held| held.row.as_ref()) {
                if taken.insert(row.key()) {
                    break;
                }
                self.rename(id, displaced(&row.name.value.name, id));
            }
        }
    }

    fn rename(&mut self, id: MailboxId, name: String) {
        if let Some(row) = self.view.get_mut(&id).and_then(|held| held.row.as_mut()) {
            row.name.stamp = row.name.stamp.just_after(self.node);
            row.name.value.name = name;
            row.name.value.renamed = true;
        }
    }

    fn note(&mut self, mailbox: MailboxId, other: MailboxId, new_name: Option<String>) {
        self.own.insert(mailbox);
        if let Some(name) = self.alive(mailbox).map(|alive| alive.name.value.clone()) {
            self.conflicts.push(Conflict { mailbox, owner: name.owner, name: name.name, new_name, other });
        }
    }

    fn alive(&self, id: MailboxId) -> Option<&Alive> {
        self.view.get(&id).and_then(Held::alive)
    }

    fn outcome(self, before: &View) -> Outcome {
        let mut changes = BTreeMap::new();
        for (id, mut after) in self.view {
            let before = before.get(&id).cloned().unwrap_or_default();
            // One that has ended before it was ever here gets no row.
            if after.fate.is_some() && before.row.is_none() {
                after.row = None;
            }
            if after != before {
                changes.insert(id, Change { before, after, own: self.own.contains(&id) });
            }
        }
        Outcome { changes, conflicts: self.conflicts }
    }
}
