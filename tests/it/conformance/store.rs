//! What a store can do and tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dbmail_mesh::domain::ids::{BirthUid, Uid};

/// The mailboxes of a store's only user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Folder {
    Inbox,
    Work,
}

impl Folder {
    pub(crate) const ALL: [Self; 2] = [Self::Inbox, Self::Work];
}

/// Where a settlement breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tear {
    /// The numbers are reserved.
    Reserved,
    /// All nodes are locked.
    Locked,
    /// So many nodes have committed.
    Committed(usize),
}

/// What a node has of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// `v` visible, `w` visible under a UID that must go, `h` hidden, `d` dead.
    pub(crate) state: char,
    /// The UID that it has, or should have.
    pub(crate) uid: Uid,
}

/// What a node tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// What clients are shown, with \Seen.
    pub(crate) shown: BTreeMap<Folder, Vec<(Uid, BirthUid, bool)>>,
    /// The high line and the reported line of each mailbox.
    pub(crate) lines: BTreeMap<Folder, (Uid, Uid)>,
    /// What it has of each message that it knows.
    pub(crate) held: BTreeMap<BirthUid, Held>,
    /// The late messages of each mailbox.
    pub(crate) late: BTreeMap<Folder, BTreeSet<BirthUid>>,
    /// What every UID that was ever given became: how it is, and the UID under which the message is shown now.
    pub(crate) became: BTreeMap<Uid, (String, Option<Uid>)>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (folder, shown) in &self.shown {
            let shown: Vec<_> = shown
                .iter()
                .map(|(uid, birth, seen)| format!("{uid}:{birth}{}", if *seen { "s" } else { "" }))
                .collect();
            let (high, reported) = self.lines[folder];
            write!(f, " {folder:?} {high}/{reported} [{}]", shown.join(" "))?;
        }
        let held: Vec<_> = self.held.iter().map(|(birth, held)| format!("{birth}{}{}", held.state, held.uid)).collect();
        let late: Vec<_> = self.late.iter().filter(|(_, births)| !births.is_empty()).collect();
        let became: Vec<_> = self
            .became
            .iter()
            .map(|(uid, (how, now))| format!("{uid} {how} {}", now.map_or(String::new(), |now| now.to_string())))
            .collect();
        write!(f, " held [{}] late {late:?} became [{}]", held.join(" "), became.join(", "))
    }
}

/// Nodes 1 to [`NODES`](super::NODES) with one user who has an INBOX and a folder. Messages go by the names that they were delivered
/// with, nodes by their numbers.
pub(crate) trait Store {
    /// dbmail delivers a message of that name.
    async fn deliver(&mut self, node: i16, folder: Folder, name: &str);
    /// The user logs in.
    async fn login(&mut self, node: i16);
    /// A client expunges a message that it is shown.
    async fn expunge(&mut self, node: i16, folder: Folder, uid: Uid);
    /// A message is moved to the other folder.
    async fn move_to(&mut self, node: i16, from: Folder, uid: Uid, to: Folder);
    /// A client sets or clears \Seen.
    async fn set_seen(&mut self, node: i16, folder: Folder, uid: Uid, seen: bool);
    /// A link brings what is new.
    async fn link(&mut self, source: i16, target: i16);
    /// A link brings everything that it ever brought once more.
    async fn replay(&mut self, source: i16, target: i16);
    /// A worker that reaches these nodes settles a mailbox, once; it waits for nobody. Tears where it is told to.
    async fn settle(&mut self, nodes: &[i16], folder: Folder, tear: Option<Tear>);
    /// The message of that name, and under which UID a node shows it, and where.
    async fn find(&mut self, node: i16, name: &str) -> Option<(Folder, Uid)>;
    /// What a node tells.
    async fn tell(&mut self, node: i16) -> Told;
}
