//! A mesh for tests: real databases, installed, and a worker inside the test's process.

mod accounts;
mod admission;
mod alike;
mod backlog;
mod bounds;
mod burst;
mod busy;
mod by_key;
mod checks;
pub mod child;
mod conflicts;
mod content;
mod corrupt;
mod distance;
mod doorbell;
mod entries;
mod fates;
mod hazards;
mod held;
mod idle;
mod install;
mod mailboxes;
mod majors;
mod membership;
mod memory;
mod modseq;
mod moved;
mod numbers_end;
mod one_way;
mod order;
mod outbox;
mod pause;
mod poison;
mod readers;
mod readers_traffic;
mod relay;
mod review;
mod same;
mod scale;
mod scenario;
mod settled;
mod terms;
mod torn;
mod traffic;
mod untouched;
mod upgrade;
mod wait;

use std::time::{Duration, Instant};

use dbmail_mesh::config::{MeshSettings, NodeSettings, Presence, WorkerSettings};
use dbmail_mesh::domain::ids::{MailboxId, NodeId, Stride, Uid};
use dbmail_mesh::node::Endpoint;
use dbmail_mesh::scratch::shared::{fresh_dbmail, fresh_node, shared_cluster};
use dbmail_mesh::scratch::standin::Session;
use dbmail_mesh::telemetry::Telemetry;
use dbmail_mesh::worker::{Options, Worker};

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Installed nodes.
pub struct Mesh {
    pub nodes: Vec<NodeSettings>,
    pub mesh: MeshSettings,
    pub worker: WorkerSettings,
}

impl Mesh {
    /// `count` empty nodes a, b, c … with the given stride, in databases of the shared cluster. The owner's role installs, and the worker
    /// connects as its own, with the least rights.
    pub async fn new(prefix: &str, count: i16, stride: i16) -> Self {
        let mut nodes = Vec::new();
        for id in 1..=count {
            nodes.push(fresh_node(prefix, &name_of(id), NodeId(id), Stride(stride)).await.unwrap());
        }
        Self::of(nodes, stride)
    }

    /// The same before the install.
    pub async fn not_installed(prefix: &str, count: i16, stride: i16) -> Self {
        let mut nodes = Vec::new();
        for id in 1..=count {
            let config = fresh_dbmail(prefix).await.unwrap();
            let url = shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap());
            nodes.push(NodeSettings::new(&name_of(id), NodeId(id), &url).unwrap());
        }
        Self::of(nodes, stride)
    }

    /// The same, with alice's INBOX on all nodes and no worker at work.
    pub async fn with_inbox(prefix: &str, count: i16, stride: i16) -> (Self, MailboxId) {
        let mesh = Self::new(prefix, count, stride).await;
        let mut session = mesh.dbmail(1).await;
        session.create_user("alice").await.unwrap();
        let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
        let worker = mesh.work();
        for id in 1..=count {
            mesh.await_count(id, "select count(*) from dbmail_mailboxes where name = 'INBOX' and seq >= 0", 1).await;
        }
        worker.stop().await;
        (mesh, inbox)
    }

    /// Nodes that are installed already.
    pub fn of(nodes: Vec<NodeSettings>, stride: i16) -> Self {
        let mesh = MeshSettings {
            settle_after: Duration::from_millis(200),
            patience: Duration::from_secs(1),
            // Where it matters who reads, the test says so.
            presence: Presence::Always,
            ..MeshSettings::new(Stride(stride))
        };
        Self { nodes, mesh, worker: WorkerSettings::default() }
    }

    pub fn options(&self, targets: &[i16]) -> Options {
        Options {
            nodes: self.nodes.iter().map(Endpoint::from).collect(),
            targets: targets.iter().copied().map(NodeId).collect(),
            mesh: self.mesh.clone(),
            worker: self.worker.clone(),
        }
    }

    /// A worker for all links into the named nodes.
    pub fn work_for(&self, targets: &[i16]) -> Worker {
        Worker::start(self.options(targets)).unwrap()
    }

    pub fn work(&self) -> Worker {
        let all: Vec<i16> = self.nodes.iter().map(|node| node.id.0).collect();
        self.work_for(&all)
    }

    pub fn node(&self, id: i16) -> &NodeSettings {
        self.nodes.iter().find(|node| node.id.0 == id).unwrap()
    }

    /// Where a node is, as settings have it: the worker, and every command of the operator's, connect as the worker's role.
    pub fn url(&self, id: i16) -> String {
        let connection = &self.node(id).connection;
        let tokio_postgres::config::Host::Unix(socket) = &connection.get_hosts()[0] else { panic!("not on a socket") };
        format!("postgresql://dbmail_mesh@/{}?host={}", connection.get_dbname().unwrap(), socket.display())
    }

    /// A dbmail session on a node, as dbmail's role.
    pub async fn dbmail(&self, id: i16) -> Session {
        Session::connect(&self.node(id).connection).await.unwrap()
    }

    /// A bare connection to a node, as the superuser.
    pub async fn psql(&self, id: i16) -> tokio_postgres::Client {
        dbmail_mesh::scratch::cluster::connect(&self.node(id).connection).await.unwrap()
    }

    /// What a client sees of a mailbox on a node: its UIDs.
    pub async fn uids(&self, id: i16, mailbox: MailboxId) -> Vec<i64> {
        let mut session = self.dbmail(id).await;
        session.search_above(mailbox, Uid(0)).await.unwrap().iter().map(|listed| listed.uid.0).collect()
    }

    /// Waits until a mailbox shows these UIDs on a node.
    pub async fn await_uids(&self, id: i16, mailbox: MailboxId, expected: &[i64]) {
        let begun = Instant::now();
        loop {
            let seen = self.uids(id, mailbox).await;
            if seen == expected {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "node {id} shows {seen:?}, not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all nodes show the same UIDs in a mailbox, `count` of them, and nothing is late anywhere.
    pub async fn await_equal(&self, mailbox: MailboxId, count: usize) -> Vec<i64> {
        let begun = Instant::now();
        loop {
            let mut seen = Vec::new();
            for node in &self.nodes {
                seen.push(self.uids(node.id.0, mailbox).await);
            }
            if seen.iter().all(|uids| *uids == seen[0] && uids.len() == count) && self.late().await == 0 {
                return seen.remove(0);
            }
            assert!(begun.elapsed() < DEADLINE, "not equal, or not {count}: {seen:?}; late: {}", self.late().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a query returns a number on a node.
    pub async fn await_count(&self, id: i16, sql: &str, expected: i64) {
        self.await_count_in(&self.psql(id).await, id, sql, expected).await;
    }

    /// The same in a session that is there.
    pub async fn await_count_in(&self, client: &tokio_postgres::Client, id: i16, sql: &str, expected: i64) {
        let begun = Instant::now();
        loop {
            let count: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            if count == expected {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "node {id}: {count}, not {expected}: {sql}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks again and again until statistics, which come a moment later, can be believed, and a number is below a bound.
    pub async fn await_less(&self, id: i16, sql: &str, bound: i64) {
        self.await_count(
            id,
            &format!("select case when n > 0 and n < {bound} then 1 else 0 end::bigint from ({sql}) x(n)"),
            1,
        )
        .await;
    }

    /// Messages that wait for a number, on all nodes.
    pub async fn late(&self) -> i64 {
        let mut late = 0;
        for node in &self.nodes {
            late += self.count(node.id.0, "select count(*) from dbmail_mesh.late").await;
        }
        late
    }

    /// Waits until a message waits for a number, on any node.
    pub async fn await_late(&self) {
        let begun = Instant::now();
        while self.late().await == 0 {
            assert!(begun.elapsed() < DEADLINE, "nothing is late");
        }
    }

    /// The number that a query returns on a node.
    pub async fn count(&self, id: i16, sql: &str) -> i64 {
        self.psql(id).await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

/// What a worker has counted on its links from a node.
pub fn counted(telemetry: &Telemetry, name: &str, source: &str) -> f64 {
    let families = telemetry.counters.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let is_of = |metric: &&prometheus::proto::Metric| {
        metric.get_label().iter().any(|label| (label.name(), label.value()) == ("source", source))
    };
    family.get_metric().iter().filter(is_of).map(|metric| metric.get_counter().get_value()).sum()
}

/// How a settings file names a node of the shared cluster.
pub fn url_of(node: &NodeSettings) -> String {
    let host = match &node.connection.get_hosts()[0] {
        tokio_postgres::config::Host::Unix(path) => path.to_str().unwrap().to_owned(),
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
    };
    format!("postgresql://dbmail_mesh@/{}?host={host}", node.connection.get_dbname().unwrap())
}

fn name_of(id: i16) -> String {
    char::from(b'a' + u8::try_from(id - 1).unwrap()).to_string()
}
