//! People who log in at any moment, on any node, while mail arrives everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::config::Presence;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::Mail;
use fastrand::Rng;

use super::{DEADLINE, Mesh};

const NODES: i16 = 3;
/// Of these the first few never log in anywhere.
const USERS: usize = 36;
const NEVER: usize = 6;
const LENGTH: Duration = Duration::from_secs(8);

/// Delivers to random users until told to stop; returns what was delivered.
async fn deliver(
    mesh: Arc<Mesh>,
    id: i16,
    inboxes: Vec<MailboxId>,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> Vec<(usize, String)> {
    let (mut session, mut rng, mut delivered) = (mesh.dbmail(id).await, Rng::with_seed(seed), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let user = rng.usize(..USERS);
        let name = format!("{id}.{}", delivered.len());
        session.deliver(inboxes[user], &Mail::named(&name)).await.unwrap();
        delivered.push((user, name));
    }
    delivered
}

/// Has one user after the other log in on a node, and lets those who have poll from then on.
async fn read(
    mesh: Arc<Mesh>,
    id: i16,
    inboxes: Vec<MailboxId>,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> Vec<(usize, IncrementalReader)> {
    let (mut session, mut rng) = (mesh.dbmail(id).await, Rng::with_seed(seed));
    let mut to_come: Vec<usize> = (NEVER..USERS).collect();
    rng.shuffle(&mut to_come);
    let mut readers: Vec<(usize, IncrementalReader)> = Vec::new();
    while !stop.load(Ordering::Relaxed) || !to_come.is_empty() {
        if let Some(user) = to_come.pop() {
            session.login(&format!("u{user}")).await.unwrap();
            readers.push((user, IncrementalReader::new(id.to_string(), inboxes[user])));
        }
        for (_, reader) in &mut readers {
            match rng.u8(..4) {
                0 => drop(reader.recheck(&mut session).await.unwrap()),
                _ => drop(reader.poll(&mut session).await.unwrap()),
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(..40))).await;
    }
    for (_, reader) in &mut readers {
        reader.recheck(&mut session).await.unwrap();
    }
    readers
}

/// Whoever has logged in misses nothing and sees nothing appear below what he was shown; whom nobody reads for, nothing is renumbered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_log_in_while_mail_arrives_everywhere() {
    let seed =
        std::env::var("MESH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("MESH_SEED={seed}");
    let mut mesh = Mesh::new("people", NODES, 4).await;
    mesh.mesh.presence = Presence::For(Duration::from_secs(86_400));
    let mut first = mesh.dbmail(1).await;
    let mut inboxes = Vec::new();
    for user in 0..USERS {
        first.create_user(&format!("u{user}")).await.unwrap();
        inboxes.push(first.create_mailbox(&format!("u{user}"), "INBOX").await.unwrap());
    }
    let worker = mesh.work();
    let last = inboxes.last().unwrap();
    for id in 1..=NODES {
        let sql = format!("select count(*) from dbmail_mailboxes where mailbox_idnr between {} and {last}", inboxes[0]);
        mesh.await_count(id, &sql, USERS as i64).await;
    }
    let (mesh, stop) = (Arc::new(mesh), Arc::new(AtomicBool::new(false)));
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for id in 1..=NODES {
        let seed = seed.wrapping_add(id as u64 * 1000);
        writers.push(tokio::spawn(deliver(mesh.clone(), id, inboxes.clone(), seed, stop.clone())));
        readers.push(tokio::spawn(read(mesh.clone(), id, inboxes.clone(), seed + 500, stop.clone())));
    }
    tokio::time::sleep(LENGTH).await;
    stop.store(true, Ordering::Relaxed);
    let mut expected: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for writer in writers {
        for (user, name) in writer.await.unwrap() {
            expected.entry(user).or_default().insert(name);
        }
    }
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    for (user, names) in &expected {
        mesh.await_equal(inboxes[*user], names.len()).await;
    }
    // What is renumbered still bumps nothing that was not told: every client finds everything.
    let begun = Instant::now();
    for (user, mut reader) in all {
        let mut session = mesh.dbmail(reader.node.parse().unwrap()).await;
        reader.poll(&mut session).await.unwrap();
        reader.recheck(&mut session).await.unwrap();
        assert!(reader.findings().is_empty(), "u{user} on {}: {:?}", reader.node, reader.findings());
        let missing = reader.missing(expected.get(&user).into_iter().flatten());
        assert!(missing.is_empty(), "u{user} on {} never learned of {missing:?}", reader.node);
        assert!(begun.elapsed() < DEADLINE);
    }
    let of_never = format!(
        "select count(*) from dbmail_mesh.renumber_log where mailbox_idnr in ({})",
        inboxes[..NEVER].iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ")
    );
    for id in 1..=NODES {
        assert_eq!(mesh.count(id, &of_never).await, 0, "node {id}: renumbered what nobody has seen");
    }
    let (numbers, delivered) = (
        mesh.count(1, "select count(*) from dbmail_mesh.number").await,
        expected.values().map(BTreeSet::len).sum::<usize>(),
    );
    println!("{delivered} delivered, {numbers} renumbered");
    assert!(numbers > 0, "nothing was ever late: this proves nothing");
    worker.stop().await;
}
