//! `dbmail-mesh pause` and `resume`: links and nodes that stand still because somebody said so, with the real binary.

use std::time::Duration;

use dbmail_mesh::config::Presence;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::shared::shared_cluster;
use dbmail_mesh::scratch::standin::Mail;
use serde_json::{Value, json};

use super::Mesh;
use super::child::WorkerProcess;
use crate::cli::{Ended, File, NOWHERE};

const AMS: i16 = 1;
const FRA: i16 = 2;
const NYC: i16 = 3;

/// The mesh's nodes as `ams`, `fra` and `nyc` in a settings file.
pub(super) async fn commands(mesh: &Mesh) -> File {
    let cluster = shared_cluster().await.unwrap();
    let url = |node: &dbmail_mesh::config::NodeSettings| cluster.worker_url(node.connection.get_dbname().unwrap());
    File::with_nodes(&mesh.nodes.iter().map(url).collect::<Vec<_>>())
}

pub(super) fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for word in words {
        assert!(ended.out.contains(word) || ended.err.contains(word), "{word:?} is not in {ended:?}");
    }
}

async fn deliver(mesh: &Mesh, id: i16, inbox: MailboxId, name: &str) {
    mesh.dbmail(id).await.deliver(inbox, &Mail::named(name)).await.unwrap();
}

async fn has(mesh: &Mesh, id: i16, name: &str) -> i64 {
    let sql = "select count(*) from dbmail_messages where status < 2 and unique_id = ";
    mesh.count(id, &format!("{sql}'{name}'")).await
}

async fn await_message(mesh: &Mesh, id: i16, name: &str) {
    let sql = "select count(*) from dbmail_messages where status < 2 and unique_id = ";
    mesh.await_count(id, &format!("{sql}'{name}'"), 1).await;
}

fn link<'a>(status: &'a Value, source: &str, target: &str) -> &'a Value {
    let is_it = |link: &&Value| link["source"] == source && link["target"] == target;
    status["links"].as_array().unwrap().iter().find(is_it).unwrap()
}

fn status(file: &File) -> Value {
    serde_json::from_str(&file.run("status --json").out).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_link_carries_nothing_while_the_others_go_on() {
    let (mut mesh, inbox) = Mesh::with_inbox("pauselink", 3, 8).await;
    // A message that is renumbered on ams meanwhile is a change of ams, too, and would be counted.
    mesh.mesh.settle_after = Duration::from_secs(10);
    let file = commands(&mesh).await;
    let worker = WorkerProcess::start(&mesh);
    says(&file.run("wait"), 0, &["everything is visible on ams, fra, nyc after"]);

    let paused = file.run("pause --link ams:fra --reason switch");
    says(&paused, 0, &["link ams -> fra: paused since", ": switch\n", "\nams -> fra: stands still\n"]);
    deliver(&mesh, AMS, inbox, "of_ams").await;
    await_message(&mesh, NYC, "of_ams").await;
    deliver(&mesh, NYC, inbox, "of_nyc").await;
    await_message(&mesh, FRA, "of_nyc").await;
    await_message(&mesh, AMS, "of_nyc").await;
    deliver(&mesh, FRA, inbox, "of_fra").await;
    await_message(&mesh, AMS, "of_fra").await;
    assert_eq!(has(&mesh, FRA, "of_ams").await, 0);

    // A worker that is started anew knows of it, and so does whoever looks.
    worker.kill().await;
    let worker = WorkerProcess::start(&mesh);
    deliver(&mesh, NYC, inbox, "later").await;
    await_message(&mesh, FRA, "later").await;
    assert_eq!(has(&mesh, FRA, "of_ams").await, 0);
    let seen = status(&file);
    let of_link = link(&seen, "ams", "fra");
    assert_eq!((&of_link["state"], &of_link["paused"]["reason"]), (&json!("paused"), &json!("switch")));
    assert_eq!((&of_link["lag_messages"], &of_link["since"]), (&json!(1), &of_link["paused"]["since"]));
    assert_eq!(link(&seen, "fra", "ams")["paused"], Value::Null);
    says(
        &file.run("status --check"),
        0,
        &["\nlink ams -> fra: paused since", "changes that wait: 1 (dbmail-mesh resume"],
    );
    says(&file.run("status --check --max-pause 0s"), 1, &["ams -> fra  paused"]);

    let missing = file.run("wait --node fra --timeout 300ms");
    says(
        &missing,
        1,
        &["not there after 0.", "link ams -> fra: paused since", ": switch; changes to messages that wait: 1"],
    );
    let missing: Value = serde_json::from_str(&file.run("wait --timeout 300ms --json").out).unwrap();
    assert_eq!((&missing["reached"], &missing["nodes"][0]["reached"]), (&json!(false), &json!(true)));
    assert!(missing["nodes"][1]["missing"][0].as_str().unwrap().starts_with("link ams -> fra: paused since"));

    // The first time stays, the reason is the last.
    let again: Value = serde_json::from_str(&file.run("pause --link ams:fra --reason fibre --json").out).unwrap();
    let pause = &again["pauses"][0];
    assert_eq!((&pause["changed"], &pause["paused"]["reason"]), (&json!(false), &json!("fibre")));
    assert_eq!(pause["paused"]["since"], of_link["since"]);
    assert_eq!(again["links"], json!([{"source": "ams", "target": "fra", "state": "still"}]));

    says(&file.run("resume --link ams:fra"), 0, &["link ams -> fra: resumed, was paused since"]);
    says(&file.run("wait --node fra --for settled"), 0, &["everything is visible and settled on fra"]);
    assert_eq!(has(&mesh, FRA, "of_ams").await, 1);
    mesh.await_equal(inbox, 4).await;
    says(&file.run("resume --link ams:fra"), 0, &["link ams -> fra: was not paused"]);
    assert_eq!(link(&status(&file), "ams", "fra")["state"], "current");
    drop(worker);
}

/// Late on two nodes when one is paused: there it is settled first. What the others settle afterwards does not touch it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_paused_is_out_of_settlements_once_its_own_are_done() {
    let (mut mesh, inbox) = Mesh::with_inbox("pausenode", 3, 8).await;
    let file = commands(&mesh).await;
    deliver(&mesh, AMS, inbox, "low").await;
    for n in 0..3 {
        deliver(&mesh, FRA, inbox, &format!("high{n}")).await;
    }
    mesh.mesh.settle_after = Duration::from_millis(1000);
    let worker = WorkerProcess::start(&mesh);
    mesh.await_count(FRA, "select count(*) from dbmail_mesh.late", 1).await;
    let paused = file.run("pause --node fra");
    let lines =
        ["node fra: paused since", "ams -> fra: stands still", "fra -> ams: stands still", "fra -> nyc: stands still"];
    says(&paused, 0, &lines);
    assert!(!paused.out.contains("late messages that wait"), "{paused:?}");
    assert_eq!((has(&mesh, FRA, "low").await, mesh.count(FRA, "select count(*) from dbmail_mesh.late").await), (1, 0));
    let seen = status(&file);
    assert_eq!(seen["nodes"][1]["paused"]["reason"], Value::Null);
    assert_eq!(link(&seen, "fra", "nyc")["state"], "paused");
    assert_eq!(link(&seen, "nyc", "ams")["state"], "current");
    says(&file.run("status"), 0, &["fra   2   paused", "\nfra: paused since"]);

    // A conflict of the others, and mail on the paused node: each side goes on by itself.
    says(
        &file.run("pause --link ams:nyc --link nyc:ams"),
        0,
        &["ams -> nyc: stands still", "nyc -> ams: stands still"],
    );
    let quiet = "select count(*) from dbmail_mesh.renumber_log";
    let (at_ams, at_fra) = (
        mesh.count(AMS, "select coalesce(max(id), 0) from dbmail_mesh.renumber_log").await,
        mesh.count(FRA, quiet).await,
    );
    deliver(&mesh, AMS, inbox, "of_ams").await;
    for n in 0..3 {
        deliver(&mesh, NYC, inbox, &format!("of_nyc{n}")).await;
    }
    deliver(&mesh, FRA, inbox, "of_fra").await;
    says(&file.run("resume --link ams:nyc --link nyc:ams"), 0, &["link nyc -> ams: resumed"]);
    let settled = "select (count(*) > 0 and not exists (select from dbmail_mesh.late))::integer::bigint";
    mesh.await_count(AMS, &format!("{settled} from dbmail_mesh.renumber_log where id > {at_ams}"), 1).await;
    assert_eq!(mesh.count(FRA, quiet).await, at_fra, "it was written to");
    assert_eq!(has(&mesh, FRA, "of_ams").await, 0);
    says(&file.run("wait --node nyc --timeout 200ms"), 1, &["link fra -> nyc: paused since"]);

    says(&file.run("resume --node fra"), 0, &["node fra: resumed"]);
    says(&file.run("wait --for settled"), 0, &["everything is visible and settled on ams, fra, nyc"]);
    mesh.await_equal(inbox, 9).await;
    drop(worker);
}

/// A pause may last for ever: who comes from a node that is paused finds what it never had, as if the network had cut it off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_comes_from_a_paused_node_misses_nothing() {
    let (mut mesh, inbox) = Mesh::with_inbox("pausemoved", 2, 8).await;
    mesh.mesh.presence = Presence::For(Duration::from_secs(86_400));
    let file = commands(&mesh).await;
    let worker = WorkerProcess::start(&mesh);
    mesh.dbmail(FRA).await.login("alice").await.unwrap();
    mesh.await_count(AMS, "select count(*) from dbmail_mesh.reader_elsewhere where node_id = 2", 1).await;
    mesh.await_count(AMS, "select count(*) from dbmail_mesh.acknowledged where target_id = 2", 1).await;
    says(&file.run("pause --link ams:fra"), 0, &["ams -> fra: stands still"]);
    deliver(&mesh, AMS, inbox, "low").await;
    let mut at_fra = mesh.dbmail(FRA).await;
    for n in 0..3 {
        at_fra.deliver(inbox, &Mail::named(&format!("high{n}"))).await.unwrap();
    }
    let mut reader = IncrementalReader::new("alice", inbox);
    reader.poll(&mut at_fra).await.unwrap();
    for n in 0..3 {
        await_message(&mesh, AMS, &format!("high{n}")).await;
    }
    says(&file.run("pause --node fra"), 0, &["fra -> ams: stands still"]);
    let mut at_ams = mesh.dbmail(AMS).await;
    at_ams.login("alice").await.unwrap();
    let begun = std::time::Instant::now();
    while !reader.missing(["low"]).is_empty() {
        assert!(begun.elapsed() < super::DEADLINE, "he never finds it");
        tokio::time::sleep(Duration::from_millis(50)).await;
        reader.poll(&mut at_ams).await.unwrap();
    }
    says(&file.run("resume --node fra --link ams:fra"), 0, &["node fra: resumed", "link ams -> fra: resumed"]);
    says(&file.run("wait --for settled"), 0, &[]);
    mesh.await_equal(inbox, 4).await;
    assert_eq!(mesh.count(FRA, "select count(*) from dbmail_mesh.number").await, 1, "one new UID, and no second");
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_without_a_worker_and_what_cannot_be_paused() {
    let (mesh, inbox) = Mesh::with_inbox("pausenone", 2, 8).await;
    let file = commands(&mesh).await;
    let paused = file.run("pause --node ams --link ams:fra");
    says(&paused, 0, &["fra -> ams: no worker drives it now", "ams -> fra: no worker drives it now"]);
    deliver(&mesh, AMS, inbox, "kept").await;
    let worker = WorkerProcess::start(&mesh);
    let obeying = "select count(*) from dbmail_mesh.link_status where state = 'paused' and cardinality(obeys) = ";
    mesh.await_count(FRA, &format!("{obeying} 2"), 1).await;
    mesh.await_count(AMS, &format!("{obeying} 1"), 1).await;
    says(&file.run("resume --node ams"), 0, &["node ams: resumed"]);
    mesh.await_count(FRA, &format!("{obeying} 1"), 1).await;
    assert_eq!(has(&mesh, FRA, "kept").await, 0, "the link is still paused by itself");
    says(&file.run("resume --link ams:fra"), 0, &["link ams -> fra: resumed"]);
    await_message(&mesh, FRA, "kept").await;
    drop(worker);

    says(&file.run("pause"), 2, &["--node"]);
    says(&file.run("pause --node rome"), 2, &["no such node"]);
    says(&file.run("pause --link ams"), 2, &["SOURCE:TARGET"]);
    says(&file.run("pause --link ams:ams"), 2, &["two nodes"]);
    let cluster = shared_cluster().await.unwrap();
    let url = cluster.worker_url(mesh.node(AMS).connection.get_dbname().unwrap());
    let file = File::with_nodes(&[url, NOWHERE.to_owned()]);
    says(&file.run("pause --node fra"), 3, &["node fra"]);
    says(&file.run("pause --node ams"), 0, &["ams -> fra: its target cannot be asked"]);
    says(&file.run("wait --node ams"), 3, &["cannot tell what fra has", "--ignore-unreachable"]);
    says(&file.run("wait --node fra --ignore-unreachable"), 3, &["node fra"]);
    says(&file.run("wait --node ams --ignore-unreachable"), 0, &["without fra: node fra: cannot connect"]);
}
