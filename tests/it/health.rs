//! The listener of `dbmail-mesh run`, and `status --watch`, driven from outside: the built binary, real nodes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Mail;
use dbmail_mesh::telemetry::metrics::names;
use serde_json::Value;

use super::cli::{File, NOWHERE};
use super::mesh::{DEADLINE, Mesh};

/// `dbmail-mesh run` with a port of its own; killed when dropped.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that a process writes to one of its outputs.
fn lines(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Whoever has heard enough goes; the process must be able to write on.
            let _ = sender.send(line);
        }
    });
    receiver
}

impl Running {
    /// With a short memory: what takes seconds in production takes one here.
    fn start(file: &File, arguments: &str) -> Self {
        let quick = "--set health.listen=127.0.0.1:0 --set health.refresh=1s --set health.ready_lag=2s \
                     --set worker.retry_max=200ms --set mesh.settle_after=200ms --set mesh.patience=500ms \
                     --log-format json run";
        let mut command = file.command(&format!("{quick} {arguments}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Self { child, address: String::new() };
        let log = lines(running.child.stderr.take().unwrap());
        while running.address.is_empty() {
            let line: Value = serde_json::from_str(&log.recv_timeout(DEADLINE).unwrap()).unwrap();
            running.address = line["address"].as_str().unwrap_or_default().to_owned();
        }
        running
    }

    /// The status, the headers and the body of an answer.
    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn json(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.get(path);
        (status, serde_json::from_str(&body).unwrap())
    }

    /// The status, and what keeps a node from being ready.
    fn ready(&self, node: &str) -> (u16, BTreeSet<String>) {
        let (status, body) = self.json(&format!("/readyz?node={node}"));
        assert_eq!(body["ready"], status == 200, "{body}");
        let reasons = body["reasons"].as_array().unwrap().iter();
        (status, reasons.map(|reason| reason["code"].as_str().unwrap().to_owned()).collect())
    }

    /// Waits until a question is answered with this status.
    fn await_status(&self, path: &str, status: u16) -> Value {
        let begun = Instant::now();
        loop {
            let (seen, body) = self.json(path);
            if seen == status {
                return body;
            }
            assert!(begun.elapsed() < DEADLINE, "{path}: {seen}, not {status}: {body}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a node is ready, or is not because of `reason`.
    fn await_ready(&self, node: &str, reason: Option<&str>) {
        let begun = Instant::now();
        loop {
            let (status, reasons) = self.ready(node);
            if reason.map_or(status == 200, |reason| status == 503 && reasons.contains(reason)) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{node}: {status}, {reasons:?}, not {reason:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn file_of(mesh: &Mesh, more: &[&str]) -> File {
    let urls: Vec<String> =
        mesh.nodes.iter().map(super::mesh::url_of).chain(more.iter().map(|url| (*url).to_owned())).collect();
    File::with_nodes(&urls)
}

/// Alice's INBOX on both nodes, and a message on each of them.
async fn mesh(prefix: &str) -> (Mesh, MailboxId) {
    let (mesh, inbox) = Mesh::with_inbox(prefix, 2, 8).await;
    for id in [1, 2] {
        mesh.dbmail(id).await.deliver(inbox, &Mail::named("first")).await.unwrap();
    }
    (mesh, inbox)
}

#[tokio::test]
async fn a_node_is_ready_while_it_keeps_up_and_not_while_it_lags() {
    let (mesh, inbox) = mesh("ready").await;
    let running = Running::start(&file_of(&mesh, &[]), "");
    running.await_ready("ams", None);
    running.await_ready("fra", None);
    running.await_status("/readyz", 200);

    // Whoever holds the mailbox's line on fra holds up what comes from ams.
    let mut holder = mesh.psql(2).await;
    let held = holder.transaction().await.unwrap();
    held.execute("select from dbmail_mesh.line where mailbox_idnr = $1 for update", &[&inbox.0]).await.unwrap();
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("held up")).await.unwrap();
    running.await_ready("2", Some("lag"));
    // The other direction is free; of all nodes of this worker one is not ready.
    running.await_ready("ams", None);
    let all = running.await_status("/readyz", 503);
    assert_eq!(all["ready"], false);
    assert_eq!(all["nodes"][1]["reasons"][0]["source"], "ams");
    held.rollback().await.unwrap();
    running.await_ready("fra", None);
    mesh.await_equal(inbox, 3).await;
    assert_eq!(running.json("/healthz").1["healthy"], true);
}

#[tokio::test]
async fn a_node_that_is_being_filled_is_not_ready() {
    let mesh = Mesh::new("filled", 2, 8).await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("first")).await.unwrap();

    let mut holder = mesh.psql(2).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("lock table public.dbmail_users in share row exclusive mode").await.unwrap();
    let running = Running::start(&file_of(&mesh, &[]), "");
    running.await_ready("fra", Some("first_copy"));
    held.rollback().await.unwrap();
    running.await_ready("fra", None);
    assert_eq!(mesh.uids(2, inbox).await.len(), 1, "by then the mail is there");
}

#[tokio::test]
async fn a_node_whose_worker_is_another_process_is_judged_by_its_database() {
    let (mesh, _) = mesh("other").await;
    let file = file_of(&mesh, &[]);
    let other = Running::start(&file, "--node fra");
    other.await_ready("fra", None);
    let running = Running::start(&file, "--node ams");
    running.await_ready("fra", None);
    drop(other);
    running.await_ready("fra", Some("no_worker"));
    running.await_ready("ams", None);
    // Without a node: those that this worker serves.
    running.await_status("/readyz", 200);
    let check = file.run("status --check");
    assert_eq!(check.code, 1);
    assert!(check.out.contains("node fra: no worker is at work for it (start dbmail-mesh run)"), "{}", check.out);
}

#[tokio::test]
async fn an_unreachable_node_takes_no_other_away() {
    let (mesh, _) = mesh("gone").await;
    let running = Running::start(&file_of(&mesh, &[NOWHERE]), "");
    running.await_ready("ams", None);
    running.await_ready("fra", None);
    let body = running.await_status("/readyz?node=ams", 200);
    // The first copies of the two may still be named, too.
    let ignored = body["ignored"].as_array().unwrap();
    assert!(ignored.iter().any(|reason| reason["code"] == "source_silent"), "{body}");
    running.await_ready("nyc", Some("node_unreachable"));

    for (path, status) in [
        ("/readyz?node=rome", 404),
        ("/readyz?node=4", 404),
        ("/readyz?node=", 404),
        ("/readyz?nodes=ams", 400),
        ("/readyz?node=ams&node=fra", 400),
        ("/readyz?node=ams&max_lag=soon", 400),
        ("/readyz?node=ams&max_lag=1h", 400),
        ("/", 404),
        ("/healthz", 200),
    ] {
        let (seen, head, body) = running.get(path);
        assert_eq!(seen, status, "{path}: {body}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(body.contains("\"error\""), status == 404 || status == 400, "{path}: {body}");
    }
    let body = running.await_status("/readyz?node=ams&max_lag=1s", 200);
    assert_eq!(body["max_lag_seconds"], 1.0);
    assert!(body["age_seconds"].as_f64().unwrap() < 10.0, "{body}");
}

/// The name, the labels, and the value of a line of metrics; only what the format allows.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
    let labels = labels.strip_suffix('}').unwrap().split_terminator(',');
    let labels = labels.map(|label| {
        let (key, value) = label.split_once('=').unwrap();
        (key.to_owned(), value.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned())
    });
    (name.to_owned(), labels.collect(), value.parse().unwrap())
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_all_of_them_are_known() {
    let (mesh, inbox) = mesh("metrics").await;
    let running = Running::start(&file_of(&mesh, &[]), "");
    running.await_ready("ams", None);
    running.await_ready("fra", None);
    mesh.await_equal(inbox, 2).await;
    let begun = Instant::now();
    let text = loop {
        let (status, head, text) = running.get("/metrics");
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        // What is counted row by row comes with the next reading, and that something has come with the one after it.
        let nothing_waits = "\ndbmail_mesh_link_lag_messages{source=\"ams\",target=\"fra\"} 0\n";
        if text.contains(names::NODE_USED.name) && text.contains(nothing_waits) {
            break text;
        }
        assert!(begun.elapsed() < DEADLINE, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let known: BTreeSet<&str> = names::ALL.iter().map(|metric| metric.name).collect();
    let mut seen = BTreeSet::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            assert!(["HELP", "TYPE"].contains(&words.next().unwrap()), "{line}");
            current = words.next().map(str::to_owned);
            seen.insert(current.clone().unwrap());
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = current.as_deref().unwrap();
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
        let metric = names::ALL.iter().find(|metric| metric.name == family).unwrap();
        let of_series: Vec<&str> = labels.iter().map(|(key, _)| key.as_str()).filter(|key| *key != "le").collect();
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(of_series.iter().copied().collect::<BTreeSet<_>>(), expected, "{line}");
        assert!(value.is_finite() || line.contains("le=\"+Inf\""), "{line}");
    }
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen.difference(&known).collect::<Vec<_>>(), [&""; 0]);
    // Of a mesh that is well, and too young for a rate.
    let absent = BTreeSet::from([names::PROBLEMS.name, names::NODE_ENDS.name, names::SETTLEMENT_ERRORS.name]);
    let missing: Vec<_> = known.difference(&seen).filter(|name| !absent.contains(*name)).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");

    let value = |series: &str| {
        let line =
            text.lines().find(|line| line.starts_with(&format!("{series} "))).unwrap_or_else(|| panic!("{series}"));
        sample(line).2
    };
    assert!(value("dbmail_mesh_node_ready{node=\"ams\"}") <= 1.0);
    assert_eq!(value("dbmail_mesh_node_worker_active{node=\"fra\"}"), 1.0);
    assert!(value("dbmail_mesh_messages_applied_total{source=\"ams\",target=\"fra\"}") >= 1.0);
    assert_eq!(value("dbmail_mesh_link_lag_messages{source=\"ams\",target=\"fra\"}"), 0.0);
    for secret in ["alice", "INBOX", "postgres"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_command_before_it_begins() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = File::with_nodes(&[NOWHERE.to_owned()]);
    let run = file.run(&format!("--set health.listen={address} run"));
    assert_eq!(run.code, 3, "a supervisor tries again: {run:?}");
    let text = format!("health.listen = \"{address}\": cannot listen there: Address already in use");
    assert!(run.err.contains(&text) && run.err.contains("another dbmail-mesh run may have it"), "{}", run.err);

    let elsewhere = file.run("--set health.listen=192.0.2.1:17143 run");
    assert_eq!(elsewhere.code, 3, "the address may come: {elsewhere:?}");
}

#[tokio::test]
async fn a_watched_status_is_repeated_until_ctrl_c() {
    let (mesh, _) = mesh("watched").await;
    let file = file_of(&mesh, &[NOWHERE]);
    for json in [false, true] {
        let arguments = if json { "status --watch 1 --json" } else { "status --check --watch 1" };
        let mut child = file.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let shown = lines(child.stdout.take().unwrap());
        let begins =
            |line: &String| if json { line.starts_with('{') } else { line.contains("Z  every 1 s  problems: ") };
        for round in 0..2 {
            let heading = loop {
                let line = shown.recv_timeout(DEADLINE).unwrap();
                if begins(&line) {
                    break line;
                }
                assert!(!json && round > 0, "the first line is the time: {line}");
            };
            if json {
                let seen: Value = serde_json::from_str(&heading).unwrap();
                assert_eq!(seen["nodes"].as_array().unwrap().len(), 3);
                assert!(seen["read_at"].as_str().unwrap().ends_with('Z'), "{heading}");
            }
        }
        let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(interrupt.success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments}");
        let rest: Vec<String> = shown.iter().collect();
        if !json {
            assert!(rest.iter().any(|line| line.starts_with("node nyc: unreachable")), "{rest:?}");
        }
    }
    assert_eq!(file.run("status --watch soon").code, 2);
}

/// Every metric has a row in the documentation, every row is of a metric, and what the dashboard and the alerts use exists.
#[test]
fn metrics_documentation_dashboard_and_alerts_agree() {
    let known: BTreeSet<&str> = names::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(known.len(), names::ALL.len(), "a name is there twice");
    let documented = used_in(include_str!("../../docs/watch.md"));
    assert_eq!(documented, known.iter().map(|name| (*name).to_owned()).collect(), "in docs/watch.md, and exported");

    let dashboard: Value = serde_json::from_str(include_str!("../../docs/grafana/dbmail-mesh.json")).unwrap();
    let mut expressions = Vec::new();
    expressions_of(&dashboard, &mut expressions);
    assert!(expressions.len() > 10, "{expressions:?}");
    expressions.push(include_str!("../../docs/grafana/alerts.yml").to_owned());
    for expression in expressions {
        let used = used_in(&expression);
        assert!(!used.is_empty(), "no metric in {expression}");
        for name in used {
            let is_known = names::ALL.iter().any(|metric| {
                name.strip_prefix(metric.name).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
            });
            assert!(is_known, "{name} is not exported: {expression}");
        }
    }
}

/// The names of metrics in a text.
fn used_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c));
    words.filter(|word| word.starts_with("dbmail_mesh_")).map(str::to_owned).collect()
}

fn expressions_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr", Value::String(expression)) => found.push(expression.clone()),
                    _ => expressions_of(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions_of(value, found)),
        _ => {}
    }
}
