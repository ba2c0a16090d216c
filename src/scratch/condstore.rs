//! A client that keeps flags by CONDSTORE (RFC 7162): it asks only for what has changed since it last looked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::standin::{Flags, Session, State};
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;

/// A client with a copy of one mailbox's flags. It may go from node to node, as behind a load balancer, and knows
/// nothing of it: UIDVALIDITY and UIDs are the same everywhere, so it takes HIGHESTMODSEQ to be, too.
#[derive(Clone, Debug)]
pub struct CondstoreReader {
    /// The node that it is connected to.
    pub node: String,
    /// The mailbox it reads.
    pub mailbox: MailboxId,
    /// HIGHESTMODSEQ as it was told last: what it asks for is above this.
    pub seq: i64,
    /// The highest UID it was told of.
    pub last_uid: Uid,
    believed: BTreeMap<Uid, Belief>,
}

/// What a client believes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// The content's name.
    pub unique_id: String,
    /// The flags.
    pub flags: Flags,
    /// The keywords.
    pub keywords: BTreeSet<String>,
}

/// What one look brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Messages above the last UID.
    pub new: usize,
    /// Messages that it was told of because of their MODSEQ: that it knew, or that came in below its last UID.
    pub told: usize,
    /// Messages that are no longer there.
    pub gone: usize,
}

/// A message of which a client believes what is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbelief {
    /// The node that was compared with.
    pub node: String,
    /// The message's UID.
    pub uid: Uid,
    /// What the client believes, `None` when it knows of no such message.
    pub believed: Option<Belief>,
    /// What the node shows, `None` when it shows no such message.
    pub truth: Option<Belief>,
}

impl CondstoreReader {
    /// A client that has seen nothing yet.
    pub fn new(node: impl Into<String>, mailbox: MailboxId) -> Self {
        Self { node: node.into(), mailbox, seq: 0, last_uid: Uid(0), believed: BTreeMap::new() }
    }

    /// From now on it is given sessions of another node.
    pub fn move_to(&mut self, node: impl Into<String>) {
        self.node = node.into();
    }

    /// Looks once: takes what has a MODSEQ above its number or a UID above its last, forgets what is no longer in the
    /// list of UIDs, and keeps the new HIGHESTMODSEQ, also a lower one (RFC 7162 has no word for that: on one server it
    /// cannot be). `session` must be on the reader's node.
    ///
    /// # Errors
    /// What PostgreSQL says; the reader has learned nothing then.
    pub async fn sync(&mut self, session: &mut Session) -> Result<Synced> {
        let states = session.states(self.mailbox).await?;
        let before = self.believed.len();
        self.believed.retain(|uid, _| states.messages.contains_key(uid));
        let mut synced = Synced { gone: before - self.believed.len(), ..Synced::default() };
        let last = self.last_uid;
        for (uid, state) in states.messages {
            if uid > last {
                synced.new += 1;
                self.last_uid = uid;
            } else if state.seq > self.seq {
                synced.told += 1;
            } else {
                continue;
            }
            self.believed.insert(uid, Belief::from(state));
        }
        self.seq = states.seq;
        Ok(synced)
    }

    /// What it believes of a message.
    pub fn believes(&self, uid: Uid) -> Option<&Belief> {
        self.believed.get(&uid)
    }

    /// Compares all that it believes with what a session sees. Empty is well, if it has looked since the last change.
    /// A message that it has not been told of is among these, too.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn misbeliefs(&self, session: &mut Session) -> Result<Vec<Misbelief>> {
        let states = session.states(self.mailbox).await?;
        let truth: BTreeMap<Uid, Belief> =
            states.messages.into_iter().map(|(uid, state)| (uid, Belief::from(state))).collect();
        let uids: BTreeSet<Uid> = truth.keys().chain(self.believed.keys()).copied().collect();
        let wrong = uids.into_iter().filter(|uid| truth.get(uid) != self.believed.get(uid));
        let misbelief = |uid| {
            let (believed, truth) = (self.believed.get(&uid).cloned(), truth.get(&uid).cloned());
            Misbelief { node: self.node.clone(), uid, believed, truth }
        };
        Ok(wrong.map(misbelief).collect())
    }
}

impl From<State> for Belief {
    fn from(State { unique_id, flags, keywords, .. }: State) -> Self {
        Self { unique_id, flags, keywords }
    }
}

impl fmt::Display for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.unique_id)?;
        let Flags { seen, answered, deleted, flagged, draft } = self.flags;
        let flags = [
            (seen, "\\Seen"),
            (answered, "\\Answered"),
            (deleted, "\\Deleted"),
            (flagged, "\\Flagged"),
            (draft, "\\Draft"),
        ];
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            write!(f, " {name}")?;
        }
        self.keywords.iter().try_for_each(|keyword| write!(f, " {keyword}"))
    }
}

impl fmt::Display for Misbelief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, uid, believed, truth } = self;
        let show = |belief: &Option<Belief>| belief.as_ref().map_or_else(|| "nothing".into(), ToString::to_string);
        write!(f, "{node}, UID {uid}: a client believes {}, and there is {}", show(believed), show(truth))
    }
}
