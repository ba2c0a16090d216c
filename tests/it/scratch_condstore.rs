//! A client that asks only for what has changed must be told of all of it, and must notice where it was not.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::condstore::{CondstoreReader, Synced};
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use crate::scratch_standin::ann;

/// A mailbox with `one` and `two`, and a client that has seen both.
async fn read_mailbox(prefix: &str) -> (Session, MailboxId, [Uid; 2], CondstoreReader) {
    let (_, mut session, inbox) = ann(prefix).await;
    let one = session.deliver(inbox, &Mail::named("one")).await.unwrap();
    let two = session.deliver(inbox, &Mail::named("two")).await.unwrap();
    let mut reader = CondstoreReader::new("ams", inbox);
    assert_eq!(reader.sync(&mut session).await.unwrap(), Synced { new: 2, told: 0, gone: 0 });
    assert_eq!(reader.sync(&mut session).await.unwrap(), Synced::default());
    (session, inbox, [one, two], reader)
}

async fn wrong(reader: &CondstoreReader, session: &mut Session) -> Vec<String> {
    reader.misbeliefs(session).await.unwrap().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_client_is_told_of_what_dbmail_changes() {
    let (mut session, inbox, [one, two], mut reader) = read_mailbox("condstore").await;
    session.store(inbox, &[one], &StoreFlags::add(Flags::SEEN).keywords(&["k"])).await.unwrap();
    let expected = format!("ams, UID {one}: a client believes one, and there is one \\Seen k");
    assert_eq!(wrong(&reader, &mut session).await, [expected]);
    assert_eq!(reader.sync(&mut session).await.unwrap(), Synced { told: 1, ..Synced::default() });
    assert_eq!(reader.believes(one).unwrap().to_string(), "one \\Seen k");
    session.store(inbox, &[two], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    session.expunge(inbox).await.unwrap();
    session.append(inbox, &Mail::named("three").with_flags(Flags::FLAGGED)).await.unwrap();
    assert_eq!(wrong(&reader, &mut session).await.len(), 2, "one is gone, one unknown");
    assert_eq!(reader.sync(&mut session).await.unwrap(), Synced { new: 1, told: 0, gone: 1 });
    assert!(wrong(&reader, &mut session).await.is_empty());
    assert_eq!(reader.believes(two), None);
}

/// What replication must not do: flags with a sequence that the client has passed already.
#[tokio::test]
async fn a_change_below_its_number_is_never_told() {
    let (mut session, _, [one, _], mut reader) = read_mailbox("unnoticed").await;
    session.client().batch_execute("update dbmail_messages set seen_flag = 1 where unique_id = 'one'").await.unwrap();
    assert_eq!(reader.sync(&mut session).await.unwrap(), Synced::default());
    let wrong = reader.misbeliefs(&mut session).await.unwrap();
    assert_eq!(wrong.len(), 1);
    assert_eq!((wrong[0].uid, wrong[0].truth.as_ref().unwrap().flags), (one, Flags::SEEN));
}

#[tokio::test]
async fn a_client_carries_its_number_to_another_node() {
    let (mut there, its_inbox, [one, _], _) = read_mailbox("there").await;
    let (mut here, inbox, _, mut reader) = read_mailbox("here").await;
    assert_eq!(inbox, its_inbox, "databases filled alike");
    there.store(inbox, &[one], &StoreFlags::add(Flags::SEEN)).await.unwrap();
    here.client().batch_execute("update dbmail_mailboxes set seq = 50 where name = 'INBOX'").await.unwrap();
    reader.sync(&mut here).await.unwrap();
    reader.move_to("ber");
    assert_eq!(reader.sync(&mut there).await.unwrap(), Synced::default());
    assert_eq!(
        wrong(&reader, &mut there).await,
        [format!("ber, UID {one}: a client believes one, and there is one \\Seen")]
    );
    assert_eq!(reader.seq, 3, "HIGHESTMODSEQ of the node it is on now");
}
