//! What the stand-in does to mailboxes as a whole: renaming, moving, sharing.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::{ANYONE, Flags, Mail, PUBLIC_USER, Session, StoreFlags};

use crate::scratch_standin::{ann, number};

/// Name and id of ann's mailboxes.
async fn mailboxes(session: &Session) -> Vec<(String, i64)> {
    let query = "select name, mailbox_idnr from dbmail_mailboxes join dbmail_users on user_idnr = owner_idnr
        where userid = 'ann' order by mailbox_idnr";
    session.client().query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The transactions that changed mailboxes, in order: which rows each of them renamed.
async fn watch_renames(session: &Session) {
    session
        .client()
        .batch_execute(
            "create table renamed (n serial, tx bigint default txid_current(), name text);
             create function renamed() returns trigger language plpgsql
                 as $$ begin insert into renamed (name) values (new.name); return null; end $$;
             create trigger renamed after update of name on dbmail_mailboxes
                 for each row execute function renamed()",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn a_rename_takes_the_children_first_each_by_itself() {
    let (_, mut session, inbox) = ann("rename").await;
    let mut ids = vec![inbox];
    for name in ["Lists", "Lists/rust", "lists/rust/news", "Listserv"] {
        ids.push(session.create_mailbox("ann", name).await.unwrap());
    }
    watch_renames(&session).await;
    let seq = session.states(ids[1]).await.unwrap().seq;
    assert_eq!(session.rename_mailbox(ids[1], "Old").await.unwrap(), 3);
    let names = ["INBOX", "Old", "Old/rust", "Old/rust/news", "Listserv"];
    let expected: Vec<_> = names.iter().zip(&ids).map(|(name, id)| ((*name).to_owned(), id.0)).collect();
    assert_eq!(mailboxes(&session).await, expected);
    let rows = session.client().query("select name from renamed order by n", &[]).await.unwrap();
    let order: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(order, ["Old/rust/news", "Old/rust", "Old"]);
    assert_eq!(number(&session, "select count(distinct tx) from renamed").await, 3);
    assert_eq!(session.states(ids[1]).await.unwrap().seq, seq);
    session.rename_mailbox(ids[1], "Listserv").await.unwrap_err();
    assert_eq!(session.find_mailbox("ann", "Listserv/rust").await.unwrap(), Some(ids[2]), "left half done");
    let error = session.rename_mailbox(MailboxId(999), "New").await.unwrap_err().to_string();
    assert!(error.contains("999"), "{error}");
}

#[tokio::test]
async fn a_rename_of_inbox_moves_all_rows_and_keeps_inbox() {
    let (_, mut session, inbox) = ann("inbox").await;
    let child = session.create_mailbox("ann", "INBOX/Work").await.unwrap();
    let kept = session.deliver(inbox, &Mail::named("kept").with_keywords(&["k"])).await.unwrap();
    let gone = session.deliver(inbox, &Mail::named("gone")).await.unwrap();
    session.store(inbox, &[gone], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    session.expunge(inbox).await.unwrap();
    let seq = session.states(inbox).await.unwrap().seq;
    let old = session.rename_inbox("ann", "Old").await.unwrap();
    assert_eq!(session.search_above(inbox, Uid(0)).await.unwrap(), []);
    assert_eq!(session.states(inbox).await.unwrap().seq, seq + 1);
    assert_eq!(session.shown(old, &[kept, gone]).await.unwrap(), [kept]);
    assert_eq!(session.states(old).await.unwrap().seq, 1);
    let moved = format!("select count(*) from dbmail_messages where mailbox_idnr = {old}");
    assert_eq!(number(&session, &moved).await, 2, "the dead one, too");
    assert_eq!(session.find_mailbox("ann", "INBOX/Work").await.unwrap(), Some(child));
    let empty = session.rename_inbox("ann", "Empty").await.unwrap();
    assert_eq!(session.states(empty).await.unwrap().seq, 0, "nothing moved");
}

#[tokio::test]
async fn messages_are_moved_one_by_one() {
    let (_, mut session, inbox) = ann("move").await;
    let trash = session.create_mailbox("ann", "INBOX/Trash").await.unwrap();
    let mut uids = Vec::new();
    for name in ["a", "b", "c"] {
        uids.push(session.deliver(inbox, &Mail::named(name)).await.unwrap());
    }
    let seq = session.states(inbox).await.unwrap().seq;
    assert_eq!(session.move_messages(inbox, &[uids[0], uids[2], Uid(999)], trash).await.unwrap(), 2);
    assert_eq!(session.shown(trash, &uids).await.unwrap(), [uids[0], uids[2]]);
    assert_eq!(session.shown(inbox, &uids).await.unwrap(), [uids[1]]);
    assert_eq!(session.states(inbox).await.unwrap().seq, seq + 3);
    assert_eq!(session.states(trash).await.unwrap().seq, 3);
}

#[tokio::test]
async fn subscriptions_come_and_go() {
    let (_, mut session, inbox) = ann("subscribe").await;
    for (subscribed, rows) in [(true, 1), (false, 1)] {
        assert_eq!(session.subscribe("ann", inbox).await.unwrap(), subscribed);
        assert_eq!(number(&session, "select count(*) from dbmail_subscription").await, rows);
    }
    assert!(session.unsubscribe("ann", inbox).await.unwrap());
    assert!(!session.unsubscribe("ann", inbox).await.unwrap());
    session.subscribe("nobody", inbox).await.unwrap_err();
}

#[tokio::test]
async fn permission_and_no_select_are_columns() {
    let (_, mut session, inbox) = ann("columns").await;
    assert!(session.set_permission(inbox, 1).await.unwrap());
    assert!(session.set_no_select(inbox, true).await.unwrap());
    let query = "select permission * 10 + no_select from dbmail_mailboxes where name = 'INBOX'";
    assert_eq!(number(&session, &format!("select ({query})::bigint")).await, 11);
    assert!(session.set_no_select(inbox, false).await.unwrap());
    assert_eq!(number(&session, &format!("select ({query})::bigint")).await, 10);
    assert!(!session.set_permission(MailboxId(999), 1).await.unwrap());
}

/// The rights of one user on one mailbox, by letter.
async fn rights(session: &Session, userid: &str, mailbox: MailboxId) -> Option<String> {
    let query = "select to_jsonb(dbmail_acl) from dbmail_acl join dbmail_users on user_idnr = user_id
        where userid = $1 and mailbox_id = $2";
    let acl: serde_json::Value = session.client().query_opt(query, &[&userid, &mailbox.0]).await.unwrap()?.get(0);
    let names = [
        ("lookup", 'l'),
        ("read", 'r'),
        ("seen", 's'),
        ("write", 'w'),
        ("insert", 'i'),
        ("post", 'p'),
        ("create", 'k'),
        ("delete", 'x'),
        ("deleted", 't'),
        ("expunge", 'e'),
        ("administer", 'a'),
    ];
    Some(names.iter().filter(|(name, _)| acl[format!("{name}_flag")] == 1).map(|(_, letter)| *letter).collect())
}

#[tokio::test]
async fn rights_are_replaced_added_and_taken() {
    let (_, mut session, inbox) = ann("acl").await;
    session.create_user("bob").await.unwrap();
    session.set_acl("ann", inbox, "lr").await.unwrap();
    assert_eq!(rights(&session, "ann", inbox).await, None, "the owner needs none");
    for (change, expected) in
        [("-w", ""), ("lrs", "lrs"), ("+wi", "lrswi"), ("-s", "lrwi"), ("kxtea", "kxtea"), ("p", "p")]
    {
        session.set_acl("bob", inbox, change).await.unwrap();
        assert_eq!(rights(&session, "bob", inbox).await.as_deref(), Some(expected), "{change}");
    }
    session.set_acl(ANYONE, inbox, "l").await.unwrap();
    assert!(session.delete_acl("bob", inbox).await.unwrap() && !session.delete_acl("bob", inbox).await.unwrap());
    assert_eq!(number(&session, "select count(*) from dbmail_acl").await, 1);
    let error = session.set_acl("bob", inbox, "lz").await.unwrap_err().to_string();
    assert!(error.contains("no right z"), "{error}");
}

#[tokio::test]
async fn who_makes_a_public_mailbox_has_all_rights() {
    let (_, mut session, _) = ann("public").await;
    let news = session.create_public_mailbox("ann", "News").await.unwrap();
    assert_eq!(session.find_mailbox(PUBLIC_USER, "News").await.unwrap(), Some(news));
    assert_eq!(rights(&session, "ann", news).await.as_deref(), Some("lrswipkxtea"));
}
