//! The real worker as a process of its own, to be killed.

use std::io::Write as _;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::Mesh;

/// `dbmail-mesh run`, killed when dropped.
pub struct WorkerProcess {
    child: Child,
    _settings: tempfile::NamedTempFile,
}

impl WorkerProcess {
    pub fn start(mesh: &Mesh) -> Self {
        Self::start_with(mesh, &[])
    }

    /// With settings from the command line besides.
    pub fn start_with(mesh: &Mesh, arguments: &[&str]) -> Self {
        Self::start_for(mesh, arguments, &[])
    }

    /// Only for the named nodes, if any are named.
    pub fn start_for(mesh: &Mesh, arguments: &[&str], nodes: &[&str]) -> Self {
        let urls: Vec<String> = mesh.nodes.iter().map(super::url_of).collect();
        Self::start_of(mesh, &urls, "info", arguments, nodes)
    }

    /// With each node where `urls` has it, in the order of the nodes, and less in the log, or more.
    pub fn start_at(mesh: &Mesh, urls: &[String], log_level: &str, arguments: &[&str]) -> Self {
        Self::start_of(mesh, urls, log_level, arguments, &[])
    }

    fn start_of(mesh: &Mesh, urls: &[String], log_level: &str, arguments: &[&str], nodes: &[&str]) -> Self {
        let mut settings = tempfile::NamedTempFile::new().unwrap();
        writeln!(settings, "[mesh]\nstride = {}", mesh.mesh.stride).unwrap();
        writeln!(settings, "settle_after = \"{}ms\"", mesh.mesh.settle_after.as_millis()).unwrap();
        writeln!(settings, "patience = \"{}ms\"", mesh.mesh.patience.as_millis()).unwrap();
        let presence = mesh.mesh.presence.window().map_or("always".into(), |window| format!("{}s", window.as_secs()));
        writeln!(settings, "presence = \"{presence}\"").unwrap();
        for (node, url) in mesh.nodes.iter().zip(urls) {
            writeln!(settings, "[[node]]\nname = \"{}\"\nid = {}", node.name, node.id).unwrap();
            writeln!(settings, "url = \"{url}\"").unwrap();
        }
        settings.flush().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_dbmail-mesh"))
            .arg("-c")
            .arg(settings.path())
            // Not a port of this machine; who wants one names it.
            .args(["--set", "health.listen="])
            .args(arguments)
            .args(["--log-level", &std::env::var("DBMAIL_MESH_TEST_LOG").unwrap_or_else(|_| log_level.into()), "run"])
            .args(nodes.iter().flat_map(|node| ["--node", node]))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, _settings: settings }
    }

    /// Sends it a signal, by name.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The most memory that it has had resident so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}
