//! The process between us and a throwaway server: it outlives us just long enough to clean up.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::user::{self, SystemUser};
use crate::error::{Error, Kind, Result};

/// What the keeper runs; its own head says how it speaks with us.
const SCRIPT: &str = include_str!("keeper.sh");

/// How long a drop waits for the server to stop and its directory to go. The script itself needs at most 15 s.
const FINISH_MAX: Duration = Duration::from_secs(20);

/// A running keeper. Dropping it stops the server and removes the directory; so does the end of this process.
#[derive(Debug)]
pub(super) struct Keeper {
    child: Child,
    /// Closing this is what ends the keeper.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    dir: PathBuf,
}

impl Keeper {
    /// Makes the directory under `base` and runs initdb. Blocks for a few seconds.
    pub(super) fn start(binaries: &Binaries, base: &Path, postgres_options: &[String]) -> Result<Self> {
        let mut command = command(user::for_server()?);
        command.arg(binaries.dir()).arg(base).args(postgres_options);
        let mut child = command
            .spawn()
            .map_err(|error| Error::new(Kind::Internal, format!("cannot run sh: {error}")).source(error))?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::new(Kind::Internal, "the cluster's keeper was started without pipes"));
        };
        let mut keeper =
            Self { child, commands: Some(commands), answers: BufReader::new(answers), dir: PathBuf::new() };
        let answer = keeper.answer().map_err(|error| error.remedy(format!("can {} be written to?", base.display())))?;
        let dir = answer.strip_prefix("directory ").ok_or_else(|| unexpected(&answer))?;
        keeper.dir = PathBuf::from(dir);
        match keeper.answer()?.as_str() {
            "ready" => Ok(keeper),
            _ => {
                let log = std::fs::read_to_string(keeper.log_file()).unwrap_or_default();
                Err(Error::new(Kind::Internal, format!("initdb failed: {}", log.trim())))
            }
        }
    }

    /// The cluster's directory, which also holds the socket.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the server logs to.
    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Starts the server and returns its pid; it is not yet ready for connections then.
    pub(super) fn start_server(&mut self) -> Result<u32> {
        let answer = self.ask("start")?;
        answer.strip_prefix("started ").and_then(|pid| pid.parse().ok()).ok_or_else(|| unexpected(&answer))
    }

    /// Whether the server process still exists.
    pub(super) fn server_is_alive(&mut self) -> Result<bool> {
        Ok(self.ask("alive")? == "alive")
    }

    /// Stops the server as a crash would, and waits for it. The data directory stays.
    pub(super) fn stop_immediate(&mut self) -> Result<()> {
        self.ask("immediate").map(|_| ())
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        if let Some(commands) = &mut self.commands {
            writeln!(commands, "{command}").map_err(lost)?;
        }
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line).map_err(lost)? {
            0 => Err(Error::new(Kind::Internal, "the cluster's keeper ended before it answered")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.commands.take());
        let deadline = Instant::now() + FINISH_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                tracing::warn!(dir = %self.dir.display(), "a throwaway cluster did not stop in time");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// `sh` with the script, as `user`, apart from our terminal and our settings for PostgreSQL clients.
fn command(user: Option<SystemUser>) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(SCRIPT).arg("dbmail-mesh-keeper");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    // A process group of its own: Ctrl-C is for us, the keeper learns of our end by its input. Its working directory
    // must be one that the other user may enter.
    command.env("LC_ALL", "C").current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn lost(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("the cluster's keeper cannot be reached: {error}")).source(error)
}

fn unexpected(answer: &str) -> Error {
    Error::new(Kind::Internal, format!("the cluster's keeper said {answer:?}, which was not expected"))
}
