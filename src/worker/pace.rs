//! Which nodes keep pace in a mailbox, and which are too far behind to take part in its settlement.
//!
//! A settlement lifts the line of every node that takes part. A message that is on its way to one of them at that moment, above its
//! line until then, would become late by it and cost a number of its own. So a settlement waits until the nodes are level; in a
//! mailbox that is never quiet it is enough that each has caught up with where the others were when it was last looked at.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::ids::{MailboxId, NodeId, Uid};

/// How a node stands in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It has what the others have, or had a moment ago.
    Level,
    /// It may catch up: wait.
    Behind,
    /// It has not caught up within the patience: go on without it.
    Lost,
}

/// What each node that was behind has to reach, and since when.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    to_reach: BTreeMap<(MailboxId, NodeId), (Uid, Instant)>,
}

impl Paces {
    /// Judges a node whose high line is `high`, while the others show messages up to `top`.
    pub(crate) fn judge(
        &mut self,
        mailbox: MailboxId,
        node: NodeId,
        high: Uid,
        top: Uid,
        now: Instant,
        patience: Duration,
    ) -> Pace {
        let key = (mailbox, node);
        if top <= high {
            self.to_reach.remove(&key);
            return Pace::Level;
        }
        match self.to_reach.get(&key) {
            Some(&(reach, _)) if high >= reach => {
                self.to_reach.insert(key, (top, now));
                Pace::Level
            }
            Some(&(_, since)) if now.duration_since(since) >= patience => Pace::Lost,
            Some(_) => Pace::Behind,
            None => {
                self.to_reach.insert(key, (top, now));
                Pace::Behind
            }
        }
    }

    /// Forgets a mailbox: there is nothing to settle in it any more.
    pub(crate) fn forget(&mut self, mailbox: MailboxId) {
        self.to_reach.retain(|(of, _), _| *of != mailbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_moves_keeps_pace_and_one_that_stands_still_is_lost() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |high, top, after_ms| {
            let now = begun + Duration::from_millis(after_ms);
            paces.judge(MailboxId(1), NodeId(2), Uid(high), Uid(top), now, Duration::from_secs(3))
        };
        assert_eq!(judge(6, 7, 0), Pace::Behind);
        assert_eq!(judge(6, 9, 100), Pace::Behind);
        // It has reached 7, where the others were; that they are at 11 by now is the way of a busy mailbox.
        assert_eq!(judge(8, 11, 200), Pace::Level);
        assert_eq!(judge(8, 13, 300), Pace::Behind);
        assert_eq!(judge(8, 13, 3200), Pace::Lost);
        assert_eq!(judge(13, 13, 3300), Pace::Level);
    }
}
