//! A mesh whose nodes are PostgreSQL servers of different major versions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::binaries::Binaries;
use dbmail_mesh::scratch::cluster::{Cluster, Options};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::{Mesh, name_of};

/// Directories of server programs, separated like those of a PATH; `make test-matrix` sets it.
const VARIABLE: &str = "DBMAIL_MESH_PG_BINS";

/// Messages delivered on each node while it is apart.
const EACH: usize = 4;

/// The server programs of different majors on this machine, as far as one knows where they are.
fn installed() -> Vec<(String, Binaries)> {
    let named: Vec<PathBuf> = match std::env::var_os(VARIABLE) {
        Some(dirs) => std::env::split_paths(&dirs).collect(),
        None => std::fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default(),
    };
    let mut found: Vec<_> = named.iter().filter_map(|dir| Some((major(dir)?, Binaries::at(dir)?))).collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found.dedup_by(|left, right| left.0 == right.0);
    found
}

/// "postgres (PostgreSQL) 15.4" gives "15".
fn major(dir: &Path) -> Option<String> {
    let said = Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.split_whitespace().nth(2)?.split('.').next().map(str::to_owned)
}

/// Everything that travels, between servers of different majors: the text and binary forms of our types, snapshots, and what
/// plans make of our statements. The server of the second node crashes meanwhile.
#[tokio::test]
async fn nodes_of_different_majors_end_equal() {
    let majors = installed();
    if majors.len() < 2 {
        eprintln!(
            "skipped: needs server programs of two majors (make test-matrix, or name their directories in {VARIABLE})"
        );
        return;
    }
    let mut clusters = Vec::new();
    let mut nodes = Vec::new();
    for (id, (major, binaries)) in (1..).zip(&majors) {
        let cluster = Cluster::start(Options { binaries: Some(binaries.clone()), ..Options::default() }).await.unwrap();
        cluster.create_dbmail("dbmail").await.unwrap();
        let node = NodeSettings::new(&name_of(id), NodeId(id), &cluster.worker_url("dbmail")).unwrap();
        nodes.push(node);
        clusters.push(cluster);
        println!("node {} is PostgreSQL {major}", name_of(id));
    }
    install(&nodes, &nodes, Stride(8)).await.unwrap();
    let mesh = Mesh::of(nodes, 8);
    let ids: Vec<i16> = mesh.nodes.iter().map(|node| node.id.0).collect();

    let mut first = mesh.dbmail(1).await;
    first.create_user("alice").await.unwrap();
    let inbox = first.create_mailbox("alice", "INBOX").await.unwrap();
    let ledger = Ledger::default();
    let worker = mesh.work();
    for &id in &ids {
        mesh.await_count(id, "select count(*) from dbmail_mailboxes where name = 'INBOX'", 1).await;
    }
    worker.stop().await;

    // Apart: deliveries that are late elsewhere, flags, keywords, an expunge, folders of one name, small tables.
    for &id in &ids {
        let mut session = mesh.dbmail(id).await;
        for number in 0..EACH {
            let mail = Mail::named(&format!("{id}-{number}"));
            let uid = session.deliver(inbox, &mail).await.unwrap();
            ledger.delivered("alice", "INBOX", &mail);
            if number == 0 {
                session.store(inbox, &[uid], &StoreFlags::add(Flags::DELETED)).await.unwrap();
            } else {
                session.store(inbox, &[uid], &StoreFlags::add(Flags::SEEN)).await.unwrap();
            }
        }
        for expunged in session.expunge_named(inbox).await.unwrap() {
            ledger.expunged(&expunged.unique_id);
        }
        session.create_mailbox("alice", "Work").await.unwrap();
        session.add_alias(&format!("alice{id}@example.org"), "alice").await.unwrap();
    }
    clusters[1].stop_immediate().await.unwrap();
    let worker = mesh.work();
    tokio::time::timeout(super::DEADLINE, clusters[1].start_again()).await.unwrap().unwrap();
    let uids = mesh.await_equal(inbox, ids.len() * (EACH - 1)).await;
    for &id in &ids {
        mesh.await_count(id, "select count(*) from dbmail_mailboxes where name = 'Work'", 1).await;
        mesh.await_count(id, "select count(*) from dbmail_aliases where deliver_to ~ '^[0-9]+$'", ids.len() as i64)
            .await;
        let seen = "select count(*) from dbmail_messages where seen_flag = 1 and status < 2";
        mesh.await_count(id, seen, uids.len() as i64).await;
    }
    let places: Vec<_> = mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    let begun = Instant::now();
    loop {
        let report = audit(&places, &ledger, &[]).await.unwrap();
        if report.held() {
            break;
        }
        assert!(begun.elapsed() < super::DEADLINE, "{report}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    worker.stop().await;
    assert!(mesh.count(1, "select count(*) from dbmail_mesh.renumbers").await > 0, "nothing was renumbered");
    mesh.assert_same().await;
}
