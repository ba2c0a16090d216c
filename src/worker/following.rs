//! What a link has still to do about HIGHESTMODSEQs (see [`crate::node::tides`]). Kept in memory: a worker that is killed loses it, and
//! the next change of the mailbox brings it again.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::node::scan::Keys;
use crate::node::tides::{Left, Tides};

/// A STORE of dbmail's, or another link's batch, may be under way while a link looks for messages that clients have passed: it looks
/// once more after that has ended.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// HIGHESTMODSEQs come along with what else there is; for so long they wait for that. dbmail raises one a moment after the change that it
/// is for, and a node raises its own with what it takes over: looked at at once, nearly all of them would be looked at in vain.
const COMES_ALONG: Duration = Duration::from_millis(250);

/// The most mailboxes looked at with one batch. After a backlog there may be as many as there are.
const MAILBOXES_AT_ONCE: usize = 1000;

/// Of one link.
#[derive(Debug)]
pub(crate) struct Following {
    /// Mailboxes whose HIGHESTMODSEQ went up on the source, and that were not looked at yet; since when.
    first: BTreeMap<i64, Instant>,
    first_at: Instant,
    /// Those to be looked at once more.
    again: BTreeSet<i64>,
    again_at: Instant,
    /// What the source said when it had more than the target.
    pub(crate) waiting: Option<Tides>,
    /// Since when it has said just that.
    waiting_since: Instant,
    /// Those of the batch under way that are looked at for the first time.
    looking: BTreeSet<i64>,
}

impl Following {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            first: BTreeMap::new(),
            first_at: now,
            again: BTreeSet::new(),
            again_at: now,
            waiting: None,
            waiting_since: now,
            looking: BTreeSet::new(),
        }
    }

    /// Which HIGHESTMODSEQs go with a batch: those that are due, if it brings all that the source has; the others are held.
    pub(crate) fn choose(&mut self, keys: &mut Keys, ends_range: bool) {
        let now = Instant::now();
        self.hold(take(&mut keys.seqs), now);
        self.looking.clear();
        if !ends_range {
            self.hold(keys.mailboxes.iter().copied(), now);
        } else if self.first_at <= now && (!keys.is_empty() || self.is_due(now)) {
            self.looking = self.first.keys().copied().take(MAILBOXES_AT_ONCE).collect();
            keys.seqs.extend(&self.looking);
            if self.again_at <= now {
                keys.seqs.extend(self.again.iter().take(MAILBOXES_AT_ONCE));
            }
        }
    }

    /// Whether any is to be looked at, although nothing else comes.
    fn is_due(&self, now: Instant) -> bool {
        let has_waited = |since: &Instant| now.saturating_duration_since(*since) >= COMES_ALONG;
        self.first.values().any(has_waited) || (!self.again.is_empty() && self.again_at <= now)
    }

    /// The batch was applied.
    pub(crate) fn applied(&mut self, keys: &Keys, left: Left) {
        let now = Instant::now();
        let left_since: Vec<(i64, Instant)> =
            left.mailboxes.iter().map(|mailbox| (*mailbox, self.first.get(mailbox).copied().unwrap_or(now))).collect();
        self.first.retain(|mailbox, _| !keys.seqs.contains(mailbox));
        self.again.retain(|mailbox| !keys.seqs.contains(mailbox));
        if !self.looking.is_empty() {
            self.again.append(&mut take(&mut self.looking));
            self.again_at = now + LOOK_AGAIN;
        }
        self.first.extend(left_since);
        self.first_at = now + left.rest;
        if self.waiting != left.waiting {
            self.waiting_since = now;
        }
        self.waiting = left.waiting;
    }

    /// Mailboxes whose HIGHESTMODSEQ could not be believed: it is read once more.
    pub(crate) fn hold_again(&mut self, mailboxes: &BTreeSet<i64>) {
        self.hold(mailboxes.iter().copied(), Instant::now());
    }

    fn hold(&mut self, mailboxes: impl IntoIterator<Item = i64>, now: Instant) {
        for mailbox in mailboxes {
            self.first.entry(mailbox).or_insert(now);
        }
    }

    /// Since when the HIGHESTMODSEQ that has waited longest has not been taken over; `None`: none waits. A second look at what was
    /// taken over does not count.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        let waiting = self.waiting.is_some().then_some(self.waiting_since);
        self.first.values().copied().chain(waiting).min()
    }

    /// Whether there is anything to do soon although nothing new comes.
    pub(crate) fn is_busy(&self) -> bool {
        !self.first.is_empty() || !self.again.is_empty() || self.waiting.is_some()
    }
}

/// Links into a node that wait until it has more of what others have: the other links store soon how far they are.
#[derive(Debug, Default)]
pub(crate) struct Waiters(AtomicUsize);

impl Waiters {
    /// One begins, or has ended, to wait.
    pub(crate) fn change(&self, waited: bool, waits: bool) {
        match (waited, waits) {
            (false, true) => self.0.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.0.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// Whether any does.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// What the target was last told of [`Following::behind_since`]. It is told of what lasts, not of every moment.
#[derive(Debug, Default)]
pub(crate) struct ToldBehind {
    /// `None`: nothing yet, and what an earlier worker has told may still be there.
    told: Option<Option<Instant>>,
}

/// What waits for less than this is under way; and what was told is not corrected by less.
const LASTS: Duration = Duration::from_secs(1);

impl ToldBehind {
    /// What to tell now, if anything: for how long the first has been waiting, `None` for nothing.
    pub(crate) fn news(&self, since: Option<Instant>, now: Instant) -> Option<Option<Duration>> {
        let waited = since.map(|since| now.saturating_duration_since(since)).filter(|waited| *waited >= LASTS);
        let is_news = match (self.told, since) {
            (None, _) => true,
            (Some(None), _) => waited.is_some(),
            (Some(Some(_)), None) => true,
            (Some(Some(told)), Some(since)) => since.saturating_duration_since(told) >= LASTS,
        };
        is_news.then_some(waited)
    }

    /// That was told.
    pub(crate) fn tell(&mut self, since: Option<Instant>, waited: Option<Duration>) {
        self.told = Some(since.filter(|_| waited.is_some()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_when_it_lasts_and_when_it_ends() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut told = ToldBehind::default();
        assert_eq!(told.news(None, at(0)), Some(None), "an earlier worker may have left something");
        told.tell(None, None);
        assert_eq!(told.news(None, at(100)), None);
        assert_eq!(told.news(Some(at(100)), at(900)), None, "it may be over at once");
        let waited = told.news(Some(at(100)), at(1200)).unwrap();
        assert_eq!(waited, Some(Duration::from_millis(1100)));
        told.tell(Some(at(100)), waited);
        assert_eq!(told.news(Some(at(100)), at(9000)), None);
        assert_eq!(told.news(Some(at(400)), at(9000)), None, "nearly the same");
        assert_eq!(told.news(Some(at(5000)), at(9000)), Some(Some(Duration::from_secs(4))), "others wait now");
        assert_eq!(told.news(None, at(9000)), Some(None));
    }

    fn of_a_message() -> Keys {
        Keys { messages: BTreeSet::from([1]), ..Keys::default() }
    }

    #[test]
    fn after_a_backlog_mailboxes_are_looked_at_in_portions() {
        let mut following = Following::new();
        let mut keys = Keys::default();
        keys.seqs.extend(0..2500);
        following.choose(&mut keys, false);
        let mut looked = Vec::new();
        while following.behind_since().is_some() {
            let mut keys = of_a_message();
            following.choose(&mut keys, true);
            assert!((1..=2 * MAILBOXES_AT_ONCE).contains(&keys.seqs.len()), "{}", keys.seqs.len());
            looked.extend(keys.seqs.iter().copied());
            following.applied(&keys, Left::default());
        }
        looked.sort_unstable();
        looked.dedup();
        assert_eq!(looked, (0..2500).collect::<Vec<i64>>());
    }

    #[test]
    fn what_is_held_back_keeps_its_time() {
        let mut following = Following::new();
        assert_eq!(following.behind_since(), None);
        let mut keys = Keys::default();
        keys.seqs.extend([7, 8]);
        following.choose(&mut keys, false);
        let since = following.behind_since().unwrap();
        let mut keys = of_a_message();
        keys.seqs.insert(7);
        following.choose(&mut keys, true);
        assert_eq!(keys.seqs, BTreeSet::from([7, 8]));
        following.applied(&keys, Left { mailboxes: BTreeSet::from([7]), ..Left::default() });
        assert_eq!(following.behind_since(), Some(since));
        following.choose(&mut keys, true);
        following.applied(&keys, Left::default());
        assert_eq!(following.behind_since(), None);
        assert!(following.is_busy(), "it is looked at once more");
    }

    #[test]
    fn what_comes_alone_waits_for_what_it_comes_along_with() {
        let mut following = Following::new();
        let mut alone = Keys::default();
        alone.seqs.insert(7);
        following.choose(&mut alone, true);
        assert!(alone.is_empty(), "{alone:?}");
        let mut with_a_message = of_a_message();
        following.choose(&mut with_a_message, true);
        assert_eq!(with_a_message.seqs, BTreeSet::from([7]));
        std::thread::sleep(COMES_ALONG);
        let mut nothing = Keys::default();
        following.choose(&mut nothing, true);
        assert_eq!(nothing.seqs, BTreeSet::from([7]), "nothing else has come");
    }
}
