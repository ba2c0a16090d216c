//! What a batch reads of a node: the rows that it is about, whatever the statistics say.

use std::collections::BTreeMap;

use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::standin::Mail;

use super::{DEADLINE, Mesh};

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
        let client = connect(&self.node(id).connection).await.unwrap();
        client.batch_execute("set enable_seqscan = off").await.unwrap();
        let begun = tokio::time::Instant::now();
        loop {
            let sql = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
            let count: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            if count == messages {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{count} of {messages} messages on node {id}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
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
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let before = mesh.read_whole().await;
    let worker = mesh.work();
    mesh.await_messages(2, 300).await;
    worker.stop().await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(mesh.read_whole().await, before);
}
