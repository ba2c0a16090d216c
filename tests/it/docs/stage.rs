//! The nodes that a document speaks of, under its names, and what is run beside them.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, NodeId};
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::Session;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::root;

/// How long a command, or what a scene waits for, may take.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Where a package has the files of the repository that documents speak of.
const SHARE: &str = "/usr/share/dbmail-mesh/";

/// Parts what one command of psql prints from what the next does.
const NEXT: &str = "=== what the next command prints ===";

/// Settings and PATH so that `dbmail-mesh status` asks these nodes, and a worker.
pub struct Stage {
    folder: TempDir,
    pub nodes: Vec<NodeSettings>,
    /// A node that is not part of the mesh.
    left_out: Option<String>,
    worker: Option<Child>,
    /// What is here, and what the document has in its place.
    masks: Vec<(String, String)>,
}

impl Stage {
    /// Databases of dbmail in which nothing is installed.
    pub async fn new(names: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dbmail-mesh"), folder.path().join("dbmail-mesh")).unwrap();
        let settings = folder.path().join("mesh.toml");
        let mut stage = Self { nodes: Vec::new(), left_out: None, worker: None, masks: Vec::new(), folder };
        stage.mask(&settings.display().to_string(), "/etc/dbmail-mesh/mesh.toml");
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        stage.mask(&format!("root@{}", host.trim()), "root@db1");
        for (id, name) in (1..).zip(names) {
            let database = fresh_dbmail("docs").await.unwrap().get_dbname().unwrap().to_owned();
            let url = shared_cluster().await.unwrap().worker_url(&database);
            let node = NodeSettings::new(name, NodeId(id), &url).unwrap();
            stage.mask(&node.address, &format!("db.{name}.example/dbmail"));
            stage.mask(&database, "dbmail");
            stage.nodes.push(node);
            let password = stage.folder.path().join(format!("{name}.password"));
            fs::write(&password, "not asked for\n").unwrap();
            fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        }
        // A throwaway node is on a socket, those of the documents are not.
        stage.mask("  socket ", "  verify-full ");
        stage.write_settings().await;
        stage
    }

    fn mask(&mut self, here: &str, there: &str) {
        self.masks.push((here.to_owned(), there.to_owned()));
        // The longest first: docs_1 is the beginning of docs_11.
        self.masks.sort_by_key(|(here, _)| std::cmp::Reverse(here.len()));
    }

    /// The example of the README, but for what differs here, and for nodes that the document does not need.
    async fn write_settings(&self) {
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let mut tables = example.split("[[node]]\n");
        let mut text = tables.next().unwrap().to_owned();
        for (node, table) in self.nodes.iter().zip(tables) {
            assert!(
                table.contains(&format!("name = \"{}\"\nid = {}", node.name, node.id)),
                "the example changed: {table}"
            );
            let url = shared_cluster().await.unwrap().worker_url(node.connection.get_dbname().unwrap());
            text += "[[node]]\n";
            for line in table.lines() {
                let line = match line.split_once(" = ") {
                    Some(("url", _)) => format!("url = {url:?}"),
                    Some(("password_file", _)) => format!("password_file = \"{}.password\"", node.name),
                    _ => line.to_owned(),
                };
                writeln!(text, "{line}").unwrap();
            }
        }
        assert_eq!(text.matches("[[node]]").count(), self.nodes.len(), "the example has fewer nodes");
        fs::write(self.settings(), text).unwrap();
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("mesh.toml")
    }

    /// Has a node's URL lead nowhere.
    pub fn cut_off(&mut self, name: &str) {
        let text = fs::read_to_string(self.settings()).unwrap();
        let (before, after) = text.split_once(&format!("name = \"{name}\"")).unwrap();
        let (id, rest) = after.split_once("url = ").unwrap();
        let rest = rest.split_once('\n').unwrap().1;
        let url = "postgresql://dbmail_mesh@127.0.0.1:1/dbmail";
        fs::write(self.settings(), format!("{before}name = \"{name}\"{id}url = \"{url}\"\n{rest}")).unwrap();
        self.mask("127.0.0.1:1/dbmail", &format!("db.{name}.example/dbmail"));
    }

    /// From now on a node is none of the mesh.
    pub fn leave_out(&mut self, name: &str) {
        self.left_out = Some(name.to_owned());
    }

    /// The nodes of the mesh.
    pub fn taking_part(&self) -> impl Iterator<Item = &NodeSettings> {
        self.nodes.iter().filter(|node| self.left_out.as_deref() != Some(node.name.as_str()))
    }

    fn node(&self, name: &str) -> Result<&NodeSettings, String> {
        self.nodes.iter().find(|node| node.name.as_str() == name).ok_or_else(|| format!("no node {name}"))
    }

    /// A session of dbmail on a node.
    pub async fn dbmail(&self, name: &str) -> Result<Session, String> {
        Session::connect(&self.node(name)?.connection).await.map_err(|error| error.to_string())
    }

    /// A mailbox as a node has it, once it does.
    pub async fn mailbox(&self, name: &str, owner: &str, mailbox: &str) -> Result<MailboxId, String> {
        let mut session = self.dbmail(name).await?;
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            // Before the owner has come to this node that is an error.
            if let Ok(Some(found)) = session.find_mailbox(owner, mailbox).await {
                return Ok(found);
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("{owner} has no {mailbox} on {name}"))
    }

    /// Waits until a query returns a number on all nodes of the mesh.
    pub async fn until(&self, sql: &str, expected: i64) -> Result<(), String> {
        for node in self.taking_part() {
            self.until_on(node.name.as_str(), sql, expected).await?;
        }
        Ok(())
    }

    /// The same on one node.
    pub async fn until_on(&self, name: &str, sql: &str, expected: i64) -> Result<(), String> {
        let client = connect(&self.node(name)?.connection).await.map_err(|error| error.to_string())?;
        let begun = Instant::now();
        loop {
            let found: i64 = client.query_one(sql, &[]).await.map_err(|error| error.to_string())?.get(0);
            if found == expected {
                return Ok(());
            }
            if begun.elapsed() > DEADLINE {
                return Err(format!("node {name}: {found} and not {expected}: {sql}"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs SQL on a node.
    pub async fn sql(&self, name: &str, sql: &str) -> Result<(), String> {
        let client = connect(&self.node(name)?.connection).await.map_err(|error| error.to_string())?;
        client.batch_execute(sql).await.map_err(|error| format!("{}\n{sql}", dbmail_mesh::error::Error::from(error)))
    }

    /// A command as in a shell of somebody who has installed the package: how it ended, and all that it printed.
    pub async fn shell(&self, command: &str) -> Result<(Option<i32>, String), String> {
        let mut shell = self.command("sh");
        shell.args(["-c", &format!("exec 2>&1; {}", command.replace(SHARE, ""))]).stdin(Stdio::null());
        let output =
            tokio::time::timeout(DEADLINE, shell.output()).await.map_err(|_| format!("$ {command}\ndoes not end"))?;
        let output = output.map_err(|error| error.to_string())?;
        Ok((output.status.code(), self.masked(&String::from_utf8_lossy(&output.stdout))))
    }

    /// A session of psql on `ams`: what each command prints.
    pub async fn psql(&self, commands: &[&str]) -> Result<Vec<String>, String> {
        let script: String = commands.iter().map(|command| format!("{command}\n\\echo '{NEXT}'\n")).collect();
        let mut psql = self.command("sh");
        psql.args(["-c", "exec psql -X 2>&1"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = psql.spawn().map_err(|error| error.to_string())?;
        let mut input = child.stdin.take().ok_or("no standard input")?;
        input.write_all(script.replace(SHARE, "").as_bytes()).await.map_err(|error| error.to_string())?;
        drop(input);
        let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.map_err(|_| "psql does not end")?;
        let text = self.masked(&String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout));
        Ok(text.split(NEXT).take(commands.len()).map(str::to_owned).collect())
    }

    fn masked(&self, text: &str) -> String {
        self.masks.iter().fold(text.to_owned(), |text, (here, there)| text.replace(here, there))
    }

    /// A program that finds ours, its settings, and node `ams`.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DBMAIL_MESH_")) {
            command.env_remove(name);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let ams = &self.nodes[0].connection;
        let tokio_postgres::config::Host::Unix(host) = &ams.get_hosts()[0] else { unreachable!("a socket") };
        command
            .current_dir(root())
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("DBMAIL_MESH_CONFIG", self.settings())
            .env("TZ", "UTC")
            // Who a pause is by.
            .env("USER", "root")
            .env_remove("SUDO_USER")
            .env("PAGER", "cat")
            .env("COLUMNS", "200")
            .env("PGHOST", host)
            .env("PGUSER", "postgres")
            .env("PGDATABASE", ams.get_dbname().unwrap())
            .kill_on_drop(true);
        command
    }

    /// Starts `dbmail-mesh run`, in place of one that runs, with short waits.
    pub async fn work(&mut self, arguments: &[&str]) {
        self.rest().await;
        let log = File::options().create(true).append(true).open(self.folder.path().join("worker.log")).unwrap();
        let mut command = self.command("dbmail-mesh");
        command.args(["--set", "mesh.settle_after=200ms", "--set", "mesh.patience=1s"]);
        // Documents are run at once, and not each can have the port.
        command.args(["--set", "health.listen=", "run"]).args(arguments);
        self.worker = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Stops the worker as an operator does.
    pub async fn rest(&mut self) {
        let Some(mut worker) = self.worker.take() else { return };
        let Some(pid) = worker.id() else { return };
        Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status().await.unwrap();
        tokio::time::timeout(DEADLINE, worker.wait()).await.unwrap().unwrap();
    }
}
