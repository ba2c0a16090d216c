//! A worker that vanishes while it holds what a delivery waits for.

use std::time::{Duration, Instant};

use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::standin::Mail;

use super::ground::Ground;
use super::relay::Flow;

/// Wait, statement and pause of a quarter of a second each are what a server bounds; the rest is for a busy machine.
const BOUND: Duration = Duration::from_millis(3 * 250 + 1_500);
/// How long there may be until a settlement is seen that holds the lock.
const SEEN_MAX: Duration = Duration::from_secs(60);

/// The connections of the worker freeze while it holds the line of a mailbox, in the middle of a settlement. Nobody tells the server; it
/// lets go by itself, and a delivery into that mailbox does not have to go on without the line.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_vanishes_in_a_settlement_holds_nothing_for_longer_than_the_bound() {
    let mut ground = Ground::plain(2).await;
    let (inbox, _, _) = ground.create_mailboxes().await[0];
    ground.worker.take().unwrap().kill().await;
    for (id, name) in [(2, "b"), (1, "a")] {
        ground.session(id).await.unwrap().deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    // So that both have everything before it is settled.
    ground.mesh.mesh.settle_after = Duration::from_secs(3);
    // Node b gives its line to nobody: the worker waits there, with the line of node a in its hands, and tries again.
    ground.start_worker();
    let late = "select count(*) from dbmail_mesh.late";
    let begun = Instant::now();
    while ground.mesh.late().await == 0 {
        assert!(begun.elapsed() < SEEN_MAX, "nothing is late: {late}{}", ground.links().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let blocker = connect(&ground.mesh.node(2).connection).await.unwrap();
    blocker.batch_execute("begin").await.unwrap();
    blocker.query("select from dbmail_mesh.line where mailbox_idnr = $1 for update", &[&inbox.0]).await.unwrap();

    let watcher = connect(&ground.mesh.node(1).connection).await.unwrap();
    let holds = watcher.prepare(include_str!("holds_line.sql")).await.unwrap();
    let held = async || watcher.query_one(&holds, &[]).await.unwrap().get::<_, bool>(0);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < SEEN_MAX, "no settlement was seen that holds the line{}", ground.links().await);
        if held().await {
            ground.relays.iter().for_each(|relay| relay.flow(Flow::Stalled, Flow::Stalled));
            // Whatever was under way has come: it holds the line, and will not be told to let go.
            if held().await {
                break;
            }
            ground.relays.iter().for_each(super::relay::Relay::heal);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let begun = Instant::now();
    let mut session = ground.session(1).await.unwrap();
    session.deliver(inbox, &Mail::named("meanwhile")).await.unwrap();
    let waited = session.insert_took();
    while held().await {
        assert!(begun.elapsed() < BOUND, "the line is still held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("the delivery waited for {waited:?}, the line was free after {:?}", begun.elapsed());
    assert!(waited < BOUND);
    assert_eq!(
        ground.mesh.count(1, "select count(*) from dbmail_mesh.overtaking").await,
        0,
        "it went on without the line"
    );
    blocker.batch_execute("rollback").await.unwrap();
    ground.relays.iter().for_each(super::relay::Relay::heal);
    ground.mesh.await_equal(inbox, 3).await;
}

/// What ends the sessions of a worker that has vanished without a word is the node's own operating system, as each session has asked it to.
#[tokio::test]
async fn servers_look_after_sessions_of_a_worker_by_themselves() {
    let ground = Ground::plain(1).await;
    let url = format!("postgresql://postgres@127.0.0.1:{}/dbmail", ground.relay(1).port());
    let node = dbmail_mesh::config::NodeSettings::new("a", dbmail_mesh::domain::ids::NodeId(1), &url).unwrap();
    let client = dbmail_mesh::node::Endpoint::from(&node).connect("test").await.unwrap();
    let settings = [
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "15000"),
    ];
    for (name, value) in settings {
        let row = client.query_one("select setting from pg_settings where name = $1", &[&name]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), value, "{name}");
    }
}
