//! The real binary with a password, right or wrong, and everything that it says: the password is nowhere.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dbmail_mesh::config::Settings;
use dbmail_mesh::node::Endpoint;
use dbmail_mesh::scratch::cluster::{Cluster, Options, connect};

use crate::cli::{File, ended};
use crate::mesh::DEADLINE;

const SECRET: &str = "tr0ub4dor-and-3";

/// Everything but `run`, with what a DBA may add. `leave` and `join` ask for a node that is another one's.
const COMMANDS: [&str; 22] = [
    "config check",
    "config check --connect",
    "config check --connect --json",
    "migrate status",
    "migrate status --json",
    "migrate up --dry-run",
    "migrate up",
    "doctor --all",
    "doctor --json",
    "status",
    "status --json",
    "status --check",
    "plan",
    "plan --json",
    "verify",
    "verify --json",
    "pause --node ams",
    "resume --node ams",
    "wait --timeout 1s",
    "join ams",
    "leave ams",
    "config example",
];

/// Two nodes behind a password, and settings at level trace whose password is `given`.
async fn nodes(given: &str) -> (Cluster, File) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = Cluster::start(Options { port: Some(port), ..Options::default() }).await.unwrap();
    for name in ["ams", "fra"] {
        cluster.create_dbmail(name).await.unwrap();
    }
    std::fs::write(
        cluster.dir().join("data/pg_hba.conf"),
        "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    let admin = connect(&cluster.config("postgres")).await.unwrap();
    admin.batch_execute(&format!("alter role postgres password '{SECRET}'")).await.unwrap();
    admin.batch_execute("select pg_reload_conf()").await.unwrap();
    let node = |id: usize, name: &str| {
        format!(
            "[[node]]\nname = \"{name}\"\nid = {id}\nurl = \"postgresql://postgres@127.0.0.1:{port}/{name}\"\n\
             password_file = \"password\"\n"
        )
    };
    let text = format!("[mesh]\nstride = 2\n[log]\nlevel = \"trace\"\n{}{}", node(1, "ams"), node(2, "fra"));
    let file = File::with_text(&text);
    let password = file.path().parent().unwrap().join("password");
    std::fs::write(&password, format!("{given}\n")).unwrap();
    std::fs::set_permissions(password, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Once the server asks for the password, it does so for good.
    let begun = Instant::now();
    let nobody: tokio_postgres::Config =
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres").parse().unwrap();
    while connect(&nobody).await.is_ok() {
        assert!(begun.elapsed() < DEADLINE);
    }
    (cluster, file)
}

fn run_all(file: &File, secret: &str) -> Vec<(String, i32)> {
    let mut codes = Vec::new();
    for command in COMMANDS {
        for format in ["text", "json"] {
            let ended = ended(&mut file.command(&format!("{command} --log-format {format}")));
            assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{command}: {ended:?}");
            codes.push((command.to_owned(), ended.code));
        }
    }
    codes
}

/// What `run` says until it has been asked for everything that it answers.
fn said_by_run(file: &File, from_env: Option<&str>) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = file.command("run --set health.listen=127.0.0.1:0 --set health.refresh=1s --log-format json");
    if let Some(secret) = from_env {
        command.env("DBMAIL_MESH__NODE__AMS__PASSWORD", secret).env("DBMAIL_MESH__NODE__FRA__PASSWORD", secret);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen().unwrap()).spawn().unwrap();
    let heard = || std::fs::read_to_string(log.path()).unwrap();
    let begun = Instant::now();
    let address = loop {
        let line = heard().lines().find(|line| line.contains("answering /metrics")).map(str::to_owned);
        if let Some(line) = line {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            break line["address"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < DEADLINE, "{}", heard());
        std::thread::sleep(Duration::from_millis(20));
    };
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut said = String::new();
    // Until the nodes have been asked, and at least one link has been tried.
    loop {
        let metrics = get("/metrics");
        if metrics.contains("dbmail_mesh_node_up{") && heard().lines().count() > 5 {
            said += &metrics;
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{metrics}\n{}", heard());
        std::thread::sleep(Duration::from_millis(20));
    }
    for path in ["/healthz", "/readyz", "/readyz?node=ams", "/readyz?node=nobody", "/nothing"] {
        said += &get(path);
    }
    let process = |what: &str| std::fs::read(format!("/proc/{}/{what}", child.id())).unwrap();
    said += &String::from_utf8_lossy(&process("cmdline"));
    said += &String::from_utf8_lossy(&process("comm"));
    Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    child.wait().unwrap();
    said + &heard()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_in_nothing_that_is_said() {
    let (cluster, file) = nodes(SECRET).await;
    let codes = run_all(&file, SECRET);
    let fine = |command: &str| codes.iter().any(|(other, code)| other == command && *code == 0);
    assert!(fine("migrate up") && fine("config check --connect") && fine("verify"), "{codes:?}");
    for from_env in [None, Some(SECRET)] {
        let said = said_by_run(&file, from_env);
        assert!(said.contains("worker started") && said.contains("dbmail_mesh_node_up"));
        assert!(!said.contains(SECRET), "{said}");
    }
    // Nor what programs make of the settings.
    let settings = Settings::load(Some(&file.path()), std::iter::empty(), &[]).unwrap();
    assert_eq!(settings.nodes[0].connection.get_password(), Some(SECRET.as_bytes()));
    let endpoint = Endpoint::from(&settings.nodes[0]);
    for shown in
        [format!("{settings:?}"), format!("{endpoint:?}"), format!("{settings:#?}"), settings.nodes[0].to_string()]
    {
        assert!(!shown.contains(SECRET), "{shown}");
    }
    assert!(!cluster.log().unwrap().lines().any(|line| line.contains(SECRET) && line.contains("dbmail-mesh")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_that_is_wrong() {
    const WRONG: &str = "wr0ng-horse-battery";
    let (_cluster, file) = nodes(WRONG).await;
    let codes = run_all(&file, WRONG);
    let refused = |command: &str| codes.iter().any(|(other, code)| other == command && *code == 3);
    assert!(refused("migrate up") && refused("config check --connect") && refused("doctor --all"), "{codes:?}");
    let said = said_by_run(&file, Some(WRONG));
    assert!(said.contains("SQLSTATE 28P01") && !said.contains(WRONG), "{said}");
}

/// Where a password may not be, the command ends at once, says what to do, and repeats nothing.
#[test]
fn a_password_in_the_wrong_place_is_refused_and_not_repeated() {
    let url = format!("postgresql://u:{SECRET}@127.0.0.1:1/mail");
    let file = File::with_nodes(&["postgresql://u@127.0.0.1:1/mail".to_owned()]);
    let set = |value: &str| file.command("config check").args(["--set", value]).output().unwrap();
    let in_env = |name: &str, value: &str| file.command("config check").env(name, value).output().unwrap();
    let in_file = File::with_nodes(std::slice::from_ref(&url));
    for (case, output) in [
        ("file", in_file.command("config check").output().unwrap()),
        ("flag", set(&format!("node.ams.url={url}"))),
        ("flag, password", set(&format!("node.ams.password={SECRET}"))),
        ("flag without a key", set(&url)),
        ("flag, parameter", set(&format!("{url}?sslmode=disable"))),
        ("environment", in_env("DBMAIL_MESH__NODE__AMS__URL", &url)),
        (
            "environment, parameter",
            in_env("DBMAIL_MESH__NODE__AMS__URL", &format!("postgresql://u@h/d?password={SECRET}")),
        ),
    ] {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{case}: {said}");
        assert!(!said.contains(SECRET), "{case}: {said}");
        assert!(said.contains("password_file") || said.contains("section.key"), "{case}: {said}");
    }
}
