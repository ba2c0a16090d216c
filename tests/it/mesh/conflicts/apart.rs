//! Two nodes that part and meet again, with a client on each that never looks back.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::audit::{audit, quota};
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use crate::mesh::Mesh;

/// Nodes A and B with alice's INBOX, in which are `one` and `two`. No link is up.
pub struct Apart {
    pub mesh: Mesh,
    /// A session on A, and one on B.
    pub sessions: [Session; 2],
    pub inbox: MailboxId,
    /// UIDs of `one` and `two`.
    pub uids: [Uid; 2],
    ledger: Ledger,
    readers: Vec<IncrementalReader>,
}

impl Apart {
    pub async fn new(prefix: &str) -> Self {
        let mesh = Mesh::new(prefix, 2, 2).await.hurried();
        let mut sessions = [mesh.dbmail(1).await, mesh.dbmail(2).await];
        sessions[0].create_user("alice").await.unwrap();
        let inbox = sessions[0].create_mailbox("alice", "INBOX").await.unwrap();
        let (ledger, readers, uids) = (Ledger::default(), Vec::new(), [Uid(0); 2]);
        let mut apart = Self { mesh, sessions, inbox, uids, ledger, readers };
        apart.uids = [apart.deliver(1, inbox, "one").await, apart.deliver(1, inbox, "two").await];
        apart.mesh.converge().await;
        apart.read_along(1, inbox).await;
        apart.read_along(2, inbox).await;
        apart
    }

    pub fn session(&mut self, node: i16) -> &mut Session {
        &mut self.sessions[node as usize - 1]
    }

    /// Creates a mailbox of alice's.
    pub async fn create(&mut self, node: i16, name: &str) -> MailboxId {
        self.session(node).create_mailbox("alice", name).await.unwrap()
    }

    /// Delivers a message of that name.
    pub async fn deliver(&mut self, node: i16, mailbox: MailboxId, name: &str) -> Uid {
        let mail = Mail::named(name);
        let uid = self.session(node).deliver(mailbox, &mail).await.unwrap();
        let called = "select m.name from dbmail_mailboxes m where m.mailbox_idnr = $1";
        let row = self.session(node).client().query_one(called, &[&mailbox.0]).await.unwrap();
        self.ledger.delivered("alice", row.get(0), &mail);
        uid
    }

    /// A message was moved, or may be, to another mailbox of alice's.
    pub fn moved(&self, name: &str, to: &str) {
        self.ledger.delivered("alice", to, &Mail::named(name));
    }

    /// A mailbox of alice's was deleted: what is delivered into it from now on is not to be lost.
    pub fn deleted(&self, name: &str) {
        self.ledger.mailbox_deleted("alice", name);
    }

    /// A message was expunged.
    pub fn expunged(&self, name: &str) {
        self.ledger.expunged(name);
    }

    pub async fn store(&mut self, node: i16, uid: Uid, change: &StoreFlags) {
        let inbox = self.inbox;
        assert_eq!(self.session(node).store(inbox, &[uid], change).await.unwrap(), 1);
    }

    /// Expunges a message of INBOX.
    pub async fn expunge(&mut self, node: i16, uid: Uid) {
        let inbox = self.inbox;
        self.store(node, uid, &StoreFlags::add(Flags::DELETED)).await;
        for expunged in self.session(node).expunge_named(inbox).await.unwrap() {
            self.ledger.expunged(&expunged.unique_id);
        }
    }

    /// A client of a node reads a mailbox, and goes on with it.
    pub async fn read_along(&mut self, node: i16, mailbox: MailboxId) {
        let name = self.mesh.node(node).name.as_str().to_owned();
        self.readers.push(IncrementalReader::new(name, mailbox));
        self.read().await;
    }

    /// All clients ask for what is new.
    pub async fn read(&mut self) {
        for reader in &mut self.readers {
            let node = usize::from(reader.node != "a");
            reader.poll(&mut self.sessions[node]).await.unwrap();
        }
    }

    /// Meets again, one link after the other, while the clients go on reading; then guarantees A, B, D and E, and the quota counters, are
    /// checked, and all of it is joined once more.
    pub async fn meet(&mut self) {
        for target in [2, 1] {
            self.read().await;
            self.mesh.join_into(&[target]).await;
        }
        self.read().await;
        self.mesh.converge().await;
        self.read().await;
        let nodes: Vec<_> =
            self.mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
        let report = audit(&nodes, &self.ledger, &self.readers).await.unwrap();
        assert!(report.held(), "{report}");
        assert_eq!(quota(&nodes).await.unwrap(), Vec::<String>::new());
        self.mesh.converge_again().await;
    }

    /// The names (`unique_id`) of what a mailbox shows on a node, and where it is not plain its flags and keywords, ordered by name.
    pub async fn shows(&mut self, node: i16, mailbox: MailboxId) -> Vec<String> {
        let states = self.session(node).states(mailbox).await.unwrap();
        let mut shown: Vec<String> = Vec::new();
        for state in states.messages.values() {
            let flags = state.flags;
            let named = [(flags.seen, "\\Seen"), (flags.deleted, "\\Deleted"), (flags.flagged, "\\Flagged")];
            let set = named.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
            let words: Vec<&str> = set.chain(state.keywords.iter().map(String::as_str)).collect();
            shown.push([&[state.unique_id.as_str()], words.as_slice()].concat().join(" "));
        }
        shown.sort();
        shown
    }

    /// Both nodes show this in a mailbox.
    pub async fn both_show(&mut self, mailbox: MailboxId, expected: &[&str]) {
        for node in [1, 2] {
            assert_eq!(self.shows(node, mailbox).await, expected, "node {node}");
        }
    }

    /// The UID that a message has on a node.
    pub async fn uid(&mut self, node: i16, name: &str) -> Uid {
        let sql = "select message_idnr from dbmail_messages where unique_id = $1 and status < 2";
        Uid(self.session(node).client().query_one(sql, &[&name]).await.unwrap().get(0))
    }

    /// The mailbox of alice's with a name, the same on both nodes.
    pub async fn mailbox(&mut self, name: &str) -> MailboxId {
        let on_a = self.session(1).find_mailbox("alice", name).await.unwrap().unwrap();
        assert_eq!(self.session(2).find_mailbox("alice", name).await.unwrap(), Some(on_a));
        on_a
    }

    /// The number that a query returns on a node.
    pub async fn count(&self, node: i16, sql: &str) -> i64 {
        self.mesh.count(node, sql).await
    }
}
