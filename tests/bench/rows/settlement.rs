//! What two nodes have delivered into one mailbox while they were apart, and that gets new UIDs on both.
//!
//! All content has been shipped before: what came from the other node waits, hidden, on each. Counted are the messages that get a new
//! number (each is written on both nodes, but counted once); timed is one settler, from its first look at what is late until the last commit
//! on the last node. Whoever delivers meanwhile waits for the mailbox's line: a session on each node takes it again and again, as a
//! delivery does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dbmail_mesh::config::{MeshSettings, WorkerSettings};
use dbmail_mesh::domain::ids::{MailboxId, Stride};
use dbmail_mesh::node::Endpoint;
use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::reader::{DeadUidWatch, IncrementalReader};
use dbmail_mesh::scratch::standin::Session;
use dbmail_mesh::worker;
use dbmail_mesh::worker::settle::Settler;
use tokio_postgres::Config;

use crate::Options;
use crate::figures::{Figure, Reach};
use crate::mesh::Mesh;
use crate::{ground, mail};

pub const NAME: &str = "settlement";

const STRIDE: i16 = 8;
/// Messages on each of the two nodes.
const EACH: usize = 1_000;
/// Conflicts in another mailbox that are settled before: the settler has its sessions, and they know their statements.
const WARM: usize = 40;
/// How often it is tried what a delivery would wait.
const KNOCK: Duration = Duration::from_millis(10);

/// What came of one.
struct Round {
    per_s: f64,
    settled: usize,
    waited_ms: f64,
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(round().await?);
    }
    let rates: Vec<f64> = rounds.iter().map(|round: &Round| round.per_s).collect();
    let waits: Vec<f64> = rounds.iter().map(|round| round.waited_ms).collect();
    let fewest = rounds.iter().map(|round| round.settled).min().unwrap_or_default();
    Ok(vec![
        Figure::alone(
            NAME,
            format!("settlement of 2 × {EACH} conflicts in one mailbox"),
            "messages/s",
            &rates,
            Reach::AtLeast(15_000.0),
        )
        .note(format!(
            "each is written on two nodes and counted once; {fewest} or more of {} get a new number",
            2 * EACH
        ))
        .note("for orientation, elsewhere: Dovecot's dsync 6,000 to 14,000, Cyrus 1,150 to 1,700"),
        Figure::alone(NAME, "longest wait of a delivery for the mailbox meanwhile", "ms", &waits, Reach::AtMost(250.0)),
    ])
}

async fn round() -> Result<Round> {
    let ((a, _), (b, _)) = (ground::dbmail().await?, ground::dbmail().await?);
    let mesh = Mesh::installed(&[(&a, "dbmail"), (&b, "dbmail")], STRIDE).await?;
    let mailboxes = mail::create_mailboxes(mesh.config(0), 2).await?;
    let always = ["--set", "mesh.presence=always"];
    let worker = mesh.worker(&always)?;
    mesh.current().await?;
    drop(worker);

    let ledger = Ledger::default();
    let mut first = 0;
    for (n, count) in [(0, EACH), (1, WARM)] {
        for node in 0..2 {
            mail::deliver_all(mesh.config(node), &mailboxes[n..=n], first, first + count).await?;
            (first..first + count).for_each(|m| ledger.delivered(&format!("user{n}"), "INBOX", &mail::mail(m)));
            first += count;
        }
    }
    let mut readers = Readers::of(&mesh, mailboxes[0]).await?;
    let worker = mesh.worker(&[&always[..], &["--set", "mesh.settle_after=1h"]].concat())?;
    mesh.current().await?;
    drop(worker);
    for node in 0..2 {
        ground::settle_down(mesh.config(node)).await?;
    }

    let settler = settler(&mesh)?;
    while settler.settle(mailboxes[1]).await? > 0 {}
    let before = numbers(&mesh).await?;
    let doors = Doors::knock_at(&mesh, mailboxes[0]).await?;
    let begun = Instant::now();
    let mut took = Duration::ZERO;
    while settler.round().await {
        took = begun.elapsed();
    }
    let waited_ms = doors.longest_ms().await?;
    let settled = numbers(&mesh).await? - before;
    ensure!(settled > EACH, "only {settled} messages got a new number");

    readers.check().await?;
    let worker = mesh.worker(&always)?;
    mesh.current().await?;
    drop(worker);
    mesh.verify().await?;
    readers.check().await?;
    let nodes: Vec<(String, Config)> =
        mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    let report = audit(&nodes, &ledger, &readers.readers).await?;
    ensure!(report.held(), "{report}");
    Ok(Round { per_s: settled as f64 / took.as_secs_f64(), settled, waited_ms })
}

fn settler(mesh: &Mesh) -> Result<Settler> {
    let settings = MeshSettings { settle_after: Duration::ZERO, ..MeshSettings::new(Stride(STRIDE)) };
    let options = worker::Options {
        nodes: mesh.nodes.iter().map(Endpoint::from).collect(),
        targets: mesh.nodes.iter().map(|node| node.id).collect(),
        mesh: settings,
        worker: WorkerSettings::default(),
    };
    Ok(Settler::break_off_at(options, None)?)
}

/// How many messages have got a new number.
async fn numbers(mesh: &Mesh) -> Result<usize> {
    let row = mesh.client(0).await?.query_one("select count(distinct birth_uid) from dbmail_mesh.number", &[]).await?;
    Ok(usize::try_from(row.get::<_, i64>(0))?)
}

/// A client on each node that has seen what was there before the nodes met.
struct Readers {
    readers: Vec<IncrementalReader>,
    sessions: Vec<Session>,
    dead: DeadUidWatch,
}

impl Readers {
    async fn of(mesh: &Mesh, mailbox: MailboxId) -> Result<Self> {
        let mut of_all = Self { readers: Vec::new(), sessions: Vec::new(), dead: DeadUidWatch::default() };
        for node in 0..mesh.nodes.len() {
            let mut session = Session::connect(mesh.config(node)).await?;
            let mut reader = IncrementalReader::new(mesh.nodes[node].name.to_string(), mailbox);
            reader.poll(&mut session).await?;
            ensure!(reader.seen.len() == EACH, "node {node} shows {} messages", reader.seen.len());
            of_all.readers.push(reader);
            of_all.sessions.push(session);
        }
        Ok(of_all)
    }

    /// They ask for what is above, and look again at what they have: nothing may have come below, no number mean another message, and
    /// none that was gone be back.
    async fn check(&mut self) -> Result<()> {
        for (reader, session) in self.readers.iter_mut().zip(&mut self.sessions) {
            reader.poll(session).await?;
            for uid in reader.recheck(session).await? {
                self.dead.add(&reader.node, reader.mailbox, uid);
            }
            self.dead.check_converged(&reader.node, session).await?;
            ensure!(reader.findings().is_empty(), "{:?}", reader.findings());
        }
        ensure!(self.dead.findings().is_empty(), "{:?}", self.dead.findings());
        Ok(())
    }
}

/// Sessions that take a mailbox's line as a delivery does, one a node.
struct Doors {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Result<Duration>>>,
}

impl Doors {
    async fn knock_at(mesh: &Mesh, mailbox: MailboxId) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for node in 0..mesh.nodes.len() {
            let (client, stop) = (connect(mesh.config(node)).await?, stop.clone());
            let knock =
                client.prepare("select from dbmail_mesh.line where mailbox_idnr = $1 for no key update").await?;
            tasks.push(tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    client.query(&knock, &[&mailbox.0]).await?;
                    longest = longest.max(begun.elapsed());
                    tokio::time::sleep(KNOCK).await;
                }
                Ok(longest)
            }));
        }
        Ok(Self { stop, tasks })
    }

    async fn longest_ms(self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for task in self.tasks {
            longest = longest.max(task.await??);
        }
        Ok(longest.as_secs_f64() * 1e3)
    }
}
