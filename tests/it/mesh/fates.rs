//! How mailboxes and users that are to go leave a node, with nothing lost.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::{Mail, Session};

use super::Mesh;

/// As the join of two mailboxes of one name leaves it: the loser is still here, with its messages, under another name.
async fn doom(mesh: &Mesh, node: i16, loser: MailboxId, winner: Option<MailboxId>) {
    let fate =
        "insert into dbmail_mesh.mailbox_fate (mailbox_idnr, merged_into) values ($1, $2) on conflict do nothing";
    mesh.psql(node).await.execute(fate, &[&loser.0, &winner.map(|id| id.0)]).await.unwrap();
}

/// Two mailboxes of alice on two nodes, and somebody who reads the second on each.
async fn two_folders(prefix: &str) -> (Mesh, MailboxId, MailboxId) {
    let (mesh, _) = Mesh::with_inbox(prefix, 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let loser = session.create_mailbox("alice", "Loser").await.unwrap();
    let winner = session.create_mailbox("alice", "Winner").await.unwrap();
    session.deliver(loser, &Mail::named("first of loser")).await.unwrap();
    session.deliver(winner, &Mail::named("of winner")).await.unwrap();
    session.deliver(loser, &Mail::named("last of loser")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(loser, 2).await;
    mesh.await_equal(winner, 1).await;
    worker.stop().await;
    (mesh, loser, winner)
}

const GONE: &str = "select count(*) from dbmail_mesh.mailbox_fate where gone_in is null";

/// Messages of the loser go into the winner: those above its line as they are, the others under new UIDs, the same on both nodes; a
/// session that still writes to the loser is led on, before and after it has gone.
#[tokio::test]
async fn the_messages_of_a_merged_mailbox_are_in_the_winner() {
    let (mesh, loser, winner) = two_folders("merged").await;
    let mut readers: Vec<(Session, IncrementalReader)> = Vec::new();
    for node in [1, 2] {
        let (mut session, mut reader) = (mesh.dbmail(node).await, IncrementalReader::new("alice", winner));
        reader.poll(&mut session).await.unwrap();
        readers.push((session, reader));
        doom(&mesh, node, loser, Some(winner)).await;
    }
    let mut stale = mesh.dbmail(2).await;
    stale.deliver(loser, &Mail::named("to the loser")).await.unwrap();
    let worker = mesh.work();
    for node in [1, 2] {
        mesh.await_count(node, GONE, 0).await;
    }
    stale.deliver(loser, &Mail::named("to the loser that has gone")).await.unwrap();
    mesh.await_equal(winner, 5).await;
    worker.stop().await;
    for (session, reader) in &mut readers {
        reader.poll(session).await.unwrap();
        let all = ["first of loser", "of winner", "last of loser", "to the loser", "to the loser that has gone"];
        assert!(reader.missing(all).is_empty(), "{:?}", reader.seen);
    }
    for node in [1, 2] {
        assert_eq!(mesh.count(node, "select count(*) from dbmail_mailboxes where name like 'Loser%'").await, 0);
        let renumbered = "select count(*) from dbmail_mesh.renumber_log";
        assert_eq!(mesh.count(node, renumbered).await, 2, "those below what was delivered meanwhile, once each");
    }
}

/// A deleted mailbox that still holds messages here: whoever deleted it had not seen them. They are rescued into INBOX, once, under one
/// UID on both nodes.
#[tokio::test]
async fn what_the_deleter_had_not_seen_is_in_inbox() {
    let (mesh, loser, _) = two_folders("rescued").await;
    for node in [1, 2] {
        doom(&mesh, node, loser, None).await;
    }
    let worker = mesh.work();
    for node in [1, 2] {
        mesh.await_count(node, GONE, 0).await;
    }
    let inbox = mesh.dbmail(1).await.find_mailbox("alice", "INBOX").await.unwrap().unwrap();
    let uids = mesh.await_equal(inbox, 2).await;
    worker.stop().await;
    assert!(uids.iter().all(|uid| *uid > 0));
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mailboxes where name like 'Loser%'").await, 0);
}

/// A user who was deleted elsewhere goes; what had not been seen there is kept aside on both nodes, can be given to somebody, and is off
/// the list everywhere then. Mail that dbmail is about to deliver to him is kept too.
#[tokio::test]
async fn mail_of_a_deleted_user_is_kept_and_can_be_delivered() {
    let (mesh, inbox) = Mesh::with_inbox("kept", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("bob").await.unwrap();
    let bobs = session.create_mailbox("bob", "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("for alice")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    mesh.await_count(2, &format!("select count(*) from dbmail_mailboxes where mailbox_idnr = {bobs}"), 1).await;
    worker.stop().await;
    for node in [1, 2] {
        let died = "update dbmail_mesh.account set died_at = now() where born_as = 'alice'";
        mesh.psql(node).await.execute(died, &[]).await.unwrap();
    }
    let worker = mesh.work();
    let kept = "select count(*) from dbmail_mesh.kept_messages";
    for node in [1, 2] {
        mesh.await_count(node, "select count(*) from dbmail_users where userid = 'alice'", 0).await;
        mesh.await_count(node, kept, 1).await;
    }
    session.deliver(inbox, &Mail::named("too late")).await.unwrap();
    for node in [1, 2] {
        mesh.await_count(node, kept, 2).await;
        assert_eq!(mesh.count(node, "select count(*) from dbmail_mesh.late_messages").await, 0);
    }
    let give = "select dbmail_mesh.deliver_kept(birth_uid, $1) from dbmail_mesh.kept_messages order by birth_uid";
    let client = mesh.psql(2).await;
    let given = client.query(give, &[&bobs.0]).await.unwrap();
    assert!(given.iter().all(|row| row.get::<_, Option<i64>>(0).is_some()));
    mesh.await_equal(bobs, 2).await;
    for node in [1, 2] {
        mesh.await_count(node, kept, 0).await;
    }
    worker.stop().await;
    let sizes = "select count(*) from dbmail_users u where userid = 'bob' and curmail_size = (select sum(p.messagesize)
                 from dbmail_messages g join dbmail_physmessage p on p.id = g.physmessage_id
                 join dbmail_mailboxes m using (mailbox_idnr) where m.owner_idnr = u.user_idnr and g.status < 2)";
    for node in [1, 2] {
        assert_eq!(mesh.count(node, sizes).await, 1);
    }
    assert!(mesh.uids(1, bobs).await.into_iter().all(|uid| Uid(uid) > Uid(0)));
}
