//! Clients: what they have seen, what they are told, and what escapes them.

use std::collections::{BTreeMap, BTreeSet};

use super::network::At;
use crate::domain::ids::{BirthUid, Uid};

/// Where a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On one node.
    AtHome,
    /// On any node that has all that the last one had when it was there.
    CaughtUp,
    /// On any node.
    Anywhere,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::AtHome, Self::CaughtUp, Self::Anywhere];

    /// As in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AtHome => "at_home",
            Self::CaughtUp => "roaming_caught_up",
            Self::Anywhere => "roaming_anywhere",
        }
    }
}

/// A client of one mailbox.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) mailbox: usize,
    pub(super) kind: Kind,
    /// Whether it also looks which of the UIDs that it knows are still there (RFC 4549, 3): it marks what it reads, and expunges.
    pub(super) checks: bool,
    /// Where it was last.
    pub(super) at: At,
    /// What that node had then: how far it had read each other node, and itself.
    pub(super) had: Vec<u64>,
    /// The highest UID that it knows.
    last_seen: Uid,
    /// What it believes to be there.
    cache: BTreeMap<Uid, BirthUid>,
    downloaded: BTreeSet<BirthUid>,
    /// UIDs that it found dead. Kept by those at home: elsewhere a UID may only not have come yet.
    dead: BTreeSet<Uid>,
    /// Messages below `last_seen` that it was not told of when it could have been.
    overlooked: BTreeSet<(BirthUid, Uid)>,
    /// What it expunges the next time.
    doomed: Vec<(Uid, BirthUid)>,
    pub(super) tally: Tally,
}

/// What a client counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) visits: u64,
    pub(super) downloads: u64,
    pub(super) duplicates: u64,
}

/// What a visit brought.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// Downloaded.
    pub(super) new: Vec<(Uid, BirthUid)>,
    /// What contradicts a guarantee, in words.
    pub(super) findings: Vec<String>,
}

impl Client {
    pub(super) fn new(mailbox: usize, kind: Kind, checks: bool, at: At) -> Self {
        Self {
            mailbox,
            kind,
            checks,
            at,
            had: Vec::new(),
            last_seen: Uid(0),
            cache: BTreeMap::new(),
            downloaded: BTreeSet::new(),
            dead: BTreeSet::new(),
            overlooked: BTreeSet::new(),
            doomed: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Looks at what a node shows of the mailbox, in the order of UIDs.
    pub(super) fn look(&mut self, at: At, shown: &[(Uid, BirthUid)]) -> Visit {
        let mut visit = Visit::default();
        self.tally.visits += 1;
        let known = self.last_seen;
        let above = shown.partition_point(|(uid, _)| *uid <= known);
        // UID FETCH lastseen+1:*
        for &(uid, birth) in &shown[above..] {
            self.tally.downloads += 1;
            self.tally.duplicates += u64::from(!self.downloaded.insert(birth));
            self.cache.insert(uid, birth);
            self.last_seen = uid;
            visit.new.push((uid, birth));
        }
        // What it could not know, but we do.
        for &(uid, birth) in &shown[..above] {
            match self.cache.get(&uid) {
                Some(meant) if *meant != birth => {
                    visit.findings.push(format!("A: UID {uid} stands for {birth} and for {meant}"));
                }
                Some(_) => {}
                None if self.dead.contains(&uid) => {
                    visit.findings.push(format!("C: UID {uid} was dead on node {} and is there again", at + 1));
                }
                None if self.downloaded.contains(&birth) => {}
                None => drop(self.overlooked.insert((birth, uid))),
            }
        }
        if self.checks {
            self.check(shown);
        }
        visit
    }

    /// UID FETCH 1:lastseen (FLAGS): what is not listed is gone.
    fn check(&mut self, shown: &[(Uid, BirthUid)]) {
        let listed: BTreeSet<Uid> = shown.iter().map(|(uid, _)| *uid).collect();
        let dead: Vec<Uid> = self.cache.keys().filter(|uid| !listed.contains(uid)).copied().collect();
        for uid in dead {
            self.cache.remove(&uid);
            if self.kind == Kind::AtHome {
                self.dead.insert(uid);
            }
        }
    }

    /// A message is to be expunged the next time.
    pub(super) fn doom(&mut self, uid: Uid, birth: BirthUid) {
        self.doomed.push((uid, birth));
    }

    /// What is to be expunged and still bears the UID under which it was seen.
    pub(super) fn take_doomed(&mut self) -> Vec<(Uid, BirthUid)> {
        let doomed = std::mem::take(&mut self.doomed);
        doomed.into_iter().filter(|(uid, birth)| self.cache.get(uid) == Some(birth)).collect()
    }

    /// How many messages it was not told of when the node showed them.
    pub(super) fn overlooked(&self) -> u64 {
        let births: BTreeSet<BirthUid> = self.overlooked.iter().map(|(birth, _)| *birth).collect();
        births.len() as u64
    }

    /// Those that are there and that it never got.
    pub(super) fn lost(&self, shown: &[(Uid, BirthUid)]) -> Vec<BirthUid> {
        shown.iter().map(|(_, birth)| *birth).filter(|birth| !self.downloaded.contains(birth)).collect()
    }

    /// UIDs that it believes in although they are not there (or mean something else), after a visit.
    pub(super) fn phantoms(&self, shown: &[(Uid, BirthUid)]) -> Vec<Uid> {
        let shown: BTreeMap<Uid, BirthUid> = shown.iter().copied().collect();
        self.cache.iter().filter(|(uid, birth)| shown.get(uid) != Some(birth)).map(|(uid, _)| *uid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(messages: &[(i64, i64)]) -> Vec<(Uid, BirthUid)> {
        messages.iter().map(|&(uid, birth)| (Uid(uid), BirthUid(birth))).collect()
    }

    /// The scenario of the mailing list: 6 comes to a client that was shown 7, first as it must not, then as it must.
    #[test]
    fn what_comes_below_is_overlooked_and_what_comes_above_is_not() {
        let mut client = Client::new(0, Kind::AtHome, true, 0);
        assert_eq!(client.look(0, &shown(&[(5, 5), (7, 7)])).new.len(), 2);
        let below = shown(&[(5, 5), (6, 6), (7, 7)]);
        assert!(client.look(0, &below).new.is_empty());
        assert_eq!((client.overlooked(), client.lost(&below)), (1, vec![BirthUid(6)]));
        let settled = shown(&[(7, 7), (9, 6), (11, 5)]);
        assert_eq!(client.look(0, &settled).new.len(), 2);
        assert!(client.lost(&settled).is_empty() && client.phantoms(&settled).is_empty());
        assert_eq!((client.tally.downloads, client.tally.duplicates), (4, 1), "5 a second time, under 11");
    }

    #[test]
    fn a_client_that_asks_only_above_keeps_what_is_dead() {
        let mut client = Client::new(0, Kind::AtHome, false, 0);
        client.look(0, &shown(&[(5, 5)]));
        let settled = shown(&[(9, 5)]);
        client.look(0, &settled);
        assert_eq!(client.phantoms(&settled), [Uid(5)]);
    }

    #[test]
    fn a_uid_with_two_meanings_and_one_that_comes_back_are_findings() {
        let mut client = Client::new(0, Kind::AtHome, true, 0);
        client.look(0, &shown(&[(5, 5), (7, 7)]));
        assert!(client.look(0, &shown(&[(5, 6), (7, 7)])).findings[0].starts_with("A:"));
        client.look(0, &shown(&[(7, 7)]));
        assert!(client.look(0, &shown(&[(5, 5), (7, 7)])).findings[0].starts_with("C:"));
        let mut client = Client::new(0, Kind::Anywhere, true, 0);
        client.look(0, &shown(&[(5, 5), (7, 7)]));
        client.look(1, &shown(&[(7, 7)]));
        assert!(client.look(1, &shown(&[(5, 5), (7, 7)])).findings.is_empty(), "it had not come yet");
    }
}
