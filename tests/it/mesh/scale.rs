//! What a batch costs does not follow from what else a node holds.

use std::time::{Duration, Instant};

use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;

/// Mailboxes that no batch is about.
const OTHERS: i64 = 20_000;

/// The mailboxes to raise were found by conditions joined by "or": PostgreSQL went through all there are, several times a batch, under the
/// locks that deliveries wait for. With a hundred thousand it took longer than `lock_bound`, and no batch came through any more.
#[tokio::test]
async fn a_batch_looks_at_no_mailbox_that_it_is_not_about() {
    let (mesh, inbox) = Mesh::with_inbox("scale", 2, 2).await;
    let mut client = mesh.psql(1).await;
    let fill = format!(
        "begin; set local session_replication_role = replica;
         insert into dbmail_mailboxes (mailbox_idnr, owner_idnr, name)
         select 1000000 + n, user_idnr, 'Folder ' || n from generate_series(1, {OTHERS}) n, dbmail_users where userid = 'alice';
         commit; vacuum (analyze) dbmail_mailboxes"
    );
    for statement in fill.split(';') {
        client.batch_execute(statement).await.unwrap();
    }
    let plan = format!(
        r#"{{"modseq": [{{"mailbox": {inbox}, "seq": 900, "birth": 1, "common": 1}}], "lift": [{{"mailbox": {inbox}, "seq": 1000}}],
             "tides": [{{"mailbox": {inbox}, "seq": 1000}}]}}"#
    );
    let transaction = client.transaction().await.unwrap();
    for call in ["dbmail_mesh.raise_seq", "dbmail_mesh.write_tides"] {
        let sql = format!("select {call}($1::text::jsonb, array[$2::bigint])::text");
        transaction.query(&sql, &[&plan, &inbox.0]).await.unwrap();
        let read = "select seq_tup_read from pg_stat_xact_user_tables where relname = 'dbmail_mailboxes'";
        let read: i64 = transaction.query_one(read, &[]).await.unwrap().get(0);
        assert_eq!(read, 0, "{call} goes through mailboxes");
    }
    let seq: i64 = transaction
        .query_one("select seq from dbmail_mailboxes where mailbox_idnr = $1", &[&inbox.0])
        .await
        .unwrap()
        .get(0);
    assert_eq!(seq, 1000, "it is raised all the same");
}

/// A range of as many rows as fill its batches has nothing left for a last one. Where the link stood then was stored ten seconds later, and
/// as long mailboxes waited for their HIGHESTMODSEQ, and whoever waited for the link to have all.
#[tokio::test]
async fn a_range_that_fills_its_batches_has_ended_at_once() {
    let (mut mesh, inbox) = Mesh::with_inbox("range", 2, 2).await;
    mesh.worker.batch_messages = 10;
    let mut session = mesh.dbmail(1).await;
    let mut uids = Vec::new();
    for n in 0..20 {
        uids.push(session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap().0);
    }
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &uids).await;
    let mut client = mesh.psql(1).await;
    let transaction = client.transaction().await.unwrap();
    transaction.execute("update dbmail_messages set flagged_flag = 1 where status < 2", &[]).await.unwrap();
    let xid: String = transaction.query_one("select pg_current_xact_id()::text", &[]).await.unwrap().get(0);
    let begun = Instant::now();
    transaction.commit().await.unwrap();
    let has_all = format!(
        "select count(*) from dbmail_mesh.cursor where source_id = 1 and pg_visible_in_snapshot('{xid}'::xid8, from_snapshot)"
    );
    mesh.await_count(2, &has_all, 1).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "the end of the range was stored after {:?}", begun.elapsed());
    worker.stop().await;
}
