//! One direction of one link is down for long, everything else works: a late message is shown all the same.

use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};
use dbmail_mesh::worker::settle::Settler;

use super::{DEADLINE, Mesh};

/// How often a message was given a new UID, at the most, as far as a node knows.
const MOST_NUMBERS: &str =
    "select coalesce(max(n), 0) from (select count(*) as n from dbmail_mesh.number group by birth_uid) x";

impl Mesh {
    /// Delivers messages of these names, one after the other.
    async fn deliver(&self, id: i16, mailbox: MailboxId, names: &[&str]) {
        let mut session = self.dbmail(id).await;
        for name in names {
            session.deliver(mailbox, &Mail::named(name)).await.unwrap();
        }
    }

    /// The links into a node bring what there is. Nothing is settled meanwhile.
    async fn carry(&self, sources: &[i16], target: i16, names: &[&str]) {
        let mut unsettled = self.only(sources, target);
        unsettled.mesh.settle_after = Duration::from_secs(3600);
        let worker = unsettled.work_for(&[target]);
        for name in names {
            let here = format!("select count(*) from dbmail_messages where unique_id = '{name}'");
            self.await_count(target, &here, 1).await;
        }
        worker.stop().await;
    }

    /// What a worker sees that knows only these nodes.
    fn only(&self, sources: &[i16], target: i16) -> Self {
        let known = |id: i16| id == target || sources.contains(&id);
        let nodes = self.nodes.iter().filter(|node| known(node.id.0)).cloned().collect();
        Self { nodes, mesh: self.mesh.clone(), worker: self.worker.clone() }
    }

    /// Settles, while no link brings anything to the node, until it shows messages of these names in this order.
    async fn settle_until(&self, id: i16, mailbox: MailboxId, expected: &[&str]) {
        let settler = Settler::break_off_at(self.options(&[id]), None).unwrap();
        let begun = Instant::now();
        while self.names(id, mailbox).await != expected {
            settler.round().await;
            assert!(
                begun.elapsed() < DEADLINE,
                "node {id} shows {:?}, not {expected:?}",
                self.names(id, mailbox).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a client sees of a mailbox on a node: its messages, in the order of their UIDs.
    async fn names(&self, id: i16, mailbox: MailboxId) -> Vec<String> {
        let names = "select unique_id from dbmail_messages
                     where mailbox_idnr = $1 and status < 2 and message_idnr < 8589934592 order by message_idnr";
        let rows = self.psql(id).await.query(names, &[&mailbox.0]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// All links are up again: the nodes become equal, and no message had to be renumbered twice.
    async fn heal(&self, mailbox: MailboxId, count: usize) {
        let worker = self.work();
        self.await_equal(mailbox, count).await;
        worker.stop().await;
        for node in &self.nodes {
            assert!(self.count(node.id.0, MOST_NUMBERS).await <= 1, "renumbered twice");
        }
    }
}

/// The link from B to A has brought a late message and is down since; B has more, so A seemed to be too far behind for a settlement of
/// what waits on A itself.
#[tokio::test]
async fn a_late_message_is_shown_while_the_link_that_brought_it_is_down() {
    let (mesh, inbox) = Mesh::with_inbox("stopped", 2, 2).await;
    mesh.deliver(2, inbox, &["b"]).await;
    mesh.deliver(1, inbox, &["a", "a2"]).await;
    mesh.carry(&[2], 1, &["b"]).await;
    mesh.deliver(2, inbox, &["b2", "b3", "b4"]).await;
    mesh.settle_until(1, inbox, &["a", "a2", "b"]).await;
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.number").await, 1);
    mesh.heal(inbox, 6).await;
}

/// The link from B to A is up, and B shows a message that A will never show there: A has expunged it, and the link that says so to B is
/// down.
#[tokio::test]
async fn a_late_message_is_shown_while_the_source_shows_what_died_here() {
    let (mesh, inbox) = Mesh::with_inbox("died", 2, 2).await;
    let mut a = mesh.dbmail(1).await;
    let other = a.create_mailbox("alice", "Other").await.unwrap();
    let dies = a.deliver(other, &Mail::named("dies")).await.unwrap();
    mesh.carry(&[1], 2, &["dies"]).await;
    mesh.deliver(2, inbox, &["b"]).await;
    mesh.deliver(1, inbox, &["a", "a2"]).await;
    let mut b = mesh.dbmail(2).await;
    mesh.deliver(2, inbox, &["b2", "b3", "b4"]).await;
    b.move_messages(other, &[dies], inbox).await.unwrap();
    assert_eq!(mesh.names(2, inbox).await, ["b", "b2", "b3", "b4", "dies"]);
    for gone in mesh.uids(2, inbox).await.into_iter().skip(1).take(3) {
        let uid = dbmail_mesh::domain::ids::Uid(gone);
        b.store(inbox, &[uid], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    }
    b.expunge_named(inbox).await.unwrap();
    a.store(other, &[dies], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    a.expunge_named(other).await.unwrap();
    let worker = mesh.work_for(&[1]);
    mesh.await_shown(1, inbox, &["a", "a2", "b"]).await;
    worker.stop().await;
    mesh.heal(inbox, 3).await;
}

/// The links into A are up but for that from C, and B shows what it has from C: A lacks it for as long as that takes.
#[tokio::test]
async fn a_late_message_is_shown_while_the_source_shows_what_a_third_node_gave_it() {
    let (mesh, inbox) = Mesh::with_inbox("third", 3, 4).await;
    mesh.deliver(2, inbox, &["b"]).await;
    mesh.deliver(1, inbox, &["a", "a2"]).await;
    mesh.deliver(3, inbox, &["c", "c2", "c3"]).await;
    mesh.carry(&[3], 2, &["c", "c2", "c3"]).await;
    let worker = mesh.only(&[2], 1).work_for(&[1]);
    mesh.await_shown(1, inbox, &["a", "a2", "b"]).await;
    worker.stop().await;
    mesh.heal(inbox, 6).await;
}

impl Mesh {
    async fn await_shown(&self, id: i16, mailbox: MailboxId, expected: &[&str]) {
        let begun = Instant::now();
        while self.names(id, mailbox).await != expected {
            assert!(
                begun.elapsed() < DEADLINE,
                "node {id} shows {:?}, not {expected:?}",
                self.names(id, mailbox).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
