//! Which nodes keep pace in a mailbox, and which are too far behind to take part in its settlement.
//!
//! A settlement lifts the line of every node that takes part. A message that is on its way to one of them at that moment, above its
//! line until then, would become late by it and cost a number of its own. So a settlement waits until the nodes are level; in a
//! mailbox that is never quiet it is enough that each has caught up with where the others were when it was last looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};

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

/// A node that moves is waited for this many times the patience in all: one that is being filled must not hold mail up for hours.
const PATIENCE_WITH_THE_MOVING: u32 = 10;

/// What each node that was behind has to reach. Counted by this worker: one that has just begun to catch up after a long silence is
/// not lost.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    to_reach: BTreeMap<(MailboxId, NodeId), (Uid, Wait<Uid>)>,
    lacking: BTreeMap<(MailboxId, NodeId), Wait<BTreeSet<BirthUid>>>,
}

/// How long a node has been waited for, and what it had when it last moved.
#[derive(Debug)]
struct Wait<T> {
    since: Instant,
    moved: Instant,
    had: T,
}

impl<T> Wait<T> {
    fn begin(now: Instant, had: T) -> Self {
        Self { since: now, moved: now, had }
    }

    fn moved(&mut self, now: Instant, has: T) {
        self.moved = now;
        self.had = has;
    }

    fn pace(&self, now: Instant, patience: Duration) -> Pace {
        let over = now.duration_since(self.moved) >= patience
            || now.duration_since(self.since) >= patience * PATIENCE_WITH_THE_MOVING;
        if over { Pace::Lost } else { Pace::Behind }
    }
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
        let (reach, wait) = self.to_reach.entry(key).or_insert_with(|| (top, Wait::begin(now, high)));
        if high >= *reach {
            (*reach, *wait) = (top, Wait::begin(now, high));
            return Pace::Level;
        }
        if high > wait.had {
            wait.moved(now, high);
        }
        wait.pace(now, patience)
    }

    /// Judges a node that has not received some of the messages to be settled.
    pub(crate) fn judge_lacking(
        &mut self,
        mailbox: MailboxId,
        node: NodeId,
        lacking: &BTreeSet<BirthUid>,
        now: Instant,
        patience: Duration,
    ) -> Pace {
        let key = (mailbox, node);
        if lacking.is_empty() {
            self.lacking.remove(&key);
            return Pace::Level;
        }
        let wait = self.lacking.entry(key).or_insert_with(|| Wait::begin(now, lacking.clone()));
        let still: BTreeSet<BirthUid> = wait.had.intersection(lacking).copied().collect();
        if still.is_empty() {
            *wait = Wait::begin(now, lacking.clone());
        } else if still.len() < wait.had.len() {
            wait.moved(now, still);
        }
        wait.pace(now, patience)
    }

    /// Forgets a mailbox: there is nothing to settle in it any more.
    pub(crate) fn forget(&mut self, mailbox: MailboxId) {
        self.to_reach.retain(|(of, _), _| *of != mailbox);
        self.lacking.retain(|(of, _), _| *of != mailbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    #[test]
    fn a_node_that_moves_keeps_pace_and_one_that_stands_still_is_lost() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |high, top, after_ms| {
            let now = begun + Duration::from_millis(after_ms);
            paces.judge(MailboxId(1), NodeId(2), Uid(high), Uid(top), now, PATIENCE)
        };
        assert_eq!(judge(4, 7, 0), Pace::Behind);
        assert_eq!(judge(4, 9, 2000), Pace::Behind);
        // It moves, so it is given more time.
        assert_eq!(judge(6, 9, 2900), Pace::Behind);
        assert_eq!(judge(6, 9, 5800), Pace::Behind);
        // It has reached 7, where the others were; that they are at 11 by now is the way of a busy mailbox.
        assert_eq!(judge(8, 11, 5850), Pace::Level);
        assert_eq!(judge(8, 13, 6000), Pace::Behind);
        assert_eq!(judge(8, 13, 9000), Pace::Lost);
        assert_eq!(judge(13, 13, 9100), Pace::Level);
    }

    #[test]
    fn a_node_that_moves_for_ever_is_lost_in_the_end() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |high: i64, after_s: u64| {
            let now = begun + Duration::from_secs(after_s);
            paces.judge(MailboxId(1), NodeId(2), Uid(high), Uid(1000), now, PATIENCE)
        };
        for second in 0..30 {
            assert_eq!(judge(second as i64 + 1, second), Pace::Behind);
        }
        assert_eq!(judge(31, 30), Pace::Lost);
        assert_eq!(judge(32, 31), Pace::Lost);
    }

    #[test]
    fn a_node_that_receives_messages_keeps_pace_and_one_that_receives_none_is_lost() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |lacking: &[i64], after_ms| {
            let lacking = lacking.iter().copied().map(BirthUid).collect();
            let now = begun + Duration::from_millis(after_ms);
            paces.judge_lacking(MailboxId(1), NodeId(2), &lacking, now, PATIENCE)
        };
        assert_eq!(judge(&[5, 6], 0), Pace::Behind);
        assert_eq!(judge(&[6], 2900), Pace::Behind);
        assert_eq!(judge(&[6, 8], 5800), Pace::Behind);
        assert_eq!(judge(&[7], 5850), Pace::Behind);
        assert_eq!(judge(&[7], 8850), Pace::Lost);
        assert_eq!(judge(&[], 8900), Pace::Level);
    }
}
