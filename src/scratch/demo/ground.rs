//! What the demo stands on: servers, databases, the installation, a settings file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::story::Story;
use super::worker::WorkerProcess;
use crate::config::{NodeSettings, show_duration};
use crate::domain::ids::{NodeId, Stride};
use crate::error::{Error, Kind, Result};
use crate::scratch::cluster::{self, Cluster, Options};
use crate::scratch::install::install;
use crate::scratch::standin::Session;

/// Up to so many nodes each have a server of their own; more of them share one, for the machine's sake.
const SERVERS_MAX: i16 = 3;

/// Enough for all nodes on one server: each takes two dozen.
const MAX_CONNECTIONS: u16 = 400;

/// How much of the worker's log is shown when something did not hold.
const LOG_LINES_SHOWN: usize = 20;

/// The servers. They end with this, and their directories with them.
pub(super) struct Ground {
    clusters: Vec<Cluster>,
    program: PathBuf,
}

/// Two or more installed nodes.
pub(super) struct Mesh<'a> {
    ground: &'a Ground,
    pub(super) nodes: Vec<NodeSettings>,
    settings: PathBuf,
}

impl Ground {
    pub(super) async fn start(nodes: i16, program: PathBuf, story: &mut Story<'_>) -> Result<Self> {
        let begun = Instant::now();
        let servers = if nodes <= SERVERS_MAX { nodes } else { 1 };
        story.say(format!(
            "Starting {} for this demo; no other server of this machine is touched …",
            servers_of(servers)
        ))?;
        let options = || Options { max_connections: MAX_CONNECTIONS, ..Options::default() };
        let clusters = (0..servers).map(|_| Cluster::start(options()));
        let clusters = futures_util::future::try_join_all(clusters).await?;
        story.say(format!("… done in {:.1} s.", begun.elapsed().as_secs_f64()))?;
        Ok(Self { clusters, program })
    }

    /// Makes and installs nodes a, b, c … The waiting times of settlements are given where they are not to be the default.
    pub(super) async fn mesh(&self, name: &str, count: i16, stride: Stride, waits: Option<Waits>) -> Result<Mesh<'_>> {
        let mut nodes = Vec::new();
        for (id, cluster) in (1..=count).zip(self.clusters.iter().cycle()) {
            let node = node_name(id);
            let database = format!("{name}_{node}");
            cluster.create_dbmail(&database).await?;
            nodes.push(NodeSettings::new(&node, NodeId(id), &cluster.worker_url(&database))?);
        }
        install(&nodes, &nodes, stride).await?;
        let settings = self.clusters[0].dir().join(format!("{name}.toml"));
        let text = self.settings_text(name, &nodes, stride, waits);
        std::fs::write(&settings, text).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot write {}: {error}", settings.display())).source(error)
        })?;
        Ok(Mesh { ground: self, nodes, settings })
    }

    fn settings_text(&self, name: &str, nodes: &[NodeSettings], stride: Stride, waits: Option<Waits>) -> String {
        let mut text = format!("[mesh]\nstride = {stride}\n");
        if let Some(Waits { settle_after, patience }) = waits {
            let (settle_after, patience) = (show_duration(settle_after), show_duration(patience));
            let _ = write!(text, "settle_after = \"{settle_after}\"\npatience = \"{patience}\"\n");
        }
        for (node, cluster) in nodes.iter().zip(self.clusters.iter().cycle()) {
            let url = cluster.worker_url(&format!("{name}_{}", node.name));
            let _ = write!(text, "\n[[node]]\nname = \"{}\"\nid = {}\nurl = {url:?}\n", node.name, node.id);
        }
        text
    }

    /// Everything lives in the first server's directory: its keeper removes it also when this process is killed.
    fn worker_log(&self) -> PathBuf {
        self.clusters[0].dir().join("worker.log")
    }

    /// Shows the end of the worker's log.
    pub(super) fn tell_worker_log(&self, story: &mut Story<'_>) -> Result<()> {
        let log = std::fs::read(self.worker_log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        story.say(format!("\nThe worker's log ends:\n{}", shown.join("\n")))
    }

    /// Whether the worker has noticed that a delivery overtook another because it could not wait for a mailbox's lock any longer.
    pub(super) fn was_overtaken(&self) -> bool {
        let log = std::fs::read(self.worker_log()).unwrap_or_default();
        String::from_utf8_lossy(&log).contains("messages were overtaken")
    }

    /// The servers' logs, all together.
    pub(super) fn server_logs(&self) -> Result<String> {
        self.clusters.iter().map(Cluster::log).collect()
    }
}

/// How long a settlement waits for what.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) settle_after: Duration,
    pub(super) patience: Duration,
}

impl Mesh<'_> {
    /// A worker for the links into all nodes, or into one.
    pub(super) fn work(&self, only: Option<&str>) -> Result<WorkerProcess> {
        WorkerProcess::start(&self.ground.program, &self.settings, &self.ground.worker_log(), only)
    }

    /// A dbmail session on each node.
    pub(super) async fn sessions(&self) -> Result<Vec<Session>> {
        let connects = self.nodes.iter().map(|node| Session::connect(&node.connection));
        futures_util::future::try_join_all(connects).await
    }

    /// A connection to each node, for questions to the mesh.
    pub(super) async fn clients(&self) -> Result<Vec<Client>> {
        let connects = self.nodes.iter().map(|node| cluster::connect(&node.connection));
        futures_util::future::try_join_all(connects).await
    }
}

/// What people call a node in print.
pub(super) fn label(node: &NodeSettings) -> String {
    node.name.as_str().to_uppercase()
}

fn node_name(id: i16) -> String {
    let letter = u8::try_from(id - 1).map_or(b'z', |offset| b'a' + offset.min(25));
    char::from(letter).to_string()
}

fn servers_of(count: i16) -> String {
    match count {
        1 => "a PostgreSQL server".to_owned(),
        _ => format!("{count} PostgreSQL servers"),
    }
}
