//! Readers must notice what a broken replication would do to a mailbox.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::findings::Guarantee;
use dbmail_mesh::scratch::reader::{DeadUidWatch, IncrementalReader};
use dbmail_mesh::scratch::shared::fresh_dbmail;
use dbmail_mesh::scratch::standin::{Mail, Session};

/// A mailbox with `one` under UID 2 and `two` under UID 4, and a reader that has seen both.
async fn read_mailbox() -> (Session, MailboxId, IncrementalReader) {
    let config = fresh_dbmail("reader").await.expect("a database");
    let mut session = Session::connect(&config).await.expect("a session");
    session.create_user("ann").await.expect("an account");
    let inbox = session.find_or_create_mailbox("ann", "INBOX").await.expect("an inbox");
    let mut reader = IncrementalReader::new("ams", inbox);
    for name in ["one", "two"] {
        session.deliver(inbox, &Mail::named(name)).await.expect("a delivery");
    }
    assert_eq!(reader.poll(&mut session).await.expect("a poll"), 2);
    assert_eq!(reader.last_uid, Uid(4));
    (session, inbox, reader)
}

async fn tamper(session: &Session, statement: &str) {
    session.client().batch_execute(statement).await.expect(statement);
}

fn guarantees(reader: &IncrementalReader) -> Vec<Guarantee> {
    reader.findings().iter().map(|finding| finding.guarantee).collect()
}

#[tokio::test]
async fn a_reader_gets_what_is_above_and_nothing_twice() {
    let (mut session, inbox, mut reader) = read_mailbox().await;
    assert_eq!(reader.poll(&mut session).await.unwrap(), 0);
    session.deliver(inbox, &Mail::named("three")).await.unwrap();
    assert_eq!(reader.poll(&mut session).await.unwrap(), 1);
    assert_eq!(reader.missing(["one", "two", "three", "four"]), ["four"]);
    assert!(reader.recheck(&mut session).await.unwrap().is_empty() && reader.findings().is_empty());
}

#[tokio::test]
async fn a_renumber_shows_a_message_twice_and_breaks_nothing() {
    let (mut session, _, mut reader) = read_mailbox().await;
    tamper(&session, "update dbmail_messages set message_idnr = 9 where message_idnr = 2").await;
    assert_eq!(reader.poll(&mut session).await.unwrap(), 1);
    assert_eq!(reader.recheck(&mut session).await.unwrap(), [Uid(2)]);
    assert_eq!(reader.recheck(&mut session).await.unwrap(), [], "told once");
    assert_eq!(guarantees(&reader), []);
}

#[tokio::test]
async fn a_message_below_the_last_uid_is_missed_and_found_by_the_recheck() {
    let (mut session, _, mut reader) = read_mailbox().await;
    tamper(
        &session,
        "insert into dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, unique_id)
         select 3, mailbox_idnr, physmessage_id, 'late' from dbmail_messages where message_idnr = 2",
    )
    .await;
    assert_eq!(reader.poll(&mut session).await.unwrap(), 0);
    assert_eq!(reader.missing(["late"]), ["late"]);
    reader.recheck(&mut session).await.unwrap();
    assert_eq!(guarantees(&reader), [Guarantee::B]);
    assert!(reader.findings()[0].text.contains("UID 3 (late) appeared when 4"), "{:?}", reader.findings());
}

#[tokio::test]
async fn a_uid_with_other_content_is_noticed() {
    let (mut session, _, mut reader) = read_mailbox().await;
    tamper(&session, "update dbmail_messages set unique_id = 'other' where message_idnr = 2").await;
    reader.recheck(&mut session).await.unwrap();
    assert_eq!(guarantees(&reader), [Guarantee::A]);
}

#[tokio::test]
async fn a_dead_uid_that_is_shown_again_is_noticed() {
    let (mut session, inbox, mut reader) = read_mailbox().await;
    let mut watch = DeadUidWatch::default();
    tamper(&session, "update dbmail_messages set status = 2 where message_idnr = 2").await;
    for uid in reader.recheck(&mut session).await.unwrap() {
        watch.add("ams", inbox, uid);
    }
    assert_eq!(watch.len(), 1);
    watch.check("ams", &mut session).await.unwrap();
    watch.check_converged("ams", &mut session).await.unwrap();
    assert!(watch.findings().is_empty());

    tamper(&session, "update dbmail_messages set status = 0 where message_idnr = 2").await;
    watch.check("ber", &mut session).await.unwrap();
    assert!(watch.findings().is_empty(), "dead on ams says nothing of ber before convergence");
    watch.check("ams", &mut session).await.unwrap();
    watch.check_converged("ber", &mut session).await.unwrap();
    assert_eq!(watch.findings().len(), 2);
    reader.recheck(&mut session).await.unwrap();
    assert_eq!(guarantees(&reader), [Guarantee::C]);
}
