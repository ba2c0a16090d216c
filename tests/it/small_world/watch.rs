//! What is checked after every step: guarantees A, B, C and F, over the whole history.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dbmail_mesh::domain::ids::{BirthUid, MailboxId, Uid};
use dbmail_mesh::domain::reported::{Readers, Time};
use dbmail_mesh::domain::rule::Held;
use dbmail_mesh::domain::settlement::{NodeView, Plan};
use dbmail_mesh::model::Node;

/// Which nodes: bit n is node n.
pub type Nodes = u8;

/// A guarantee that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its letter.
    pub guarantee: char,
    pub what: String,
}

pub fn violation<T>(guarantee: char, what: String) -> Result<T, Violation> {
    Err(Violation { guarantee, what })
}

/// What clients of one node have seen. Whoever may read looks after every step: he sees at least as much as anybody who looks less
/// often, and what he is told is UIDNEXT: the high line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The highest UID that a client was told of.
    pub told: BTreeMap<MailboxId, Uid>,
    /// The highest UID that the node has known of each message: lower ones are dead, once they are not shown any more.
    known: BTreeMap<BirthUid, Uid>,
    /// Messages that it has learned are dead.
    dead: BTreeSet<BirthUid>,
}

/// All that has to be remembered of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Watch {
    /// What each UID has ever meant, anywhere.
    meaning: Rc<BTreeMap<(MailboxId, Uid), BirthUid>>,
    pub seen: Vec<Rc<Seen>>,
    /// Every message, and the nodes that have ever had it.
    pub had_by: BTreeMap<BirthUid, Nodes>,
    /// Every message that a client expunged, and the nodes that have ever known.
    pub known_dead_by: BTreeMap<BirthUid, Nodes>,
    /// How many new numbers each message had.
    pub renumbered: BTreeMap<BirthUid, u8>,
    /// How often something happened for which a message may need another: a settlement without all nodes, one that broke off, a node lost,
    /// a move to another mailbox.
    pub excuses: u8,
    /// The nodes on which each new number was written: for one mailbox, for it may lie below what was told of another.
    wrote: BTreeMap<(MailboxId, BirthUid, Uid), Nodes>,
}

impl Watch {
    pub fn new(nodes: usize) -> Self {
        Self { seen: vec![Rc::default(); nodes], ..Self::default() }
    }

    /// A node has changed, or time has passed on it.
    pub fn look(&mut self, index: usize, before: &Node, after: &Node, now: Time) -> Result<(), Violation> {
        let name = crate::small_world::story::name(index);
        let seen = Rc::make_mut(&mut self.seen[index]);
        for (&id, mailbox) in &after.mailboxes {
            let shown_before = &before.mailboxes[&id].visible;
            for (&uid, &birth) in &mailbox.visible {
                if shown_before.get(&uid) == Some(&birth) {
                    continue;
                }
                match self.meaning.get(&(id, uid)) {
                    Some(&meant) if meant == birth => {}
                    Some(meant) => {
                        return violation('A', format!("{name} shows {uid} for {birth}; it stood for {meant}"));
                    }
                    None => _ = Rc::make_mut(&mut self.meaning).insert((id, uid), birth),
                }
                let told = seen.told.get(&id).copied().unwrap_or_default();
                if uid <= told {
                    return violation('B', format!("{name} shows {uid}; a client was told of {told}"));
                }
                if seen.known.get(&birth).is_some_and(|known| uid < *known) {
                    return violation('C', format!("{name} shows {uid} again"));
                }
                if seen.dead.contains(&birth) {
                    return violation('C', format!("{name} shows {birth} again, as {uid}: it knew that it was dead"));
                }
            }
            if may_read(mailbox.readers(), now) {
                let told = seen.told.entry(id).or_default();
                *told = (*told).max(mailbox.line.high);
            }
        }
        for (&birth, stored) in &after.messages {
            *self.had_by.entry(birth).or_default() |= 1 << index;
            seen.known.entry(birth).and_modify(|known| *known = stored.uid.max(*known)).or_insert(stored.uid);
            if stored.held == Held::Dead {
                seen.dead.insert(birth);
                if let Some(known) = self.known_dead_by.get_mut(&birth) {
                    *known |= 1 << index;
                }
            }
        }
        Ok(())
    }

    /// A settlement among `nodes` has decided. F: a message gets a number only where a client was told of its UID or one above it, and
    /// only if it has not one already that all of them wrote.
    pub fn numbers(
        &mut self,
        nodes: Nodes,
        mailbox: MailboxId,
        views: &[NodeView],
        plan: &Plan,
    ) -> Result<(), Violation> {
        for (&birth, &number) in &plan.numbers {
            let uid = views.iter().filter_map(|view| view.messages.get(&birth)?.uid()).max().unwrap_or_default();
            let told = |index: &usize| self.seen[*index].told.get(&mailbox).is_some_and(|told| *told >= uid);
            if !members(nodes).any(|index| told(&index)) {
                return violation('F', format!("{uid} becomes {number}, though no client was told of as much"));
            }
            let wrote = self.wrote.get(&(mailbox, birth, uid)).copied().unwrap_or_default();
            if nodes & !wrote == 0 {
                return violation('F', format!("{uid} becomes {number}, and all who decide had given it that"));
            }
            let count = self.renumbered.entry(birth).or_default();
            *count += 1;
            if *count > 1 + self.excuses {
                return violation('F', format!("{birth} gets its {count}. number"));
            }
        }
        Ok(())
    }

    /// A message was given a number for a mailbox on a node.
    pub fn wrote(&mut self, index: usize, mailbox: MailboxId, birth: BirthUid, number: Uid) {
        *self.wrote.entry((mailbox, birth, number)).or_default() |= 1 << index;
    }
}

pub fn members(nodes: Nodes) -> impl Iterator<Item = usize> + Clone {
    (0..8).filter(move |index| nodes & (1 << index) != 0)
}

fn may_read(readers: Readers, now: Time) -> bool {
    match readers {
        Readers::Never => false,
        Readers::Until(until) => until >= now,
        Readers::Always => true,
    }
}
