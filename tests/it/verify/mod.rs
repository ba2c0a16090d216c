//! `dbmail-mesh verify`, driven as people run it, on real nodes with a real worker.

mod flow;
mod mend;
mod million;
mod scope;

use std::collections::BTreeSet;

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::shared::shared_cluster;
use dbmail_mesh::scratch::standin::Mail;
use serde_json::Value;

use super::cli::{Ended, File};
use super::mesh::Mesh;

/// Nodes that hold the same: alice with INBOX and a folder, bob with his INBOX, and messages m0, m1 and so on in alice's INBOX.
pub struct Rig {
    pub mesh: Mesh,
    pub inbox: MailboxId,
    pub folder: MailboxId,
    pub uids: Vec<i64>,
    file: std::sync::Arc<File>,
}

impl Rig {
    pub async fn new(prefix: &str, nodes: i16, messages: usize) -> Self {
        let mesh = Mesh::new(prefix, nodes, 8).await;
        let mut session = mesh.dbmail(1).await;
        session.create_user("alice").await.unwrap();
        session.create_user("bob").await.unwrap();
        let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
        let folder = session.create_mailbox("alice", "Folder").await.unwrap();
        session.create_mailbox("bob", "INBOX").await.unwrap();
        let mut uids = Vec::new();
        for message in 0..messages {
            let mail = Mail::named(&format!("m{message}")).with_keywords(&["work"]);
            uids.push(session.deliver(inbox, &mail).await.unwrap().0);
        }
        let worker = mesh.work();
        mesh.await_equal(inbox, messages).await;
        // The messages are there before the first copy is over, and what a copy may still bring counts as under way.
        for id in 1..=nodes {
            let copied = "select count(*) from dbmail_mesh.cursor where copy_stage is null";
            mesh.await_count(id, copied, i64::from(nodes) - 1).await;
        }
        worker.stop().await;
        let file = File::with_nodes(&urls(&mesh).await).into();
        Self { mesh, inbox, folder, uids, file }
    }

    /// The same settings with these nodes.
    pub fn with_nodes(&mut self, urls: &[String]) {
        self.file = File::with_nodes(urls).into();
    }

    /// Runs the command. Not on a thread that the worker needs.
    pub async fn run(&self, arguments: &str) -> Ended {
        let (file, arguments) = (self.file.clone(), format!("verify {arguments}"));
        tokio::task::spawn_blocking(move || file.run(&arguments)).await.unwrap()
    }

    /// Runs it with `--json`.
    pub async fn json(&self, arguments: &str) -> (i32, Value) {
        let ended = self.run(&format!("--json {arguments}")).await;
        let value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        (ended.code, value)
    }

    /// Changes a node so that no trigger notices.
    pub async fn behind(&self, id: i16, sql: &str) {
        self.mesh.run(id, &format!("begin; set local session_replication_role = replica; {sql}; commit")).await;
    }

    /// The UID of message `m<which>`.
    pub fn uid(&self, which: usize) -> i64 {
        self.uids[which]
    }
}

pub async fn urls(mesh: &Mesh) -> Vec<String> {
    let cluster = shared_cluster().await.unwrap();
    mesh.nodes.iter().map(|node| cluster.worker_url(node.connection.get_dbname().unwrap())).collect()
}

/// What differs: kind, key (of an entry only its kind) and in what.
pub fn differences(report: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |it: &Value| {
        let what: Vec<String> = it["what"].as_array().unwrap().iter().map(text).collect();
        let key = if text(&it["key"]).starts_with('{') { String::new() } else { format!(" {}", text(&it["key"])) };
        format!("{}{key}: {}", text(&it["kind"]), what.join(" "))
    };
    report["differences"].as_array().unwrap().iter().map(one).collect()
}

pub fn set(lines: &[String]) -> BTreeSet<String> {
    lines.iter().cloned().collect()
}
