//! Foreign keys of content that are not checked row by row, where a DBA has said that they need not be.

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::audit::differences;
use dbmail_mesh::scratch::cluster::{Cluster, Options, WORKER_ROLE, connect_as};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::standin::Mail;
use tokio_postgres::Client;

use super::Mesh;

/// What nothing but a row that is missing could have given.
const ORPHANS: &str = include_str!("orphans.sql");
const GRANT: &str = "grant set on parameter session_replication_role to dbmail_mesh_owner";

/// Two nodes on a server of their own: the right is one of the whole server's. None where PostgreSQL has no such right.
async fn granted() -> Option<(Cluster, Mesh)> {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut nodes = Vec::new();
    for (id, name) in [(1, "a"), (2, "b")] {
        cluster.create_dbmail(name).await.unwrap();
        nodes.push(NodeSettings::new(name, NodeId(id), &cluster.worker_url(name)).unwrap());
    }
    install(&nodes, &nodes, Stride(2)).await.unwrap();
    let mesh = Mesh::of(nodes, 2);
    let version: i32 = mesh
        .psql(1)
        .await
        .query_one("select current_setting('server_version_num')::integer", &[])
        .await
        .unwrap()
        .get(0);
    if version < 150_000 {
        println!("skipped: PostgreSQL {version} knows no right to set one parameter");
        return None;
    }
    mesh.psql(1).await.batch_execute(GRANT).await.unwrap();
    Some((cluster, mesh))
}

async fn spares(client: &Client, id: i64) -> Result<bool, tokio_postgres::Error> {
    client.query_one("select dbmail_mesh.spare_checks(array[$1::bigint])", &[&id]).await.map(|row| row.get(0))
}

async fn make(client: &Client) -> i64 {
    let sql = "select physmessage_id from dbmail_mesh.store_physmessages('{1}', '{7}', '{1}', '{1}', '{null}')";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Mail of all kinds arrives whole, and every row that is referred to is there.
#[tokio::test]
async fn content_is_whole_without_the_checks() {
    let Some((_cluster, mut mesh)) = granted().await else { return };
    mesh.worker.batch_messages = 50;
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        session.deliver(inbox, &Mail::generate(&mut random, 3000)).await.unwrap();
    }
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_messages where status < 2", 200).await;
    worker.stop().await;
    let nodes: Vec<_> = mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    assert_eq!(differences(&nodes).await.unwrap(), Vec::<String>::new());
    assert_eq!(mesh.count(2, ORPHANS).await, 0);
    // Statistics tell that they were not made: a check reads the row that is referred to, by its key.
    let reads = "select coalesce(sum(idx_scan), 0)::bigint from pg_stat_user_indexes where indexrelname = 'dbmail_physmessage_pkey'";
    mesh.await_less(2, reads, 200 * 12).await;
}

/// They are left out for content that the same transaction has made, for nothing else, and not where anybody else has a say on its tables.
#[tokio::test]
async fn the_checks_are_left_out_for_nothing_else() {
    let Some((_cluster, mesh)) = granted().await else { return };
    let (admin, config) = (mesh.psql(2).await, mesh.node(2).connection.clone());
    let worker = connect_as(WORKER_ROLE, &config).await.unwrap();
    let role = "select current_setting('session_replication_role')";
    let setting = async |client: &Client| -> String { client.query_one(role, &[]).await.unwrap().get(0) };

    worker.batch_execute("begin").await.unwrap();
    let made = make(&worker).await;
    assert!(spares(&worker, made).await.unwrap());
    assert_eq!(setting(&worker).await, "replica");
    worker.batch_execute("select dbmail_mesh.resume_checks()").await.unwrap();
    assert_eq!(setting(&worker).await, "origin");
    worker.batch_execute("commit").await.unwrap();

    let refused = spares(&worker, made).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("this transaction has not made"), "{refused:?}");
    assert_eq!(setting(&worker).await, "origin");

    for (theirs, away) in [
        (
            "create function public.see() returns trigger language plpgsql as 'begin return null; end';
             create trigger see after insert on dbmail_header for each row execute function public.see()",
            "drop trigger see on dbmail_header",
        ),
        (
            "create table public.kept (id bigint primary key);
             alter table dbmail_partlists add constraint theirs foreign key (part_id) references public.kept not valid",
            "alter table dbmail_partlists drop constraint theirs",
        ),
        (
            "revoke set on parameter session_replication_role from dbmail_mesh_owner",
            "grant set on parameter session_replication_role to dbmail_mesh_owner",
        ),
    ] {
        admin.batch_execute(theirs).await.unwrap();
        worker.batch_execute("begin").await.unwrap();
        let made = make(&worker).await;
        assert!(!spares(&worker, made).await.unwrap(), "{theirs}");
        assert_eq!(setting(&worker).await, "origin", "{theirs}");
        worker.batch_execute("select dbmail_mesh.resume_checks(); rollback").await.unwrap();
        admin.batch_execute(away).await.unwrap();
    }
}

/// As a check would have, the transaction keeps what its rows refer to: dbmail-util cannot take it away meanwhile.
#[tokio::test]
async fn what_is_referred_to_stays_until_the_end() {
    let Some((_cluster, mesh)) = granted().await else { return };
    let mut session = mesh.dbmail(2).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    let mail = Mail::named("shared");
    session.deliver(inbox, &mail).await.unwrap();
    let worker = connect_as(WORKER_ROLE, &mesh.node(2).connection).await.unwrap();
    worker.batch_execute("begin").await.unwrap();
    let made = make(&worker).await;
    assert!(spares(&worker, made).await.unwrap());
    worker.execute(include_str!("share_again.sql"), &[&made]).await.unwrap();
    let admin = mesh.psql(2).await;
    for table in ["dbmail_headername", "dbmail_headervalue", "dbmail_mimeparts", "dbmail_header", "dbmail_partlists"] {
        let taken = admin.batch_execute(&format!("set lock_timeout = '200ms'; delete from {table}")).await.unwrap_err();
        assert_eq!(taken.code().map(|code| code.code()), Some("55P03"), "{table}: {taken:?}");
    }
    worker.batch_execute("select dbmail_mesh.resume_checks(); commit").await.unwrap();
    assert_eq!(mesh.count(2, ORPHANS).await, 0);
}
