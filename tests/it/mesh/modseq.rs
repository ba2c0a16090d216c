//! Clients that ask only for what has changed (RFC 7162), and that go from node to node: nothing that they were not given may hide
//! below the HIGHESTMODSEQ that they bring.

mod traffic;

use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::condstore::CondstoreReader;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};
use dbmail_mesh::worker::Worker;
use tokio_postgres::Client;

use super::{DEADLINE, Mesh};

/// A mesh at rest: one mailbox, with some messages whose \Recent is cleared everywhere. No worker is at work.
struct Scene {
    mesh: Mesh,
    inbox: MailboxId,
    uids: Vec<Uid>,
    sessions: Vec<Session>,
}

impl Scene {
    async fn new(prefix: &str, nodes: i16, messages: usize) -> Self {
        let (mesh, inbox) = Mesh::with_inbox(prefix, nodes, 8).await;
        let mut sessions = Vec::new();
        for id in 1..=nodes {
            sessions.push(mesh.dbmail(id).await);
        }
        let mut uids = Vec::new();
        for n in 0..messages {
            uids.push(sessions[0].deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap());
        }
        let mut scene = Self { mesh, inbox, uids, sessions };
        let worker = scene.mesh.work();
        scene.mesh.await_equal(inbox, messages).await;
        for id in 1..=nodes {
            scene.on(id).select(inbox).await.unwrap();
        }
        scene.at_rest(&scene.all_links()).await;
        worker.stop().await;
        scene
    }

    fn on(&mut self, id: i16) -> &mut Session {
        &mut self.sessions[usize::try_from(id - 1).unwrap()]
    }

    async fn store(&mut self, id: i16, message: usize, change: &StoreFlags) {
        let (inbox, uid) = (self.inbox, self.uids[message]);
        assert_eq!(self.on(id).store(inbox, &[uid], change).await.unwrap(), 1);
    }

    async fn flag(&mut self, id: i16, message: usize) {
        self.store(id, message, &StoreFlags::add(Flags::FLAGGED)).await;
    }

    /// HIGHESTMODSEQ goes up and no message has changed, as when SELECT clears \Recent.
    async fn bump(&mut self, id: i16, times: i64) {
        let inbox = self.inbox.0;
        let sql = format!("update dbmail_mailboxes set seq = seq + {times} where mailbox_idnr = {inbox}");
        self.on(id).client().batch_execute(&sql).await.unwrap();
    }

    /// A client that knows what a node shows.
    async fn client(&mut self, id: i16) -> CondstoreReader {
        let mut reader = CondstoreReader::new(id.to_string(), self.inbox);
        reader.sync(self.on(id)).await.unwrap();
        reader
    }

    /// The client goes to a node, looks once, and must believe what is so.
    async fn move_to(&mut self, reader: &mut CondstoreReader, id: i16) {
        reader.move_to(id.to_string());
        reader.sync(self.on(id)).await.unwrap();
        let wrong = reader.misbeliefs(self.on(id)).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}\nits number: {}\n{}", reader.seq, self.numbers().await);
    }

    fn all_links(&self) -> Vec<(i16, i16)> {
        let ids = || self.mesh.nodes.iter().map(|node| node.id.0);
        ids()
            .flat_map(|source| ids().filter(move |target| *target != source).map(move |target| (source, target)))
            .collect()
    }

    /// Waits until these links have brought all that there is, and what they do after that is done. Between nodes that all have the same,
    /// HIGHESTMODSEQ is the same, too.
    async fn at_rest(&self, links: &[(i16, i16)]) {
        let mut clients = Vec::new();
        for node in &self.mesh.nodes {
            clients.push(self.mesh.psql(node.id.0).await);
        }
        let begun = Instant::now();
        let all = links.len() == self.all_links().len();
        let mut quiet = 0;
        while quiet < 20 {
            let mut waiting = 0;
            for &(source, target) in links {
                let of = |id: i16| &clients[usize::try_from(id - 1).unwrap()];
                waiting += behind(of(source), source, of(target)).await;
            }
            if all {
                let mut seqs = Vec::new();
                for client in &clients {
                    seqs.push(highest(client, self.inbox).await);
                }
                seqs.dedup();
                waiting += seqs.len() as i64 - 1;
            }
            quiet = if waiting == 0 { quiet + 1 } else { 0 };
            assert!(begun.elapsed() < DEADLINE, "{waiting} changes wait in {links:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All links but these, and without the nodes whose links into them are not named.
    fn work_without(&self, stalled: &[(i16, i16)], targets: &[i16]) -> Vec<Worker> {
        let one = |target: i16| {
            let mut options = self.mesh.options(&[target]);
            options.nodes.retain(|node| !stalled.contains(&(node.id.0, target)));
            Worker::start(options).unwrap()
        };
        targets.iter().copied().map(one).collect()
    }

    /// Rows that were written so far, on all nodes: messages, mailboxes, registers, outbox.
    async fn rows_written(&self) -> Vec<i64> {
        let mut written = Vec::new();
        for node in &self.mesh.nodes {
            let sql = "select (select max(id) from dbmail_mesh.outbox)
                         + (select sum(m.seq)::bigint from dbmail_mailboxes m)
                         + (select coalesce(sum(g.xmin::text::bigint), 0)::bigint from dbmail_messages g)
                         + (select coalesce(sum(r.xmin::text::bigint), 0)::bigint from dbmail_mesh.message_register r)";
            written.push(self.mesh.count(node.id.0, sql).await);
        }
        written
    }

    /// HIGHESTMODSEQ, and each message's, for whoever reads that a test has failed.
    async fn numbers(&self) -> String {
        let mut text = String::new();
        for node in &self.mesh.nodes {
            let sql = "select format('node %s: %s, %s', n.node_id, m.seq, string_agg(g.message_idnr || ':' || g.seq, ' ' order by 1))
                       from dbmail_mailboxes m join dbmail_messages g using (mailbox_idnr), dbmail_mesh.local_node n
                       where m.mailbox_idnr = $1 group by n.node_id, m.seq";
            let row = self.mesh.psql(node.id.0).await.query_one(sql, &[&self.inbox.0]).await.unwrap();
            text += &(row.get::<_, String>(0) + "\n");
        }
        text
    }
}

/// How many changes of `source` are not applied on `target`.
async fn behind(source: &Client, id: i16, target: &Client) -> i64 {
    let sql = "select from_snapshot::text, copy_stage is null from dbmail_mesh.cursor where source_id = $1";
    let Some(row) = target.query_opt(sql, &[&id]).await.unwrap() else { return 1 };
    if !row.get::<_, bool>(1) {
        return 1;
    }
    let sql = "select count(*) from dbmail_mesh.outbox
               where origin is null and not pg_visible_in_snapshot(txid, $1::text::pg_snapshot)";
    source.query_one(sql, &[&row.get::<_, String>(0)]).await.unwrap().get(0)
}

/// HIGHESTMODSEQ of a mailbox.
async fn highest(client: &Client, mailbox: MailboxId) -> i64 {
    let sql = "select seq from dbmail_mailboxes where mailbox_idnr = $1";
    client.query_one(sql, &[&mailbox.0]).await.unwrap().get(0)
}

async fn stop(workers: Vec<Worker>) {
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_stays_is_told_what_the_others_do() {
    let mut scene = Scene::new("ms_stay", 3, 6).await;
    let worker = scene.mesh.work();
    let mut client = scene.client(1).await;
    for n in 0..6 {
        let id = 2 + i16::try_from(n % 2).unwrap();
        scene.store(id, n, &StoreFlags::add(Flags::SEEN).keywords(&["work"])).await;
        scene.store(id, n, &StoreFlags::add(Flags::NONE).keywords(&["later"])).await;
        scene.flag(5 - id, 5 - n).await;
        if n % 2 == 0 {
            scene.at_rest(&scene.all_links()).await;
            scene.move_to(&mut client, 1).await;
        }
    }
    scene.at_rest(&scene.all_links()).await;
    scene.move_to(&mut client, 1).await;
    worker.stop().await;
}

/// Both sides of a partition change messages; one of them goes on counting for other reasons, too.
#[tokio::test]
async fn after_a_partition_nothing_hides_from_a_client_that_moves() {
    let mut scene = Scene::new("ms_partition", 2, 6).await;
    for n in 0..3 {
        scene.flag(1, n).await;
        scene.flag(2, n + 3).await;
        scene.bump(1, 50).await;
    }
    scene.store(2, 0, &StoreFlags::add(Flags::NONE).keywords(&["work"])).await;
    scene.store(1, 5, &StoreFlags::add(Flags::SEEN).keywords(&["later"])).await;
    let (mut of_a, mut of_b) = (scene.client(1).await, scene.client(2).await);
    let worker = scene.mesh.work();
    scene.at_rest(&scene.all_links()).await;
    for id in [2, 1, 2] {
        scene.move_to(&mut of_a, id).await;
        scene.move_to(&mut of_b, 3 - id).await;
        scene.flag(id, 1).await;
        scene.store(id, 2, &StoreFlags::remove(Flags::FLAGGED)).await;
        scene.bump(3 - id, 10).await;
        scene.at_rest(&scene.all_links()).await;
    }
    worker.stop().await;
}

/// A had counted past B's change when it came. A client of A that had left before comes to B with that number.
#[tokio::test]
async fn a_change_that_comes_below_the_number_of_a_node_gets_one_above_it_everywhere() {
    let mut scene = Scene::new("ms_crossing", 3, 4).await;
    scene.bump(1, 100).await;
    scene.flag(2, 0).await;
    scene.store(2, 1, &StoreFlags::add(Flags::NONE).keywords(&["work"])).await;
    let left = scene.client(1).await;
    let workers = scene.work_without(&[], &[1, 3]);
    scene.at_rest(&[(2, 1), (3, 1), (1, 3), (2, 3)]).await;
    stop(workers).await;
    // A has the change, so B has no reason of its own to give it another number.
    let worker = scene.mesh.work();
    scene.at_rest(&scene.all_links()).await;
    for id in [2, 3] {
        scene.move_to(&mut left.clone(), id).await;
    }
    worker.stop().await;
}

/// B takes over what A has; A never hears of B again.
#[tokio::test]
async fn a_node_that_is_gone_leaves_nothing_hidden_on_those_that_have_all_that_it_had() {
    let mut scene = Scene::new("ms_gone", 2, 4).await;
    scene.flag(2, 0).await;
    scene.store(2, 1, &StoreFlags::add(Flags::SEEN).keywords(&["work"])).await;
    scene.flag(1, 2).await;
    scene.bump(1, 100).await;
    let mut left = scene.client(1).await;
    let worker = scene.mesh.work_for(&[2]);
    scene.at_rest(&[(1, 2)]).await;
    scene.move_to(&mut left, 2).await;
    worker.stop().await;
}

/// The same with three nodes: the change was made on C, B has it, and B alone has heard the last of A.
#[tokio::test]
async fn what_a_third_node_did_does_not_hide_either() {
    let mut scene = Scene::new("ms_third", 3, 4).await;
    scene.flag(3, 0).await;
    let workers = scene.work_without(&[], &[2]);
    scene.at_rest(&[(3, 2)]).await;
    stop(workers).await;
    scene.bump(1, 100).await;
    let mut left = scene.client(1).await;
    let workers = scene.work_without(&[], &[2]);
    scene.at_rest(&[(1, 2), (3, 2)]).await;
    scene.move_to(&mut left, 2).await;
    stop(workers).await;
}

/// HIGHESTMODSEQ of A went up, and nothing changed: what B changes after that must not have a number that A has had.
#[tokio::test]
async fn what_changes_later_is_above_the_numbers_of_all_nodes() {
    let mut scene = Scene::new("ms_later", 2, 4).await;
    scene.bump(1, 100).await;
    let mut left = scene.client(1).await;
    let worker = scene.mesh.work();
    scene.at_rest(&scene.all_links()).await;
    worker.stop().await;
    scene.flag(2, 0).await;
    scene.move_to(&mut left, 2).await;
}

/// C's changes do not reach A, but those of B do, and lift A above C's. Clients of A lack what B and C have.
#[tokio::test]
async fn a_node_that_one_link_leaves_behind_is_kept_in_mind_by_the_others() {
    let mut scene = Scene::new("ms_stalled", 3, 6).await;
    let links: Vec<(i16, i16)> = scene.all_links().into_iter().filter(|link| *link != (3, 1)).collect();
    let workers = scene.work_without(&[(3, 1)], &[1, 2, 3]);
    scene.flag(3, 0).await;
    scene.store(3, 1, &StoreFlags::add(Flags::SEEN).keywords(&["work"])).await;
    scene.at_rest(&links).await;
    for round in 0..3 {
        scene.bump(2, 20).await;
        scene.at_rest(&links).await;
        let mut left = scene.client(1).await;
        scene.move_to(&mut left.clone(), 3).await;
        scene.move_to(&mut left, 2).await;
        scene.flag(2, 2 + round).await;
        scene.at_rest(&links).await;
        let mut left = scene.client(1).await;
        scene.move_to(&mut left.clone(), 2).await;
        scene.move_to(&mut left, 3).await;
    }
    let before = scene.rows_written().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(scene.rows_written().await, before, "they number each other's messages anew, for ever");
    let left = scene.client(1).await;
    stop(workers).await;
    let worker = scene.mesh.work();
    scene.at_rest(&scene.all_links()).await;
    for id in [1, 2, 3] {
        scene.move_to(&mut left.clone(), id).await;
    }
    worker.stop().await;
}

/// A client that was too early where a node had not caught up is told in the end.
#[tokio::test]
async fn a_client_that_moves_too_early_is_told_later() {
    let mut scene = Scene::new("ms_early", 2, 4).await;
    scene.flag(2, 0).await;
    scene.bump(1, 100).await;
    let mut early = scene.client(1).await;
    early.move_to("2");
    scene.bump(2, 300).await;
    early.sync(scene.on(2)).await.unwrap();
    assert_eq!(early.misbeliefs(scene.on(2)).await.unwrap().len(), 1, "B cannot know the number that it brought");
    let worker = scene.mesh.work_for(&[1]);
    scene.at_rest(&[(2, 1)]).await;
    worker.stop().await;
    let worker = scene.mesh.work();
    scene.at_rest(&scene.all_links()).await;
    scene.move_to(&mut early, 2).await;
    worker.stop().await;
}

/// dbmail raises the mailbox, then writes the flags, then the message's number. The last step may never come.
#[tokio::test]
async fn flags_have_their_number_before_dbmail_gives_it() {
    let mut scene = Scene::new("ms_steps", 1, 2).await;
    let mut client = scene.client(1).await;
    scene.bump(1, 1).await;
    let (uid, session) = (scene.uids[0].0, scene.on(1));
    let flags = "update dbmail_messages set seen_flag = 1 where message_idnr = $1";
    session.client().execute(flags, &[&uid]).await.unwrap();
    scene.move_to(&mut client, 1).await;
}

/// Nobody rewrites anything once all is said.
#[tokio::test]
async fn it_comes_to_an_end() {
    let mut scene = Scene::new("ms_end", 3, 30).await;
    for round in 0..10 {
        for id in 1..=3 {
            scene.flag(id, round * 3 % 30 + usize::try_from(id - 1).unwrap()).await;
            scene.store(id, round, &StoreFlags::add(Flags::SEEN)).await;
            scene.bump(id, i64::from(id) * 7).await;
        }
    }
    let worker = scene.mesh.work();
    for round in 0..30 {
        let id = 1 + i16::try_from(round % 3).unwrap();
        scene.store(id, round, &StoreFlags::replace(Flags::DELETED)).await;
    }
    scene.at_rest(&scene.all_links()).await;
    // Whatever was announced rides with the next poll.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let before = scene.rows_written().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(scene.rows_written().await, before, "{}", scene.numbers().await);
    worker.stop().await;
}
