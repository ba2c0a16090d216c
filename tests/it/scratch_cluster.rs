//! Throwaway clusters: how they are reached, that they survive a crash, and that they leave nothing behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dbmail_mesh::scratch::cluster::{Cluster, Options, connect};
use dbmail_mesh::scratch::shared::shared_cluster;
use tokio_postgres::Config;

/// Set for the child process of `a_killed_process_leaves_nothing`: it starts a cluster, writes where into this file,
/// and waits to be killed.
const CHILD: &str = "DBMAIL_MESH_TEST_CLUSTER_FILE";

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_running(pid: u32) -> bool {
    // A process that ended but was not yet waited for still has a directory; its state is Z.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn config_and_url_lead_to_the_same_server() {
    let cluster = shared_cluster().await.unwrap();
    let by_config = connect(&cluster.config("postgres")).await.unwrap();
    let parsed: Config = cluster.url("postgres").parse().unwrap();
    let by_url = connect(&parsed).await.unwrap();
    for client in [by_config, by_url] {
        let row = client.query_one("select current_setting('data_directory'), current_user::text", &[]).await.unwrap();
        assert_eq!(Path::new(row.get::<_, &str>(0)), cluster.dir().join("data"));
        assert_eq!(row.get::<_, &str>(1), "postgres");
    }
}

#[tokio::test]
async fn options_reach_the_server_and_its_log_names_the_application() {
    let options = Options {
        settings: vec![("work_mem".into(), "5MB".into()), ("deadlock_timeout".into(), "300ms".into())],
        max_connections: 17,
        durable: true,
        port: Some(free_port()),
        binaries: None,
        small_disk_mib: None,
    };
    let port = options.port.unwrap();
    let cluster = Cluster::start(options).await.unwrap();
    let tcp: Config = format!("host=127.0.0.1 port={port} user=postgres application_name=probe").parse().unwrap();
    let client = connect(&tcp).await.unwrap();
    for (name, value) in [
        ("work_mem", "5MB"),
        ("deadlock_timeout", "300ms"),
        ("max_connections", "17"),
        ("fsync", "on"),
        ("log_lock_waits", "on"),
        ("server_encoding", "UTF8"),
    ] {
        let row = client.query_one("select current_setting($1)", &[&name]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), value, "{name}");
    }
    let collation =
        client.query_one("select datcollate::text from pg_database where datname = current_database()", &[]);
    assert_eq!(collation.await.unwrap().get::<_, &str>(0), "C");
    client.query_one("select 1/0", &[]).await.unwrap_err();
    let log = cluster.log().unwrap();
    let line = log.lines().find(|line| line.contains("division by zero")).unwrap();
    assert!(line.contains("] probe ERROR"), "{line}");
    assert!(log.contains("STATEMENT:  select 1/0"), "{log}");
    connect(&cluster.config("postgres")).await.unwrap();
    connect(&cluster.url("postgres").parse().unwrap()).await.unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_crash_and_nothing_after_the_drop() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let database = cluster.create_dbmail("dbmail").await.unwrap();
    let client = connect(&database).await.unwrap();
    client.batch_execute("insert into dbmail_aliases (alias, deliver_to) values ('a', 'b')").await.unwrap();
    let first_pid = cluster.pid();
    cluster.stop_immediate().await.unwrap();
    assert!(!is_running(first_pid));
    client.batch_execute("select 1").await.unwrap_err();
    cluster.start_again().await.unwrap();
    assert_ne!(cluster.pid(), first_pid);
    let client = connect(&database).await.unwrap();
    let count: i64 = client.query_one("select count(*) from dbmail_aliases", &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    assert!(cluster.log().unwrap().contains("automatic recovery in progress"), "it was a clean shutdown");

    let (dir, pid) = (cluster.dir().to_owned(), cluster.pid());
    assert!(dir.exists() && is_running(pid));
    drop(cluster);
    assert!(!dir.exists() && !is_running(pid));
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why_and_leaves_nothing() {
    let options = Options { settings: vec![("no_such_setting".into(), "1".into())], ..Options::default() };
    let error = Cluster::start(options).await.unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
    let dir = error.split_whitespace().find(|word| word.contains("dbmail-mesh-")).unwrap();
    assert!(!Path::new(dir).exists(), "{dir}");
}

/// A test that is killed, or runs into a time limit, must not leave servers running on a developer's machine.
#[tokio::test]
async fn a_killed_process_leaves_nothing() {
    let note = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scratch_cluster::child_that_starts_a_cluster", "--ignored", "--test-threads=1"])
        .env(CHILD, note.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(note.path()).unwrap();
    wait_until("the child has a cluster", || read().ends_with('\n')).await;
    let text = read();
    let (dir, pid) = text.trim_end().split_once(' ').unwrap();
    let (dir, pid) = (PathBuf::from(dir), pid.parse().unwrap());
    assert!(dir.exists() && is_running(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the cluster of the killed process is gone", || !dir.exists() && !is_running(pid)).await;
}

#[tokio::test]
#[ignore = "not a test: what a_killed_process_leaves_nothing runs and kills"]
async fn child_that_starts_a_cluster() {
    let Some(note) = std::env::var_os(CHILD) else { return };
    let cluster = Cluster::start(Options::default()).await.unwrap();
    std::fs::write(note, format!("{} {}\n", cluster.dir().display(), cluster.pid())).unwrap();
    std::future::pending::<()>().await;
}
