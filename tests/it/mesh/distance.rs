//! Nodes that are far away, silent, or many.

use std::time::Duration;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::cluster::{Cluster, Options};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::standin::Mail;
use tokio::net::TcpListener;

use super::Mesh;
use crate::faults::relay::{Flow, Relay, free_port};

/// One node is 100 ms away. The near one's server ended the settlement's session while the far one's lock was on its way, each time
/// anew: nothing was ever settled.
#[tokio::test]
#[ignore = "takes a minute and more: make soak"]
async fn a_node_that_is_far_away_is_settled_with() {
    let port = free_port();
    let far = Cluster::start(Options { port: Some(port), ..Options::default() }).await.unwrap();
    far.create_dbmail("dbmail").await.unwrap();
    let relay = Relay::to(port).await;
    relay.flow(Flow::Delayed(Duration::from_millis(50)), Flow::Delayed(Duration::from_millis(50)));
    let through = relay.port();
    let near = dbmail_mesh::scratch::shared::fresh_dbmail("near").await.unwrap();
    let url = dbmail_mesh::scratch::shared::shared_cluster().await.unwrap().worker_url(near.get_dbname().unwrap());
    let nodes = vec![
        NodeSettings::new("a", NodeId(1), &url).unwrap(),
        NodeSettings::new("b", NodeId(2), &format!("postgresql://dbmail_mesh@127.0.0.1:{through}/dbmail")).unwrap(),
    ];
    install(&nodes, &nodes, Stride(2)).await.unwrap();
    let mesh = Mesh::of(nodes, 2);
    let mut a = mesh.dbmail(1).await;
    a.create_user("alice").await.unwrap();
    let inbox = a.create_mailbox("alice", "INBOX").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where name = 'INBOX'", 1).await;
    worker.stop().await;
    for n in 0..3 {
        a.deliver(inbox, &Mail::named(&format!("a{n}"))).await.unwrap();
        mesh.dbmail(2).await.deliver(inbox, &Mail::named(&format!("b{n}"))).await.unwrap();
    }
    let worker = mesh.work();
    mesh.await_equal(inbox, 6).await;
    worker.stop().await;
    let most = "select max(n) from (select count(*) as n from dbmail_mesh.number group by birth_uid) x";
    assert_eq!(mesh.count(1, most).await, 1, "the far node took part");
}

/// A node that accepts connections and says nothing held every settlement up, everywhere.
#[tokio::test]
async fn a_silent_node_holds_nobody_up() {
    let (mut mesh, inbox) = Mesh::with_inbox("silent", 3, 4).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let url = format!("postgresql://postgres@127.0.0.1:{port}/nothing");
    let here = std::mem::replace(&mut mesh.nodes[2], NodeSettings::new("c", NodeId(3), &url).unwrap());
    for (id, name) in [(1, "a"), (2, "b")] {
        mesh.dbmail(id).await.deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("a2")).await.unwrap();
    let worker = mesh.work();
    for id in [1, 2] {
        mesh.await_count(
            id,
            "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656",
            3,
        )
        .await;
    }
    worker.stop().await;
    silent.abort();
    mesh.nodes[2] = here;
    let worker = mesh.work();
    mesh.await_equal(inbox, 3).await;
    worker.stop().await;
}

/// With more nodes than a pool has sessions, each link waited for a session that another link held, from the start and for ever.
#[tokio::test]
async fn ten_nodes_find_together() {
    let mesh = Mesh::new("ten", 10, 16).await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let worker = mesh.work();
    for id in 2..=10 {
        mesh.await_uids(id, inbox, &[uid.0]).await;
    }
    worker.stop().await;
}
