//! The doorbell: it wakes, and nothing depends on it.

use std::time::{Duration, Instant};

use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;

/// The listeners' connections are killed again and again: the backlog is applied by the poll, within its interval.
#[tokio::test]
async fn without_the_doorbell_the_poll_applies_the_backlog() {
    let (mut mesh, inbox) = Mesh::with_inbox("bell", 2, 2).await;
    mesh.worker.retry_max = Duration::from_secs(60);
    mesh.worker.poll_max = Duration::from_millis(500);
    let worker = mesh.work();
    let mut session = mesh.dbmail(1).await;
    let killer = mesh.psql(1).await;
    let mut expected = Vec::new();
    for n in 0..5 {
        killer
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and application_name = 'dbmail-mesh listener'",
                &[],
            )
            .await
            .unwrap();
        expected.push(session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap().0);
        let begun = Instant::now();
        mesh.await_uids(2, inbox, &expected).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "the poll took {:?}", begun.elapsed());
    }
    worker.stop().await;
}

/// While a link sleeps, a change rings; while it works, nothing does: a NOTIFY in every transaction serialises commits.
#[tokio::test]
async fn a_change_rings_only_while_a_reader_sleeps() {
    let (mut mesh, inbox) = Mesh::with_inbox("ring", 2, 2).await;
    let listener = Listener::on(&mesh, 1).await;
    let mut session = mesh.dbmail(1).await;
    session.deliver(inbox, &Mail::named("nobody is there")).await.unwrap();
    assert_eq!(listener.rings().await, 0);
    // A poll this slow cannot be what delivers.
    mesh.worker.poll_min = Duration::from_secs(50);
    mesh.worker.poll_max = Duration::from_secs(50);
    let worker = mesh.work();
    let asleep =
        "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and classid = 1684169069
                  and database = (select oid from pg_database where datname = current_database())";
    mesh.await_count(1, asleep, 1).await;
    let uids: Vec<i64> = mesh.uids(1, inbox).await;
    mesh.await_uids(2, inbox, &uids).await;
    let uid = session.deliver(inbox, &Mail::named("somebody sleeps")).await.unwrap().0;
    mesh.await_uids(2, inbox, &[uids[0], uid]).await;
    assert!(listener.rings().await > 0);
    worker.stop().await;
}

/// Hears what is rung on a node.
struct Listener {
    client: tokio_postgres::Client,
    heard: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Listener {
    async fn on(mesh: &Mesh, id: i16) -> Self {
        let (client, mut connection) = mesh.node(id).connection.connect(tokio_postgres::NoTls).await.unwrap();
        let heard = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = heard.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, tokio_postgres::AsyncMessage::Notification(_)) {
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            }
        });
        client.batch_execute("listen dbmail_mesh").await.unwrap();
        Self { client, heard }
    }

    /// How many so far; a round trip makes sure that they have arrived.
    async fn rings(&self) -> u64 {
        self.client.batch_execute("select 1").await.unwrap();
        self.heard.load(std::sync::atomic::Ordering::SeqCst)
    }
}
