//! What the stand-in does to accounts, and what belongs to one.

use dbmail_mesh::scratch::standin::{Mail, Session, TEMPORARY_SCRIPT};
use jiff::civil::date;

use crate::scratch_standin::{ann, number};

/// A row as text, such as `(ann,1)`; none when there is none.
async fn row(session: &Session, query: &str) -> Option<String> {
    let query = format!("select found::text from ({query}) as found");
    session.client().query_opt(&query, &[]).await.expect(&query).map(|row| row.get(0))
}

#[tokio::test]
async fn an_account_can_be_changed_in_every_way() {
    let (_, mut session, _) = ann("account").await;
    session.change_password("ann", "secret", "md5").await.unwrap();
    session.change_quota("ann", 1000).await.unwrap();
    session.change_client("ann", 7).await.unwrap();
    session.change_active("ann", false).await.unwrap();
    session.change_security("ann", "duress", 3).await.unwrap();
    session.rename_user("ann", "anna").await.unwrap();
    let changed = row(
        &session,
        "select passwd, encryption_type, maxmail_size, client_idnr, active, spasswd, saction
         from dbmail_users where userid = 'anna'",
    );
    assert_eq!(changed.await.as_deref(), Some("(secret,md5,1000,7,0,duress,3)"));
    session.change_quota("ann", 1).await.unwrap_err();
    session.rename_user("anna", "anyone").await.unwrap_err();
}

#[tokio::test]
async fn aliases_lead_to_accounts_and_addresses() {
    let (_, mut session, _) = ann("alias").await;
    session.change_client("ann", 7).await.unwrap();
    assert!(session.add_alias("a@example.org", "ann").await.unwrap());
    assert!(!session.add_alias("A@example.org", "ann").await.unwrap(), "it is there");
    let alias = "select alias, deliver_to = user_idnr::text as own, alias.client_idnr
        from dbmail_aliases as alias, dbmail_users where userid = 'ann'";
    assert_eq!(row(&session, alias).await.as_deref(), Some("(a@example.org,t,7)"));
    assert!(session.add_forward("a@example.org", "else@example.net").await.unwrap());
    assert!(!session.add_forward("a@example.org", "ELSE@example.net").await.unwrap());
    assert!(session.remove_alias("A@example.org", "ann").await.unwrap());
    assert!(!session.remove_alias("a@example.org", "ann").await.unwrap());
    assert!(session.remove_forward("a@example.org", "Else@example.net").await.unwrap());
    assert!(!session.remove_forward("a@example.org", "else@example.net").await.unwrap());
}

#[tokio::test]
async fn a_deleted_account_takes_along_what_it_had() {
    let (_, mut session, inbox) = ann("delete_user").await;
    session.create_user("bob").await.unwrap();
    let his = session.create_mailbox("bob", "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("m").with_keywords(&["k"])).await.unwrap();
    session.deliver(his, &Mail::named("his")).await.unwrap();
    session.subscribe("ann", his).await.unwrap();
    session.set_acl("ann", his, "lr").await.unwrap();
    session.set_acl("bob", inbox, "lr").await.unwrap();
    session.put_script("ann", "main", "keep;").await.unwrap();
    session.add_filter("ann", "Subject", "x", "INBOX").await.unwrap();
    session.set_notification("ann", "pager@example.org").await.unwrap();
    session.add_alias("a@example.org", "ann").await.unwrap();
    session.add_alias("both@example.org", "ann").await.unwrap();
    session.add_alias("both@example.org", "bob").await.unwrap();
    session.add_forward("a@example.org", "else@example.net").await.unwrap();
    session.add_forward("chain@example.org", "a@example.org").await.unwrap();
    assert!(session.delete_user("ann").await.unwrap());
    for (table, rows) in [
        ("mailboxes", 2),
        ("messages", 1),
        ("subscription", 0),
        ("acl", 0),
        ("sievescripts", 0),
        ("filters", 0),
        ("auto_notifications", 0),
        ("keywords", 0),
        ("aliases", 1),
    ] {
        assert_eq!(number(&session, &format!("select count(*) from dbmail_{table}")).await, rows, "{table}");
    }
    session.delete_user("ann").await.unwrap_err();
}

#[tokio::test]
async fn a_script_is_put_under_another_name_first() {
    let (_, mut session, _) = ann("sieve").await;
    let scripts = "select string_agg(name || ' ' || script || active, ' ' order by name) from dbmail_sievescripts";
    let state = async |session: &Session| row(session, scripts).await.unwrap();
    session
        .client()
        .batch_execute(
            "create table inserted (name text); create function inserted() returns trigger language plpgsql
         as $$ begin insert into inserted values (new.name); return null; end $$;
         create trigger inserted after insert on dbmail_sievescripts for each row
         when (new.active = 1) execute function inserted()",
        )
        .await
        .unwrap();
    session.put_script("ann", "main", "keep;").await.unwrap();
    assert_eq!(state(&session).await, "(\"main keep;0\")");
    let temporary = row(&session, "select name from inserted").await.unwrap();
    assert!(temporary.contains(TEMPORARY_SCRIPT), "{temporary}");

    session.put_script("ann", "other", "stop;").await.unwrap();
    session.activate_script("ann", "main").await.unwrap();
    session.put_script("ann", "main", "discard;").await.unwrap();
    assert_eq!(state(&session).await, "(\"main discard;1 other stop;0\")", "what replaces an active one is active");
    session.activate_script("ann", "other").await.unwrap();
    assert_eq!(state(&session).await, "(\"main discard;0 other stop;1\")");
    session.rename_script("ann", "other", "new").await.unwrap();
    assert_eq!(state(&session).await, "(\"main discard;0 new stop;0\")", "a renamed one is not");
    session.activate_script("ann", "new").await.unwrap();
    assert!(session.deactivate_script("ann", "new").await.unwrap());
    assert!(session.delete_script("ann", "new").await.unwrap() && !session.delete_script("ann", "new").await.unwrap());
    session.activate_script("ann", "new").await.unwrap();
    assert_eq!(state(&session).await, "(\"main discard;0\")");
}

#[tokio::test]
async fn what_an_admin_writes_in_sql() {
    let (_, mut session, _) = ann("admin").await;
    session.add_usermap("a", "inet:0.0.0.0/0:143", "", "ann").await.unwrap();
    assert_eq!(row(&session, "select * from dbmail_usermap").await.as_deref(), Some("(a,inet:0.0.0.0/0:143,\"\",ann)"));
    assert_eq!(session.remove_usermap("a", "ann").await.unwrap(), 1);

    session.add_filter("ann", "Subject", "x", "Lists").await.unwrap();
    let filter = "select headername, headervalue, mailbox from dbmail_filters";
    assert_eq!(row(&session, filter).await.as_deref(), Some("(Subject,x,Lists)"));
    assert_eq!(session.remove_filter("ann", "Subject", "x").await.unwrap(), 1);

    let dates = (date(2026, 8, 1).at(0, 0, 0, 0), date(2026, 8, 15).at(0, 0, 0, 0));
    for body in ["away", "away again"] {
        session.set_auto_reply("ann", dates, body).await.unwrap();
    }
    let reply = "select start_date, stop_date, reply_body from dbmail_auto_replies";
    let expected = "(\"2026-08-01 00:00:00\",\"2026-08-15 00:00:00\",\"away again\")";
    assert_eq!(row(&session, reply).await.as_deref(), Some(expected));
    assert!(session.remove_auto_reply("ann").await.unwrap() && !session.remove_auto_reply("ann").await.unwrap());

    session.set_notification("ann", "one@example.org").await.unwrap();
    session.set_notification("ann", "two@example.org").await.unwrap();
    let notification = "select notify_address from dbmail_auto_notifications";
    assert_eq!(row(&session, notification).await.as_deref(), Some("(two@example.org)"));
    assert!(session.remove_notification("ann").await.unwrap() && !session.remove_notification("ann").await.unwrap());
}
