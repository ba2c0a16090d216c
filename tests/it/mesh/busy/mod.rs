//! A mailbox that is never quiet: all nodes deliver to it at once, and clients read it on all of them.
//!
//! `make busy` does this for a minute and prints how everything was distributed.

mod load;
mod spread;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::config::{MeshSettings, NodeSettings};
use dbmail_mesh::domain::ids::{MailboxId, Stride};
use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::findings::Guarantee;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::standin::Session;

use super::Mesh;
use super::child::WorkerProcess;
use load::{Phase, Target, Took, deliver, read_along};
use spread::{Spread, histogram};

const NODES: i16 = 3;
/// Sessions that deliver to the mailbox on each node.
const SESSIONS: u32 = 4;
/// Deliveries a second to a mailbox of each node's own: what an INSERT takes at that time where nobody holds the line.
const CONTROL_RATE: u32 = 5;
/// How long the nodes may take to become equal.
const CONVERGENCE_MAX: Duration = Duration::from_secs(60);

/// How long, and deliveries a second on each node: from `BUSY_SECONDS` and `BUSY_RATE`.
struct Scale {
    length: Duration,
    rate: u32,
}

impl Scale {
    fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        let length = Duration::from_secs(number("BUSY_SECONDS").unwrap_or(5).into());
        Self { length, rate: number("BUSY_RATE").unwrap_or(20) }
    }

    /// Whether this is more than a test.
    fn is_measured(&self) -> bool {
        self.length >= Duration::from_secs(10)
    }
}

/// Everybody who delivers, on all nodes: to the busy mailbox, and to the quiet ones.
struct Deliveries {
    busy: Target,
    quiet: Vec<Target>,
    ledger: Arc<Ledger>,
}

impl Deliveries {
    async fn during(&self, mesh: &Mesh, phase: Phase) -> (Took, Took) {
        let (mut busy, mut quiet) = (Vec::new(), Vec::new());
        for (node, own) in mesh.nodes.iter().zip(&self.quiet) {
            busy.push(tokio::spawn(deliver(node.clone(), self.busy.clone(), phase, self.ledger.clone())));
            quiet.push(tokio::spawn(deliver(node.clone(), own.clone(), phase, self.ledger.clone())));
        }
        let (mut to_busy, mut to_quiet) = (Took::default(), Took::default());
        for (busy, quiet) in busy.into_iter().zip(quiet) {
            to_busy.extend(busy.await.unwrap());
            to_quiet.extend(quiet.await.unwrap());
        }
        (to_busy, to_quiet)
    }
}

/// Each message is renumbered at most once, settlement keeps up, readers lose nothing, and all ends equal. How long a delivery waits for
/// the mailbox's line is bounded by the server; it is printed, and not tested by a clock, for this machine may be busy with anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_mailbox_settles() {
    let scale = Scale::from_environment();
    let mut mesh = Mesh::new("busy", NODES, 8).await;
    mesh.mesh = MeshSettings::new(Stride(8));
    let deliveries = prepare(&mesh, scale.rate).await;
    let inbox = deliveries.busy.mailbox;

    // First without a worker, where there is time for it: how long deliveries wait for each other.
    let length = if scale.is_measured() { scale.length / 6 } else { Duration::ZERO };
    let (alone, _) = deliveries.during(&mesh, Phase { name: "alone", length }).await;
    let worker = WorkerProcess::start(&mesh);
    if scale.is_measured() {
        await_rest(&mesh, inbox).await;
    }
    let gave_up_before = watch::gave_up(&mesh).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for node in &mesh.nodes {
        clients.push((node.id.0, mesh.psql(node.id.0).await));
    }
    let late = tokio::spawn(watch::watch(clients, stop.clone()));
    let along = |node: &NodeSettings| tokio::spawn(read_along(node.clone(), deliveries.busy.clone(), stop.clone()));
    let readers: Vec<_> = mesh.nodes.iter().map(along).collect();
    let begun = Instant::now();
    let (busy, quiet) = deliveries.during(&mesh, Phase { name: "busy", length: scale.length }).await;
    let lasted = begun.elapsed();
    let rested = await_rest(&mesh, inbox).await;
    stop.store(true, Ordering::SeqCst);
    let late = late.await.unwrap();
    let mut seen = Vec::new();
    for (node, reader) in mesh.nodes.iter().zip(readers) {
        let mut reader = reader.await.unwrap();
        reader.poll(&mut Session::connect(&node.connection).await.unwrap()).await.unwrap();
        seen.push(reader);
    }
    drop(worker);

    let rate = busy.births.len() as f64 / lasted.as_secs_f64() / f64::from(NODES);
    println!(
        "{} deliveries in {:.1} s, {rate:.1} a second on each of {NODES} nodes",
        busy.births.len(),
        lasted.as_secs_f64()
    );
    println!("\n{}", Spread::head());
    println!("{}", busy.insert.row("INSERT, busy mailbox"));
    println!("{}", quiet.insert.row("INSERT, quiet mailbox, same time"));
    println!("{}", alone.insert.row("INSERT, busy mailbox, no worker"));
    println!("{}", busy.delivery.row("whole delivery, busy mailbox"));
    println!("{}", late.waits(&mesh).await.row("a message is late on a node"));
    println!(
        "\nINSERTs:\n{}",
        histogram(&[("BUSY", &busy.insert), ("QUIET", &quiet.insert), ("NO WORKER", &alone.insert)])
    );
    let gave_up = watch::gave_up(&mesh).await - gave_up_before;
    println!("\ndeliveries that went on without the line after half a second: {gave_up}");
    println!("late on all nodes, second by second: {:?}", late.backlog);
    println!("equal {:.1} s after the last delivery", rested.as_secs_f64());
    let renumbered = watch::renumbered(&mesh, &busy.births).await;
    for (times, messages) in &renumbered {
        println!("renumbered {times} times: {messages}");
    }

    let highest = mesh.uids(1, inbox).await.into_iter().max().unwrap_or_default();
    let messages = deliveries.ledger.deliveries();
    println!("UIDs used up per message: {:.1} (highest: {highest})", highest as f64 / messages as f64);

    let nodes: Vec<_> = mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    let mut report = audit(&nodes, &deliveries.ledger, &seen).await.unwrap();
    assert!(renumbered.get(&1).is_some_and(|messages| *messages > 20), "too little happened to prove anything");
    if gave_up == 0 {
        assert!(renumbered.keys().all(|times| *times <= 1), "renumbered more than once: {renumbered:?}");
    } else {
        // A machine that is too slow for this: whoever goes on without the line may overtake others, who are renumbered once more.
        println!("so UIDs may have appeared below: {:?}", report.findings.remove(&Guarantee::B));
    }
    assert!(report.held(), "{report}");
}

/// alice with the mailbox that everybody delivers to, and a user for each node.
async fn prepare(mesh: &Mesh, rate: u32) -> Deliveries {
    let mut session = mesh.dbmail(1).await;
    let mut targets = Vec::new();
    for owner in ["alice".to_owned()].into_iter().chain((1..=NODES).map(|node| format!("user{node}"))) {
        session.create_user(&owner).await.unwrap();
        let mailbox = session.create_mailbox(&owner, "INBOX").await.unwrap();
        targets.push(Target { mailbox, owner, rate: CONTROL_RATE, sessions: 1 });
    }
    let worker = mesh.work();
    for node in &mesh.nodes {
        let there = "select count(*) from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
                     where m.name = 'INBOX' and u.userid not like '\\_%'";
        mesh.await_count(node.id.0, there, targets.len() as i64).await;
    }
    worker.stop().await;
    let busy = Target { rate, sessions: SESSIONS, ..targets.remove(0) };
    Deliveries { busy, quiet: targets, ledger: Arc::default() }
}

/// Waits until nothing is late or overtaken and the nodes show the same. Returns how long that took.
async fn await_rest(mesh: &Mesh, mailbox: MailboxId) -> Duration {
    let begun = Instant::now();
    let (mut quiet, mut rested) = (0, Duration::ZERO);
    while quiet < 3 {
        let mut equal = mesh.late().await == 0;
        let first = mesh.uids(1, mailbox).await;
        for node in &mesh.nodes {
            equal &= mesh.count(node.id.0, "select count(*) from dbmail_mesh.overtaking").await == 0;
            equal &= mesh.uids(node.id.0, mailbox).await == first;
        }
        if quiet == 0 {
            rested = begun.elapsed();
        }
        quiet = if equal { quiet + 1 } else { 0 };
        assert!(begun.elapsed() < CONVERGENCE_MAX, "not equal; late: {}", mesh.late().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rested
}
