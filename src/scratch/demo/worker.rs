//! The real worker in a process of its own.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

use crate::error::{Error, Kind, Result};

/// How long a worker that was told to stop may take.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A running `dbmail-mesh run`.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    child: Child,
    /// The worker stops when this closes, as it does when the demo ends, even by SIGKILL.
    input: Option<ChildStdin>,
}

impl WorkerProcess {
    /// Starts it with a settings file, for the links into all nodes or into one. Its log is appended to a file.
    pub(super) fn start(program: &Path, settings: &Path, log: &Path, only: Option<&str>) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Internal, format!("cannot run {}: {error}", program.display())).source(error)
        };
        let log = File::options().create(true).append(true).open(log).map_err(failed)?;
        let mut command = Command::new(program);
        // No port of this machine is needed.
        command.arg("-c").arg(settings).args(["--set", "health.listen=", "run", "--stop-at-eof"]);
        command.args(only.into_iter().flat_map(|node| ["--node", node]));
        // Settings in the environment are meant for a real mesh.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DBMAIL_MESH_")) {
            command.env_remove(name);
        }
        // A process group of its own: Ctrl-C is for us.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        Ok(Self { input: child.stdin.take(), child })
    }

    /// Stops it as an operator does, and waits for its end.
    ///
    /// # Errors
    /// `Internal` when it had ended by itself, ends with an error, or does not end.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(Error::new(Kind::Internal, format!("the worker ended by itself: {status}")));
        }
        drop(self.input.take());
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Error::new(Kind::Internal, format!("the worker did not stop well: {status}"))),
            Ok(Err(error)) => Err(Error::new(Kind::Internal, format!("cannot wait for the worker: {error}"))),
            Err(_) => Err(Error::new(Kind::Internal, format!("the worker did not stop within {STOP_MAX:?}"))),
        }
    }

    /// Kills it as a crash does (SIGKILL).
    ///
    /// # Errors
    /// `Internal` when it had ended by itself.
    pub(super) async fn kill(mut self) -> Result<()> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(Error::new(Kind::Internal, format!("the worker ended by itself: {status}")));
        }
        let killed = self.child.kill().await;
        killed.map_err(|error| Error::new(Kind::Internal, format!("cannot kill the worker: {error}")).source(error))
    }
}
