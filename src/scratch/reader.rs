//! Clients that take IMAP's promises at their word, and so notice when one is broken.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::{Finding, Guarantee};
use super::standin::{Listed, Session};
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;

/// A client that has downloaded everything up to some UID and asks only for what is above.
#[derive(Clone, Debug)]
pub struct IncrementalReader {
    /// The mailbox it reads.
    pub mailbox: MailboxId,
    /// The node it reads it on.
    pub node: String,
    /// The highest UID it was shown.
    pub last_uid: Uid,
    /// Every UID it was ever shown, with the content's name (`unique_id`).
    pub seen: BTreeMap<Uid, String>,
    /// Those that it found gone at a recheck.
    gone: BTreeSet<Uid>,
    findings: Vec<Finding>,
}

impl IncrementalReader {
    /// A client that has seen nothing yet.
    pub fn new(node: impl Into<String>, mailbox: MailboxId) -> Self {
        let (seen, gone, findings) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { mailbox, node: node.into(), last_uid: Uid(0), seen, gone, findings }
    }

    /// Asks for what is above the last UID, and returns how many messages that were. `session` must be on the
    /// reader's node.
    ///
    /// # Errors
    /// What PostgreSQL says; the reader can go on with another session.
    pub async fn poll(&mut self, session: &mut Session) -> Result<usize> {
        let listed = session.search_above(self.mailbox, self.last_uid).await?;
        let count = listed.len();
        for message in listed {
            self.last_uid = self.last_uid.max(message.uid);
            self.note(message);
        }
        Ok(count)
    }

    /// Looks at the mailbox up to the last UID again, as a client does after a reconnect. Notes a UID with other
    /// content than before (A), one that appeared below what was reported (B), one that came back (C). Returns the
    /// UIDs that are newly gone: expunged or renumbered, hence dead on this node.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn recheck(&mut self, session: &mut Session) -> Result<Vec<Uid>> {
        let mut visible = session.search_above(self.mailbox, Uid(0)).await?;
        visible.retain(|message| message.uid <= self.last_uid);
        let uids: BTreeSet<Uid> = visible.iter().map(|message| message.uid).collect();
        for message in visible {
            let (uid, place) = (message.uid, self.place());
            if !self.seen.contains_key(&uid) {
                let name = &message.unique_id;
                let text = format!("{place}: UID {uid} ({name}) appeared when {} had been reported", self.last_uid);
                self.findings.push(Finding::new(Guarantee::B, text));
            } else if self.gone.remove(&uid) {
                self.findings.push(Finding::new(Guarantee::C, format!("{place}: UID {uid} came back")));
            }
            self.note(message);
        }
        let dead = |uid: &&Uid| !uids.contains(uid) && !self.gone.contains(uid);
        let dead: Vec<Uid> = self.seen.keys().filter(dead).copied().collect();
        self.gone.extend(&dead);
        Ok(dead)
    }

    /// Which broken promises it noticed.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Which of the expected messages (`unique_id`) it was never shown, under whatever UID.
    pub fn missing<I>(&self, expected: I) -> Vec<String>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let seen: BTreeSet<&str> = self.seen.values().map(String::as_str).collect();
        let unseen = |name: &I::Item| !seen.contains(name.as_ref());
        expected.into_iter().filter(unseen).map(|name| name.as_ref().to_owned()).collect()
    }

    /// Remembers a message, and that its UID meant another one before if so.
    fn note(&mut self, message: Listed) {
        let Listed { uid, unique_id, .. } = message;
        match self.seen.get(&uid) {
            Some(before) if *before != unique_id => {
                let text = format!("{}: UID {uid} was {before} and is now {unique_id}", self.place());
                self.findings.push(Finding::new(Guarantee::A, text));
            }
            Some(_) => {}
            None => {
                self.seen.insert(uid, unique_id);
            }
        }
    }

    fn place(&self) -> String {
        format!("{}, mailbox {}", self.node, self.mailbox)
    }
}

/// UIDs that were seen dead, renumbered or expunged, and that must stay so.
#[derive(Clone, Debug, Default)]
pub struct DeadUidWatch {
    dead: BTreeMap<(String, MailboxId), BTreeSet<Uid>>,
    findings: Vec<Finding>,
}

impl DeadUidWatch {
    /// Remembers that `uid` was seen dead on a node.
    pub fn add(&mut self, node: &str, mailbox: MailboxId, uid: Uid) {
        self.dead.entry((node.to_owned(), mailbox)).or_default().insert(uid);
    }

    /// How many UIDs it watches, each node's counted by itself.
    pub fn len(&self) -> usize {
        self.dead.values().map(BTreeSet::len).sum()
    }

    /// Whether it watches nothing.
    pub fn is_empty(&self) -> bool {
        self.dead.is_empty()
    }

    /// Checks on a node what was seen dead there.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn check(&mut self, node: &str, session: &mut Session) -> Result<()> {
        self.check_dead_on(|place| place == node, node, session).await
    }

    /// Checks on a node what was seen dead on any. Only after convergence is that guaranteed.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn check_converged(&mut self, node: &str, session: &mut Session) -> Result<()> {
        self.check_dead_on(|_| true, node, session).await
    }

    /// Which UIDs were shown all the same.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    async fn check_dead_on(&mut self, on: impl Fn(&str) -> bool, node: &str, session: &mut Session) -> Result<()> {
        for ((seen_on, mailbox), uids) in self.dead.iter().filter(|((seen_on, _), _)| on(seen_on)) {
            let uids: Vec<Uid> = uids.iter().copied().collect();
            for uid in session.shown(*mailbox, &uids).await? {
                let text = format!("{node}, mailbox {mailbox}: UID {uid} is shown, though it was dead on {seen_on}");
                self.findings.push(Finding::new(Guarantee::C, text));
            }
        }
        Ok(())
    }
}
