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

/// Where a server that has a small disk finds it. The folder is everywhere, and what is mounted on it is seen by the server alone.
pub const SMALL_DISK: &str = "/mnt";

/// Mounts a disk for what it then runs, and for nobody else: it is gone with that. $1 size in MiB, $2 user and $3 group who may use it;
/// then a command, which is run as these.
const WITH_SMALL_DISK: &str = r#"
mount -t tmpfs -o "size=$1m,uid=$2,gid=$3,mode=700" tmpfs /mnt || exit 1
uid=$2 gid=$3
shift 3
exec setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
"#;

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
    pub(super) fn start(
        binaries: &Binaries,
        base: &Path,
        postgres_options: &[String],
        small_disk_mib: Option<u32>,
    ) -> Result<Self> {
        let mut command = command(user::for_server()?, small_disk_mib)?;
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

/// Whether a server can have a disk of its own here: that takes root, and a kernel that lets root mount.
pub fn small_disks() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", SMALL_DISK])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    matches!(user::for_server(), Ok(Some(_))) && tried.is_ok_and(|status| status.success())
}

/// `sh` with the script, as `user`, apart from our terminal and our settings for PostgreSQL clients.
fn command(user: Option<SystemUser>, small_disk_mib: Option<u32>) -> Result<Command> {
    let mut command = match (small_disk_mib, user) {
        (None, _) => Command::new("sh"),
        (Some(mib), Some(user)) => {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", WITH_SMALL_DISK, "dbmail-mesh-disk"]);
            command.args([mib.to_string(), user.uid.to_string(), user.gid.to_string()]).arg("sh");
            command
        }
        (Some(_), None) => {
            return Err(Error::new(Kind::Usage, "only root can give a throwaway server a disk of its own"));
        }
    };
    command.arg("-c").arg(SCRIPT).arg("dbmail-mesh-keeper");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    // A process group of its own: Ctrl-C is for us, the keeper learns of our end by its input. Its working directory
    // must be one that the other user may enter.
    command.env("LC_ALL", "C").current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(user) = user.filter(|_| small_disk_mib.is_none()) {
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}

fn lost(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("the cluster's keeper cannot be reached: {error}")).source(error)
}

fn unexpected(answer: &str) -> Error {
    Error::new(Kind::Internal, format!("the cluster's keeper said {answer:?}, which was not expected"))
}
