use std::collections::BTreeSet;

use crate::domain::ids::{NodeId, Uid};
use crate::domain::reported::Time;
use crate::domain::rule::Action;
use crate::model::{Node, State};

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// What is late is shown under the UID that it has.
    ShowsWhatIsLate,
    /// An expunge that comes from elsewhere is not carried out.
    ForgetsTombstones,
    /// Numbers for a settlement are not set aside: what is next is taken, and may be taken by others.
    ReservesNothing,
}

impl Mutant {
    pub(super) fn join(self, node: &mut Node, source: NodeId, states: &[State], now: Time) {
        for state in states {
            if self == Self::ForgetsTombstones
                && state.incoming.dead
                && node.messages.contains_key(&state.incoming.birth)
            {
                continue;
            }
            let reported = |mailbox| node.mailboxes[&mailbox].reported(now);
            let mut decision = node.decide(state, reported);
            if self == Self::ShowsWhatIsLate
                && let Some(Action::Hide { uid }) = decision.action
            {
                decision.action = Some(Action::Take { uid });
            }
            node.apply(source, state, &decision, now);
        }
    }

    pub(super) fn reserve(self, node: &Node, count: usize, above: Uid) -> Option<BTreeSet<Uid>> {
        let mut drawn = node.clone();
        (self == Self::ReservesNothing).then(|| drawn.reserve(count, above))
    }
}

mod whole;
