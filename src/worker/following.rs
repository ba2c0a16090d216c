//! What a link has still to do about HIGHESTMODSEQs (see [`crate::node::tides`]). Kept in memory: a worker that is killed loses it, and
//! the next change of the mailbox brings it again.

use std::collections::BTreeSet;
use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::node::scan::Keys;
use crate::node::tides::{Left, Tides};

/// A STORE of dbmail's, or another link's batch, may be under way while a link looks for messages that clients have passed: it looks
/// once more after that has ended.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Of one link.
#[derive(Debug)]
pub(crate) struct Following {
    /// Mailboxes whose HIGHESTMODSEQ went up on the source, and that were not looked at yet.
    first: BTreeSet<i64>,
    first_at: Instant,
    /// Those to be looked at once more.
    again: BTreeSet<i64>,
    again_at: Instant,
    /// What the source said when it had more than the target.
    pub(crate) waiting: Option<Tides>,
    /// Those of the batch under way that are looked at for the first time.
    looking: BTreeSet<i64>,
}

impl Following {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            first: BTreeSet::new(),
            first_at: now,
            again: BTreeSet::new(),
            again_at: now,
            waiting: None,
            looking: BTreeSet::new(),
        }
    }

    /// Which HIGHESTMODSEQs go with a batch: those that are due, if it brings all that the source has; the others are held.
    pub(crate) fn choose(&mut self, keys: &mut Keys, ends_range: bool) {
        let now = Instant::now();
        self.first.append(&mut keys.seqs);
        self.looking.clear();
        if !ends_range {
            self.first.extend(&keys.mailboxes);
        } else if self.first_at <= now {
            self.looking = self.first.clone();
            keys.seqs.extend(&self.first);
            if self.again_at <= now {
                keys.seqs.extend(&self.again);
            }
        }
    }

    /// The batch was applied.
    pub(crate) fn applied(&mut self, keys: &Keys, left: Left) {
        let now = Instant::now();
        self.first.retain(|mailbox| !keys.seqs.contains(mailbox));
        self.again.retain(|mailbox| !keys.seqs.contains(mailbox));
        if !self.looking.is_empty() {
            self.again.append(&mut take(&mut self.looking));
            self.again_at = now + LOOK_AGAIN;
        }
        self.first.extend(left.mailboxes);
        self.first_at = now + left.rest;
        self.waiting = left.waiting;
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
