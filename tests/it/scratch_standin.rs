//! The stand-in for dbmail on a plain dbmail database: it must be right before it can judge anything else.

use std::collections::BTreeSet;

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::shared::fresh_dbmail;
use dbmail_mesh::scratch::standin::{Flags, INTERNAL_USER, Mail, Session, StoreFlags, sql};
use tokio_postgres::Config;

/// A database with the account `ann` and her INBOX, and a session.
pub async fn ann(prefix: &str) -> (Config, Session, MailboxId) {
    let config = fresh_dbmail(prefix).await.expect("a database");
    let mut session = Session::connect(&config).await.expect("a session");
    session.create_user("ann").await.expect("an account");
    let inbox = session.find_or_create_mailbox("ann", "INBOX").await.expect("an inbox");
    (config, session, inbox)
}

pub async fn number(session: &Session, query: &str) -> i64 {
    session.client().query_one(query, &[]).await.expect(query).get(0)
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let client = connect(&fresh_dbmail("prepare").await.unwrap()).await.unwrap();
    for statement in sql::ALL {
        client.prepare(statement.text).await.unwrap_or_else(|error| panic!("{}: {error:?}", statement.name));
    }
}

#[tokio::test]
async fn a_delivery_is_complete_and_burns_two_uids() {
    let (_, mut session, inbox) = ann("deliver").await;
    let mail =
        Mail::generate(&mut fastrand::Rng::with_seed(1), 20_000).with_keywords(&["$Work"]).with_flags(Flags::SEEN);
    let first = session.deliver(inbox, &mail).await.unwrap();
    let second = session.deliver(inbox, &Mail::named("second")).await.unwrap();
    assert_eq!((first, second), (Uid(2), Uid(4)));

    let fetched = session.fetch(inbox, first).await.unwrap().unwrap();
    assert_eq!(fetched.listed.unique_id, mail.unique_id);
    assert_eq!(fetched.listed.flags, Flags::SEEN);
    assert_eq!(fetched.keywords, BTreeSet::from(["$Work".to_owned()]));
    assert_eq!((fetched.size, fetched.digest), (mail.size(), mail.digest()));

    assert_eq!(number(&session, "select count(*) from dbmail_messages").await, 2, "staging rows are gone");
    assert_eq!(number(&session, "select count(*) from dbmail_envelope").await, 2);
    let headers = number(&session, "select count(*) from dbmail_header where physmessage_id = 1").await;
    assert_eq!(headers, i64::try_from(mail.headers.len()).unwrap());
    assert_eq!(number(&session, "select seq from dbmail_mailboxes where name = 'INBOX' and owner_idnr > 3").await, 2);
    assert_eq!(number(&session, "select max(seq) from dbmail_messages").await, 2);
    let quota = number(&session, "select curmail_size from dbmail_users where userid = 'ann'").await;
    assert_eq!(quota, mail.size() + Mail::named("second").size());
    let sorted = number(&session, "select count(*) from dbmail_datefield where datefield >= '2026-06-01'").await;
    assert_eq!(sorted, 2, "the Date header is kept as a date");
}

#[tokio::test]
async fn equal_parts_and_header_values_are_shared() {
    let (_, mut session, inbox) = ann("share").await;
    let mut mail = Mail::named("one");
    session.deliver(inbox, &mail).await.unwrap();
    mail.unique_id = "two".into();
    session.deliver(inbox, &mail).await.unwrap();
    assert_eq!(number(&session, "select count(*) from dbmail_mimeparts").await, 2, "header and body once");
    assert_eq!(number(&session, "select count(*) from dbmail_partlists").await, 4);
    let values = number(&session, "select count(*) - count(distinct (hash)) from dbmail_headervalue").await;
    assert_eq!(values, 0);
}

#[tokio::test]
async fn append_writes_flags_and_keywords_to_the_uid_that_was_returned() {
    let (_, mut session, inbox) = ann("append").await;
    let mail = Mail::named("draft").with_flags(Flags { draft: true, ..Flags::SEEN }).with_keywords(&["a", "b"]);
    let uid = session.append(inbox, &mail).await.unwrap();
    let fetched = session.fetch(inbox, uid).await.unwrap().unwrap();
    assert_eq!(fetched.listed.flags, mail.flags);
    assert_eq!(fetched.keywords.len(), 2);
    assert!(fetched.listed.recent);
}

#[tokio::test]
async fn a_copy_shares_the_content_and_has_its_own_name_and_uid() {
    let (_, mut session, inbox) = ann("copy").await;
    let mail = Mail::named("original").with_flags(Flags::FLAGGED).with_keywords(&["k"]);
    let uid = session.deliver(inbox, &mail).await.unwrap();
    let archive = session.create_mailbox("ann", "Archive").await.unwrap();
    let copied = session.copy(uid, archive).await.unwrap();
    let copy = session.fetch(archive, copied).await.unwrap().unwrap();
    assert_ne!(copy.listed.unique_id, mail.unique_id);
    assert_eq!((copy.listed.flags, copy.digest), (Flags::FLAGGED, mail.digest()));
    assert_eq!(copy.keywords, BTreeSet::from(["k".to_owned()]));
    assert_eq!(number(&session, "select count(*) from dbmail_physmessage").await, 1);
    assert_eq!(session.copy_if_there(Uid(999), archive).await.unwrap(), None);
    let error = session.copy(Uid(999), archive).await.unwrap_err().to_string();
    assert!(error.contains("999"), "{error}");
}

#[tokio::test]
async fn store_changes_what_it_names() {
    let (_, mut session, inbox) = ann("store").await;
    let uid =
        session.deliver(inbox, &Mail::named("m").with_flags(Flags::FLAGGED).with_keywords(&["old"])).await.unwrap();
    for (change, flags, keywords) in [
        (
            StoreFlags::add(Flags::SEEN).keywords(&["new", "old"]),
            Flags { seen: true, ..Flags::FLAGGED },
            vec!["new", "old"],
        ),
        (StoreFlags::remove(Flags::FLAGGED).keywords(&["old"]), Flags::SEEN, vec!["new"]),
        (StoreFlags::replace(Flags::DELETED).keywords(&["x"]), Flags::DELETED, vec!["x"]),
    ] {
        assert_eq!(session.store(inbox, &[uid, Uid(999)], &change).await.unwrap(), 1, "{change:?}");
        let fetched = session.fetch(inbox, uid).await.unwrap().unwrap();
        assert_eq!(fetched.listed.flags, flags, "{change:?}");
        assert_eq!(fetched.keywords.iter().map(String::as_str).collect::<Vec<_>>(), keywords, "{change:?}");
    }
    let stamped =
        number(&session, "select count(*) from dbmail_messages join dbmail_mailboxes using (mailbox_idnr, seq)");
    assert_eq!(stamped.await, 1, "the message has the mailbox's sequence");
}

async fn seq_and_flags(session: &mut Session, mailbox: MailboxId, uid: Uid) -> (i64, i64, Flags, Vec<String>) {
    let mut states = session.states(mailbox).await.unwrap();
    let state = states.messages.remove(&uid).unwrap();
    (states.seq, state.seq, state.flags, state.keywords.into_iter().collect())
}

#[tokio::test]
async fn a_store_raises_the_sequence_before_it_and_stamps_what_it_changed() {
    let (_, mut session, inbox) = ann("modseq").await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let other = session.deliver(inbox, &Mail::named("other")).await.unwrap();
    let start = session.states(inbox).await.unwrap().seq;

    session.store(inbox, &[uid], &StoreFlags::add(Flags::SEEN)).await.unwrap();
    assert_eq!(seq_and_flags(&mut session, inbox, uid).await, (start + 1, start + 1, Flags::SEEN, vec![]));

    let only_keyword = StoreFlags::add(Flags::NONE).keywords(&["k"]);
    session
        .client()
        .batch_execute(
            "create table touched (at int); create function touched() returns trigger language plpgsql
         as $$ begin insert into touched values (1); return null; end $$;
         create trigger touched after update on dbmail_messages for each row
         when (old.seq is not distinct from new.seq) execute function touched()",
        )
        .await
        .unwrap();
    session.store(inbox, &[uid], &only_keyword).await.unwrap();
    let keywords = vec!["k".to_owned()];
    let after = (start + 3, start + 3, Flags::SEEN, keywords.clone());
    assert_eq!(seq_and_flags(&mut session, inbox, uid).await, after, "twice, as the keyword is new to the mailbox");
    assert_eq!(number(&session, "select count(*) from touched").await, 0, "flags are not written");
    session.store(inbox, &[other], &only_keyword).await.unwrap();
    assert_eq!(seq_and_flags(&mut session, inbox, other).await.0, start + 4, "once, as the mailbox has it");

    let replaced = StoreFlags::replace(Flags::FLAGGED);
    session.store(inbox, &[uid], &replaced).await.unwrap();
    let after = (start + 5, start + 5, Flags::FLAGGED, keywords);
    assert_eq!(seq_and_flags(&mut session, inbox, uid).await, after, "keywords stay where none is named");
    assert_eq!(session.store(inbox, &[Uid(999)], &only_keyword).await.unwrap(), 0);
}

#[tokio::test]
async fn a_store_may_depend_on_the_sequence() {
    let (_, mut session, inbox) = ann("unchanged").await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let seq = session.states(inbox).await.unwrap().seq;
    let stale = StoreFlags::add(Flags::SEEN).unchanged_since(seq - 1);
    assert_eq!(session.store(inbox, &[uid], &stale).await.unwrap(), 1, "0 is no condition");
    let stale = StoreFlags::add(Flags::FLAGGED).unchanged_since(seq);
    assert_eq!(session.store(inbox, &[uid], &stale).await.unwrap(), 0);
    let fresh = StoreFlags::add(Flags::DELETED).unchanged_since(seq + 1);
    assert_eq!(session.store(inbox, &[uid], &fresh).await.unwrap(), 1);
    let flags = session.fetch(inbox, uid).await.unwrap().unwrap().listed.flags;
    assert_eq!(flags, Flags { deleted: true, ..Flags::SEEN });
    assert_eq!(session.store(inbox, &[uid], &stale.keywords(&["k"])).await.unwrap(), 1, "dbmail writes keywords");
}

#[tokio::test]
async fn a_copy_stamps_both_messages_with_the_sequence_of_the_target() {
    let (_, mut session, inbox) = ann("copyseq").await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let archive = session.create_mailbox("ann", "Archive").await.unwrap();
    session.client().execute("update dbmail_mailboxes set seq = 70 where name = 'Archive'", &[]).await.unwrap();
    let copy = session.copy(uid, archive).await.unwrap();
    assert_eq!(seq_and_flags(&mut session, archive, copy).await.1, 72);
    assert_eq!(seq_and_flags(&mut session, inbox, uid).await.1, 71);
}

#[tokio::test]
async fn expunge_hides_and_two_purges_remove_with_the_content() {
    let (_, mut session, inbox) = ann("expunge").await;
    let mut uids = Vec::new();
    for name in ["a", "b", "c"] {
        uids.push(session.deliver(inbox, &Mail::named(name)).await.unwrap());
    }
    assert_eq!(session.expunge(inbox).await.unwrap(), []);
    session.store(inbox, &uids[..2], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    let gone = session.expunge_named(inbox).await.unwrap();
    let gone: Vec<_> = gone.iter().map(|gone| (gone.uid, gone.unique_id.as_str())).collect();
    assert_eq!(gone, [(uids[1], "b"), (uids[0], "a")], "highest first");
    assert_eq!(session.select(inbox).await.unwrap().uids(), uids[2..]);
    assert_eq!(session.fetch(inbox, uids[0]).await.unwrap(), None);
    let quota = number(&session, "select curmail_size from dbmail_users where userid = 'ann'").await;
    assert_eq!(quota, Mail::named("c").size());

    let first = session.purge().await.unwrap();
    assert_eq!((first.deleted, first.marked, first.physmessages), (0, 2, 0));
    let second = session.purge().await.unwrap();
    assert_eq!((second.deleted, second.marked, second.physmessages, second.mimeparts), (2, 0, 2, 4));
    let third = Mail::named("c");
    assert_eq!(session.fetch(inbox, uids[2]).await.unwrap().unwrap().digest, third.digest(), "the rest is whole");
    let headers = i64::try_from(third.headers.len()).unwrap();
    assert_eq!(number(&session, "select count(*) from dbmail_headervalue").await, headers);
}

#[tokio::test]
async fn select_shows_the_mailbox_and_then_clears_recent() {
    let (_, mut session, inbox) = ann("select").await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let before = session.select(inbox).await.unwrap();
    let after = session.select(inbox).await.unwrap();
    assert_eq!((before.uidvalidity, before.uids()), (inbox, vec![uid]));
    assert!(before.messages[0].recent && !after.messages[0].recent);
    assert_eq!(after.seq, before.seq + 1);
    assert_eq!(session.select(inbox).await.unwrap().seq, after.seq, "there was nothing to clear");
    assert_eq!(session.states(inbox).await.unwrap().messages[&uid].seq, after.seq);
    assert_eq!(session.search_above(inbox, Uid(0)).await.unwrap(), after.messages);
    assert_eq!(session.search_above(inbox, uid).await.unwrap(), []);
    session.select(MailboxId(999)).await.unwrap_err();
}

#[tokio::test]
async fn a_mailbox_with_children_stays_as_a_name() {
    let (_, mut session, _) = ann("delete").await;
    let parent = session.create_mailbox("ann", "Lists").await.unwrap();
    let child = session.create_mailbox("ann", "Lists/rust").await.unwrap();
    session.deliver(parent, &Mail::named("p")).await.unwrap();
    session.deliver(child, &Mail::named("c")).await.unwrap();
    let seq = session.states(parent).await.unwrap().seq;
    assert!(session.delete_mailbox(parent).await.unwrap());
    assert!(!session.delete_mailbox(parent).await.unwrap(), "a mere name with children cannot be deleted");
    assert_eq!(session.states(parent).await.unwrap().seq, seq + 1);
    assert_eq!(session.select(parent).await.unwrap().messages, []);
    assert_eq!(session.find_mailbox("ann", "Lists").await.unwrap(), Some(parent));
    assert!(session.delete_mailbox(child).await.unwrap());
    assert!(!session.delete_mailbox(child).await.unwrap());
    assert_eq!(session.find_mailbox("ann", "Lists/rust").await.unwrap(), None);
    assert_eq!(number(&session, "select curmail_size from dbmail_users where userid = 'ann'").await, 0);
}

#[tokio::test]
async fn a_failed_insert_of_the_real_row_is_an_error_and_leaves_no_staging_row() {
    let (_, mut session, inbox) = ann("fail").await;
    session.delete_mailbox(inbox).await.unwrap();
    let error = session.deliver(inbox, &Mail::named("lost")).await.unwrap_err().to_string();
    assert!(error.contains("insert_message") && error.contains("23503"), "{error}");
    assert_eq!(number(&session, "select count(*) from dbmail_messages").await, 0);
    let other = session.create_mailbox("ann", "Other").await.unwrap();
    session.deliver(other, &Mail::named("kept")).await.unwrap();
}

#[tokio::test]
async fn logins_are_recorded() {
    let (_, mut session, _) = ann("login").await;
    let never = "select count(*) from dbmail_users where last_login = '1979-11-03 22:05:58' and userid = 'ann'";
    assert_eq!(number(&session, never).await, 1);
    session.login("ann").await.unwrap();
    assert_eq!(number(&session, never).await, 0);
    let error = session.login("bob").await.unwrap_err().to_string();
    assert!(error.contains("bob"), "{error}");
}

/// A trigger of ours may give staging rows numbers that no client could stand; RETURNING tells.
#[tokio::test]
async fn staging_rows_may_have_numbers_above_32_bits() {
    let (_, mut session, inbox) = ann("huge").await;
    session
        .client()
        .batch_execute(&format!(
            "create sequence staging_uid start {};
             create function staging_number() returns trigger language plpgsql as $$
             begin
                 if new.status = 5 then new.message_idnr := nextval('staging_uid'); end if;
                 return new;
             end $$;
             create trigger staging_number before insert on dbmail_messages
                 for each row execute function staging_number();
             alter sequence dbmail_message_idnr_seq restart 100",
            (1_i64 << 33) + 1
        ))
        .await
        .unwrap();
    let mail = Mail::named("m").with_keywords(&["k"]);
    let uid = session.deliver(inbox, &mail).await.unwrap();
    assert_eq!(uid, Uid(101), "the default still burned a number for the staging row");
    let fetched = session.fetch(inbox, uid).await.unwrap().unwrap();
    assert_eq!((fetched.digest, fetched.keywords.len()), (mail.digest(), 1));
}

/// Sessions deliver the same header names and parts at once, while another purges what nothing refers to yet.
#[tokio::test]
async fn many_sessions_deliver_while_one_purges() {
    let (config, mut session, inbox) = ann("many").await;
    // Whoever comes first makes the staging area; the losers of that race must get the same one.
    let writers: Vec<_> = (0..6)
        .map(|seed| {
            let config = config.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut session = Session::connect(&config).await?;
                for _ in 0..15 {
                    session.deliver(inbox, &Mail::generate(&mut rng, 300)).await?;
                }
                Ok::<_, dbmail_mesh::error::Error>(())
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        session.purge().await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(session.select(inbox).await.unwrap().messages.len(), 90);
    let staging = session.find_mailbox(INTERNAL_USER, "INBOX").await.unwrap().unwrap();
    assert_eq!(session.select(staging).await.unwrap().messages, []);
    let incomplete = "select count(*) from dbmail_physmessage as p where
        not exists (select from dbmail_envelope where physmessage_id = p.id)
        or (select count(*) from dbmail_header where physmessage_id = p.id) < 10";
    assert_eq!(number(&session, incomplete).await, 0);
}

/// What many sessions do to the same two mailboxes, without any mesh, must not fail: else a failure with one would prove
/// nothing. Deleting mailboxes is left out; see the module's documentation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_do_not_fail_each_other() {
    let (config, mut session, inbox) = ann("mixed").await;
    let archive = session.create_mailbox("ann", "Archive").await.unwrap();
    session.find_or_create_mailbox(INTERNAL_USER, "INBOX").await.unwrap();
    let sessions: Vec<_> = (0..12)
        .map(|seed| {
            let config = config.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut session = Session::connect(&config).await?;
                for _ in 0..40 {
                    act(&mut session, &mut rng, [inbox, archive]).await?;
                }
                Ok::<_, dbmail_mesh::error::Error>(())
            })
        })
        .collect();
    for done in sessions {
        done.await.unwrap().unwrap();
    }
}

/// One random operation of a session.
async fn act(
    session: &mut Session,
    rng: &mut fastrand::Rng,
    mailboxes: [MailboxId; 2],
) -> dbmail_mesh::error::Result<()> {
    let (here, there) = if rng.bool() { (mailboxes[0], mailboxes[1]) } else { (mailboxes[1], mailboxes[0]) };
    let uids = session.search_above(here, Uid(0)).await?;
    let chosen: Vec<Uid> = uids.iter().filter(|_| rng.u8(..4) == 0).map(|message| message.uid).collect();
    match rng.u8(..9) {
        0..=2 => drop(session.deliver(here, &Mail::generate(rng, 500)).await?),
        3 => drop(session.append(here, &Mail::generate(rng, 500).with_flags(Flags::SEEN).with_keywords(&["k"])).await?),
        4 => {
            for uid in chosen.iter().take(3) {
                session.copy_if_there(*uid, there).await?;
            }
        }
        5 => drop(session.store(here, &chosen, &StoreFlags::add(Flags::DELETED).keywords(&["k"])).await?),
        6 => drop(session.expunge(here).await?),
        7 => drop(session.select(here).await?),
        _ => {
            session.login("ann").await?;
            session.purge().await?;
        }
    }
    Ok(())
}
