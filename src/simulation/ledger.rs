//! What happened, and what of it contradicts a guarantee.

use std::collections::{HashMap, HashSet};

use super::network::At;
use super::queue::Micros;
use crate::domain::ids::{BirthUid, Uid};

/// So many findings are told; the others are counted.
const FINDINGS_MAX: usize = 100;

/// A message that was delivered.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) birth: BirthUid,
    delivered_at: Micros,
    /// The nodes that have shown it, a bit each.
    shown_on: u64,
    pub(super) expunged: bool,
    late: bool,
    renumbers: u32,
}

/// What happened.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) messages: Vec<Message>,
    by_birth: HashMap<BirthUid, usize>,
    /// What each UID that was ever shown anywhere stood for.
    meaning: HashMap<Uid, BirthUid>,
    /// The bits of all nodes.
    everywhere: u64,
    /// From commit to visible on all nodes.
    pub(super) took: Vec<Micros>,
    pub(super) highest: Uid,
    /// Numbers set aside for settlements.
    pub(super) reserved: u64,
    /// Those of them that a message was given.
    given: HashSet<Uid>,
    /// The longest wait of a delivery for a lock.
    pub(super) waited: Micros,
    /// The last write of dbmail, or the last healing.
    pub(super) disturbed_at: Micros,
    /// When something was last changed by a link or a settlement.
    pub(super) changed_at: Micros,
    findings: Vec<String>,
    more_findings: u64,
}

impl Ledger {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            messages: Vec::new(),
            by_birth: HashMap::new(),
            meaning: HashMap::new(),
            everywhere: u64::MAX >> (64 - nodes),
            took: Vec::new(),
            highest: Uid(0),
            reserved: 0,
            given: HashSet::new(),
            waited: Micros::ZERO,
            disturbed_at: Micros::ZERO,
            changed_at: Micros::ZERO,
            findings: Vec::new(),
            more_findings: 0,
        }
    }

    pub(super) fn delivered(&mut self, birth: BirthUid, now: Micros) {
        if self.by_birth.insert(birth, self.messages.len()).is_some() {
            self.find(format!("A: UID {birth} was handed out twice"));
        }
        self.messages.push(Message {
            birth,
            delivered_at: now,
            shown_on: 0,
            expunged: false,
            late: false,
            renumbers: 0,
        });
        self.disturbed_at = now;
    }

    /// A node shows a message under a UID, above what its clients have been shown (`read`) or not.
    pub(super) fn appeared(&mut self, node: At, uid: Uid, birth: BirthUid, read: Uid, now: Micros) {
        self.highest = self.highest.max(uid);
        self.changed_at = now;
        let meant = *self.meaning.entry(uid).or_insert(birth);
        if meant != birth {
            self.find(format!("A: UID {uid} stands for message {birth} on node {}, and for {meant}", node + 1));
        }
        if uid <= read {
            self.find(format!("B: UID {uid} appears on node {}, where a client has been shown {read}", node + 1));
        }
        let everywhere = self.everywhere;
        let Some(message) = self.message(birth) else { return };
        if message.shown_on != everywhere {
            message.shown_on |= 1 << node;
            if message.shown_on == everywhere {
                let took = now - message.delivered_at;
                self.took.push(took);
            }
        }
    }

    pub(super) fn expunged(&mut self, birth: BirthUid, now: Micros) {
        self.disturbed_at = now;
        if let Some(message) = self.message(birth) {
            message.expunged = true;
        }
    }

    pub(super) fn late(&mut self, birth: BirthUid) {
        if let Some(message) = self.message(birth) {
            message.late = true;
        }
    }

    /// A settlement has given a message this number, on a first node or on a further one.
    pub(super) fn renumbered(&mut self, birth: BirthUid, uid: Uid) {
        if self.given.insert(uid)
            && let Some(message) = self.message(birth)
        {
            message.renumbers += 1;
        }
    }

    fn message(&mut self, birth: BirthUid) -> Option<&mut Message> {
        let index = *self.by_birth.get(&birth)?;
        self.messages.get_mut(index)
    }

    /// Something contradicts a guarantee.
    pub(super) fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }

    pub(super) fn take_findings(&mut self) -> Vec<String> {
        let mut findings = std::mem::take(&mut self.findings);
        if self.more_findings > 0 {
            findings.push(format!("{} more", self.more_findings));
        }
        findings
    }

    pub(super) fn count_expunged(&self) -> u64 {
        self.count(|message| message.expunged)
    }

    pub(super) fn count_late(&self) -> u64 {
        self.count(|message| message.late)
    }

    pub(super) fn count_renumbered(&self) -> u64 {
        self.count(|message| message.renumbers > 0)
    }

    /// The numbers that messages were given by settlements.
    pub(super) fn count_renumbers(&self) -> u64 {
        self.given.len() as u64
    }

    fn count(&self, of: impl Fn(&Message) -> bool) -> u64 {
        self.messages.iter().filter(|message| of(message)).count() as u64
    }
}
