//! The audit must see each kind of damage, and nothing where there is none. Two databases are filled alike; then one is
//! tampered with.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::findings::{Guarantee, Report};
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::shared::fresh_dbmail;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};
use tokio_postgres::Config;

pub type Nodes = Vec<(String, Config)>;

/// UIDs are even, because each delivery burns a second one: kept 2, short 4, gone 6 (expunged), copy of kept 7, keyed 9.
pub async fn fill(config: &Config, ledger: &Ledger) -> MailboxId {
    let mut session = Session::connect(config).await.expect("a session");
    session.create_user("ann").await.expect("an account");
    let inbox = session.find_or_create_mailbox("ann", "INBOX").await.expect("an inbox");
    let archive = session.create_mailbox("ann", "Archive").await.expect("an archive");
    for name in ["kept", "short", "gone"] {
        let mail = Mail::named(name);
        session.deliver(inbox, &mail).await.expect("a delivery");
        ledger.delivered("ann", "INBOX", &mail);
    }
    session.store(inbox, &[Uid(6)], &StoreFlags::add(Flags::DELETED)).await.expect("a store");
    for expunged in session.expunge_named(inbox).await.expect("an expunge") {
        ledger.expunged(&expunged.unique_id);
    }
    let copy = session.copy(Uid(2), archive).await.expect("a copy");
    assert_eq!(copy, Uid(7));
    let mail = Mail::named("keyed").with_flags(Flags::SEEN).with_keywords(&["$Work"]);
    session.append(archive, &mail).await.expect("an append");
    ledger.delivered("ann", "Archive", &mail);
    session
        .client()
        .batch_execute(
            "update dbmail_messages set unique_id = 'copy' where message_idnr = 7;
             update dbmail_physmessage set internal_date = '2026-06-01 12:00:00'",
        )
        .await
        .expect("the same on both nodes");
    inbox
}

pub async fn two_nodes(ledger: &Ledger) -> (Nodes, MailboxId) {
    let mut nodes = Vec::new();
    let mut inbox = MailboxId(0);
    for name in ["ams", "ber"] {
        let config = fresh_dbmail("audit").await.expect("a database");
        inbox = fill(&config, ledger).await;
        nodes.push((name.to_owned(), config));
    }
    (nodes, inbox)
}

/// What is found after `tampering` with ber.
async fn found_after(tampering: &str) -> Report {
    let ledger = Ledger::default();
    let (nodes, _) = two_nodes(&ledger).await;
    let client = connect(&nodes[1].1).await.expect("a connection");
    client.batch_execute(tampering).await.expect(tampering);
    audit(&nodes, &ledger, &[]).await.expect("an audit")
}

#[tokio::test]
async fn equal_nodes_pass() {
    let ledger = Ledger::default();
    let (nodes, inbox) = two_nodes(&ledger).await;
    let mut readers = Vec::new();
    for (name, config) in &nodes {
        let mut reader = IncrementalReader::new(name, inbox);
        reader.poll(&mut Session::connect(config).await.unwrap()).await.unwrap();
        readers.push(reader);
    }
    let report = audit(&nodes, &ledger, &readers).await.unwrap();
    assert!(report.held(), "{report}");
    assert_eq!((report.nodes, report.mailboxes, report.messages, report.deliveries), (2, 2, 4, 4));
}

#[tokio::test]
async fn every_kind_of_damage_is_found() {
    use Guarantee::{A, D, E, Limits};
    for (tampering, expected) in [
        (
            "update dbmail_messages set message_idnr = 11 where message_idnr = 4",
            vec![(D, "UID 4 (short)"), (D, "UID 11 (short)")],
        ),
        (
            "update dbmail_messages set flagged_flag = 1 where message_idnr = 4",
            vec![(D, "flags and keywords of ann/INBOX UID 4")],
        ),
        ("update dbmail_messages set recent_flag = 0, seq = 77", vec![]),
        ("update dbmail_users set curmail_size = 1, last_login = now()", vec![]),
        ("delete from dbmail_keywords", vec![(D, "flags and keywords of ann/Archive UID 9")]),
        (
            "update dbmail_messages set status = 2 where message_idnr = 4",
            vec![(D, "UID 4"), (E, "short, delivered to ann/INBOX, is lost")],
        ),
        (
            "update dbmail_messages set status = 0 where message_idnr = 6",
            vec![(D, "UID 6"), (E, "(gone) was expunged and is visible")],
        ),
        (
            "update dbmail_messages set unique_id = 'x' where message_idnr = 7",
            vec![(A, "UID 7 is copy on ams and x on ber"), (D, "unique_id of")],
        ),
        (
            "update dbmail_messages set unique_id = 'kept' where message_idnr = 7",
            vec![(A, "UID 7"), (D, "unique_id"), (E, "kept is there 2 times")],
        ),
        (
            "update dbmail_messages set unique_id = 'other' where message_idnr = 6",
            vec![(A, "UID 6 is gone on ams and other on ber")],
        ),
        (
            "update dbmail_mailboxes set mailbox_idnr = 50 where name = 'Archive'",
            vec![(D, "UIDVALIDITY of ann/Archive")],
        ),
        (
            "update dbmail_mailboxes set name = 'Old' where name = 'Archive'",
            vec![(D, "mailbox ann/Old"), (E, "delivered to ann/Archive")],
        ),
        ("insert into dbmail_users (userid, passwd) values ('bob', '')", vec![(D, "ber has account bob, ams has not")]),
        (
            "update dbmail_mimeparts set data = 'x', size = 1 where data like 'This is short%'",
            vec![(D, "body of"), (E, "other content"), (E, "incomplete")],
        ),
        (
            "delete from dbmail_partlists where is_header = 1 and physmessage_id = 2",
            vec![(D, "body"), (E, "header part")],
        ),
        ("delete from dbmail_header where physmessage_id = 2", vec![(D, "structure, header"), (E, "header fields")]),
        ("delete from dbmail_envelope where physmessage_id = 2", vec![(D, "structure, header"), (E, "envelope")]),
        ("update dbmail_physmessage set internal_date = now() where id = 2", vec![(D, "internal date")]),
        ("update dbmail_physmessage set id = 5000 where id = 2", vec![(Limits, "not dense")]),
        ("update dbmail_physmessage set id = 2147483648 where id = 2", vec![(Limits, "beyond"), (Limits, "not dense")]),
    ] {
        let report = found_after(tampering).await;
        for (guarantee, words) in &expected {
            let found = report.of(*guarantee).iter().any(|text| text.contains(words));
            assert!(found, "{tampering}: {guarantee} should say {words:?}: {report}");
        }
        let others: Vec<_> =
            report.findings.keys().filter(|key| !expected.iter().any(|(known, _)| known == *key)).collect();
        assert!(others.is_empty(), "{tampering}: {report}");
    }
}

#[tokio::test]
async fn internal_ids_and_staged_rows_may_differ() {
    let report = found_after(
        "update dbmail_users set user_idnr = user_idnr + 100 where userid = 'ann';
         update dbmail_physmessage set id = id + 20;
         update dbmail_mimeparts set id = id + 300;
         update dbmail_headername set headername = upper(headername);
         insert into dbmail_messages (message_idnr, mailbox_idnr, unique_id)
         select 1::bigint << 34, mailbox_idnr, 'hidden' from dbmail_mailboxes where owner_idnr = 1",
    )
    .await;
    assert!(report.held(), "{report}");
}

#[tokio::test]
async fn what_was_deleted_or_is_in_doubt_is_not_called_lost() {
    let ledger = Ledger::default();
    let (nodes, _) = two_nodes(&ledger).await;
    for (_, config) in &nodes {
        let mut session = Session::connect(config).await.unwrap();
        let archive = session.find_mailbox("ann", "Archive").await.unwrap().unwrap();
        session.delete_mailbox(archive).await.unwrap();
        session.client().batch_execute("delete from dbmail_messages where unique_id = 'short'").await.unwrap();
    }
    assert_eq!(audit(&nodes, &ledger, &[]).await.unwrap().of(Guarantee::E).len(), 4);
    ledger.mailbox_deleted("ann", "Archive");
    ledger.doubtful("short");
    let report = audit(&nodes, &ledger, &[]).await.unwrap();
    assert!(report.held(), "{report}");
}

#[tokio::test]
async fn what_readers_saw_counts() {
    let ledger = Ledger::default();
    let (nodes, inbox) = two_nodes(&ledger).await;
    let mut blind = IncrementalReader::new("ams", inbox);
    blind.last_uid = Uid(100);
    let mut misled = IncrementalReader::new("ber", inbox);
    misled.poll(&mut Session::connect(&nodes[1].1).await.unwrap()).await.unwrap();
    misled.seen.insert(Uid(6), "another".into());
    let report = audit(&nodes, &ledger, &[blind, misled]).await.unwrap();
    assert_eq!(report.of(Guarantee::B).len(), 2, "{report}");
    assert!(report.of(Guarantee::A)[0].contains("UID 6"), "{report}");
}
