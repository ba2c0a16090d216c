//! The faults: what each does, and how it is undone.
//!
//! To undo a fault is what happens by itself where it happens: a network comes back, a supervisor starts a program that has ended,
//! somebody makes room on a disk. No command of dbmail-mesh is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::error::{Error, Kind as Family, Result};
use dbmail_mesh::scratch::cluster::{SMALL_DISK, connect};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::ground::Ground;
use super::relay::Flow;

/// One way, of a network that is slow.
const DELAY: Duration = Duration::from_millis(120);
/// How long what was undone may take to be so: a server that recovers, a disk whose server is just away.
const UNDO_MAX: Duration = Duration::from_secs(60);

/// What is at fault. Two faults of one place on one node would be one, or one of them none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Worker,
    Network,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    WorkerKilled,
    WorkerStopped,
    NetworkCut,
    NetworkStalled,
    AnswersLost,
    NetworkSlow,
    ConnectionsReset,
    HalfOpen,
    SessionsTerminated,
    BackendKilled,
    ServerCrashed,
    DiskSlow,
    SlotsExhausted,
    DiskFull,
}

/// Each fault: what it is called, where it is, what it does.
pub const FAULTS: [(Fault, &str, Place, &str); 14] = [
    (Fault::WorkerKilled, "worker killed", Place::Worker, "SIGKILL of the worker, which is started again later"),
    (
        Fault::WorkerStopped,
        "worker stopped",
        Place::Worker,
        "SIGSTOP of the worker, and SIGCONT later: a machine that is paused",
    ),
    (
        Fault::NetworkCut,
        "network cut",
        Place::Network,
        "all connections of the worker to a node are closed, new ones refused",
    ),
    (
        Fault::NetworkStalled,
        "network stalled",
        Place::Network,
        "nothing passes in either direction, nobody is told; then it flows on",
    ),
    (
        Fault::AnswersLost,
        "answers lost",
        Place::Network,
        "what the worker says reaches the node, nothing comes back; then it flows on",
    ),
    (Fault::NetworkSlow, "network slow", Place::Network, "each direction takes 120 ms longer"),
    (Fault::ConnectionsReset, "connections reset", Place::Network, "RST of all connections, in both directions"),
    (
        Fault::HalfOpen,
        "half-open",
        Place::Network,
        "connections pass nothing any more; the worker's side ends, the node's never hears",
    ),
    (Fault::SessionsTerminated, "sessions ended", Place::Server, "pg_terminate_backend of all sessions of the worker"),
    (
        Fault::BackendKilled,
        "backend killed",
        Place::Server,
        "SIGKILL of one server process: all sessions end, and the server recovers",
    ),
    (
        Fault::ServerCrashed,
        "server crashed",
        Place::Server,
        "immediate stop of a node; it is started later, and recovers",
    ),
    (Fault::DiskSlow, "disk slow", Place::Server, "another session holds a lock that every write needs"),
    (Fault::SlotsExhausted, "no slots", Place::Server, "all connections are taken, and the worker's sessions ended"),
    (Fault::DiskFull, "disk full", Place::Server, "no table or index of a node can grow, then there is room again"),
];

impl Fault {
    fn row(self) -> &'static (Self, &'static str, Place, &'static str) {
        FAULTS.iter().find(|(fault, ..)| *fault == self).unwrap()
    }

    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub fn place(self) -> Place {
        self.row().2
    }

    /// Begins it on a node. An error: it could not, for the node is not up.
    pub async fn begin(self, ground: &mut Ground, id: i16) -> Result<Begun> {
        let mut begun = Begun { fault: self, id, held: Held::Nothing };
        match self {
            Self::WorkerKilled => {
                if let Some(worker) = ground.worker.take() {
                    worker.kill().await;
                }
            }
            Self::WorkerStopped => signal("STOP", ground.worker.as_ref().map(|worker| worker.pid())),
            Self::NetworkCut => ground.relay(id).cut(),
            Self::NetworkStalled => ground.relay(id).flow(Flow::Stalled, Flow::Stalled),
            Self::AnswersLost => ground.relay(id).flow(Flow::Open, Flow::Stalled),
            Self::NetworkSlow => ground.relay(id).flow(Flow::Delayed(DELAY), Flow::Delayed(DELAY)),
            Self::ConnectionsReset => ground.relay(id).reset(),
            Self::HalfOpen => ground.relay(id).freeze(),
            Self::SessionsTerminated => terminate(&client(ground, id).await?).await?,
            Self::BackendKilled => {
                let row = client(ground, id).await?.query_opt(include_str!("a_session.sql"), &[]).await?;
                signal("KILL", row.map(|row| u32::try_from(row.get::<_, i32>("pid")).unwrap()));
            }
            Self::ServerCrashed => ground.cluster(id).stop_immediate().await?,
            Self::DiskSlow => begun.held = Held::Lock { _session: lock(ground, id).await? },
            Self::SlotsExhausted => begun.held = Held::Slots(Slots::take(ground, id).await?),
            Self::DiskFull => fill(&client(ground, id).await?).await?,
        }
        Ok(begun)
    }
}

/// A fault that has begun.
pub struct Begun {
    pub fault: Fault,
    pub id: i16,
    held: Held,
}

/// What has to be kept for as long as a fault lasts.
enum Held {
    Nothing,
    Lock { _session: Client },
    Slots(Slots),
}

impl Begun {
    /// Ends it.
    pub async fn undo(self, ground: &mut Ground) {
        match (self.fault, self.held) {
            (_, Held::Lock { .. }) => {}
            (_, Held::Slots(slots)) => slots.give_back().await,
            (Fault::WorkerKilled, _) => ground.start_worker(),
            (Fault::WorkerStopped, _) => signal("CONT", ground.worker.as_ref().map(|worker| worker.pid())),
            (Fault::NetworkCut | Fault::NetworkStalled | Fault::AnswersLost | Fault::NetworkSlow, _) => {
                ground.relay(self.id).heal();
            }
            (Fault::HalfOpen, _) => ground.relay(self.id).lose(),
            (Fault::ServerCrashed, _) => ground.cluster(self.id).start_again().await.unwrap(),
            (Fault::DiskFull, _) => make_room(ground, self.id).await,
            _ => {}
        }
    }
}

async fn client(ground: &Ground, id: i16) -> Result<Client> {
    connect(&ground.mesh.node(id).connection).await
}

/// A process may have ended by itself in this moment: then there is nothing to do.
fn signal(name: &str, pid: Option<u32>) {
    if let Some(pid) = pid {
        std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    }
}

async fn terminate(client: &Client) -> Result<()> {
    client.query(include_str!("terminate.sql"), &[]).await?;
    Ok(())
}

/// Takes a lock that every write of a message needs, dbmail's as well as the worker's; it is kept by the session.
async fn lock(ground: &Ground, id: i16) -> Result<Client> {
    let session = client(ground, id).await?;
    session
        .batch_execute("set lock_timeout = '5s'; begin; lock table dbmail_messages in share row exclusive mode")
        .await?;
    Ok(session)
}

/// All the connections that a server has for anybody.
struct Slots {
    stop: Arc<AtomicBool>,
    taking: JoinHandle<()>,
}

impl Slots {
    async fn take(ground: &Ground, id: i16) -> Result<Self> {
        let config = ground.mesh.node(id).connection.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let first = connect(&config).await?;
        let stopped = stop.clone();
        let taking = tokio::spawn(async move {
            let mut held = vec![first];
            // Until it is enough: when a session of the worker's or of dbmail's ends, its slot is taken too.
            while !stopped.load(Ordering::SeqCst) {
                match connect(&config).await {
                    Ok(client) => held.push(client),
                    Err(_) => {
                        let _ = terminate(&held[0]).await;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        });
        Ok(Self { stop, taking })
    }

    async fn give_back(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.taking.await.unwrap();
    }
}

/// Fills the disk of a node with a file of its server's.
async fn fill(client: &Client) -> Result<()> {
    let filled = client
        .batch_execute(&format!(
            "copy (select repeat('x', 65536) from generate_series(1, 100000)) to '{SMALL_DISK}/ballast'"
        ))
        .await;
    match filled {
        Err(error) if error.code() == Some(&SqlState::DISK_FULL) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(Error::new(Family::Internal, "the disk is larger than it should be")),
    }
}

async fn make_room(ground: &Ground, id: i16) {
    let begun = Instant::now();
    loop {
        let made = match client(ground, id).await {
            Ok(client) => {
                let empty = format!("copy (select where false) to '{SMALL_DISK}/ballast'");
                client.batch_execute(&empty).await.map_err(Error::from)
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(()) => return,
            Err(error) => assert!(begun.elapsed() < UNDO_MAX, "no room can be made: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
