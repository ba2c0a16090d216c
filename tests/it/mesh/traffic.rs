//! Concurrent traffic on three nodes, with a worker that is killed again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::config::{NodeSettings, Presence};
use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::reader::{DeadUidWatch, IncrementalReader};
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::Mesh;
use super::child::WorkerProcess;

const NODES: i16 = 3;
const WRITERS_PER_NODE: u64 = 8;
const USERS: [&str; 2] = ["alice", "bob"];
const NAMES: [&str; 2] = ["INBOX", "Folder"];
/// So long at the least, and until so much was delivered.
const TRAFFIC: Duration = Duration::from_secs(12);
const DELIVERIES: usize = 400;

/// A shared mailbox: id, owner, name.
type Place = (MailboxId, &'static str, &'static str);

/// Guarantees A to E at the end; B and C are checked during the run by readers that only ever ask for UIDs above the last one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_guarantees_hold_under_traffic_and_killed_workers() {
    let seed =
        std::env::var("DBMAIL_MESH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (repeat with DBMAIL_MESH_SEED={seed})");
    let mut mesh = Mesh::new("traffic", NODES, 8).await;
    mesh.mesh.presence = Presence::For(Duration::from_secs(86_400));
    let places = create_mailboxes(&mesh).await;
    let ledger = Arc::new(Ledger::default());
    let stop = Arc::new(AtomicBool::new(false));

    let mut writers = Vec::new();
    for node in &mesh.nodes {
        for writer in 0..WRITERS_PER_NODE {
            let random = fastrand::Rng::with_seed(seed ^ (node.id.0 as u64) << 32 ^ writer);
            let traffic = Writer { random, places: places.clone(), ledger: ledger.clone(), stop: stop.clone() };
            writers.push(tokio::spawn(traffic.run(node.clone())));
        }
    }
    let mut readers = Vec::new();
    for node in &mesh.nodes {
        readers.push(tokio::spawn(read_along(node.clone(), places.clone(), stop.clone())));
    }

    let mut random = fastrand::Rng::with_seed(seed);
    let begun = Instant::now();
    let mut worker = WorkerProcess::start(&mesh);
    let mut kills = 0;
    while begun.elapsed() < TRAFFIC || (ledger.deliveries() < DELIVERIES && begun.elapsed() < super::DEADLINE) {
        tokio::time::sleep(Duration::from_millis(random.u64(300..2000))).await;
        worker.kill().await;
        kills += 1;
        worker = WorkerProcess::start(&mesh);
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    await_convergence(&mesh, &places).await;
    // A message that was marked \Deleted on one node and then renumbered waits for the next EXPUNGE there.
    for node in &mesh.nodes {
        let mut session = Session::connect(&node.connection).await.unwrap();
        for (mailbox, _, _) in &places {
            expunge(&mut session, *mailbox, &ledger).await;
        }
    }
    await_convergence(&mesh, &places).await;

    let mut all_readers = Vec::new();
    let mut dead = Vec::new();
    for reader in readers {
        let (readers, watch) = reader.await.unwrap();
        all_readers.extend(readers);
        dead.push(watch);
    }
    for reader in &mut all_readers {
        let node = mesh.nodes.iter().find(|node| node.name.as_str() == reader.node).unwrap();
        reader.poll(&mut Session::connect(&node.connection).await.unwrap()).await.unwrap();
    }
    let nodes: Vec<_> = mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    let mut report = audit(&nodes, &ledger, &all_readers).await.unwrap();
    let mut watched = 0;
    for watch in &mut dead {
        watched += watch.len();
        for node in &mesh.nodes {
            let mut session = Session::connect(&node.connection).await.unwrap();
            watch.check_converged(node.name.as_str(), &mut session).await.unwrap();
        }
        report.include(watch.findings());
    }
    let renumbered = mesh.count(1, "select count(*) from dbmail_mesh.number").await;
    let most = mesh
        .count(1, "select coalesce(max(n), 0) from (select count(*) as n from dbmail_mesh.number group by birth_uid) x")
        .await;
    println!(
        "{} deliveries, {} expunges, {kills} kills, {renumbered} numbers given, at most {most} a message, {watched} dead UIDs watched",
        ledger.deliveries(),
        ledger.expunges()
    );
    assert!(report.held(), "seed {seed}: {report}");
    assert!(ledger.deliveries() >= DELIVERIES && renumbered > 20, "too little happened to prove anything");
    // Once for each time that the worker was gone, a message may have been settled without a node that lacked it; on the whole once.
    assert!(most <= 3, "a message was renumbered {most} times");
}

async fn create_mailboxes(mesh: &Mesh) -> Vec<Place> {
    let mut session = mesh.dbmail(1).await;
    let mut places = Vec::new();
    for user in USERS {
        session.create_user(user).await.unwrap();
        for name in NAMES {
            places.push((session.create_mailbox(user, name).await.unwrap(), user, name));
        }
    }
    let worker = mesh.work();
    for id in 1..=NODES {
        mesh.await_count(
            id,
            "select count(*) from dbmail_mailboxes where name in ('INBOX', 'Folder')",
            places.len() as i64,
        )
        .await;
    }
    worker.stop().await;
    places
}

struct Writer {
    random: fastrand::Rng,
    places: Vec<Place>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self, node: NodeSettings) {
        let mut session = Session::connect(&node.connection).await.unwrap();
        while !self.stop.load(Ordering::SeqCst) {
            let (mailbox, user, name) = self.places[self.random.usize(..self.places.len())];
            match self.random.u8(..100) {
                0..70 => {
                    let mail = Mail::generate(&mut self.random, 2000);
                    session.deliver(mailbox, &mail).await.unwrap();
                    self.ledger.delivered(user, name, &mail);
                }
                70..80 => self.copy(&mut session, mailbox).await,
                80..90 => self.delete_some(&mut session, mailbox).await,
                _ => {
                    session.select(mailbox).await.unwrap();
                }
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(0..60))).await;
        }
    }

    async fn copy(&mut self, session: &mut Session, mailbox: MailboxId) {
        let listed = session.search_above(mailbox, Uid(0)).await.unwrap();
        if !listed.is_empty() {
            let uid = listed[self.random.usize(..listed.len())].uid;
            let (to, _, _) = self.places[self.random.usize(..self.places.len())];
            session.copy_if_there(uid, to).await.unwrap();
        }
    }

    async fn delete_some(&mut self, session: &mut Session, mailbox: MailboxId) {
        let listed = session.search_above(mailbox, Uid(0)).await.unwrap();
        let chosen: Vec<Uid> =
            listed.iter().map(|listed| listed.uid).filter(|_| self.random.u8(..10) == 0).take(3).collect();
        session.store(mailbox, &chosen, &StoreFlags::add(Flags::DELETED)).await.unwrap();
        expunge(session, mailbox, &self.ledger).await;
    }
}

async fn expunge(session: &mut Session, mailbox: MailboxId, ledger: &Ledger) {
    for expunged in session.expunge_named(mailbox).await.unwrap() {
        ledger.expunged(&expunged.unique_id);
    }
}

/// A client a mailbox, which polls all the time and now and then looks back.
async fn read_along(
    node: NodeSettings,
    places: Vec<Place>,
    stop: Arc<AtomicBool>,
) -> (Vec<IncrementalReader>, DeadUidWatch) {
    let mut session = Session::connect(&node.connection).await.unwrap();
    for user in USERS {
        session.login(user).await.unwrap();
    }
    let mut readers: Vec<_> =
        places.iter().map(|(mailbox, _, _)| IncrementalReader::new(node.name.as_str(), *mailbox)).collect();
    let mut watch = DeadUidWatch::default();
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        for reader in &mut readers {
            reader.poll(&mut session).await.unwrap();
            if round % 10 == 0 {
                for uid in reader.recheck(&mut session).await.unwrap() {
                    watch.add(node.name.as_str(), reader.mailbox, uid);
                }
                watch.check(node.name.as_str(), &mut session).await.unwrap();
            }
        }
        round += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (readers, watch)
}

/// Until nothing is late, no outbox row is ahead of a cursor, and every node shows the same.
async fn await_convergence(mesh: &Mesh, places: &[Place]) {
    let begun = Instant::now();
    let mut quiet = 0;
    while quiet < 3 {
        let mut equal = mesh.late().await == 0;
        for node in &mesh.nodes {
            equal &= mesh.count(node.id.0, "select count(*) from dbmail_mesh.overtaking").await == 0;
        }
        for (mailbox, _, _) in places {
            let first = mesh.uids(1, *mailbox).await;
            for node in &mesh.nodes[1..] {
                equal &= mesh.uids(node.id.0, *mailbox).await == first;
            }
        }
        quiet = if equal { quiet + 1 } else { 0 };
        assert!(begun.elapsed() < super::DEADLINE, "no convergence; late: {}", mesh.late().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
