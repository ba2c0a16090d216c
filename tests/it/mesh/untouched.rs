//! Guarantee G: dbmail never sees an error of ours, and never waits longer for us than the bound.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, NodeId, Stride, Uid};
use dbmail_mesh::scratch::cluster::{Cluster, Options};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::standin::{Flags, INTERNAL_USER, Mail, Session, StoreFlags};

use super::Mesh;

const SESSIONS: u64 = 16;
const TRAFFIC: Duration = Duration::from_secs(10);

/// Sixteen sessions on the same few mailboxes, while settlements run as fast as they can: no statement fails, PostgreSQL's log has no
/// deadlock and no lock wait of dbmail's as long as the deadlock check (1 s).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dbmail_sees_no_error_no_deadlock_and_no_long_wait() {
    let clusters =
        [Cluster::start(Options::default()).await.unwrap(), Cluster::start(Options::default()).await.unwrap()];
    let mut mesh = own_clusters(&clusters).await;
    mesh.mesh.settle_after = Duration::from_millis(20);
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where name in ('INBOX', 'Folder')", 2).await;

    // Sessions that make dbmail's staging mailbox at once get in each other's way, with or without us.
    for id in [1, 2] {
        mesh.dbmail(id).await.find_or_create_mailbox(INTERNAL_USER, "INBOX").await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let shared = Arc::new(Shared { fixed: vec![inbox, folder], passing: Mutex::default(), waits_ms: Mutex::default() });
    let mut tasks = Vec::new();
    for number in 0..SESSIONS {
        let node = mesh.node(1 + i16::try_from(number % 2).unwrap()).clone();
        let client =
            Client { random: fastrand::Rng::with_seed(number), number, shared: shared.clone(), stop: stop.clone() };
        tasks.push(tokio::spawn(client.run(node)));
    }
    tokio::time::sleep(TRAFFIC).await;
    stop.store(true, Ordering::SeqCst);
    let mut operations = 0;
    for task in tasks {
        match task.await {
            Ok(count) => operations += count,
            Err(failed) => panic!("{failed}\n{}", errors_in(&clusters)),
        }
    }
    worker.stop().await;

    let mut waits = shared.waits_ms.lock().unwrap().clone();
    waits.sort_unstable();
    let at = |per_mille: usize| waits[(waits.len() - 1) * per_mille / 1000];
    let numbers = mesh.count(1, "select count(*) from dbmail_mesh.number").await;
    println!(
        "{operations} operations, {numbers} numbers given; a delivery took {} ms (median), {} ms (p99), {} ms (most)",
        at(500),
        at(990),
        at(1000)
    );
    assert!(operations > 300 && numbers > 20, "too little happened to prove anything");
    for cluster in &clusters {
        let log = cluster.log().unwrap();
        let of_dbmail: Vec<&str> = log.lines().filter(|line| line.contains("] dbmail ")).collect();
        let bad: Vec<&&str> = of_dbmail
            .iter()
            .filter(|line| line.contains("deadlock") || line.contains("still waiting") || line.contains("ERROR"))
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
        // The check sees what it looks for: the log has lines of this kind at all.
        assert!(log.contains("dbmail"), "the log does not name applications");
    }
}

/// What the servers' logs say of errors, with the statements.
fn errors_in(clusters: &[Cluster; 2]) -> String {
    let logs = clusters.iter().map(|cluster| cluster.log().unwrap()).collect::<String>();
    let telling = |line: &&str| {
        ["ERROR", "DETAIL", "STATEMENT", "CONTEXT", "Process", "still waiting"].iter().any(|word| line.contains(word))
    };
    logs.lines().filter(telling).map(|line| format!("{line}\n")).collect()
}

async fn own_clusters(clusters: &[Cluster; 2]) -> Mesh {
    let mut nodes = Vec::new();
    for (index, cluster) in clusters.iter().enumerate() {
        cluster.create_dbmail("dbmail").await.unwrap();
        let (name, id) = (["a", "b"][index], i16::try_from(index + 1).unwrap());
        nodes.push(NodeSettings::new(name, NodeId(id), &cluster.worker_url("dbmail")).unwrap());
    }
    install(&nodes, &nodes, Stride(8)).await.unwrap();
    Mesh::of(nodes, 8)
}

struct Shared {
    fixed: Vec<MailboxId>,
    /// Mailboxes of the first node that come and go.
    passing: Mutex<Vec<MailboxId>>,
    waits_ms: Mutex<Vec<u128>>,
}

struct Client {
    random: fastrand::Rng,
    number: u64,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn run(mut self, node: NodeSettings) -> usize {
        let mut config = node.connection.clone();
        config.application_name("dbmail");
        let mut session = Session::connect(&config).await.unwrap();
        let mut operations = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let mailbox = self.shared.fixed[self.random.usize(..2)];
            match self.random.u8(..100) {
                0..40 => self.deliver(&mut session, mailbox).await,
                40..50 => self.copy(&mut session, mailbox).await,
                50..60 => {
                    let uids = self.some_of(&mut session, mailbox).await;
                    let flags = StoreFlags::add(Flags::FLAGGED).keywords(&["$Label1"]);
                    session.store(mailbox, &uids, &flags).await.unwrap();
                }
                60..75 => {
                    let uids = self.some_of(&mut session, mailbox).await;
                    session.store(mailbox, &uids, &StoreFlags::add(Flags::DELETED)).await.unwrap();
                    session.expunge(mailbox).await.unwrap();
                }
                75..85 => {
                    session.login("alice").await.unwrap();
                    session.select(mailbox).await.unwrap();
                }
                _ if node.id == NodeId(1) => self.come_and_go(&mut session).await,
                _ => {}
            }
            operations += 1;
        }
        operations
    }

    async fn deliver(&mut self, session: &mut Session, mailbox: MailboxId) {
        let mail = Mail::generate(&mut self.random, 500);
        let begun = Instant::now();
        session.deliver(mailbox, &mail).await.unwrap();
        self.shared.waits_ms.lock().unwrap().push(begun.elapsed().as_millis());
    }

    async fn copy(&mut self, session: &mut Session, mailbox: MailboxId) {
        for uid in self.some_of(session, mailbox).await {
            session.copy_if_there(uid, self.shared.fixed[self.random.usize(..2)]).await.unwrap();
        }
    }

    async fn some_of(&mut self, session: &mut Session, mailbox: MailboxId) -> Vec<Uid> {
        let listed = session.search_above(mailbox, Uid(0)).await.unwrap();
        listed.iter().map(|listed| listed.uid).filter(|_| self.random.u8(..8) == 0).take(3).collect()
    }

    /// Makes a mailbox, delivers into one of those that others are just deleting, deletes one.
    async fn come_and_go(&mut self, session: &mut Session) {
        let name = format!("passing-{}-{}", self.number, self.random.u64(..));
        let made = session.create_mailbox("alice", &name).await.unwrap();
        self.shared.passing.lock().unwrap().push(made);
        let some = { self.shared.passing.lock().unwrap().clone() };
        for _ in 0..3 {
            let mailbox = some[self.random.usize(..some.len())];
            self.deliver(session, mailbox).await;
        }
        let gone = {
            let mut passing = self.shared.passing.lock().unwrap();
            let index = self.random.usize(..passing.len());
            passing.swap_remove(index)
        };
        session.delete_mailbox(gone).await.unwrap();
    }
}

/// A session that has cached a mailbox's id delivers into it after another has deleted it. In stock dbmail the INSERT fails, dbmail
/// answers OK, and the mail is gone. Here it is in the owner's INBOX, announced to open sessions, and on the other node too.
#[tokio::test]
async fn a_delivery_into_a_deleted_mailbox_is_not_lost() {
    let (mesh, inbox) = Mesh::with_inbox("deleted", 2, 2).await;
    let (mut first, mut second) = (mesh.dbmail(1).await, mesh.dbmail(1).await);
    let folder = first.create_mailbox("alice", "Folder").await.unwrap();
    first.deliver(folder, &Mail::named("before")).await.unwrap();
    second.find_mailbox("alice", "Folder").await.unwrap();
    assert!(first.delete_mailbox(folder).await.unwrap());
    let seq = "select seq from dbmail_mailboxes where name = 'INBOX' and owner_idnr = (select user_idnr from dbmail_users where userid = 'alice')";
    let before = mesh.count(1, seq).await;
    let uid = second.deliver(folder, &Mail::named("after")).await.unwrap();
    assert!(mesh.count(1, seq).await > before, "no open session would learn of it");
    assert_eq!(mesh.uids(1, inbox).await, [uid.0]);
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[uid.0]).await;
    worker.stop().await;
}

/// The same while the DELETE is still open: the delivery waits for it, as it does in stock dbmail, and then goes to INBOX.
#[tokio::test]
async fn a_delivery_that_meets_an_open_delete_is_not_lost() {
    let (mesh, inbox) = Mesh::with_inbox("deleting", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let mut deleter = mesh.psql(1).await;
    let open = deleter.transaction().await.unwrap();
    open.execute("delete from dbmail_mailboxes where mailbox_idnr = $1", &[&folder.0]).await.unwrap();
    let delivery = tokio::spawn(async move { session.deliver(folder, &Mail::named("m")).await.unwrap() });
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    mesh.await_count(1, waiting, 1).await;
    open.commit().await.unwrap();
    let uid = delivery.await.unwrap();
    assert_eq!(mesh.uids(1, inbox).await, [uid.0]);
}

/// Our functions gone wrong in every way that can be made here: dbmail's INSERT succeeds all the same, under a number of the node's
/// class.
#[tokio::test]
async fn an_error_inside_our_trigger_does_not_reach_dbmail() {
    let (mesh, inbox) = Mesh::with_inbox("broken", 1, 8).await;
    let mut session = mesh.dbmail(1).await;
    let client = mesh.psql(1).await;
    let mut uids = BTreeSet::new();
    uids.insert(session.deliver(inbox, &Mail::named("whole")).await.unwrap());
    client.batch_execute("alter table dbmail_mesh.line rename to line_gone").await.unwrap();
    uids.insert(session.deliver(inbox, &Mail::named("no line")).await.unwrap());
    client.batch_execute("alter table dbmail_mesh.overtaking rename to overtaking_gone").await.unwrap();
    uids.insert(session.deliver(inbox, &Mail::named("nothing")).await.unwrap());
    assert_eq!(uids.len(), 3);
    assert!(uids.iter().all(|&uid| NodeId(1).owns(uid, Stride(8))), "{uids:?}");
}
