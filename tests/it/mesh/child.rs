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
        let mut settings = tempfile::NamedTempFile::new().unwrap();
        writeln!(settings, "[mesh]\nstride = {}", mesh.mesh.stride).unwrap();
        writeln!(settings, "settle_after = \"{}ms\"", mesh.mesh.settle_after.as_millis()).unwrap();
        writeln!(settings, "patience = \"{}ms\"", mesh.mesh.patience.as_millis()).unwrap();
        let presence = mesh.mesh.presence.window().map_or("always".into(), |window| format!("{}s", window.as_secs()));
        writeln!(settings, "presence = \"{presence}\"").unwrap();
        for node in &mesh.nodes {
            let host = match &node.connection.get_hosts()[0] {
                tokio_postgres::config::Host::Unix(path) => path.to_str().unwrap().to_owned(),
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
            };
            let database = node.connection.get_dbname().unwrap();
            writeln!(settings, "[[node]]\nname = \"{}\"\nid = {}", node.name, node.id).unwrap();
            writeln!(settings, "url = \"postgresql://postgres@/{database}?host={host}\"").unwrap();
        }
        settings.flush().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_dbmail-mesh"))
            .arg("-c")
            .arg(settings.path())
            .args(arguments)
            .args(["--log-level", &std::env::var("DBMAIL_MESH_TEST_LOG").unwrap_or_else(|_| "info".into()), "run"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, _settings: settings }
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// The most memory that it has had resident so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}
