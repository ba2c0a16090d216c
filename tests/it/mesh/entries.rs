//! Entries: dbmail's small tables, changed on several nodes at once. Statements are dbmail's.

use dbmail_mesh::domain::ids::MailboxId;

use super::Mesh;

/// Both orders in which two nodes can learn of each other.
const ORDERS: [[i16; 2]; 2] = [[1, 2], [2, 1]];

/// The number of a user of that node.
fn user(userid: &str) -> String {
    format!("(select user_idnr from dbmail_users where userid = '{userid}')")
}

/// alice with her INBOX and bob on two nodes, with other numbers on the second.
async fn two_nodes(prefix: &str) -> (Mesh, MailboxId) {
    let mesh = Mesh::new(prefix, 2, 2).await;
    mesh.run(2, "select setval('dbmail_user_idnr_seq', 100)").await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    session.create_user("bob").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    mesh.settle(&[2, 1]).await;
    assert_ne!(
        mesh.text(1, &format!("select {}::text", user("alice"))).await,
        mesh.text(2, &format!("select {}::text", user("alice"))).await
    );
    (mesh, inbox)
}

/// dbmail's sequence: none of them, then this one.
async fn activate(mesh: &Mesh, id: i16, script: &str) {
    let alice = user("alice");
    mesh.run(
        id,
        &format!(
            "begin; update dbmail_sievescripts set active = 0 where owner_idnr = {alice};
             update dbmail_sievescripts set active = 1 where owner_idnr = {alice} and name = '{script}'; commit"
        ),
    )
    .await;
}

/// PUTSCRIPT: a temporary script that is active while it is examined, then the rename, which deletes an old one of that name.
async fn put_script(mesh: &Mesh, id: i16, name: &str, script: &str) {
    let (alice, temp) = (user("alice"), "@!temp-script!@");
    mesh.run(
        id,
        &format!("insert into dbmail_sievescripts (owner_idnr, name, script, active) values ({alice}, '{temp}', '{script}', 1)"),
    )
    .await;
    mesh.run(
        id,
        &format!(
            "do $$ declare was smallint; begin
               delete from dbmail_sievescripts where owner_idnr = {alice} and name = '{name}' returning active into was;
               update dbmail_sievescripts set name = '{name}', active = coalesce(was, 0) where owner_idnr = {alice} and name = '{temp}';
             end $$"
        ),
    )
    .await;
}

const ACTIVE: &str = "select coalesce(string_agg(name, ' '), '') from dbmail_sievescripts where active = 1";

/// Every table, in both directions: what is inserted, changed and deleted on one node is so on the other.
#[tokio::test]
async fn every_table_in_both_directions() {
    let (mesh, inbox) = two_nodes("tables").await;
    let (alice, bob, inbox) = (user("alice"), user("bob"), inbox.0);
    for (from, to) in [(1, 2), (2, 1)] {
        for sql in [
            format!(
                "insert into dbmail_aliases (alias, deliver_to, client_idnr) values ('a@x', {alice}::text, 0), ('b@x', 'c@y', 7)"
            ),
            "insert into dbmail_usermap (login, sock_allow, sock_deny, userid) values ('l', 'a', 'd', 'u')".into(),
            format!("insert into dbmail_subscription (user_id, mailbox_id) values ({bob}, {inbox})"),
            format!("insert into dbmail_acl (user_id, mailbox_id) values ({bob}, {inbox})"),
            format!(
                "insert into dbmail_acl (user_id, mailbox_id, lookup_flag) values ({}, {inbox}, 1)",
                user("anyone")
            ),
            format!(
                "insert into dbmail_sievescripts (owner_idnr, name, script, active) values ({alice}, 's', 'keep;', 1)"
            ),
            format!(
                "insert into dbmail_filters (user_id, headername, headervalue, mailbox) values ({alice}, 'subject', 'x', 'Box')"
            ),
            format!(
                "insert into dbmail_auto_replies values ({alice}, '2026-01-02 03:04:05', 'infinity', e'off\\n\\'til')"
            ),
            format!("insert into dbmail_auto_notifications values ({alice}, 'n@x')"),
        ] {
            mesh.run(from, &sql).await;
        }
        mesh.bring(to).await;
        mesh.assert_same().await;
        assert_eq!(
            mesh.count(to, "select count(*) from dbmail_mesh.entry where present and key->>'login' is null").await,
            10
        );
        assert_eq!(mesh.text(to, ACTIVE).await, "s");
        for sql in [
            "update dbmail_aliases set deliver_to = 'd@y' where alias = 'b@x'".into(),
            "update dbmail_usermap set sock_deny = 'e' where login = 'l'".into(),
            format!("update dbmail_acl set read_flag = 1 where user_id = {bob} and mailbox_id = {inbox}"),
            "update dbmail_sievescripts set script = 'discard;'".into(),
            "update dbmail_filters set headervalue = 'y'".into(),
            "update dbmail_auto_replies set reply_body = null".into(),
            "update dbmail_auto_notifications set notify_address = null".into(),
        ] {
            mesh.run(from, &sql).await;
        }
        mesh.bring(to).await;
        mesh.assert_same().await;
        let acl = format!("select concat_ws(' ', lookup_flag, read_flag) from dbmail_acl where user_id = {bob}");
        assert_eq!(mesh.text(to, &acl).await, "0 1");
        for table in ["aliases", "subscription", "acl", "sievescripts", "filters", "auto_replies", "auto_notifications"]
        {
            mesh.run(from, &format!("delete from dbmail_{table}")).await;
        }
        mesh.run(from, "delete from dbmail_usermap where login = 'l'").await;
        mesh.bring(to).await;
        mesh.assert_same().await;
        let left =
            "select count(*) from dbmail_mesh.entry where present and kind <> 'active' and key->>'login' is null";
        assert_eq!(mesh.count(to, left).await, 0);
    }
    mesh.replay().await;
}

/// The same rows are changed on both nodes: the later change wins as a whole; a deletion is a change like any other.
#[tokio::test]
async fn the_later_change_of_a_row_wins() {
    for order in ORDERS {
        let (mesh, inbox) = two_nodes("later").await;
        let (alice, bob, inbox) = (user("alice"), user("bob"), inbox.0);
        mesh.run(1, &format!("insert into dbmail_auto_replies values ({alice}, 'epoch', 'infinity', 'one')")).await;
        mesh.run(1, &format!("insert into dbmail_auto_notifications values ({alice}, 'one'), ({bob}, 'one')")).await;
        mesh.run(1, &format!("insert into dbmail_subscription values ({bob}, {inbox})")).await;
        mesh.run(1, "insert into dbmail_aliases (alias, deliver_to) values ('a', 'x'), ('a', 'y')").await;
        mesh.settle(&order).await;
        // Delete, then change; change, then delete; delete, then delete and make anew.
        mesh.run(1, &format!("delete from dbmail_auto_notifications where user_idnr = {alice}")).await;
        mesh.run(2, &format!("update dbmail_auto_notifications set notify_address = 'two' where user_idnr = {alice}"))
            .await;
        mesh.run(1, &format!("update dbmail_auto_notifications set notify_address = 'two' where user_idnr = {bob}"))
            .await;
        mesh.run(2, &format!("delete from dbmail_auto_notifications where user_idnr = {bob}")).await;
        mesh.run(2, "update dbmail_auto_replies set reply_body = 'two', start_date = 'now'").await;
        mesh.run(1, "update dbmail_auto_replies set reply_body = 'last'").await;
        mesh.run(1, "delete from dbmail_subscription").await;
        mesh.run(2, "delete from dbmail_subscription").await;
        mesh.run(2, &format!("insert into dbmail_subscription values ({bob}, {inbox})")).await;
        // Sets: what one adds and the other takes away.
        mesh.run(1, "delete from dbmail_aliases where deliver_to = 'x'").await;
        mesh.run(2, "insert into dbmail_aliases (alias, deliver_to) values ('a', 'z')").await;
        mesh.settle(&order).await;
        let found = format!(
            "select concat_ws(' ', (select string_agg(notify_address, ',') from dbmail_auto_notifications where user_idnr = {alice}),
               (select count(*) from dbmail_auto_notifications), (select reply_body from dbmail_auto_replies),
               (select start_date from dbmail_auto_replies), (select count(*) from dbmail_subscription),
               (select string_agg(deliver_to, '' order by deliver_to) from dbmail_aliases))"
        );
        assert_eq!(mesh.text(1, &found).await, "two 1 last 1970-01-01 00:00:00 1 yz");
        mesh.replay().await;
    }
}

/// An alias names its user by number, and the numbers differ between nodes. A number that is nobody's is not handed on: on another node
/// it would be somebody. Rows that are there twice are one, and go when the last of them goes.
#[tokio::test]
async fn an_alias_by_number_means_the_same_user() {
    let (mesh, _) = two_nodes("alias").await;
    mesh.run(1, &format!("insert into dbmail_aliases (alias, deliver_to) values ('a@x', {}::text)", user("bob"))).await;
    mesh.run(2, &format!("insert into dbmail_aliases (alias, deliver_to) values ('b@x', {}::text)", user("alice")))
        .await;
    mesh.run(1, "insert into dbmail_aliases (alias, deliver_to) values ('nobody', '4711')").await;
    mesh.settle(&[1, 2]).await;
    let whose = "select string_agg(alias || '=' || coalesce(userid, '-'), ' ' order by alias)
                 from dbmail_aliases left join dbmail_users on user_idnr::text = deliver_to";
    assert_eq!(mesh.text(2, whose).await, "a@x=bob b@x=alice");
    assert_eq!(mesh.text(1, whose).await, "a@x=bob b@x=alice nobody=-");
    mesh.run(1, "delete from dbmail_aliases where alias = 'nobody'").await;

    mesh.run(1, &format!("insert into dbmail_aliases (alias, deliver_to) values ('a@x', {}::text)", user("bob"))).await;
    let notes = "select count(*) from dbmail_mesh.outbox where kind = 'e'";
    let before = mesh.count(1, notes).await;
    mesh.run(1, "delete from dbmail_aliases where alias_idnr = (select max(alias_idnr) from dbmail_aliases)").await;
    assert_eq!(mesh.count(1, notes).await, before, "an equal row is left");
    mesh.run(1, "insert into dbmail_aliases (alias, deliver_to) select alias, deliver_to from dbmail_aliases where alias = 'a@x'").await;
    mesh.run(2, "delete from dbmail_aliases where alias = 'a@x'").await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(mesh.text(1, whose).await, "b@x=alice");
    mesh.replay().await;
}

/// DELETE and INSERT of an equal row in one transaction is no change: a later change elsewhere is not undone by it.
#[tokio::test]
async fn a_row_that_is_put_back_at_once_has_not_changed() {
    let (mesh, _) = two_nodes("back").await;
    let row = format!("insert into dbmail_auto_notifications values ({}, 'a')", user("alice"));
    mesh.run(1, &row).await;
    mesh.settle(&[1, 2]).await;
    mesh.run(2, "update dbmail_auto_notifications set notify_address = 'b'").await;
    mesh.run(1, &format!("begin; delete from dbmail_auto_notifications; {row}; commit")).await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(mesh.text(1, "select notify_address from dbmail_auto_notifications").await, "b");
}

/// Scripts as dbmail stores them: the temporary one goes nowhere and takes nobody's place; an active script that is stored anew stays
/// active, another does not become so.
#[tokio::test]
async fn scripts_are_stored_as_dbmail_does() {
    let (mesh, _) = two_nodes("sieve").await;
    put_script(&mesh, 1, "one", "keep;").await;
    activate(&mesh, 1, "one").await;
    put_script(&mesh, 1, "two", "stop;").await;
    mesh.settle(&[2, 1]).await;
    let scripts = "select string_agg(name || ':' || script, ' ' order by name) from dbmail_sievescripts";
    assert_eq!(mesh.text(2, scripts).await, "one:keep; two:stop;");
    assert_eq!((mesh.text(1, ACTIVE).await, mesh.text(2, ACTIVE).await), ("one".into(), "one".into()));
    put_script(&mesh, 2, "one", "discard;").await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(
        (mesh.text(1, scripts).await, mesh.text(1, ACTIVE).await),
        ("one:discard; two:stop;".into(), "one".into())
    );
    // Deactivated, and deleted while active.
    mesh.run(2, "update dbmail_sievescripts set active = 0 where name = 'one'").await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(mesh.text(1, ACTIVE).await, "");
    activate(&mesh, 1, "two").await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(mesh.text(2, ACTIVE).await, "two");
    mesh.run(2, "delete from dbmail_sievescripts where name = 'two'").await;
    mesh.settle(&[1, 2]).await;
    assert_eq!((mesh.text(1, scripts).await, mesh.text(1, ACTIVE).await), ("one:discard;".into(), String::new()));
    let temp = "select count(*) from dbmail_mesh.entry where key ->> 'name' like '@%'";
    assert_eq!((mesh.count(1, temp).await, mesh.count(2, temp).await), (0, 0));
    mesh.replay().await;
}

/// Two nodes activate different scripts at once: one is active in the end, the later one, whoever learns of whom first. One that a hand
/// has made active beside another replaces it.
#[tokio::test]
async fn of_two_scripts_that_are_activated_at_once_the_later_is_active() {
    for order in ORDERS {
        let (mesh, _) = two_nodes("active").await;
        for script in ["one", "two", "three"] {
            put_script(&mesh, 1, script, "keep;").await;
        }
        mesh.settle(&order).await;
        activate(&mesh, 1, "one").await;
        activate(&mesh, 2, "two").await;
        mesh.settle(&order).await;
        assert_eq!((mesh.text(1, ACTIVE).await, mesh.text(2, ACTIVE).await), ("two".into(), "two".into()));
        activate(&mesh, 2, "one").await;
        mesh.run(1, "update dbmail_sievescripts set active = 1 where name = 'three'").await;
        mesh.settle(&order).await;
        assert_eq!((mesh.text(1, ACTIVE).await, mesh.text(2, ACTIVE).await), ("three".into(), "three".into()));
        // All of them at once, by hand: one is left.
        mesh.run(1, "update dbmail_sievescripts set active = 1").await;
        mesh.settle(&order).await;
        assert_eq!(mesh.count(1, "select count(*) from dbmail_sievescripts where active = 1").await, 1);
        mesh.replay().await;
    }
}

/// What goes with its user needs no tombstones, and does not come back: the account is dead.
#[tokio::test]
async fn what_goes_with_its_user_is_nobodys() {
    let (mesh, inbox) = two_nodes("cascade").await;
    let bob = user("bob");
    mesh.run(1, &format!("insert into dbmail_subscription values ({bob}, {})", inbox.0)).await;
    mesh.run(1, &format!("insert into dbmail_auto_notifications values ({bob}, 'b')")).await;
    mesh.settle(&[1, 2]).await;
    let notes = "select count(*) from dbmail_mesh.outbox where kind = 'e'";
    let before = mesh.count(1, notes).await;
    mesh.run(1, "delete from dbmail_users where userid = 'bob'").await;
    assert_eq!(mesh.count(1, notes).await, before);
    mesh.run(2, "update dbmail_auto_notifications set notify_address = 'c'").await;
    mesh.bring(1).await;
    mesh.bring(2).await;
    assert_eq!(mesh.count(1, "select count(*) from dbmail_auto_notifications").await, 0);
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.set_aside").await, 0);
    // The other node carries the death out.
    let dies = format!(
        "begin; set local dbmail_mesh.applying = 'on';
         insert into dbmail_aliases (alias, deliver_to) values ('b@x', {bob}::text);
         select dbmail_mesh.forget_account('bob/1');
         delete from dbmail_users where userid = 'bob';
         update dbmail_mesh.account set gone_in = pg_current_xact_id() where account = 'bob/1';
         commit"
    );
    mesh.run(2, &dies).await;
    assert_eq!(mesh.count(2, "select count(*) from dbmail_aliases").await, 0);
    for id in [1, 2] {
        assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.entry where key ->> 'account' = 'bob/1'").await, 0);
    }
}

/// What was there before the mesh comes with the first copy, the greater value where two nodes have different ones.
#[tokio::test]
async fn what_was_there_comes_with_the_first_copy() {
    for order in ORDERS {
        let (mesh, _) = two_nodes("adopted").await;
        // As adopted: no stamps.
        for (id, value) in [(1, "one"), (2, "two")] {
            mesh.run(id, &format!("insert into dbmail_auto_notifications values ({}, '{value}')", user("alice"))).await;
            mesh.run(id, &format!("insert into dbmail_aliases (alias, deliver_to) values ('{value}', 'x')")).await;
            mesh.run(id, "update dbmail_mesh.entry set stamp = 0").await;
        }
        mesh.run(1, "delete from dbmail_mesh.cursor").await;
        mesh.run(2, "delete from dbmail_mesh.cursor").await;
        mesh.settle(&order).await;
        assert_eq!(mesh.text(1, "select notify_address from dbmail_auto_notifications").await, "two");
        assert_eq!(mesh.text(2, "select string_agg(alias, ' ' order by alias) from dbmail_aliases").await, "one two");
    }
}

/// Two folders of one name are made one on both nodes, in either order and before or after the other's entries have come: the
/// subscriptions count for the one that stays. Of a public one, rights that only one side had are dropped: also those of which the node
/// that merges has not yet heard that the other side has them, for it is better to grant them once more than to let somebody in.
#[tokio::test]
async fn entries_of_a_merged_mailbox_count_for_the_other() {
    for (owner, order, merge_first, rights) in [
        ("alice", [1, 2], true, "alice:1 anyone:2 bob:1"),
        ("alice", [2, 1], false, "alice:1 anyone:2 bob:1"),
        ("__public__", [1, 2], true, ""),
        ("__public__", [2, 1], false, "anyone:2"),
    ] {
        let (mesh, _) = two_nodes("merged").await;
        let mut session = mesh.dbmail(1).await;
        let low = session.create_mailbox(owner, "low").await.unwrap().0;
        let high = session.create_mailbox(owner, "high").await.unwrap().0;
        mesh.settle(&order).await;
        let acl = |userid: &str, mailbox: i64, read: i32| {
            format!(
                "insert into dbmail_acl (user_id, mailbox_id, read_flag) values ({}, {mailbox}, {read})",
                user(userid)
            )
        };
        mesh.run(1, &acl("anyone", low, 1)).await;
        mesh.run(1, &acl("alice", low, 1)).await;
        mesh.run(2, &acl("bob", high, 1)).await;
        mesh.run(2, &acl("anyone", high, 2)).await;
        mesh.run(1, &format!("insert into dbmail_subscription values ({}, {low})", user("bob"))).await;
        mesh.run(2, &format!("insert into dbmail_subscription values ({}, {high})", user("alice"))).await;
        if !merge_first {
            mesh.settle(&order).await;
        }
        // On a node by itself, or on both, as it happens when both learn of the twins.
        mesh.run(order[0], &merge(low, high)).await;
        mesh.bring(order[0]).await;
        mesh.run(order[1], &merge(low, high)).await;
        for into in [order[0], order[1], order[0], order[1]] {
            mesh.bring(into).await;
        }
        let found = format!(
            "select coalesce(string_agg(userid || ':' || read_flag, ' ' order by userid), '') from dbmail_acl
             join dbmail_users on user_idnr = user_id where mailbox_id = {high}"
        );
        let subscribed = format!("select count(*) from dbmail_subscription where mailbox_id = {high}");
        for id in [1, 2] {
            assert_eq!(mesh.text(id, &found).await, rights, "{owner} {order:?} node {id}");
            assert_eq!(mesh.count(id, &subscribed).await, 2);
        }
        // A grant of later goes both ways.
        mesh.run(2, &format!("delete from dbmail_acl where mailbox_id = {high}")).await;
        mesh.run(2, &acl("bob", high, 1)).await;
        mesh.settle(&order).await;
        assert_eq!(mesh.text(1, &found).await, "bob:1");
        mesh.replay().await;
    }
}

/// A merge, as far as entries see one.
fn merge(loser: i64, winner: i64) -> String {
    format!(
        "begin; set local dbmail_mesh.applying = 'on';
         select dbmail_mesh.merge_entries({loser}, {winner});
         insert into dbmail_mesh.mailbox_fate (mailbox_idnr, merged_into, gone_in) values ({loser}, {winner}, pg_current_xact_id());
         delete from dbmail_mailboxes where mailbox_idnr = {loser};
         commit"
    )
}

/// An entry that arrives before its mailbox is set aside, and joined when the mailbox is there.
#[tokio::test]
async fn an_entry_waits_for_its_mailbox() {
    let (mesh, _) = two_nodes("waits").await;
    let mut session = mesh.dbmail(1).await;
    let box_ = session.create_mailbox("alice", "Box").await.unwrap().0;
    mesh.run(1, &format!("insert into dbmail_subscription values ({}, {box_})", user("alice"))).await;
    // The name is taken there, so the mailbox cannot come yet.
    let twin = mesh.dbmail(2).await.create_mailbox("alice", "Box").await.unwrap().0;
    mesh.bring(2).await;
    let waits = "select count(*) from dbmail_mesh.set_aside where kind = 'e'";
    let there = format!("select count(*) from dbmail_subscription where mailbox_id = {box_}");
    if mesh.count(2, &there).await == 0 {
        assert_eq!(mesh.count(2, waits).await, 1);
        mesh.run(2, &format!("update dbmail_mailboxes set name = 'Other' where mailbox_idnr = {twin}")).await;
        let worker = mesh.work();
        mesh.await_count(2, waits, 0).await;
        mesh.await_count(2, &there, 1).await;
        worker.stop().await;
    }
}
