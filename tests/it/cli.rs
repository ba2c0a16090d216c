//! The command as people run it: what it prints, and its exit code.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dbmail_mesh::config::Settings;
use dbmail_mesh::migrate::{MIGRATION_LOCK, MigrationSet};
use dbmail_mesh::scratch::catalog::catalog;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use tempfile::TempDir;
use tokio_postgres::Client;

/// The command with nothing of ours in its environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbmail-mesh"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DBMAIL_MESH_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A settings file, and the command on it.
pub(crate) struct File(TempDir);

impl File {
    /// Nodes `ams`, `fra`, ... numbered from 1, at `urls`.
    pub(crate) fn with_nodes(urls: &[String]) -> Self {
        let node = |(at, (name, url)): (usize, (&str, &String))| {
            format!("[[node]]\nname = {name:?}\nid = {}\nurl = {url:?}\n", at + 1)
        };
        let nodes: String = ["ams", "fra", "nyc"].into_iter().zip(urls).enumerate().map(node).collect();
        Self::with_text(&format!("[mesh]\nstride = 8\n{nodes}"))
    }

    pub(crate) fn with_text(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("mesh.toml"), text).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("mesh.toml")
    }

    pub(crate) fn run(&self, arguments: &str) -> Ended {
        ended(&mut self.command(arguments))
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = command();
        command.arg("-c").arg(self.path()).args(arguments.split_whitespace());
        command
    }
}

/// A node that cannot be reached: nobody listens in this folder.
pub(crate) const NOWHERE: &str = "postgresql://postgres@/mail?host=/nonexistent";

async fn url_of_dbmail() -> String {
    let config = fresh_dbmail("cli").await.unwrap();
    shared_cluster().await.unwrap().url(config.get_dbname().unwrap())
}

async fn client(url: &str) -> Client {
    connect(&url.parse().unwrap()).await.unwrap()
}

#[test]
fn help_tells_the_exit_codes_and_a_wrong_command_is_one() {
    let help = ended(command().arg("--help"));
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    assert!(help.out.contains("4  refused for safety"), "{}", help.out);
    let wrong = ended(command().args(["migrate", "sideways"]));
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert_eq!(ended(command().arg("--version")).out, concat!("dbmail-mesh ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn the_example_can_be_saved_and_checked() {
    let example = ended(command().args(["config", "example"]));
    assert_eq!((example.code, example.out.as_str()), (0, Settings::example()));
    let file = File::with_text(&example.out);
    let check = file.run("config check");
    assert_eq!(check.code, 0, "{check:?}");
    let expected = format!(
        "{}: ok
[mesh] stride = 8, settle_after = \"2s\", lock_bound = \"250ms\", patience = \"3s\", presence = \"30d\"
[worker] batch_messages = 400, batch_bytes = \"8MiB\", poll_min = \"20ms\", poll_max = \"1s\", retry_max = \"30s\", \
         relay_after = \"10s\", lease = \"5s\", sessions = 8, outbox_keep = \"1min\", outbox_rows_max = 20000000
[session] connect_timeout = \"5s\", statement_timeout = \"2min\", lock_timeout = \"2s\", idle_in_transaction_timeout = \"30s\"
[log] format = \"text\", level = \"info\"
[health] listen = \"127.0.0.1:17143\", refresh = \"5s\", ready_lag = \"10s\"

 NODE  ID  ADDRESS                TLS          PASSWORD
 ams   1   db.ams.example/dbmail  verify-full  none
 fra   2   db.fra.example/dbmail  verify-full  none
",
        file.path().display()
    );
    assert_eq!(check.out, expected);
}

#[test]
fn problems_go_to_standard_error_with_exit_code_2() {
    let check = File::with_text("[mesh]\nstride = 0\n").run("config check --set mesh.patience=long");
    assert_eq!((check.code, check.out.as_str()), (2, ""));
    for words in
        ["3 problems", "mesh.stride = 0: must be 1 to 1024", "mesh.patience = \"long\" (from the command line)"]
    {
        assert!(check.err.contains(words), "{words}: {}", check.err);
    }
    let missing = ended(command().args(["config", "check", "-c", "/nonexistent/mesh.toml"]));
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("/nonexistent/mesh.toml: cannot be read"), "{}", missing.err);
}

#[test]
fn environment_and_flags_override_the_file_and_secrets_stay_secret() {
    let file = File::with_nodes(&[NOWHERE.to_owned()]);
    let check = ended(
        command()
            .env("DBMAIL_MESH__MESH__SETTLE_AFTER", "3s")
            .env("DBMAIL_MESH__LOG__FORMAT", "json")
            .env("DBMAIL_MESH__NODE__AMS__PASSWORD", "topsecret")
            .arg("-c")
            .arg(file.path())
            .args(["config", "check", "--json", "--log-format", "text", "--set", "mesh.patience=5s"]),
    );
    assert_eq!(check.code, 0, "{check:?}");
    assert!(!check.out.contains("topsecret"));
    let seen: serde_json::Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!(seen["mesh"]["settle_after"], "3s");
    assert_eq!(seen["mesh"]["patience"], "5s");
    assert_eq!(seen["log"]["format"], "text");
    assert_eq!(seen["node"][0]["password"], "given");
}

#[test]
fn a_reader_that_has_gone_is_no_crash() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command().args(["config", "example"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), [].as_slice()));
}

#[tokio::test]
async fn install_look_and_take_away() {
    let urls = [url_of_dbmail().await, url_of_dbmail().await];
    let file = File::with_nodes(&urls);
    let before = catalog(&client(&urls[0]).await).await.unwrap();
    let pending = i32::from(MigrationSet::embedded().unwrap().latest() > 0);
    assert_eq!(file.run("migrate status").code, pending);

    let plan = file.run("migrate up --dry-run");
    assert_eq!(plan.code, 0, "{plan:?}");
    assert_eq!(file.run("migrate status").code, pending, "a dry run changes nothing");

    let up = file.run("migrate up");
    assert_eq!(up.code, 0, "{up:?}");
    let status = file.run("migrate status --json");
    assert_eq!(status.code, 0, "{status:?}");
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&status[0]["node"], &status[1]["state"]), (&"ams".into(), &"current".into()));
    let again = file.run("migrate up");
    assert_eq!((again.code, again.out.as_str()), (0, "nothing to do\n"));

    let logged = file.run("migrate status --log-level debug --log-format json").err;
    let line: serde_json::Value = serde_json::from_str(logged.lines().next().unwrap()).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&"DEBUG".into(), &"connected".into()), "{logged}");
    let logged = file.run("migrate status --log-level trace --log-format json").err;
    assert!(!logged.contains("executing statement"), "the driver logs parameters, and so people's mail: {logged}");

    let down = file.run("migrate down --node ams");
    assert_eq!(down.code, 0, "{down:?}");
    assert_eq!(catalog(&client(&urls[0]).await).await.unwrap(), before);
    assert_eq!(file.run("migrate status --node ams").code, pending);
    assert_eq!(file.run("migrate status --node fra").code, 0);
}

#[tokio::test]
async fn a_refusal_is_exit_code_4_and_an_unreachable_node_3() {
    let url = url_of_dbmail().await;
    let not_dbmail = shared_cluster().await.unwrap().url("postgres");
    let refused = File::with_nodes(&[url.clone(), not_dbmail]).run("migrate up");
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("node fra (") && refused.err.contains("is not dbmail's"), "{}", refused.err);

    let file = File::with_nodes(&[url.clone(), NOWHERE.to_owned()]);
    let unreachable = file.run("migrate up");
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
    assert!(unreachable.err.contains("node fra (/nonexistent/mail): cannot connect"), "{}", unreachable.err);
    let status = file.run("migrate status");
    assert_eq!(status.code, 3, "{status:?}");
    assert!(status.out.contains("unreachable"), "{}", status.out);
    let unknown = file.run("migrate status --node rome");
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("the nodes are ams, fra"), "{}", unknown.err);

    let other = client(&url).await;
    other.query_one("select pg_advisory_lock($1)::text", &[&MIGRATION_LOCK]).await.unwrap();
    let locked = File::with_nodes(&[url]).run("migrate up");
    assert_eq!(locked.code, 4, "{locked:?}");
    assert!(locked.err.contains("somebody else is migrating this node"), "{}", locked.err);
}

#[tokio::test]
async fn check_with_connect_compares_the_nodes_with_the_settings() {
    let (new, installed) = (url_of_dbmail().await, url_of_dbmail().await);
    let sql = "create schema dbmail_mesh;
               create table dbmail_mesh.local_node as select 5::smallint node_id, 'x' node_name, 8::smallint stride";
    client(&installed).await.batch_execute(sql).await.unwrap();

    let file = File::with_nodes(&[new.clone(), NOWHERE.to_owned()]);
    let check = file.run("config check --connect");
    assert_eq!(check.code, 3, "{check:?}");
    assert!(check.out.contains("not installed") && check.out.contains("cannot connect"), "{}", check.out);

    let file = File::with_nodes(&[new, NOWHERE.to_owned(), installed]);
    let check = file.run("config check --connect");
    assert_eq!(check.code, 2, "{check:?}");
    assert!(check.out.contains("node.nyc.id = 3: it was installed with id 5"), "{}", check.out);
    let fits = file.run("config check --connect --set node.nyc.id=5");
    assert_eq!(fits.code, 3, "{fits:?}");
    assert!(fits.out.contains(" installed\n"), "{}", fits.out);
}

/// No settings file, no node: what docs/plan.md shows.
#[test]
fn an_imagined_mesh_is_computed() {
    let run = |arguments: &str| ended(command().args(arguments.split_whitespace()));
    let plan = run("plan --nodes 64 --rate 10/s --json");
    assert_eq!(plan.code, 0, "{plan:?}");
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    let of = |field: &str| plan["lines"].as_array().unwrap().iter().map(|line| line[field].clone()).collect::<Vec<_>>();
    let uids = serde_json::json!([4_294_967_294_i64, 132_152_839, 67_108_863, 2_147_483_647, null]);
    assert_eq!(of("messages_left"), *uids.as_array().unwrap());
    assert_eq!(of("per_day"), [864_000, 28_080_000, 55_296_000, 864_000, 0]);
    assert_eq!((&plan["imagined"], &plan["stride"]), (&true.into(), &64.into()));

    let fields: std::collections::BTreeSet<&str> = [&plan, &plan["lines"][0]]
        .iter()
        .flat_map(|object| object.as_object().unwrap().keys().map(String::as_str))
        .collect();
    let page = include_str!("../../docs/plan.md");
    let missing: Vec<_> = fields.iter().filter(|field| !page.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "not in docs/plan.md: {missing:?}");

    let table = run(
        "plan --nodes 4 --stride 8 --rate 86400/day --busiest 50 --renumbered 1 --mailboxes 1/day --used 4000000000",
    );
    assert_eq!(table.code, 0, "{table:?}");
    for words in [
        "50 % on the busiest node  4000000000  93.1% warning  352512   4.08       72295905",
        "after 9999",
        "MESSAGES LEFT",
    ] {
        assert!(table.out.contains(words), "{words:?} is not in:\n{}", table.out);
    }
    for (arguments, complaint) in [
        ("plan --nodes 4 --stride 2 --rate 1/s", "--stride 2 is less than --nodes 4"),
        ("plan --nodes 4", "--rate"),
        ("plan --rate 1/s", "--nodes"),
        ("plan --nodes 0 --rate 1/s", "0 is not in"),
        ("plan --nodes 4 --rate fast", "10/s"),
        ("plan --nodes 4 --rate 1/s --busiest 101", "0 to 100"),
    ] {
        let wrong = run(arguments);
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{arguments}");
        assert!(wrong.err.contains(complaint), "{arguments}: {}", wrong.err);
    }
}
