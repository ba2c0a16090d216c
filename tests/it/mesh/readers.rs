//! The reported line: what no client can have seen is never renumbered, and what one may have seen is never overtaken.

use std::time::Duration;

use dbmail_mesh::config::Presence;
use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::Mesh;

const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Nodes on which it matters who reads, with alice's INBOX, and nobody who has ever logged in.
async fn mesh_of(prefix: &str, count: i16) -> (Mesh, MailboxId) {
    let (mut mesh, inbox) = Mesh::with_inbox(prefix, count, 8).await;
    mesh.mesh.presence = Presence::For(MONTH);
    for id in 1..=count {
        set_presence(&mesh, id, "30 days").await;
    }
    (mesh, inbox)
}

async fn set_presence(mesh: &Mesh, id: i16, window: &str) {
    mesh.psql(id).await.execute("select dbmail_mesh.set_presence($1::text::interval)", &[&window]).await.unwrap();
}

async fn deliver(mesh: &Mesh, id: i16, inbox: MailboxId, names: impl Iterator<Item = String>) -> Vec<Uid> {
    let mut session = mesh.dbmail(id).await;
    let mut uids = Vec::new();
    for name in names {
        uids.push(session.deliver(inbox, &Mail::named(&name)).await.unwrap());
    }
    uids
}

/// How many times messages were renumbered, on all nodes together: each number given counts once.
async fn numbers(mesh: &Mesh) -> i64 {
    mesh.count(1, "select count(*) from dbmail_mesh.number").await
}

async fn reported(mesh: &Mesh, id: i16, inbox: MailboxId) -> (i64, i64, String) {
    let sql = "select high, reported, why from dbmail_mesh.reported_lines where mailbox_idnr = $1";
    let row = mesh.psql(id).await.query_one(sql, &[&inbox.0]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// Messages that were delivered on each side while apart; `MESH_APART` says how many, 1000 for the figures of other systems.
fn apart() -> usize {
    std::env::var("MESH_APART").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

async fn deliver_apart(mesh: &Mesh, inbox: MailboxId) -> (Vec<Uid>, Vec<Uid>) {
    let names = |side: &'static str| (0..apart()).map(move |n| format!("{side}{n}"));
    tokio::join!(deliver(mesh, 1, inbox, names("a")), deliver(mesh, 2, inbox, names("b")))
}

#[tokio::test]
async fn of_messages_that_nobody_has_seen_on_both_sides_none_is_renumbered() {
    let (mesh, inbox) = mesh_of("unseen", 2).await;
    deliver_apart(&mesh, inbox).await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 2 * apart()).await;
    worker.stop().await;
    for id in [1, 2] {
        assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.number").await, 0);
        assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.renumber_log").await, 0);
        let (high, reported, why) = reported(&mesh, id, inbox).await;
        assert!(reported == 0 && high > 0, "{high} {reported}");
        assert_eq!(why, "nobody who may read it has ever come");
    }
}

#[tokio::test]
async fn with_a_reader_on_one_node_the_others_messages_alone_are_renumbered_once_each() {
    let (mesh, inbox) = mesh_of("one_reader", 2).await;
    let mut at_a = mesh.dbmail(1).await;
    at_a.login("alice").await.unwrap();
    let (of_a, of_b) = deliver_apart(&mesh, inbox).await;
    // The last few of B's may lie above all of A's.
    let late = of_b.iter().filter(|uid| of_a.last() > Some(uid)).count() as i64;
    assert!(late > apart() as i64 - 10);
    let mut reader = IncrementalReader::new("a", inbox);
    reader.poll(&mut at_a).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 2 * apart()).await;
    worker.stop().await;
    let renumbered = "select count(*), count(distinct n.birth_uid), count(*) filter (where g.unique_id like 'b%')
                from dbmail_mesh.number n join dbmail_messages g on g.message_idnr = n.uid";
    for id in [1, 2] {
        let row = mesh.psql(id).await.query_one(renumbered, &[]).await.unwrap();
        let counts: Vec<i64> = (0..3).map(|at| row.get(at)).collect();
        assert_eq!(counts, [late; 3], "node {id}");
    }
    assert_eq!(numbers(&mesh).await, late);
    // The client has missed nothing, and nothing changed under its hands.
    reader.poll(&mut at_a).await.unwrap();
    reader.recheck(&mut at_a).await.unwrap();
    assert!(reader.findings().is_empty(), "{:?}", reader.findings());
    assert!(reader.missing((0..apart()).flat_map(|n| [format!("a{n}"), format!("b{n}")])).is_empty());
    assert_eq!(reader.seen.len(), 2 * apart());
}

/// One who comes sees everything that is there; what arrives from then on below it is renumbered.
#[tokio::test]
async fn from_the_login_on_nothing_becomes_visible_below_what_is_there() {
    let (mesh, inbox) = mesh_of("login", 2).await;
    deliver(&mesh, 2, inbox, ["b1".into()].into_iter()).await;
    deliver(&mesh, 1, inbox, ["a1", "a2", "a3"].map(String::from).into_iter()).await;
    let worker = mesh.work();
    let all = mesh.await_equal(inbox, 4).await;
    worker.stop().await;
    assert_eq!(numbers(&mesh).await, 0);

    deliver(&mesh, 2, inbox, ["b2".into()].into_iter()).await;
    deliver(&mesh, 1, inbox, ["a4", "a5", "a6"].map(String::from).into_iter()).await;
    let mut at_a = mesh.dbmail(1).await;
    at_a.login("alice").await.unwrap();
    let mut reader = IncrementalReader::new("a", inbox);
    assert_eq!(reader.poll(&mut at_a).await.unwrap(), all.len() + 3);
    let worker = mesh.work();
    mesh.await_equal(inbox, 8).await;
    worker.stop().await;
    assert_eq!(numbers(&mesh).await, 1, "b2 came late");
    assert_eq!(reader.poll(&mut at_a).await.unwrap(), 1);
    reader.recheck(&mut at_a).await.unwrap();
    assert!(reader.findings().is_empty() && reader.missing(["b2"]).is_empty(), "{:?}", reader.findings());
}

/// The line stays where it was when the last reader had to be gone, and the next one lifts it again.
#[tokio::test]
async fn what_comes_after_the_last_reader_has_gone_does_not_move_the_line() {
    let (mesh, inbox) = mesh_of("gone", 1).await;
    let mut session = mesh.dbmail(1).await;
    session.login("alice").await.unwrap();
    let seen = deliver(&mesh, 1, inbox, ["1", "2"].map(String::from).into_iter()).await;
    assert_eq!(reported(&mesh, 1, inbox).await, (seen[1].0, seen[1].0, "its owner has logged in".into()));
    // Forty days pass: everything that is known is that much older.
    for sql in [
        "update dbmail_mesh.presence set seen_at = seen_at - interval '40 days'",
        "update dbmail_mesh.line set raised_at = raised_at - interval '35 days'",
    ] {
        mesh.psql(1).await.batch_execute(sql).await.unwrap();
    }
    let why = "nobody has come for longer than mesh.presence".to_owned();
    // Delivered five days after the last login: reported, or to be taken for it.
    assert_eq!(
        reported(&mesh, 1, inbox).await,
        (seen[1].0, seen[1].0, format!("{why}, and nothing new since")),
        "what was there while he may have been reading"
    );
    let unseen = deliver(&mesh, 1, inbox, ["3", "4"].map(String::from).into_iter()).await;
    assert_eq!(reported(&mesh, 1, inbox).await, (unseen[1].0, seen[1].0, why));
    session.login("alice").await.unwrap();
    assert_eq!(reported(&mesh, 1, inbox).await.1, unseen[1].0);
}

/// Each sign by itself makes a mailbox count as read, and what is no sign does not.
#[tokio::test]
async fn flags_a_select_a_share_and_public_mailboxes_are_signs_of_a_reader() {
    let (mesh, inbox) = mesh_of("signs", 1).await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("bob").await.unwrap();
    let mut folders = Vec::new();
    for name in ["Examined", "Flagged", "Selected", "Shared", "Withdrawn", "Public"] {
        let folder = match name {
            "Public" => session.create_public_mailbox("alice", "News").await.unwrap(),
            _ => session.create_mailbox("alice", name).await.unwrap(),
        };
        let uid = session.deliver(folder, &Mail::named(name)).await.unwrap();
        folders.push((folder, uid));
    }
    let [examined, flagged, selected, shared, withdrawn, public] = folders[..] else { panic!() };
    session.search_above(examined.0, Uid(0)).await.unwrap();
    session.store(flagged.0, &[flagged.1], &StoreFlags::add(Flags { seen: true, ..Flags::NONE })).await.unwrap();
    session.select(selected.0).await.unwrap();
    session.set_acl("bob", shared.0, "lr").await.unwrap();
    session.set_acl("bob", withdrawn.0, "lr").await.unwrap();
    session.delete_acl("bob", withdrawn.0).await.unwrap();
    for ((folder, uid), counts, why) in [
        (examined, false, "nobody who may read it has ever come"),
        (flagged, true, "somebody reads it: a flag was changed"),
        (selected, true, "somebody reads it: it was selected"),
        (shared, true, "it is shared"),
        (withdrawn, true, "somebody reads it: it was shared"),
        (public, true, "it is public"),
        ((inbox, Uid(0)), false, "nobody who may read it has ever come"),
    ] {
        let line = reported(&mesh, 1, folder).await;
        assert_eq!(line, (uid.0, if counts { uid.0 } else { 0 }, why.into()));
    }
    // Signs are added where nothing newer is known, not for every message.
    session.select(selected.0).await.unwrap();
    session.store(flagged.0, &[flagged.1], &StoreFlags::remove(Flags { seen: true, ..Flags::NONE })).await.unwrap();
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.reader_sign where sign in ('f', 's')").await, 2);
    // Whoever has logged in needs no sign.
    session.login("alice").await.unwrap();
    session.deliver(examined.0, &Mail::named("more")).await.unwrap();
    session.select(examined.0).await.unwrap();
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.reader_sign where sign in ('f', 's')").await, 2);
    // A shared mailbox counts for as long as it is shared; of several signs the last is enough.
    let again = "insert into dbmail_mesh.reader_sign (mailbox_idnr, sign) values ($1, 's'), ($1, 's')";
    mesh.psql(1).await.execute(again, &[&withdrawn.0.0]).await.unwrap();
    mesh.psql(1).await.execute("select dbmail_mesh.forget_signs(100)", &[]).await.unwrap();
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.reader_sign").await, 5);
}

/// An ACL that comes over a link shares the mailbox here as well.
#[tokio::test]
async fn a_share_that_was_granted_elsewhere_counts_here() {
    let (mesh, inbox) = mesh_of("share_comes", 2).await;
    let mut session = mesh.dbmail(1).await;
    session.create_user("bob").await.unwrap();
    session.set_acl("bob", inbox, "lr").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_acl", 1).await;
    worker.stop().await;
    assert_eq!(reported(&mesh, 2, inbox).await.2, "it is shared");
}

/// One row, whatever the number of his mailboxes, and the statement returns at once.
#[tokio::test]
async fn a_login_costs_one_row() {
    let (mesh, _) = mesh_of("login_cost", 1).await;
    let mut session = mesh.dbmail(1).await;
    let many = "insert into dbmail_mailboxes (owner_idnr, name)
                select u.user_idnr, 'Folder' || n from dbmail_users u, generate_series(1, 2000) n where u.userid = 'alice'";
    session.client().batch_execute(many).await.unwrap();
    session.login("alice").await.unwrap();
    let written = "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_xact_user_tables where schemaname = 'dbmail_mesh'";
    let mut client = mesh.psql(1).await;
    let mut before = 0;
    for n in 0..3 {
        let transaction = client.transaction().await.unwrap();
        let login = "update dbmail_users set last_login = localtimestamp where userid = 'alice'";
        transaction.execute(login, &[]).await.unwrap();
        let rows: i64 = transaction.query_one(written, &[]).await.unwrap().get(0);
        assert_eq!(rows - before, 1, "login {n}");
        before = rows;
        transaction.commit().await.unwrap();
    }
}

/// Whoever decides that nobody reads a mailbox keeps its owner from logging in until that is committed; and a login that is under way is
/// waited for.
#[tokio::test]
async fn a_login_and_an_apply_exclude_each_other() {
    let (mesh, inbox) = mesh_of("meet", 1).await;
    deliver(&mesh, 1, inbox, ["1", "2"].map(String::from).into_iter()).await;
    let look = "select uid from dbmail_mesh.lock_and_view(array[$1::bigint], '{}', $2) where state = 'l'";
    let waits =
        |pid: i32| format!("select count(*) from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock'");
    let login = "update dbmail_users set last_login = localtimestamp where userid = 'alice'";
    let pid_of = async |client: &tokio_postgres::Client| -> i32 {
        client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
    };

    let (mut apply, user) = (mesh.psql(1).await, mesh.psql(1).await);
    let batch = apply.transaction().await.unwrap();
    let line: i64 = batch.query_one(look, &[&inbox.0, &1i64]).await.unwrap().get(0);
    assert_eq!(line, 0);
    let pid = pid_of(&user).await;
    let logs_in = tokio::spawn(async move { user.batch_execute(login).await.unwrap() });
    mesh.await_count(1, &waits(pid), 1).await;
    batch.commit().await.unwrap();
    logs_in.await.unwrap();

    // Now he is there. Forgotten again, but in a transaction that has not ended: the apply waits for that, and then sees him.
    mesh.psql(1).await.batch_execute("delete from dbmail_mesh.presence").await.unwrap();
    let (mut user, apply) = (mesh.psql(1).await, mesh.psql(1).await);
    let logging_in = user.transaction().await.unwrap();
    logging_in.batch_execute(login).await.unwrap();
    let pid = pid_of(&apply).await;
    let applies =
        tokio::spawn(async move { apply.query_one(look, &[&inbox.0, &1i64]).await.unwrap().get::<_, i64>(0) });
    mesh.await_count(1, &waits(pid), 1).await;
    logging_in.commit().await.unwrap();
    assert_eq!(applies.await.unwrap(), reported(&mesh, 1, inbox).await.0, "he has been told of everything");
}

/// What arrives above everything keeps nobody from logging in.
#[tokio::test]
async fn where_everything_is_below_what_arrives_no_user_is_locked() {
    let (mesh, inbox) = mesh_of("no_lock", 1).await;
    let uids = deliver(&mesh, 1, inbox, ["1".into()].into_iter()).await;
    let mut apply = mesh.psql(1).await;
    let batch = apply.transaction().await.unwrap();
    let look = "select uid from dbmail_mesh.lock_and_view(array[$1::bigint], '{}', $2) where state = 'l'";
    batch.query_one(look, &[&inbox.0, &(uids[0].0 + 1)]).await.unwrap();
    let mut session = mesh.dbmail(1).await;
    tokio::time::timeout(Duration::from_secs(10), session.login("alice")).await.expect("he waits").unwrap();
}

/// The whole of it off: every mailbox counts as read.
#[tokio::test]
async fn always_means_that_every_mailbox_counts_as_read() {
    let (mut mesh, inbox) = mesh_of("always", 2).await;
    mesh.mesh.presence = Presence::Always;
    deliver(&mesh, 1, inbox, ["a1", "a2"].map(String::from).into_iter()).await;
    deliver(&mesh, 2, inbox, ["b1".into()].into_iter()).await;
    let worker = mesh.work();
    mesh.await_equal(inbox, 3).await;
    worker.stop().await;
    assert!(numbers(&mesh).await > 0);
    let (high, line, why) = reported(&mesh, 1, inbox).await;
    assert_eq!((line, why.as_str()), (high, "every mailbox counts as read: mesh.presence is \"always\""));
    // What was reported stays so when the setting changes back.
    set_presence(&mesh, 1, "30 days").await;
    assert_eq!(reported(&mesh, 1, inbox).await.1, high);
}

/// Whoever was thought to be gone under the shorter time may have been here all along.
#[tokio::test]
async fn a_longer_presence_brings_back_whom_the_shorter_one_had_given_up() {
    let (mesh, inbox) = mesh_of("longer", 1).await;
    mesh.dbmail(1).await.login("alice").await.unwrap();
    mesh.psql(1)
        .await
        .batch_execute("update dbmail_mesh.presence set seen_at = now() - interval '40 days'")
        .await
        .unwrap();
    let uids = deliver(&mesh, 1, inbox, ["1".into()].into_iter()).await;
    assert_eq!(reported(&mesh, 1, inbox).await.1, 0);
    set_presence(&mesh, 1, "60 days").await;
    assert_eq!(reported(&mesh, 1, inbox).await.1, uids[0].0);
    set_presence(&mesh, 1, "20 days").await;
    assert_eq!(reported(&mesh, 1, inbox).await.1, uids[0].0, "he counts as seen now");
}

/// A delivery that could not wait for the line overtook another. Where nobody reads, that is no harm.
#[tokio::test]
async fn what_is_overtaken_where_nobody_reads_keeps_its_uid() {
    for reads in [false, true] {
        let (mesh, inbox) = mesh_of("overtaken_unread", 1).await;
        let first = deliver(&mesh, 1, inbox, ["first".into()].into_iter()).await[0];
        if reads {
            mesh.dbmail(1).await.login("alice").await.unwrap();
        }
        let mut holder = mesh.psql(1).await;
        let open = holder.transaction().await.unwrap();
        let copy = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
                    select $2, physmessage_id, 'held', 1, 0 from dbmail_messages where message_idnr = $1 returning message_idnr";
        let held: i64 = open.query_one(copy, &[&first.0, &inbox.0]).await.unwrap().get(0);
        let overtaker = deliver(&mesh, 1, inbox, ["overtaker".into()].into_iter()).await[0];
        open.commit().await.unwrap();
        let sweep = "select dbmail_mesh.sweep_overtaking($1)";
        let queued: i64 = mesh.psql(1).await.query_one(sweep, &[&inbox.0]).await.unwrap().get(0);
        assert_eq!(queued > 0, reads, "{held} was overtaken by {overtaker}");
    }
}

/// With the trigger gone nobody is noticed; the login goes on, and `status` says so (see its tests). An error in it is no failure either.
#[tokio::test]
async fn an_error_of_ours_fails_no_login() {
    let (mesh, _) = mesh_of("broken", 1).await;
    mesh.psql(1)
        .await
        .batch_execute("alter table dbmail_mesh.presence add constraint broken check (user_idnr < 0) not valid")
        .await
        .unwrap();
    let mut session: Session = mesh.dbmail(1).await;
    session.login("alice").await.unwrap();
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.presence where seen_at < 'infinity'").await, 0);
}

/// A reader is shown a delivery that went without the line; his time ends before the worker sweeps. He was shown it all the same.
#[tokio::test]
async fn what_was_shown_without_the_line_stays_reported() {
    let (mesh, inbox) = mesh_of("swept_late", 1).await;
    let first = deliver(&mesh, 1, inbox, ["first".into()].into_iter()).await[0];
    mesh.dbmail(1).await.login("alice").await.unwrap();
    let mut holder = mesh.psql(1).await;
    let open = holder.transaction().await.unwrap();
    let copy = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
                select $2, physmessage_id, 'held', 1, 0 from dbmail_messages where message_idnr = $1";
    open.execute(copy, &[&first.0, &inbox.0]).await.unwrap();
    let overtaker = deliver(&mesh, 1, inbox, ["overtaker".into()].into_iter()).await[0];
    open.rollback().await.unwrap();
    let ago = "update dbmail_mesh.presence set seen_at = seen_at - interval '30 days' + interval '1 s';
               update dbmail_mesh.line set raised_at = raised_at - interval '31 days'";
    mesh.psql(1).await.batch_execute(ago).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(reported(&mesh, 1, inbox).await.1, overtaker.0);
    mesh.psql(1).await.execute("select dbmail_mesh.sweep_overtaking($1)", &[&inbox.0]).await.unwrap();
    assert_eq!(reported(&mesh, 1, inbox).await.1, overtaker.0);
}

/// The line goes by the owner's logins; it does not fall with a new owner.
#[tokio::test]
async fn a_mailbox_that_changes_hands_counts_as_read() {
    let (mesh, inbox) = mesh_of("hands", 1).await;
    let mut session = mesh.dbmail(1).await;
    session.login("alice").await.unwrap();
    let uid = deliver(&mesh, 1, inbox, ["1".into()].into_iter()).await[0];
    let carol = session.create_user("carol").await.unwrap();
    let give = "update dbmail_mailboxes set owner_idnr = $1, name = 'Given' where mailbox_idnr = $2";
    mesh.psql(1).await.execute(give, &[&carol, &inbox.0]).await.unwrap();
    assert_eq!(reported(&mesh, 1, inbox).await, (uid.0, uid.0, "somebody reads it: it has changed hands".into()));
}

/// One share is granted at the moment when the last other one is taken away.
#[tokio::test]
async fn a_share_beside_an_end_of_sharing_counts() {
    let (mesh, inbox) = mesh_of("share_beside", 1).await;
    let mut session = mesh.dbmail(1).await;
    for user in ["bob", "carol"] {
        session.create_user(user).await.unwrap();
    }
    session.set_acl("bob", inbox, "lr").await.unwrap();
    let mut other = mesh.psql(1).await;
    let open = other.transaction().await.unwrap();
    open.execute("delete from dbmail_acl where mailbox_id = $1", &[&inbox.0]).await.unwrap();
    let mut granting = mesh.dbmail(1).await;
    let grants = tokio::spawn(async move { granting.set_acl("carol", inbox, "lr").await.unwrap() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    open.commit().await.unwrap();
    grants.await.unwrap();
    assert_eq!(reported(&mesh, 1, inbox).await.2, "it is shared");
}
