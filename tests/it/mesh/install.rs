//! Installing and taking away, with the real migrations.

use std::path::Path;
use std::process::Command;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride, Uid};
use dbmail_mesh::scratch::binaries::Binaries;
use dbmail_mesh::scratch::catalog::catalog;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::install::{install, uninstall};
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::{Mail, Session};

use super::Mesh;

async fn node_with_mail(prefix: &str) -> (NodeSettings, tokio_postgres::Config) {
    let config = fresh_dbmail(prefix).await.unwrap();
    let mut session = Session::connect(&config).await.unwrap();
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    for n in 0..10 {
        session.deliver(inbox, &Mail::named(&format!("before{n}"))).await.unwrap();
    }
    let url = shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap());
    (NodeSettings::new("a", NodeId(3), &url).unwrap(), config)
}

/// Where every row of dbmail's tables is, and in which file: a table that is rewritten moves them.
const PLACES: &str = "select string_agg(x, ' ' order by x) from (
    select 'm' || ctid::text || xmin::text || message_idnr as x from dbmail_messages
    union all select 'b' || ctid::text || xmin::text || mailbox_idnr from dbmail_mailboxes
    union all select relname || pg_relation_filenode(oid) from pg_class where relname like 'dbmail_%' and relkind = 'r') x";

async fn places(client: &tokio_postgres::Client) -> String {
    client.query_one(PLACES, &[]).await.unwrap().get(0)
}

/// Up, down, up: down leaves dbmail as it was, with its sequences past every number in use; mail that is there is not rewritten.
#[tokio::test]
async fn up_down_up_leaves_dbmail_as_it_was() {
    let (node, config) = node_with_mail("updown").await;
    let client = connect(&config).await.unwrap();
    let before = catalog(&client).await.unwrap();
    let places_before = places(&client).await;
    let nodes = [node];
    let highest: i64 = client.query_one("select max(message_idnr) from dbmail_messages", &[]).await.unwrap().get(0);
    for round in 0..2 {
        install(&nodes, &nodes, Stride(8)).await.unwrap();
        assert_ne!(catalog(&client).await.unwrap(), before);
        if round == 0 {
            assert_eq!(places(&client).await, places_before, "rows were rewritten");
        }
        let mut session = Session::connect(&config).await.unwrap();
        let inbox = session.find_mailbox("alice", "INBOX").await.unwrap().unwrap();
        let with = session.deliver(inbox, &Mail::named(&format!("with{round}"))).await.unwrap();
        assert!(with.0 > highest && NodeId(3).owns(with, Stride(8)));
        let mailbox = session.create_mailbox("alice", &format!("made{round}")).await.unwrap();
        assert_eq!(mailbox.0 % 8, 3);
        uninstall(&nodes, Stride(8)).await.unwrap();
        assert_eq!(catalog(&client).await.unwrap(), before, "round {round}");
        let mut session = Session::connect(&config).await.unwrap();
        let without = session.deliver(inbox, &Mail::named(&format!("without{round}"))).await.unwrap();
        assert!(without > with, "{without} after {with}");
        assert!(session.create_mailbox("alice", &format!("plain{round}")).await.unwrap() > mailbox);
    }
}

/// What waits for a number when the schema goes is shown under a plain new one, and the number of a settlement elsewhere is not
/// given out again.
#[tokio::test]
async fn down_shows_what_was_late() {
    let (mesh, inbox) = Mesh::with_inbox("downlate", 2, 2).await;
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("a")).await.unwrap();
    for n in 0..3 {
        mesh.dbmail(2).await.deliver(inbox, &Mail::named(&format!("b{n}"))).await.unwrap();
    }
    let mut options = mesh.options(&[1, 2]);
    options.mesh.settle_after = std::time::Duration::from_secs(600);
    let worker = dbmail_mesh::worker::Worker::start(options).unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.late", 1).await;
    worker.stop().await;
    let high = mesh.count(2, "select max(high) from dbmail_mesh.line").await;
    uninstall(&mesh.nodes, Stride(2)).await.unwrap();
    let uids = mesh.uids(2, inbox).await;
    assert_eq!(uids.len(), 4);
    assert!(*uids.last().unwrap() > high);
    let found = mesh.dbmail(2).await.fetch(inbox, Uid(*uids.last().unwrap())).await.unwrap().unwrap();
    assert_eq!(found.listed.unique_id, "a");
    assert_eq!(mesh.count(2, "select count(*) from dbmail_messages where message_idnr > 281474976710655").await, 0);
}

/// The same files under psql, in order.
#[tokio::test]
async fn psql_runs_the_same_files() {
    let Some(psql) = psql() else {
        println!("skipped: there is no psql on this machine");
        return;
    };
    let (node, config) = node_with_mail("psql").await;
    let client = connect(&config).await.unwrap();
    let before = catalog(&client).await.unwrap();
    let files = |ending: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.to_str().unwrap().ends_with(ending));
        files.sort();
        files
    };
    let url =
        shared_cluster().await.unwrap().url(config.get_dbname().unwrap()).replace("postgres@", "dbmail_mesh_owner@");
    let run = |files: &[std::path::PathBuf]| {
        for file in files {
            let output = Command::new(&psql)
                .args(["-q", "-1", "-X", "-v", "ON_ERROR_STOP=1", "-f"])
                .arg(file)
                .arg(&url)
                .env(
                    "PGOPTIONS",
                    "-c dbmail_mesh.node_id=3 -c dbmail_mesh.node_name=a -c dbmail_mesh.stride=8 -c dbmail_mesh.uid_floor=0 \
                     -c dbmail_mesh.mailbox_floor=0 -c search_path=pg_catalog,pg_temp",
                )
                .output()
                .unwrap();
            assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
        }
    };
    run(&files(".up.sql"));
    let nodes = [node];
    install(&nodes, &nodes, Stride(8)).await.unwrap();
    let mut session = Session::connect(&config).await.unwrap();
    let inbox = session.find_mailbox("alice", "INBOX").await.unwrap().unwrap();
    assert!(NodeId(3).owns(session.deliver(inbox, &Mail::named("m")).await.unwrap(), Stride(8)));
    let mut downs = files(".down.sql");
    downs.reverse();
    run(&downs);
    assert_eq!(catalog(&client).await.unwrap(), before);
}

fn psql() -> Option<std::path::PathBuf> {
    let beside = Binaries::find().ok()?.dir().join("psql");
    [beside, "/usr/bin/psql".into()].into_iter().find(|path| path.exists())
}

/// Everything that a DBA sees is commented.
#[tokio::test]
async fn every_table_column_view_and_function_has_a_comment() {
    let mesh = Mesh::new("comments", 1, 2).await;
    let rows = mesh
        .psql(1)
        .await
        .query(
            "select c.relname || coalesce('.' || a.attname, '') as what
             from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relnamespace = 'dbmail_mesh'::regnamespace and c.relkind in ('r', 'v')
               and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)
             union all
             select proname from pg_proc p where pronamespace = 'dbmail_mesh'::regnamespace
               and (obj_description(p.oid, 'pg_proc') is null or not exists (
                    select from unnest(p.proconfig) s where s like 'search_path=pg_catalog, pg_temp'))",
            &[],
        )
        .await
        .unwrap();
    let bare: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(bare.is_empty(), "without a comment, or without a pinned search_path: {bare:?}");
}
