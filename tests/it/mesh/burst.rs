//! A backlog: several batches of a link are under way at once, and nobody can tell afterwards.

use dbmail_mesh::domain::ids::Uid;
use dbmail_mesh::scratch::audit::differences;
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::Mesh;

/// Whether content of two transactions was ever under way at once, and what a DBA would not have in his mail.
const WATCHED: &str = include_str!("burst.sql");

impl Mesh {
    async fn same_everywhere(&self) -> Vec<String> {
        let nodes: Vec<_> = self.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
        differences(&nodes).await.unwrap()
    }
}

/// Batches that are under way at once must not be about the same message, or the same content: the later one would not find what the
/// earlier one brings, and bring it again.
#[tokio::test]
async fn what_several_batches_are_about_comes_once_and_in_order() {
    let (mut mesh, inbox) = Mesh::with_inbox("burst", 2, 2).await;
    mesh.worker.batch_messages = 16;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let mut uids: Vec<Uid> = Vec::new();
    for n in 0..240 {
        let uid = session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
        // For a while, of one that was delivered a batch or two ago: a flag, a copy, its end.
        if let Some(earlier) = uids.iter().rev().nth(11).copied().filter(|_| (80..160).contains(&n)) {
            match n % 5 {
                0 => session.store(inbox, &[earlier], &StoreFlags::add(Flags::FLAGGED)).await.map(drop).unwrap(),
                1 => session.copy(earlier, folder).await.map(drop).unwrap(),
                2 => {
                    session.store(inbox, &[earlier], &StoreFlags::add(Flags::DELETED)).await.unwrap();
                    session.expunge(inbox).await.unwrap();
                }
                _ => {}
            }
        }
        if n == 120 {
            let later = session.create_mailbox("alice", "Later").await.unwrap();
            session.deliver(later, &Mail::named("later")).await.unwrap();
        }
        uids.push(uid);
    }
    mesh.psql(2).await.batch_execute(WATCHED).await.unwrap();
    let there = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
    let worker = mesh.work();
    mesh.await_count(2, there, mesh.count(1, there).await).await;
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where name = 'Later'", 1).await;
    worker.stop().await;
    assert_eq!(mesh.same_everywhere().await, Vec::<String>::new());
    assert!(mesh.count(2, "select count(*) from watched.overlap").await > 0, "batches came one by one");
    // Nothing was brought twice, and nothing renumbered: what is not late on the way is not so because of us.
    let contents = "select count(*) from dbmail_physmessage p where not exists (select from dbmail_messages g where g.physmessage_id = p.id)";
    assert_eq!(mesh.count(2, contents).await, 0, "content that nobody refers to");
    assert_eq!(mesh.count(2, "select count(*) from dbmail_mesh.number").await, 0);
}

/// A row that the target refuses ends a burst: what was behind it is not committed before it, and comes when it has been set aside.
#[tokio::test]
async fn a_row_that_is_refused_in_the_midst_of_a_burst_is_set_aside_alone() {
    let (mut mesh, inbox) = Mesh::with_inbox("burstpoison", 2, 2).await;
    mesh.worker.batch_messages = 16;
    let mut session = mesh.dbmail(1).await;
    for n in 0..200 {
        let name = if n == 117 { "refused".to_owned() } else { format!("m{n}") };
        session.deliver(inbox, &Mail::named(&name)).await.unwrap();
    }
    mesh.psql(2).await.batch_execute(WATCHED).await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_messages where status < 2 and unique_id <> 'refused'", 199).await;
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside", 1).await;
    mesh.psql(2).await.batch_execute("alter table dbmail_messages drop constraint none_is_refused").await.unwrap();
    mesh.psql(2).await.batch_execute("update dbmail_mesh.set_aside set next_try = clock_timestamp()").await.unwrap();
    mesh.await_equal(inbox, 200).await;
    worker.stop().await;
    assert_eq!(mesh.same_everywhere().await, Vec::<String>::new());
    assert!(mesh.count(2, "select count(*) from watched.overlap").await > 0, "batches came one by one");
}
