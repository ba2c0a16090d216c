//! The audit of what is no mail: a difference in each column is found, and what is local is none.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::audit::{audit, differences, quota, state_digest};
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::findings::Guarantee;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::standin::{ANYONE, Mail, Session};
use jiff::civil::date;
use tokio_postgres::{Client, Config};

use crate::scratch_audit::{Nodes, two_nodes};

/// Whatever ann can have, and bob as the one whom she shares with.
async fn set_up(config: &Config, inbox: MailboxId) {
    let mut session = Session::connect(config).await.unwrap();
    session.create_user("bob").await.unwrap();
    session.subscribe("bob", inbox).await.unwrap();
    session.set_acl(ANYONE, inbox, "lr").await.unwrap();
    session.add_alias("info@example.org", "ann").await.unwrap();
    session.add_forward("info@example.org", "ann@example.net").await.unwrap();
    session.add_usermap("annie", "inet:127.0.0.1", "", "ann").await.unwrap();
    session.put_script("ann", "main", "keep;").await.unwrap();
    session.activate_script("ann", "main").await.unwrap();
    session.add_filter("ann", "Subject", "lists", "Lists").await.unwrap();
    let dates = (date(2026, 8, 1).at(0, 0, 0, 0), date(2026, 8, 15).at(0, 0, 0, 0));
    session.set_auto_reply("ann", dates, "I am away").await.unwrap();
    session.set_notification("ann", "pager@example.org").await.unwrap();
}

/// Two equal nodes, and a connection to the second.
async fn nodes() -> (Nodes, Client) {
    let (nodes, inbox) = two_nodes(&Ledger::default()).await;
    for (_, config) in &nodes {
        set_up(config, inbox).await;
    }
    let client = connect(&nodes[1].1).await.unwrap();
    (nodes, client)
}

async fn equal(nodes: &Nodes) -> bool {
    state_digest(&nodes[0].1).await.unwrap() == state_digest(&nodes[1].1).await.unwrap()
}

/// A table, the one row of it to tamper with, and for each column another value.
type Columns = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

const COLUMNS: &[Columns] = &[
    (
        "dbmail_users",
        "lower(userid) = 'ann'",
        &[
            ("userid", "'Ann'", "ber has account Ann, ams has not"),
            ("passwd", "'x'", "passwd of account ann is"),
            ("client_idnr", "9", "client_idnr of account ann is Some(\"0\") on ams and Some(\"9\") on ber"),
            ("maxmail_size", "9", "maxmail_size of account ann"),
            ("maxsieve_size", "9", "maxsieve_size of account ann"),
            ("encryption_type", "'x'", "encryption_type of account ann"),
            ("spasswd", "'x'", "spasswd of account ann"),
            ("saction", "9", "saction of account ann"),
            ("active", "0", "active of account ann"),
        ],
    ),
    (
        "dbmail_mailboxes",
        "name in ('Archive', 'Old')",
        &[
            ("name", "'Old'", "ber has mailbox ann/Old, ams has not"),
            ("owner_idnr", "3", "ams has mailbox ann/Archive, ber has not"),
            ("answered_flag", "0", "answered_flag of mailbox ann/Archive"),
            ("deleted_flag", "0", "deleted_flag of mailbox ann/Archive"),
            ("flagged_flag", "0", "flagged_flag of mailbox ann/Archive"),
            ("recent_flag", "0", "recent_flag of mailbox ann/Archive"),
            ("draft_flag", "0", "draft_flag of mailbox ann/Archive"),
            ("seen_flag", "0", "seen_flag of mailbox ann/Archive"),
            ("no_inferiors", "1", "no_inferiors of mailbox ann/Archive"),
            ("no_select", "1", "no_select of mailbox ann/Archive"),
            ("permission", "1", "permission of mailbox ann/Archive"),
            ("mailbox_idnr", "50", "UIDVALIDITY of ann/Archive"),
        ],
    ),
    (
        "dbmail_subscription",
        "true",
        &[
            ("user_id", "2", "subscription of anyone to mailbox 1"),
            ("mailbox_id", "2", "subscription of bob to mailbox 2"),
        ],
    ),
    (
        "dbmail_acl",
        "true",
        &[
            ("user_id", "3", "ACL of __public__ on mailbox 1"),
            ("mailbox_id", "2", "ACL of anyone on mailbox 2"),
            ("lookup_flag", "0", "rights of ACL of anyone on mailbox 1 is Some(\"lr\") on ams and Some(\"r\") on ber"),
            ("read_flag", "0", "Some(\"l\")"),
            ("seen_flag", "1", "Some(\"lrs\")"),
            ("write_flag", "1", "Some(\"lrw\")"),
            ("insert_flag", "1", "Some(\"lri\")"),
            ("post_flag", "1", "Some(\"lrp\")"),
            ("create_flag", "1", "Some(\"lrk\")"),
            ("delete_flag", "1", "Some(\"lrx\")"),
            ("deleted_flag", "1", "Some(\"lrt\")"),
            ("expunge_flag", "1", "Some(\"lre\")"),
            ("administer_flag", "1", "Some(\"lra\")"),
        ],
    ),
    (
        "dbmail_aliases",
        "alias_idnr = 1",
        &[
            ("alias", "'x'", "ber has alias x -> account ann, client 0"),
            ("deliver_to", "'2'", "ber has alias info@example.org -> account anyone, client 0"),
            ("deliver_to", "'77'", "ber has alias info@example.org -> 77, client 0"),
            ("client_idnr", "9", "ber has alias info@example.org -> account ann, client 9"),
        ],
    ),
    (
        "dbmail_usermap",
        "true",
        &[
            ("login", "'x'", "usermap login x is ann"),
            ("sock_allow", "'x'", "allow x"),
            ("sock_deny", "'x'", "deny x"),
            ("userid", "'x'", "login annie is x"),
        ],
    ),
    (
        "dbmail_sievescripts",
        "true",
        &[
            ("owner_idnr", "2", "script anyone/main"),
            ("name", "'x'", "script ann/x"),
            (
                "script",
                "E'stop;\\nkeep;'",
                "text of script ann/main is Some(\"keep;\") on ams and Some(\"stop;\\nkeep;\") on ber",
            ),
            ("active", "0", "active of script ann/main"),
        ],
    ),
    (
        "dbmail_filters",
        "true",
        &[
            ("user_id", "2", "filter of anyone: Subject with lists to Lists"),
            ("headername", "'x'", "filter of ann: x with"),
            ("headervalue", "'x'", "Subject with x to Lists"),
            ("mailbox", "'x'", "lists to x"),
        ],
    ),
    (
        "dbmail_auto_replies",
        "true",
        &[
            ("user_idnr", "2", "reply of anyone"),
            ("start_date", "now()", "start_date of reply of ann"),
            ("stop_date", "now()", "stop_date of reply of ann"),
            ("reply_body", "null", "reply_body of reply of ann is Some(\"I am away\") on ams and None on ber"),
        ],
    ),
    (
        "dbmail_auto_notifications",
        "true",
        &[
            ("user_idnr", "2", "notification of anyone"),
            ("notify_address", "null", "notify_address of notification of ann"),
        ],
    ),
];

#[tokio::test]
async fn a_difference_in_each_column_is_found() {
    let (nodes, client) = nodes().await;
    assert_eq!(differences(&nodes).await.unwrap(), Vec::<String>::new());
    assert!(equal(&nodes).await);
    for (table, row, columns) in COLUMNS {
        for (column, value, words) in *columns {
            let place = format!("ctid = (select ctid from {table} where {row})");
            let before: String = client
                .query_one(&format!("select quote_nullable({column}) from {table} where {place}"), &[])
                .await
                .unwrap()
                .get(0);
            let set = async |value: &str| {
                let statement = format!("update {table} set {column} = {value} where {place}");
                assert_eq!(client.execute(&statement, &[]).await.expect(&statement), 1, "{statement}");
            };
            set(value).await;
            let found = differences(&nodes).await.unwrap();
            assert!(found.iter().any(|line| line.contains(words)), "{table}.{column} should say {words:?}: {found:#?}");
            assert!(found.iter().all(|line| !line.contains('\n')));
            assert!(!equal(&nodes).await, "{table}.{column}");
            set(&before).await;
            assert!(equal(&nodes).await, "{table}.{column} is not restored");
        }
    }
}

#[tokio::test]
async fn a_row_that_is_missing_is_found() {
    let (nodes, client) = nodes().await;
    for (table, words) in [
        ("subscription", "ams has subscription of bob to mailbox 1, ber has not"),
        ("acl", "ams has ACL of anyone on mailbox 1, ber has not"),
        ("aliases", "ams has alias info@example.org -> account ann, client 0, ber has not"),
        ("usermap", "ams has usermap login annie is ann, allow inet:127.0.0.1, deny , ber has not"),
        ("sievescripts", "ams has script ann/main, ber has not"),
        ("filters", "ams has filter of ann: Subject with lists to Lists, ber has not"),
        ("auto_replies", "ams has reply of ann, ber has not"),
        ("auto_notifications", "ams has notification of ann, ber has not"),
    ] {
        client
            .batch_execute(&format!("create table kept as table dbmail_{table}; delete from dbmail_{table}"))
            .await
            .unwrap();
        let report = audit(&nodes, &Ledger::default(), &[]).await.unwrap();
        assert!(report.of(Guarantee::D).iter().any(|line| line == words), "{table}: {report}");
        assert_eq!(report.findings.len(), 1, "{table}: {report}");
        client.batch_execute(&format!("insert into dbmail_{table} table kept; drop table kept")).await.unwrap();
    }
    assert!(equal(&nodes).await);
}

#[tokio::test]
async fn what_is_local_may_differ() {
    let (nodes, client) = nodes().await;
    client
        .batch_execute(
            "update dbmail_users set last_login = now(), curmail_size = 1, cursieve_size = 1;
             update dbmail_users set user_idnr = user_idnr + 100 where userid in ('ann', 'bob');
             update dbmail_aliases set alias_idnr = alias_idnr + 50;
             update dbmail_aliases set deliver_to = (select user_idnr from dbmail_users where userid = 'ann')
                 where deliver_to = '4';
             update dbmail_mailboxes set seq = 77;
             update dbmail_messages set seq = 77, recent_flag = 0;
             update dbmail_sievescripts set id = id + 50;
             update dbmail_filters set id = id + 50;
             insert into dbmail_filters (user_id, headername, headervalue, mailbox)
                 select user_id, headername, headervalue, mailbox from dbmail_filters;
             insert into dbmail_aliases (alias, deliver_to) select alias, deliver_to from dbmail_aliases;
             insert into dbmail_replycache (to_addr, from_addr, lastseen) values ('a', 'b', now())",
        )
        .await
        .unwrap();
    assert_eq!(differences(&nodes).await.unwrap(), Vec::<String>::new());
    assert!(equal(&nodes).await);
}

#[tokio::test]
async fn messages_count_for_the_digest() {
    let (nodes, client) = nodes().await;
    client.batch_execute("update dbmail_messages set seen_flag = 1 where message_idnr = 4").await.unwrap();
    assert!(!equal(&nodes).await);
}

#[tokio::test]
async fn the_quota_is_what_is_visible() {
    let (nodes, client) = nodes().await;
    assert_eq!(quota(&nodes).await.unwrap(), Vec::<String>::new());
    let mut session = Session::connect(&nodes[1].1).await.unwrap();
    let inbox = session.find_mailbox("ann", "INBOX").await.unwrap().unwrap();
    session.deliver(inbox, &Mail::named("more")).await.unwrap();
    assert_eq!(quota(&nodes).await.unwrap(), Vec::<String>::new());
    client.batch_execute("update dbmail_messages set status = 2 where message_idnr = 4").await.unwrap();
    let wrong = quota(&nodes).await.unwrap();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].starts_with("ber: curmail_size of ann is "), "{wrong:?}");
    assert_eq!(session.shown(inbox, &[Uid(4)]).await.unwrap(), []);
    client.batch_execute("update dbmail_users set curmail_size = 5 where userid = 'bob'").await.unwrap();
    let expected = "ber: curmail_size of bob is 5, and the visible messages have 0 bytes";
    assert_eq!(quota(&nodes).await.unwrap()[1], expected);
}
