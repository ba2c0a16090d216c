//! The demo as people run it: it holds, it tells when something does not, and it leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use dbmail_mesh::scratch::cluster::connect;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::{Client, Config};

/// The demo waits up to a minute for what it expects; nothing here should come near that.
const DEADLINE: Duration = Duration::from_secs(120);

/// A demo, and the directory that is its whole TMPDIR.
struct Demo {
    child: Child,
    place: TempDir,
}

impl Demo {
    fn start(arguments: &str) -> Self {
        let place = TempDir::new().unwrap();
        // The servers run as another user when we are root.
        fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbmail-mesh"));
        command.arg("demo").args(arguments.split_whitespace()).env("TMPDIR", place.path());
        // Settings in the environment are for a real mesh: the demo's worker must not see them.
        command.env("DBMAIL_MESH__MESH__STRIDE", "none of the demo's business");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self { child: command.spawn().unwrap(), place }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Waits for its end, and makes sure that it left nothing.
    async fn ended(self) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } =
            tokio::time::timeout(DEADLINE, self.child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!((left_in(self.place.path()), processes_of(self.place.path())), (Vec::new(), Vec::new()));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    /// A connection to the first of the demo's servers that has this database, once one has.
    async fn connect(&self, database: &str) -> Client {
        let begun = Instant::now();
        loop {
            for directory in left_in(self.path()) {
                let mut config = Config::new();
                config.host_path(directory).user("postgres").dbname(database);
                if let Ok(client) = connect(&config).await {
                    return client;
                }
            }
            assert!(begun.elapsed() < DEADLINE, "no server has a database {database}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn left_in(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The command lines of processes that work in the directory: servers, their keepers, workers.
fn processes_of(directory: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let command_lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let readable = command_lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    readable.filter(|line| line.contains(directory.to_str().unwrap())).collect()
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn everything_holds_and_nothing_is_left() {
    let (code, out, err) = Demo::start("--seconds 3 --seed 7").ended().await;
    assert_eq!(code, Some(0), "{out}{err}");
    for words in [
        "2. link down         1 2 3 4 5 7     1 2 3 4 6\n",
        "3. from B to A only  1 2 3 4 5 7 9   1 2 3 4 6\n",
        "4. link up again     1 2 3 4 7 9 11  1 2 3 4 7 9 11\n",
        "6    renumbered to 9   nothing     renumbered to 9   nothing\n",
        "PART 2: 3 nodes",
        "(--seed 7)",
        "Everything held.\n",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert_eq!(out.lines().filter(|line| line.ends_with(" held")).count(), 7, "{out}");
    for words in ["deliveries", "late", "renumbered", "lag"] {
        assert!(err.contains(words), "{words}: {err}");
    }
}

/// Damages mail on one node behind everybody's back.
#[tokio::test]
async fn a_finding_is_told_and_exit_code_1() {
    let demo = Demo::start("--nodes 2 --seconds 3");
    let client = demo.connect("mail_a").await;
    let visible = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
    let begun = Instant::now();
    while client.query_one(visible, &[]).await.map_or(0, |row| row.get::<_, i64>(0)) < 10 {
        assert!(begun.elapsed() < DEADLINE, "no traffic");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.execute("update dbmail_mimeparts set data = data || '!'", &[]).await.unwrap();
    drop(client);
    let (code, out, err) = demo.ended().await;
    assert_eq!(code, Some(1), "{out}{err}");
    for words in ["is incomplete", "FINDINGS", "NOT everything held", "The worker's log ends:"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!out.contains("Everything held"), "{out}");
}

/// SIGKILL gives the demo no chance to tidy up.
#[tokio::test]
async fn a_killed_demo_leaves_nothing() {
    let mut demo = Demo::start("--nodes 4 --seconds 600");
    let client = demo.connect("mail_d").await;
    // Between the settings and the command are the worker's other arguments.
    let runs = |line: &String| line.contains("mail.toml ") && line.contains(" run ");
    let worker = || processes_of(demo.path()).iter().filter(|line| runs(line)).count();
    wait_until("a worker of the second part runs", || worker() == 1).await;
    drop(client);
    demo.child.kill().await.unwrap();
    let path = demo.path();
    wait_until("nothing is left", || left_in(path).is_empty() && processes_of(path).is_empty()).await;
}

/// Ctrl-C, and what `systemctl stop` sends.
#[tokio::test]
async fn a_stopped_demo_says_so() {
    let demo = Demo::start("--seconds 600");
    wait_until("the demo is under way", || !left_in(demo.path()).is_empty()).await;
    let pid = demo.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().await.unwrap().success());
    let (code, out, err) = demo.ended().await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.ends_with("Stopped before everything was checked.\n"), "{out}");
}
