//! What a batch reads of a node: the rows that it is about, whatever the statistics say.

use std::collections::BTreeMap;

use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;

/// Rows that were read by going through whole tables of mail, or of what is noted of it. Sessions report what they read when they end.
const READ_WHOLE: &str = "select relname::text, seq_tup_read from pg_stat_user_tables
    where relname in ('dbmail_messages', 'dbmail_physmessage', 'dbmail_partlists', 'dbmail_mimeparts', 'dbmail_header',
      'dbmail_headervalue', 'dbmail_envelope', 'outbox', 'content', 'line')";

impl Mesh {
    async fn read_whole(&self) -> BTreeMap<String, i64> {
        let mut read = BTreeMap::new();
        for node in &self.nodes {
            for row in self.psql(node.id.0).await.query(READ_WHOLE, &[]).await.unwrap() {
                read.insert(format!("{}: {}", node.name, row.get::<_, String>(0)), row.get(1));
            }
        }
        read
    }

    /// Waits until there are so many messages, without going through a table.
    async fn await_messages(&self, id: i16, messages: i64) {
        let client = self.psql(id).await;
        client.batch_execute("set enable_seqscan = off").await.unwrap();
        let sql = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
        self.await_count_in(&client, id, sql, messages).await;
    }

    /// Waits until all sessions have ended, and have reported what they read.
    async fn await_reports(&self) {
        let others =
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        for node in &self.nodes {
            self.await_count(node.id.0, others, 0).await;
        }
        // Before PostgreSQL 15 reports go to a process, which takes its time.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Tables of a few hundred rows are read whole by plans that are made for them, and those plans are kept. With a million rows that would be
/// the end; with a few thousand it was half of what a message cost.
#[tokio::test]
async fn batches_look_rows_up_by_their_keys_however_small_the_tables_are() {
    let (mut mesh, inbox) = Mesh::with_inbox("by_key", 2, 2).await;
    // Many batches: plans are kept from the sixth on.
    mesh.worker.batch_messages = 4;
    let mut session = mesh.dbmail(1).await;
    for n in 0..200 {
        session.deliver(inbox, &Mail::named(&format!("{n}"))).await.unwrap();
    }
    drop(session);
    let worker = mesh.work();
    mesh.await_messages(2, 200).await;
    worker.stop().await;
    // So does what a session of dbmail's read.
    let mut session = mesh.dbmail(1).await;
    for n in 200..300 {
        session.deliver(inbox, &Mail::named(&format!("{n}"))).await.unwrap();
    }
    drop(session);
    mesh.await_reports().await;
    let before = mesh.read_whole().await;
    let worker = mesh.work();
    mesh.await_messages(2, 300).await;
    worker.stop().await;
    mesh.await_reports().await;
    assert_eq!(mesh.read_whole().await, before);
}
