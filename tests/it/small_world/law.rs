//! What decides in the small world: the functions of the product, unless a mutant overrides one.

use std::collections::BTreeSet;

use dbmail_mesh::domain::ids::{BirthUid, MailboxId, Uid};
use dbmail_mesh::domain::reported::Time;
use dbmail_mesh::domain::settlement::{self, NodeView, NumbersTooLow, Plan};
use dbmail_mesh::model::{Decision, Node, Rows, State};

/// Each default is what the worker does.
pub trait Law {
    /// The highest UID that a client of the node may have been told of.
    fn reported(&self, node: &Node, mailbox: MailboxId, now: Time) -> Uid {
        node.mailboxes.get(&mailbox).map(|mailbox| mailbox.reported(now)).unwrap_or_default()
    }

    /// What to do with a state that arrives.
    fn decide(&self, node: &Node, state: &State, now: Time) -> Decision {
        node.decide(state, |mailbox| self.reported(node, mailbox, now))
    }

    /// After a state was joined.
    fn joined(&self, _node: &mut Node, _birth: BirthUid) {}

    /// Whether a state can change anything on a node that it arrives at.
    fn is_news(&self, node: &Node, state: &State) -> bool {
        let dead = |state: &State| state.incoming.dead;
        node.state(state.incoming.birth).is_none_or(|held| {
            !dead(&held)
                && (dead(state)
                    || state.incoming.uid > held.incoming.uid
                    || state.place > held.place
                    || state.seen > held.seen)
        })
    }

    /// What a node that takes part in a settlement is seen to have.
    fn view(&self, node: &Node, mailbox: MailboxId, candidates: &BTreeSet<BirthUid>, now: Time) -> (NodeView, Rows) {
        let (mut view, rows) = node.view(mailbox, candidates, now);
        view.reported = self.reported(node, mailbox, now);
        (view, rows)
    }

    /// The numbers for a settlement.
    fn reserve(&self, node: &mut Node, count: usize, above: Uid) -> BTreeSet<Uid> {
        node.reserve(count, above)
    }

    /// What a settlement writes.
    fn plan(
        &self,
        views: &[NodeView],
        candidates: &BTreeSet<BirthUid>,
        reserved: &BTreeSet<Uid>,
    ) -> Result<Plan, NumbersTooLow> {
        settlement::plan(views, candidates, reserved)
    }

    /// Whether what needs the lock of a line waits while a settlement, or a link, has it.
    fn locks(&self) -> bool {
        true
    }

    /// Whether a login, or a share, waits for it.
    fn login_waits(&self) -> bool {
        true
    }

    /// Whether what a settlement writes is noted as a change of the node's own.
    fn captures_settlements(&self) -> bool {
        true
    }

    /// Whether a node passes on what it has from others.
    fn relays(&self) -> bool {
        true
    }

    /// Whether what may have been reported is written down when a share ends.
    fn pins(&self) -> bool {
        true
    }
}

/// The law as it is.
pub struct Production;

impl Law for Production {}
