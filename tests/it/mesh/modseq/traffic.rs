//! Clients that move while all nodes store flags.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::condstore::{Belief, CondstoreReader};
use dbmail_mesh::scratch::standin::{Flags, Session, StoreFlags};
use tokio::sync::RwLock;
use tokio_postgres::Client;

use super::{DEADLINE, Scene, highest};

const NODES: i16 = 3;
const MESSAGES: usize = 12;
const CLIENTS: u64 = 3;
const GRACE: Duration = Duration::from_millis(400);
const TRAFFIC: Duration = Duration::from_secs(12);

/// While a client looks at a node, no STORE is under way there: dbmail raises the mailbox before it writes the flags, and who looks in
/// between is told of them by no dbmail, with or without us.
type Gates = Arc<BTreeMap<i16, RwLock<()>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_hides_from_clients_that_move_under_traffic() {
    let seed =
        std::env::var("DBMAIL_MESH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (repeat with DBMAIL_MESH_SEED={seed})");
    let scene = Scene::new("ms_traffic", NODES, MESSAGES).await;
    let gates: Gates = Arc::new((1..=NODES).map(|id| (id, RwLock::new(()))).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let stores = Arc::new(AtomicUsize::new(0));
    let worker = scene.mesh.work();
    let mut writers = Vec::new();
    for node in &scene.mesh.nodes {
        for number in 0..2 {
            let writer = Writer {
                random: fastrand::Rng::with_seed(seed ^ (node.id.0 as u64) << 8 ^ number),
                inbox: scene.inbox,
                uids: scene.uids.clone(),
                gates: gates.clone(),
                stop: stop.clone(),
                stores: stores.clone(),
            };
            writers.push(tokio::spawn(writer.run(node.clone())));
        }
    }
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let random = fastrand::Rng::with_seed(seed ^ 0xc11e << 16 ^ number);
        let nodes = scene.mesh.nodes.clone();
        clients.push(tokio::spawn(roam(random, nodes, scene.inbox, gates.clone(), stop.clone())));
    }
    tokio::time::sleep(TRAFFIC).await;
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let mut moves = 0;
    let mut hidden = Vec::new();
    let mut readers = Vec::new();
    for client in clients {
        let (its_moves, its_hidden, reader) = client.await.unwrap();
        moves += its_moves;
        hidden.extend(its_hidden);
        readers.push(reader);
    }
    scene.at_rest(&scene.all_links()).await;
    worker.stop().await;
    let updates = "select n_tup_upd from pg_stat_user_tables where relname = 'dbmail_messages'";
    println!(
        "{} STOREs, {moves} moves, {} hidden for a while, rows updated on a node: {}\n{}",
        stores.load(Ordering::SeqCst),
        hidden.len(),
        scene.mesh.count(1, updates).await,
        scene.numbers().await
    );
    let mut scene = scene;
    for reader in &mut readers {
        for id in 1..=NODES {
            scene.move_to(reader, id).await;
        }
    }
    assert!(hidden.is_empty(), "seed {seed}: {hidden:#?}");
    assert!(moves > 20, "too little happened to prove anything");
}

struct Writer {
    random: fastrand::Rng,
    inbox: MailboxId,
    uids: Vec<Uid>,
    gates: Gates,
    stop: Arc<AtomicBool>,
    stores: Arc<AtomicUsize>,
}

impl Writer {
    async fn run(mut self, node: NodeSettings) {
        let mut session = Session::connect(&node.connection).await.unwrap();
        while !self.stop.load(Ordering::SeqCst) {
            let gate = self.gates[&node.id.0].read().await;
            let uid = self.uids[self.random.usize(..self.uids.len())];
            let flags = Flags { seen: self.random.bool(), flagged: self.random.bool(), ..Flags::NONE };
            let change = match self.random.u8(..10) {
                0 => StoreFlags::add(Flags::NONE).keywords(&["work"]),
                1 => StoreFlags::remove(Flags::NONE).keywords(&["work"]),
                2..4 => StoreFlags::add(flags).keywords(&["later"]),
                _ => StoreFlags::replace(flags),
            };
            if self.random.u8(..10) == 0 {
                let bump = format!("update dbmail_mailboxes set seq = seq + 1 where mailbox_idnr = {}", self.inbox);
                session.client().batch_execute(&bump).await.unwrap();
            }
            session.store(self.inbox, &[uid], &change).await.unwrap();
            self.stores.fetch_add(1, Ordering::SeqCst);
            drop(gate);
            tokio::time::sleep(Duration::from_millis(self.random.u64(0..60))).await;
        }
    }
}

/// Looks at a node, waits until another has all that this one had then, goes there and looks once. Returns how often, and what was
/// hidden from it.
async fn roam(
    mut random: fastrand::Rng,
    nodes: Vec<NodeSettings>,
    inbox: MailboxId,
    gates: Gates,
    stop: Arc<AtomicBool>,
) -> (usize, Vec<String>, CondstoreReader) {
    let mut sessions = Vec::new();
    for node in &nodes {
        sessions.push(Session::connect(&node.connection).await.unwrap());
    }
    let mut here = random.usize(..nodes.len());
    let mut reader = CondstoreReader::new(nodes[here].name.as_str(), inbox);
    // dbmail itself may not look into what is ours.
    let mut beside = Vec::new();
    for node in &nodes {
        beside.push(connect(&node.connection).await.unwrap());
    }
    reader.sync(&mut sessions[here]).await.unwrap();
    let (mut moves, mut hidden) = (0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(random.u64(0..200))).await;
        let had = {
            let _gate = gates[&nodes[here].id.0].write().await;
            reader.sync(&mut sessions[here]).await.unwrap();
            knowledge(nodes[here].id.0, &beside[here]).await
        };
        let there = (here + random.usize(1..nodes.len())) % nodes.len();
        let begun = Instant::now();
        while !has_all(nodes[there].id.0, &beside[there], &had).await
            || highest(sessions[there].client(), inbox).await < reader.seq
        {
            assert!(begun.elapsed() < DEADLINE, "{} does not catch up", nodes[there].name);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // What was under way there while it caught up is looked at once more.
        tokio::time::sleep(GRACE).await;
        let _gate = gates[&nodes[there].id.0].write().await;
        reader.move_to(nodes[there].name.as_str());
        reader.sync(&mut sessions[there]).await.unwrap();
        moves += 1;
        // What changes after the look has a number above the client's. Rows and keywords are read one after the other, so look twice.
        let first = unknown_and_below(&reader, &mut sessions[there]).await;
        let again = unknown_and_below(&reader, &mut sessions[there]).await;
        hidden.extend(first.into_iter().filter(|wrong| again.contains(wrong)));
        here = there;
    }
    (moves, hidden, reader)
}

/// What a client believes wrongly and will not be told of.
async fn unknown_and_below(reader: &CondstoreReader, session: &mut Session) -> Vec<String> {
    let states = session.states(reader.mailbox).await.unwrap();
    let mut wrong = Vec::new();
    for (uid, state) in states.messages {
        let seq = state.seq;
        let truth = Belief::from(state);
        if reader.believes(uid) != Some(&truth) && seq <= reader.seq {
            wrong.push(format!("{}, UID {uid}, MODSEQ {seq}, the client's {}: {truth}", reader.node, reader.seq));
        }
    }
    wrong
}

/// What a node has of each node: snapshots.
async fn knowledge(id: i16, client: &Client) -> Vec<(i16, String)> {
    let sql = "select source_id, coalesce(to_snapshot, from_snapshot)::text from dbmail_mesh.cursor
               union all select $1, pg_current_snapshot()::text";
    client.query(sql, &[&id]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn has_all(id: i16, client: &Client, had: &[(i16, String)]) -> bool {
    let sql = "select coalesce((select dbmail_mesh.covers(from_snapshot, $2::text::pg_snapshot)
                                from dbmail_mesh.cursor where source_id = $1), false)";
    for (source, snapshot) in had.iter().filter(|(source, _)| *source != id) {
        if !client.query_one(sql, &[source, snapshot]).await.unwrap().get::<_, bool>(0) {
            return false;
        }
    }
    true
}
