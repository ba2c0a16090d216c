//! Who becomes a member, and who does not.

use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::{Mail, Session};

use super::{DEADLINE, Mesh};

async fn node(id: i16, config: &tokio_postgres::Config) -> NodeSettings {
    let url = shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap());
    NodeSettings::new(["a", "b", "c"][usize::try_from(id - 1).unwrap()], NodeId(id), &url).unwrap()
}

async fn install(configs: &[tokio_postgres::Config]) -> Mesh {
    let mut nodes = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        nodes.push(node(i16::try_from(index + 1).unwrap(), config).await);
    }
    dbmail_mesh::scratch::install::install(&nodes, &nodes, Stride(4)).await.unwrap();
    Mesh::of(nodes, 4)
}

/// The error that the link into a node reports.
async fn refusal(mesh: &Mesh, target: i16) -> String {
    let client = mesh.psql(target).await;
    let begun = Instant::now();
    loop {
        let row = client
            .query_opt(
                "select last_error from dbmail_mesh.link_status where state = 'refused' and last_error is not null",
                &[],
            )
            .await
            .unwrap();
        if let Some(row) = row {
            return row.get(0);
        }
        assert!(begun.elapsed() < DEADLINE, "nothing was refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn mailed(config: &tokio_postgres::Config, user: &str, count: usize) {
    let mut session = Session::connect(config).await.unwrap();
    session.create_user(user).await.unwrap();
    let inbox = session.create_mailbox(user, "INBOX").await.unwrap();
    for n in 0..count {
        session.deliver(inbox, &Mail::named(&format!("{user}{n}"))).await.unwrap();
    }
}

/// A node with mail from before, and an empty one: the empty one is filled, and starts above all UIDs that are in use.
#[tokio::test]
async fn an_empty_node_is_filled_with_the_mail_from_before() {
    let configs = [fresh_dbmail("filled").await.unwrap(), fresh_dbmail("filled").await.unwrap()];
    mailed(&configs[0], "alice", 25).await;
    let mesh = install(&configs).await;
    let inbox = mesh.dbmail(1).await.find_mailbox("alice", "INBOX").await.unwrap().unwrap();
    let worker = mesh.work();
    let uids = mesh.await_equal(inbox, 25).await;
    let new = mesh.dbmail(2).await.deliver(inbox, &Mail::named("new")).await.unwrap();
    assert!(new.0 > *uids.last().unwrap());
    assert!(NodeId(2).owns(new, Stride(4)));
    mesh.await_equal(inbox, 26).await;
    worker.stop().await;
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.number").await, 0, "nothing had to be renumbered");
}

/// Two installations that grew up apart: on each, UID 2 and mailbox 2 are somebody else's. Refused before a row is joined.
#[tokio::test]
async fn somebody_elses_mail_is_refused() {
    let configs = [fresh_dbmail("foreign").await.unwrap(), fresh_dbmail("foreign").await.unwrap()];
    mailed(&configs[0], "alice", 3).await;
    mailed(&configs[1], "bob", 3).await;
    let mesh = install(&configs).await;
    let worker = mesh.work();
    let refused = refusal(&mesh, 1).await;
    assert!(refused.contains("node a and node b") || refused.contains("node b and node a"), "{refused}");
    assert!(refused.contains("different mail") && refused.contains("alice") && refused.contains("bob"), "{refused}");
    worker.stop().await;
    for (id, other) in [(1, "bob"), (2, "alice")] {
        assert_eq!(mesh.count(id, &format!("select count(*) from dbmail_users where userid = '{other}'")).await, 0);
        assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.peer").await, 0);
    }
}

/// A copy that is equal is admitted, its content is known to be the same, and what came to each since then is exchanged.
#[tokio::test]
async fn an_equal_copy_is_admitted_and_shares_its_content() {
    let original = fresh_dbmail("original").await.unwrap();
    mailed(&original, "alice", 10).await;
    let copy = copy_of(&original).await;
    let mesh = install(&[original, copy]).await;
    let mut session = mesh.dbmail(1).await;
    let inbox = session.find_mailbox("alice", "INBOX").await.unwrap().unwrap();
    let first = dbmail_mesh::domain::ids::Uid(mesh.uids(1, inbox).await[0]);
    session.copy(first, inbox).await.unwrap();
    mesh.dbmail(2).await.deliver(inbox, &Mail::named("on the copy")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 12).await;
    worker.stop().await;
    let contents = "select count(distinct physmessage_id) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
    for id in [1, 2] {
        assert_eq!(mesh.count(id, contents).await, 11, "node {id}: the COPY shares its content");
    }
}

/// A copy in which one byte of one message differs is none.
#[tokio::test]
async fn a_copy_that_differs_is_refused() {
    let original = fresh_dbmail("differs").await.unwrap();
    mailed(&original, "alice", 5).await;
    let copy = copy_of(&original).await;
    let tampered = dbmail_mesh::scratch::cluster::connect(&copy).await.unwrap();
    tampered
        .batch_execute("update dbmail_mimeparts set hash = 'other' where id = (select min(id) from dbmail_mimeparts)")
        .await
        .unwrap();
    let mesh = install(&[original, copy]).await;
    let worker = mesh.work();
    let refused = refusal(&mesh, 2).await;
    assert!(refused.contains("different mail") && refused.contains("INBOX"), "{refused}");
    worker.stop().await;
}

/// A node that was installed anew under the same number is not the node that its peers know.
#[tokio::test]
async fn a_node_that_was_installed_anew_is_refused() {
    let (mesh, _) = Mesh::with_inbox("anew", 2, 2).await;
    mesh.psql(1)
        .await
        .batch_execute("update dbmail_mesh.local_node set incarnation = gen_random_uuid()")
        .await
        .unwrap();
    let worker = mesh.work();
    let refused = refusal(&mesh, 2).await;
    assert!(refused.contains("node a is not the database"), "{refused}");
    worker.stop().await;
}

/// A node that cannot be reached when the worker starts holds nobody up, and joins when it is back.
#[tokio::test]
async fn an_unreachable_node_does_not_stop_the_others() {
    let (mut mesh, inbox) = Mesh::with_inbox("away", 3, 4).await;
    let mut gone = mesh.node(3).clone();
    gone.connection.dbname("no_such_database");
    let here = std::mem::replace(&mut mesh.nodes[2], gone);
    let worker = mesh.work();
    let uid = mesh.dbmail(1).await.deliver(inbox, &Mail::named("m")).await.unwrap();
    mesh.await_uids(2, inbox, &[uid.0]).await;
    worker.stop().await;
    mesh.nodes[2] = here;
    let worker = mesh.work();
    mesh.await_uids(3, inbox, &[uid.0]).await;
    worker.stop().await;
}

/// A database made from another as its template.
async fn copy_of(original: &tokio_postgres::Config) -> tokio_postgres::Config {
    let cluster = shared_cluster().await.unwrap();
    let name = original.get_dbname().unwrap();
    let client = dbmail_mesh::scratch::cluster::connect(&cluster.config("postgres")).await.unwrap();
    let copy = format!("{name}_copy");
    client
        .execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", &[&name])
        .await
        .unwrap();
    client.batch_execute(&format!("create database {copy} template {name}")).await.unwrap();
    // Rights on a database are not copied with it.
    client.batch_execute(&format!("grant create on database {copy} to dbmail_mesh_owner")).await.unwrap();
    cluster.config(&copy)
}
