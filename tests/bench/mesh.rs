//! dbmail-mesh itself: nodes on servers, and the real worker as a process of its own.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::audit::differences;
use dbmail_mesh::scratch::cluster::{Cluster, connect};
use dbmail_mesh::scratch::install::install;
use tempfile::NamedTempFile;
use tokio_postgres::{Client, Config};

use crate::cpu::process_cpu_s;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dbmail-mesh");
const DEADLINE: Duration = Duration::from_secs(1800);

/// Installed nodes.
pub struct Mesh {
    pub nodes: Vec<NodeSettings>,
    settings: NamedTempFile,
    stride: i16,
}

impl Mesh {
    /// Nodes a, b, c … in these databases of these servers. Dbmail's tables are there already; `install` has to be called.
    pub fn of(databases: &[(&Cluster, &str)], stride: i16) -> Result<Self> {
        let mut settings = NamedTempFile::new()?;
        writeln!(settings, "[mesh]\nstride = {stride}\n[health]\nlisten = \"\"")?;
        let mut nodes = Vec::new();
        for (id, (cluster, database)) in (1_i16..).zip(databases) {
            let (name, url) = (format!("n{id}"), cluster.worker_url(database));
            writeln!(settings, "[[node]]\nname = \"{name}\"\nid = {id}\nurl = \"{url}\"")?;
            nodes.push(NodeSettings::new(&name, NodeId(id), &url)?);
        }
        settings.flush()?;
        Ok(Self { nodes, settings, stride })
    }

    /// The same, installed on all nodes.
    pub async fn installed(databases: &[(&Cluster, &str)], stride: i16) -> Result<Self> {
        let mesh = Self::of(databases, stride)?;
        mesh.install(&mesh.nodes).await?;
        Ok(mesh)
    }

    /// Installs some of the nodes.
    pub async fn install(&self, nodes: &[NodeSettings]) -> Result<()> {
        Ok(install(nodes, &self.nodes, Stride(self.stride)).await?)
    }

    /// A node's database.
    pub fn config(&self, node: usize) -> &Config {
        &self.nodes[node].connection
    }

    /// A session of the superuser's.
    pub async fn client(&self, node: usize) -> Result<Client> {
        Ok(connect(self.config(node)).await?)
    }

    /// The real worker, with more on its command line.
    pub fn worker(&self, arguments: &[&str]) -> Result<Worker> {
        let level = std::env::var("DBMAIL_MESH_BENCH_LOG").unwrap_or_else(|_| "warn".to_owned());
        let child = Command::new(PROGRAM)
            .arg("-c")
            .arg(self.settings.path())
            .args(arguments)
            .args(["--log-level", &level, "run", "--stop-at-eof"])
            .stdin(Stdio::piped())
            .spawn()
            .context(PROGRAM)?;
        Ok(Worker { child })
    }

    /// Runs a command of the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(PROGRAM);
        let output = command.arg("-c").arg(self.settings.path()).args(arguments).output().await?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "dbmail-mesh {}: {out}{err}", arguments.join(" "));
        Ok(out.into_owned())
    }

    /// Waits until every link says that it is current, and its cursor has passed all that its source had when this was called.
    pub async fn current(&self) -> Result<()> {
        let begun = Instant::now();
        let mut marks = Vec::new();
        for node in 0..self.nodes.len() {
            let row = self.client(node).await?.query_one(include_str!("mark.sql"), &[]).await?;
            marks.push(row.get::<_, String>(0));
        }
        for node in 0..self.nodes.len() {
            let client = self.client(node).await?;
            for (id, mark) in (1_i16..).zip(&marks).filter(|(id, _)| usize::from(id.unsigned_abs()) != node + 1) {
                while client.query(include_str!("has_passed.sql"), &[&id, mark]).await?.is_empty() {
                    ensure!(begun.elapsed() < DEADLINE, "node {node} does not catch up with {id}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        Ok(())
    }

    /// The guarantees, as far as nodes at rest can show them: all nodes have the same mail, nothing waits, nothing was set aside.
    pub async fn verify(&self) -> Result<()> {
        let nodes: Vec<(String, Config)> =
            self.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
        let found = differences(&nodes).await?;
        ensure!(found.is_empty(), "nodes differ: {}", found.iter().take(5).cloned().collect::<Vec<_>>().join("; "));
        self.nothing_left().await
    }

    /// That nothing waits for a number, and nothing was set aside.
    pub async fn nothing_left(&self) -> Result<()> {
        for node in 0..self.nodes.len() {
            let left: i64 = self.client(node).await?.query_one(include_str!("left.sql"), &[]).await?.get(0);
            ensure!(left == 0, "node {node}: {left} messages are late or set aside");
        }
        Ok(())
    }
}

/// `dbmail-mesh run`. It ends with this.
pub struct Worker {
    child: Child,
}

impl Worker {
    /// The most memory that it has had resident so far, in MiB.
    pub fn memory_mib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM")?;
        Ok(line.split_whitespace().nth(1).context("VmHWM")?.parse::<f64>()? / 1024.0)
    }

    /// The processor time that it has used so far, in seconds.
    pub fn cpu_s(&self) -> Result<f64> {
        process_cpu_s(self.child.id())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
