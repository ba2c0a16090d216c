//! Three nodes, each on a cluster of its own whose commits are flushed, and a worker that reaches them through relays.

use std::time::{Duration, Instant};

use dbmail_mesh::config::{NodeSettings, Presence};
use dbmail_mesh::domain::ids::{MailboxId, NodeId, Stride};
use dbmail_mesh::migrate::migrate_up;
use dbmail_mesh::scratch::cluster::{Cluster, Options, SMALL_DISK, connect, small_disks};
use dbmail_mesh::scratch::standin::Session;
use futures_util::future::join_all;

use super::relay::{Relay, free_port};
use crate::mesh::Mesh;
use crate::mesh::child::WorkerProcess;

/// Enough for a worker (18 sessions), those who deliver and read, and us; few enough to be taken up soon.
const MAX_CONNECTIONS: u16 = 60;
/// More than all mail of a long run takes, with its indexes; less than is a burden to fill, for it is memory.
const DISK_MIB: u32 = 192;

pub const USERS: [&str; 2] = ["alice", "bob"];
const NAMES: [&str; 2] = ["INBOX", "Folder"];
/// Whose INBOX gets what tells whether the mesh works again.
pub const PROBE: &str = "probe";

/// A mailbox: id, owner, name.
pub type Place = (MailboxId, &'static str, &'static str);

/// Where everything happens.
pub struct Ground {
    pub clusters: Vec<Cluster>,
    pub mesh: Mesh,
    /// Between the worker and each node.
    pub relays: Vec<Relay>,
    pub worker: Option<WorkerProcess>,
    /// Whether nodes have disks that can be filled.
    pub has_small_disks: bool,
}

impl Ground {
    /// Nodes a, b, c, installed, their links begun, and a worker at work.
    pub async fn new(nodes: i16) -> Self {
        let disks = tokio::task::spawn_blocking(small_disks).await.unwrap();
        Self::with(nodes, disks, Presence::For(Duration::from_secs(86_400))).await
    }

    /// The same without disks that can be filled, and every mailbox counts as read: what comes out of order is late.
    pub async fn plain(nodes: i16) -> Self {
        Self::with(nodes, false, Presence::Always).await
    }

    async fn with(nodes: i16, has_small_disks: bool, presence: Presence) -> Self {
        let started = join_all((0..nodes).map(|_| cluster(has_small_disks))).await;
        let (mut clusters, mut relays, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        for (id, (cluster, port)) in (1..).zip(started) {
            let name = char::from(b'a' + u8::try_from(id - 1).unwrap()).to_string();
            settings.push(NodeSettings::new(&name, NodeId(id), &cluster.url("dbmail")).unwrap());
            relays.push(Relay::to(port).await);
            clusters.push(cluster);
        }
        migrate_up(&settings, &settings, Stride(8)).await.unwrap();
        let mut mesh = Mesh::of(settings, 8);
        mesh.mesh.presence = presence;
        let mut ground = Self { clusters, mesh, relays, worker: None, has_small_disks };
        ground.start_worker();
        ground
    }

    pub fn start_worker(&mut self) {
        self.worker = Some(self.worker_through(&self.relays));
    }

    /// A worker that goes through these relays. It waits for two seconds at the most between two attempts: how long a run takes is
    /// bounded by that.
    pub fn worker_through(&self, relays: &[Relay]) -> WorkerProcess {
        let url = |relay: &Relay| format!("postgresql://postgres@127.0.0.1:{}/dbmail", relay.port());
        let urls: Vec<String> = relays.iter().map(url).collect();
        WorkerProcess::start_at(&self.mesh, &urls, "off", &["--set", "worker.retry_max=2s"])
    }

    /// Relays for a second worker.
    pub async fn more_relays(&self) -> Vec<Relay> {
        let ports = self.mesh.nodes.iter().map(|node| node.connection.get_ports()[0]);
        join_all(ports.map(Relay::to)).await
    }

    pub fn relay(&self, id: i16) -> &Relay {
        &self.relays[usize::try_from(id - 1).unwrap()]
    }

    pub fn cluster(&self, id: i16) -> &Cluster {
        &self.clusters[usize::try_from(id - 1).unwrap()]
    }

    pub fn ids(&self) -> Vec<i16> {
        self.mesh.nodes.iter().map(|node| node.id.0).collect()
    }

    /// The mailboxes that everybody delivers to, on all nodes, and the one of the probes last.
    pub async fn create_mailboxes(&self) -> Vec<Place> {
        let mut session = self.mesh.dbmail(1).await;
        let mut places = Vec::new();
        for user in USERS {
            session.create_user(user).await.unwrap();
            for name in NAMES {
                places.push((session.create_mailbox(user, name).await.unwrap(), user, name));
            }
        }
        session.create_user(PROBE).await.unwrap();
        places.push((session.create_mailbox(PROBE, "INBOX").await.unwrap(), PROBE, "INBOX"));
        let those = format!(
            "select count(*) from dbmail_mailboxes where mailbox_idnr in ({})",
            places.iter().map(|(id, _, _)| id.to_string()).collect::<Vec<_>>().join(", ")
        );
        for id in self.ids() {
            self.mesh.await_count(id, &those, places.len() as i64).await;
        }
        places
    }

    /// A session with a node that nothing stands in the way of but the node itself.
    pub async fn session(&self, id: i16) -> dbmail_mesh::error::Result<Session> {
        Session::connect(&self.mesh.node(id).connection).await
    }

    /// Whether every link says that it is current, and nothing is set aside.
    async fn is_current(&self) -> dbmail_mesh::error::Result<bool> {
        for node in &self.mesh.nodes {
            let client = connect(&node.connection).await?;
            let row = client.query_one(include_str!("links_current.sql"), &[]).await?;
            let (current, aside): (i64, i64) = (row.get("current"), row.get("aside"));
            if current != self.mesh.nodes.len() as i64 - 1 || aside != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until every link is current by itself.
    pub async fn await_current(&self, deadline: Duration) {
        let begun = Instant::now();
        while !matches!(self.is_current().await, Ok(true)) {
            assert!(begun.elapsed() < deadline, "links are not current: {}", self.links().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What each node says of its links, for whoever reads why a test failed.
    pub async fn links(&self) -> String {
        let mut said = String::new();
        for node in &self.mesh.nodes {
            let told = match connect(&node.connection).await {
                Ok(client) => client
                    .query_one(include_str!("links_told.sql"), &[])
                    .await
                    .map_or_else(|error| error.to_string(), |row| row.get::<_, Option<String>>(0).unwrap_or_default()),
                Err(error) => error.to_string(),
            };
            said.push_str(&format!("\n{}: {told}", node.name));
        }
        said
    }
}

async fn cluster(has_small_disk: bool) -> (Cluster, u16) {
    let port = free_port();
    let options = Options {
        durable: true,
        port: Some(port),
        max_connections: MAX_CONNECTIONS,
        small_disk_mib: has_small_disk.then_some(DISK_MIB),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    cluster.create_dbmail("dbmail").await.unwrap();
    if has_small_disk {
        let client = connect(&cluster.config("postgres")).await.unwrap();
        client.batch_execute(&format!("create tablespace small location '{SMALL_DISK}'")).await.unwrap();
        client.batch_execute("alter database dbmail set tablespace small").await.unwrap();
    }
    (cluster, port)
}
