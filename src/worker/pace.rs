//! Which nodes keep pace in a mailbox, and which are too far behind to take part in its settlement.
//!
//! A settlement lifts the line of every node that takes part. A message that is on its way to one of them at that moment, above its
//! line until then, would become late by it and cost a number of its own. So a settlement waits until the nodes are level; in a
//! mailbox that is never quiet it is enough that each has caught up with where the others were when they were first looked at.
//!
//! A node that is behind is waited for as long as the links bring it anything of what was there then. Its own deliveries do not count,
//! nor does what links bring that have caught up since: where one link is down, nothing that the others do mends that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::snapshot::Snapshot;

/// How a node stands in a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pace {
    /// It has what the others have, or had a moment ago.
    Level,
    /// It may catch up: wait.
    Behind,
    /// It has not caught up in time, though it still moves: go on without it.
    Lost,
    /// Nothing that it lacks has come for as long as the patience, nor is it about to: go on without it, and do not wait for it with what is late there.
    Stuck,
}

/// A node that moves is waited for this many times the patience in all: one that is being filled must not hold mail up for hours.
const PATIENCE_WITH_THE_MOVING: u32 = 10;
/// What was not judged for so many times the patience is forgotten.
const FORGOTTEN_AFTER: u32 = 10;

/// A link into a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkIn {
    /// What of the source is surely there; `None` during a first copy.
    pub(crate) here: Option<Snapshot>,
    /// How many messages it has brought, and signs of life of the batch under way.
    pub(crate) brought: i64,
    /// Whether a batch is under way.
    pub(crate) at_work: bool,
}

/// What the links bring to a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coming<'a> {
    /// What there is on the nodes that can be reached.
    pub(crate) there: &'a BTreeMap<NodeId, Snapshot>,
    /// The node's links.
    pub(crate) links: &'a BTreeMap<NodeId, LinkIn>,
}

/// How far a node is in a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// Its high line.
    pub(crate) high: Uid,
    /// The highest UID that another shows.
    pub(crate) top: Uid,
    pub(crate) coming: Coming<'a>,
}

/// What each node that was behind has to reach. Counted by this worker: one that has just begun to catch up after a long silence is
/// not lost.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    to_reach: BTreeMap<(MailboxId, NodeId), Reach>,
    lacking: BTreeMap<(MailboxId, NodeId, BirthUid), Wait>,
}

#[derive(Debug)]
struct Reach {
    top: Uid,
    reached: Option<Instant>,
    wait: Wait,
}

/// For what a node is waited for, and since when.
#[derive(Debug)]
struct Wait {
    /// What there was when that began.
    goals: BTreeMap<NodeId, Snapshot>,
    /// The links that had not brought all of that when they were last looked at, and how far they were.
    on_their_way: BTreeMap<NodeId, i64>,
    since: Instant,
    moved: Instant,
    judged: Instant,
}

impl Wait {
    fn begin(now: Instant, coming: Coming<'_>) -> Self {
        let goals = coming.there.clone();
        let on_their_way = on_their_way(&goals, coming.links);
        Self { goals, on_their_way, since: now, moved: now, judged: now }
    }

    fn judge(&mut self, now: Instant, coming: Coming<'_>, patience: Duration) -> Pace {
        let on_their_way = on_their_way(&self.goals, coming.links);
        let at_work = |source: &NodeId| coming.links.get(source).is_some_and(|link| link.at_work);
        let patience_with_links =
            if on_their_way.keys().any(at_work) { patience * PATIENCE_WITH_THE_MOVING } else { patience };
        // A link that says that it has caught up, though it brought nothing, is no sign of life.
        if on_their_way.iter().any(|(source, brought)| self.on_their_way.get(source) != Some(brought)) {
            if self.is_stuck(now, patience_with_links) {
                // It moves again: what there is now is what counts.
                *self = Self::begin(now, coming);
            }
            self.moved = now;
        }
        self.on_their_way = on_their_way;
        self.judged = now;
        if self.is_stuck(now, patience_with_links) {
            Pace::Stuck
        } else if now.duration_since(self.since) >= patience * PATIENCE_WITH_THE_MOVING {
            Pace::Lost
        } else {
            Pace::Behind
        }
    }

    fn is_stuck(&self, now: Instant, patience: Duration) -> bool {
        now.duration_since(self.moved) >= patience
    }
}

/// The links that have not brought all of that, and how far they are. One that has never begun brings nothing.
fn on_their_way(goals: &BTreeMap<NodeId, Snapshot>, links: &BTreeMap<NodeId, LinkIn>) -> BTreeMap<NodeId, i64> {
    let pending = |source: &NodeId, link: &LinkIn| {
        let goal = goals.get(source)?;
        (!link.here.as_ref().is_some_and(|here| here.covers(goal))).then_some((*source, link.brought))
    };
    links.iter().filter_map(|(source, link)| pending(source, link)).collect()
}

impl Paces {
    /// Judges a node by how far it is.
    pub(crate) fn judge(
        &mut self,
        mailbox: MailboxId,
        node: NodeId,
        seen: Seen<'_>,
        now: Instant,
        patience: Duration,
    ) -> Pace {
        let key = (mailbox, node);
        if seen.top <= seen.high {
            self.to_reach.remove(&key);
            return Pace::Level;
        }
        let begin = || Reach { top: seen.top, reached: None, wait: Wait::begin(now, seen.coming) };
        let reach = self.to_reach.entry(key).or_insert_with(begin);
        if reach.reached.is_some_and(|at| now.duration_since(at) >= patience) {
            // That was long ago: whatever is settled now has to wait for what has been shown since.
            *reach = begin();
        }
        if reach.reached.is_some() || seen.high >= reach.top {
            reach.wait.judged = now;
            reach.reached.get_or_insert(now);
            return Pace::Level;
        }
        reach.wait.judge(now, seen.coming, patience)
    }

    /// Judges a node by messages that it has not received.
    pub(crate) fn judge_lacking(
        &mut self,
        mailbox: MailboxId,
        node: NodeId,
        lacking: &BTreeSet<BirthUid>,
        coming: Coming<'_>,
        now: Instant,
        patience: Duration,
    ) -> Pace {
        let judge = |birth: &BirthUid| {
            let wait = self.lacking.entry((mailbox, node, *birth)).or_insert_with(|| Wait::begin(now, coming));
            wait.judge(now, coming, patience)
        };
        lacking.iter().map(judge).max().unwrap_or(Pace::Level)
    }

    /// These messages are settled. What was level begins anew; what lags goes on lagging.
    pub(crate) fn settled(&mut self, mailbox: MailboxId, births: &BTreeSet<BirthUid>) {
        self.to_reach.retain(|(of, _), reach| *of != mailbox || reach.reached.is_none());
        self.lacking.retain(|(of, _, birth), _| *of != mailbox || !births.contains(birth));
    }

    /// Forgets a mailbox: there is nothing to settle in it any more.
    pub(crate) fn forget(&mut self, mailbox: MailboxId) {
        self.to_reach.retain(|(of, _), _| *of != mailbox);
        self.lacking.retain(|(of, ..), _| *of != mailbox);
    }

    /// Forgets what has not been of interest for long.
    pub(crate) fn tidy(&mut self, now: Instant, patience: Duration) {
        let recent = |wait: &Wait| now.duration_since(wait.judged) < patience * FORGOTTEN_AFTER;
        self.to_reach.retain(|_, reach| recent(&reach.wait));
        self.lacking.retain(|_, wait| recent(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);
    const HERE: NodeId = NodeId(2);

    /// Node 2 as it is looked at: how far others are, how far the links are.
    #[derive(Default)]
    struct World {
        there: BTreeMap<NodeId, Snapshot>,
        links: BTreeMap<NodeId, LinkIn>,
    }

    impl World {
        /// Other nodes, each with the next transaction of its own.
        fn there(mut self, nodes: &[(i16, u64)]) -> Self {
            self.there = nodes.iter().map(|(id, next)| (NodeId(*id), snapshot(*next))).collect();
            self
        }

        /// Links into node 2, each with what of the source is here, and how many messages it has brought.
        fn links(mut self, links: &[(i16, u64, i64)]) -> Self {
            let link = |here: u64, brought: i64| LinkIn { here: Some(snapshot(here)), brought, at_work: false };
            self.links = links.iter().map(|(id, here, brought)| (NodeId(*id), link(*here, *brought))).collect();
            self
        }

        fn coming(&self) -> Coming<'_> {
            Coming { there: &self.there, links: &self.links }
        }

        fn judge(&self, paces: &mut Paces, high: i64, top: i64, now: Instant) -> Pace {
            let seen = Seen { high: Uid(high), top: Uid(top), coming: self.coming() };
            paces.judge(MailboxId(1), HERE, seen, now, PATIENCE)
        }
    }

    fn snapshot(next: u64) -> Snapshot {
        format!("{next}:{next}:").parse().unwrap()
    }

    fn after(begun: Instant, ms: u64) -> Instant {
        begun + Duration::from_millis(ms)
    }

    #[test]
    fn a_node_to_which_something_comes_keeps_pace_and_one_that_gets_nothing_is_stuck() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |(here, brought), high, top, ms| {
            let world = World::default().there(&[(1, 100)]).links(&[(1, here, brought)]);
            world.judge(&mut paces, high, top, after(begun, ms))
        };
        assert_eq!(judge((50, 1), 4, 7, 0), Pace::Behind);
        assert_eq!(judge((50, 1), 4, 9, 2000), Pace::Behind);
        // Something comes, so it is given more time.
        assert_eq!(judge((60, 2), 4, 9, 2900), Pace::Behind);
        // That its own deliveries are higher is no sign of that.
        assert_eq!(judge((60, 2), 6, 9, 5800), Pace::Behind);
        assert_eq!(judge((60, 2), 6, 9, 5950), Pace::Stuck);
        // Again: it is waited for anew.
        assert_eq!(judge((70, 3), 6, 9, 6000), Pace::Behind);
        assert_eq!(judge((70, 3), 6, 9, 8900), Pace::Behind);
        // It has reached 7, where the others were; that they are at 11 by now is the way of a busy mailbox.
        assert_eq!(judge((70, 3), 8, 11, 8950), Pace::Level);
        assert_eq!(judge((70, 3), 8, 13, 11900), Pace::Level);
        // But that was a while ago.
        assert_eq!(judge((70, 3), 8, 13, 12000), Pace::Behind);
        assert_eq!(judge((70, 3), 13, 13, 12100), Pace::Level);
    }

    #[test]
    fn a_batch_may_take_long() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |at_work, after_s: u64| {
            let mut world = World::default().there(&[(1, 100)]).links(&[(1, 50, 1)]);
            world.links.values_mut().for_each(|link| link.at_work = at_work);
            world.judge(&mut paces, 4, 7, begun + Duration::from_secs(after_s))
        };
        assert_eq!(judge(true, 0), Pace::Behind);
        assert_eq!(judge(true, 29), Pace::Behind);
        assert_eq!(judge(true, 30), Pace::Stuck);
        assert_eq!(judge(false, 29), Pace::Stuck);
    }

    #[test]
    fn what_links_bring_that_have_caught_up_does_not_count() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |brought: i64, ms: u64| {
            let links = [(1, 50, 1), (3, 200 + brought as u64, brought)];
            World::default().there(&[(1, 100), (3, 200)]).links(&links).judge(&mut paces, 4, 7, after(begun, ms))
        };
        for second in 0..3 {
            assert_eq!(judge(second as i64, second * 1000), Pace::Behind);
        }
        assert_eq!(judge(3, 3000), Pace::Stuck);
    }

    #[test]
    fn a_node_that_moves_for_ever_is_lost_in_the_end() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let mut judge = |brought: i64, after_s: u64| {
            let world = World::default().there(&[(1, 100)]).links(&[(1, 50, brought)]);
            world.judge(&mut paces, 4, 1000, begun + Duration::from_secs(after_s))
        };
        for second in 0..30 {
            assert_eq!(judge(second as i64, second), Pace::Behind);
        }
        assert_eq!(judge(30, 30), Pace::Lost);
        assert_eq!(judge(31, 31), Pace::Lost);
        assert_eq!(judge(31, 34), Pace::Stuck);
    }

    /// Messages are judged each by itself: that others were settled meanwhile does not make a node that lacks one any nearer.
    #[test]
    fn a_message_that_does_not_come_is_not_waited_for_longer_because_others_do() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let births = |births: &[i64]| births.iter().copied().map(BirthUid).collect::<BTreeSet<_>>();
        let world = World::default().there(&[(1, 100)]).links(&[(1, 50, 1)]);
        let judge = |paces: &mut Paces, lacking: &[i64], ms| {
            let now = after(begun, ms);
            paces.judge_lacking(MailboxId(1), HERE, &births(lacking), world.coming(), now, PATIENCE)
        };
        assert_eq!(judge(&mut paces, &[5, 6], 0), Pace::Behind);
        assert_eq!(judge(&mut paces, &[6, 8], 2900), Pace::Behind);
        paces.settled(MailboxId(1), &births(&[5]));
        assert_eq!(judge(&mut paces, &[8], 3000), Pace::Behind);
        assert_eq!(judge(&mut paces, &[6, 8], 3000), Pace::Stuck);
        paces.settled(MailboxId(1), &births(&[6]));
        assert_eq!(judge(&mut paces, &[8], 3100), Pace::Behind);
        assert_eq!(judge(&mut paces, &[8], 5900), Pace::Stuck);
        assert_eq!(judge(&mut paces, &[], 5900), Pace::Level);
    }

    #[test]
    fn what_is_of_no_interest_any_more_is_forgotten() {
        let (mut paces, begun) = (Paces::default(), Instant::now());
        let world = World::default();
        world.judge(&mut paces, 4, 7, begun);
        paces.judge_lacking(MailboxId(1), HERE, &[BirthUid(5)].into(), world.coming(), begun, PATIENCE);
        paces.tidy(after(begun, 29_000), PATIENCE);
        assert_eq!((paces.to_reach.len(), paces.lacking.len()), (1, 1));
        paces.tidy(after(begun, 30_000), PATIENCE);
        assert_eq!((paces.to_reach.len(), paces.lacking.len()), (0, 0));
    }
}
