//! An outbox has a bound: a peer that is away for too long joins again, and the others do not notice.

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::cluster::{Cluster, Options};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::standin::Mail;

use super::child::WorkerProcess;
use super::{Mesh, name_of};

const BOUND: i64 = 10_000;

/// Node C is away while A notes more changes than its outbox keeps. A cuts it at the old end; B, which has all of it, goes on; C is told to
/// join, and joining brings all of it.
#[tokio::test]
#[ignore = "takes a minute and more: make soak"]
async fn an_outbox_is_bounded_and_whoever_was_away_for_too_long_joins_again() {
    // A cluster of its own: a transaction that another test left open in the same would hold B's position back, as far as what is cut.
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let name = name_of(id);
        cluster.create_dbmail(&name).await.unwrap();
        nodes.push(NodeSettings::new(&name, NodeId(id), &cluster.worker_url(&name)).unwrap());
    }
    install(&nodes, &nodes, Stride(4)).await.unwrap();
    let mesh = Mesh::of(nodes, 4);
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("0")).await.unwrap();
    let all = mesh.work();
    mesh.await_equal(inbox, 1).await;
    let acknowledged = "select count(*) from dbmail_mesh.acknowledged";
    mesh.await_count(1, acknowledged, 2).await;
    all.stop().await;

    // Every state that a link into B was ever in.
    mesh.psql(2)
        .await
        .batch_execute(
            "create table states (state text);
             create function note_state() returns trigger language plpgsql security definer as
             $$ begin insert into public.states values (new.state); return null; end $$;
             create trigger note_state after insert or update on dbmail_mesh.link_status for each row execute function note_state()",
        )
        .await
        .unwrap();
    let bound = format!("worker.outbox_rows_max={BOUND}");
    let without_c = WorkerProcess::start_for(&mesh, &["--set", &bound], &["a", "b"]);
    for n in 1..100 {
        session.deliver(inbox, &Mail::named(&n.to_string())).await.unwrap();
    }
    let client = mesh.psql(1).await;
    let first: i64 = client.query_one("select max(id) from dbmail_mesh.outbox", &[]).await.unwrap().get(0);
    let differs = "select count(*) from dbmail_messages where status < 2 and flagged_flag = 1";
    let mut changed = 0;
    while changed < BOUND + 5_000 {
        // An odd number of times, so that B is seen to have caught up: it is never behind by more than the bound.
        for _ in 0..11 {
            let flag =
                "update dbmail_messages set flagged_flag = 1 - flagged_flag where mailbox_idnr = $1 and status < 2";
            changed += client.execute(flag, &[&inbox.0]).await.unwrap() as i64;
        }
        mesh.await_count(2, differs, mesh.count(1, differs).await).await;
    }
    let within = format!(
        "select count(*) from (select count(*) as rows, min(id) as low from dbmail_mesh.outbox) x where rows <= {BOUND} and low > {first}"
    );
    mesh.await_count(1, &within, 1).await;
    // B has everything, whatever was cut.
    session.deliver(inbox, &Mail::named("last")).await.unwrap();
    let there = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
    mesh.await_count(2, there, 101).await;
    mesh.await_count(2, differs, mesh.count(1, differs).await).await;
    assert_eq!(mesh.count(3, there).await, 1, "C was not away");
    without_c.kill().await;

    let all = WorkerProcess::start_with(&mesh, &["--set", &bound]);
    let refused = "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'refused'";
    mesh.await_count(3, refused, 1).await;
    let status = mesh.command("status --check").await;
    assert_eq!(status.code, 1, "{status:?}");
    assert!(
        status.out.contains("link a -> c: refused") && status.out.contains("dbmail-mesh join --node"),
        "{status:?}"
    );
    let joined = mesh.command("join --node c").await;
    assert_eq!(joined.code, 0, "{joined:?}");
    mesh.await_equal(inbox, 101).await;
    mesh.await_count(3, differs, mesh.count(1, differs).await).await;
    assert_eq!(
        mesh.count(2, "select count(*) from states where state in ('refused', 'failing')").await,
        0,
        "B has noticed"
    );
    all.kill().await;
}
