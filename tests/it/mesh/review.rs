//! Interleavings that a review found: each once broke a guarantee.

use std::time::{Duration, Instant};

use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::Mesh;

/// Whether a session of this database waits for a row.
const WAITS: &str = "select least(count(*), 1) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and wait_event in ('transactionid', 'tuple')";

/// An expunge arrives while dbmail moves the message, which gets a new UID by that. The worker waited for the row, found nothing under
/// the old UID any more, and wrote the tombstone all the same: the message stayed visible for ever, for to the mesh it was dead
/// (guarantees C and D).
#[tokio::test]
async fn an_expunge_finds_a_message_that_is_being_moved() {
    let (mesh, inbox) = Mesh::with_inbox("killmove", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    session.deliver(folder, &Mail::named("later")).await.unwrap();
    session.store(inbox, &[uid], &StoreFlags::add(Flags { deleted: true, ..Flags::default() })).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    mesh.await_equal(folder, 1).await;
    mesh.await_count(2, "select count(*) from dbmail_messages where deleted_flag = 1", 1).await;

    let mut mover = mesh.psql(2).await;
    let open = mover.transaction().await.unwrap();
    open.execute("update dbmail_messages set mailbox_idnr = $2 where message_idnr = $1", &[&uid.0, &folder.0])
        .await
        .unwrap();
    session.expunge(inbox).await.unwrap();
    mesh.await_count(2, WAITS, 1).await;
    open.commit().await.unwrap();
    mesh.await_equal(folder, 1).await;
    worker.stop().await;
}

/// A peer has moved a message to where it is late, and sets a keyword; at that moment INBOX is renamed here, which keeps the UIDs. The
/// rename is the later move, but the message was queued for the other mailbox under the stamp of the rename: it ended where the earlier
/// put it, and a node that had heard of the rename showed it elsewhere, with the same stamp, for ever (guarantee D).
#[tokio::test]
async fn a_message_that_is_late_elsewhere_stays_where_a_later_rename_put_it() {
    let (mesh, inbox) = Mesh::with_inbox("waitmove", 2, 2).await;
    let (mut here, mut there) = (mesh.dbmail(2).await, mesh.dbmail(1).await);
    let folder = there.create_mailbox("alice", "Folder").await.unwrap();
    let new = there.create_mailbox("alice", "New").await.unwrap();
    let uid = there.deliver(inbox, &Mail::named("m")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    mesh.await_count(2, &format!("select count(*) from dbmail_mailboxes where mailbox_idnr in ({folder}, {new})"), 2)
        .await;
    worker.stop().await;
    // What is delivered here makes the message late in the folder.
    for n in 0..3 {
        here.deliver(folder, &Mail::named(&format!("later{n}"))).await.unwrap();
    }
    there.move_messages(inbox, &[uid], folder).await.unwrap();
    let mut mover = mesh.psql(2).await;
    let open = mover.transaction().await.unwrap();
    open.execute("update dbmail_messages set mailbox_idnr = $2 where mailbox_idnr = $1", &[&inbox.0, &new.0])
        .await
        .unwrap();
    let worker = mesh.work_for(&[2]);
    mesh.await_count(2, WAITS, 1).await;
    open.commit().await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.late", 0).await;
    let both = mesh.work_for(&[1]);
    mesh.await_equal(folder, 3).await;
    mesh.await_equal(new, 1).await;
    both.stop().await;
    worker.stop().await;
}

/// A peer flags a message that dbmail moves at that moment, by which it gets a new UID. The flag matched no row, but its stamp was
/// written: the nodes never agreed again (guarantee D).
#[tokio::test]
async fn a_flag_finds_a_message_that_is_being_moved() {
    let (mesh, inbox) = Mesh::with_inbox("markmove", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    session.deliver(folder, &Mail::named("later")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    mesh.await_equal(folder, 1).await;

    let mut mover = mesh.psql(2).await;
    let open = mover.transaction().await.unwrap();
    open.execute("update dbmail_messages set mailbox_idnr = $2 where message_idnr = $1", &[&uid.0, &folder.0])
        .await
        .unwrap();
    session
        .store(inbox, &[uid], &StoreFlags::add(Flags { flagged: true, ..Flags::default() }).keywords(&["work"]))
        .await
        .unwrap();
    mesh.await_count(2, WAITS, 1).await;
    open.commit().await.unwrap();
    mesh.await_equal(folder, 2).await;
    let flagged = "select count(*) from dbmail_messages g join dbmail_keywords k using (message_idnr)
                   where g.unique_id = 'm' and g.flagged_flag = 1 and g.status < 2 and k.keyword = 'work'";
    for node in [1, 2] {
        mesh.await_count(node, flagged, 1).await;
    }
    worker.stop().await;
}

/// A message with a UID of another node is moved while the line of its new mailbox is held for too long. The number that was taken
/// without the lock could lie below its UID; the table of numbers refused it, and dbmail's statement failed (guarantee G).
#[tokio::test]
async fn a_message_moves_up_also_without_the_lock() {
    let (mesh, inbox) = Mesh::with_inbox("upward", 2, 8).await;
    let mut there = mesh.dbmail(2).await;
    let mut here = mesh.dbmail(1).await;
    let folder = here.create_mailbox("alice", "Folder").await.unwrap();
    let uid = there.deliver(inbox, &Mail::named("m")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    worker.stop().await;
    let mut holder = mesh.psql(1).await;
    let held = holder.transaction().await.unwrap();
    held.execute("select from dbmail_mesh.line where mailbox_idnr = $1 for update", &[&folder.0]).await.unwrap();
    assert_eq!(here.move_messages(inbox, &[uid], folder).await.unwrap(), 1);
    held.commit().await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(folder, 1).await;
    mesh.await_equal(inbox, 0).await;
    worker.stop().await;
}

/// A user is to go who has no mailbox left; somebody's foreign key holds him up for a moment, and in this moment dbmail makes an INBOX
/// for him and delivers into it. Both went by the cascade, noted nowhere (guarantee E).
#[tokio::test]
async fn mail_that_arrives_while_a_user_goes_is_not_lost_by_cascade() {
    let mesh = Mesh::new("usergoes", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let bob = session.create_user("bob").await.unwrap();
    let client = mesh.psql(1).await;
    client.execute("update dbmail_mesh.account set died_at = now() where user_idnr = $1", &[&bob]).await.unwrap();
    let mut holder = mesh.psql(1).await;
    let held = holder.transaction().await.unwrap();
    held.execute("select from dbmail_users where user_idnr = $1 for key share", &[&bob]).await.unwrap();
    let remover = tokio::spawn(async move {
        client
            .batch_execute(
                "begin; select dbmail_mesh.guard(20000, 20000);
                 select dbmail_mesh.remove_account(id) from dbmail_mesh.account where born_as = 'bob'; commit",
            )
            .await
    });
    mesh.await_count(1, WAITS, 1).await;
    let inbox = session.create_mailbox("bob", "INBOX").await.unwrap();
    // Its end, the quota, may wait for the worker.
    let delivery = tokio::spawn(async move { session.deliver(inbox, &Mail::named("m")).await.unwrap() });
    let arrived = "select count(*) from dbmail_messages where unique_id = 'm' and message_idnr < 281474976710656";
    mesh.await_count(1, arrived, 1).await;
    held.commit().await.unwrap();
    remover.await.unwrap().unwrap();
    delivery.await.unwrap();
    assert_eq!(mesh.count(1, "select count(*) from dbmail_messages where unique_id = 'm'").await, 1);
    let worker = mesh.work();
    mesh.await_count(1, "select count(*) from dbmail_users where userid = 'bob'", 0).await;
    mesh.await_count(1, "select count(*) from dbmail_mesh.kept_messages where unique_id = 'm'", 1).await;
    worker.stop().await;
}

/// An admin brings expunged messages back into another mailbox, by one statement. The row was given a new UID, but it was taken for a
/// number of the dead message: visible here, dead to all others (guarantee D).
#[tokio::test]
async fn what_is_brought_back_into_another_mailbox_is_a_new_message() {
    let (mesh, inbox) = Mesh::with_inbox("undelete", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Restored").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    session.store(inbox, &[uid], &StoreFlags::add(Flags { deleted: true, ..Flags::default() })).await.unwrap();
    session.expunge(inbox).await.unwrap();
    let restore = "update dbmail_messages set status = 0, deleted_flag = 0, mailbox_idnr = $2
                   where message_idnr = $1 and status = 2";
    assert_eq!(mesh.psql(1).await.execute(restore, &[&uid.0, &folder.0]).await.unwrap(), 1);
    let worker = mesh.work();
    mesh.await_equal(folder, 1).await;
    worker.stop().await;
}

/// A RENAME of INBOX raised the line of the new mailbox once for each row. All versions of that one row, in one transaction, were
/// walked through for each message: twice as many took four times as long, and ten thousands held dbmail up for minutes (guarantee G).
#[tokio::test]
async fn a_large_inbox_is_renamed_in_time_that_grows_with_its_messages() {
    let (mesh, inbox) = Mesh::with_inbox("large", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let client = mesh.psql(1).await;
    let mut took = Vec::new();
    for (count, name) in [(500_i64, "First"), (4000, "Second")] {
        let fill = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
                    select $1, (select min(id) from dbmail_physmessage), 'm' || n, 1, 0 from generate_series(1, $2::bigint) n";
        for _ in 0..count / 500 {
            client.execute(fill, &[&inbox.0, &500_i64]).await.unwrap();
        }
        let begun = Instant::now();
        let renamed = session.rename_inbox("alice", name).await.unwrap();
        took.push(begun.elapsed() / u32::try_from(count).unwrap());
        let high = format!("select high from dbmail_mesh.line where mailbox_idnr = {renamed}");
        let top = format!("select max(message_idnr) from dbmail_messages where mailbox_idnr = {renamed}");
        assert_eq!(mesh.count(1, &high).await, mesh.count(1, &top).await);
    }
    assert!(took[1] < took[0] * 3, "a message of many takes {:?}, of few {:?}", took[1], took[0]);
}

/// A move of many messages waited for the line of their new mailbox anew for each of them: half a second a message, with all rows that
/// it had moved already locked (guarantee G).
#[tokio::test]
async fn a_move_waits_for_a_line_once() {
    let (mesh, inbox) = Mesh::with_inbox("waitonce", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    for n in 0..8 {
        session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
    }
    let mut holder = mesh.psql(1).await;
    let held = holder.transaction().await.unwrap();
    held.execute("select from dbmail_mesh.line where mailbox_idnr = $1 for update", &[&folder.0]).await.unwrap();
    let begun = Instant::now();
    let moved = "update dbmail_messages set mailbox_idnr = $2 where mailbox_idnr = $1";
    assert_eq!(mesh.psql(1).await.execute(moved, &[&inbox.0, &folder.0]).await.unwrap(), 8);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    held.commit().await.unwrap();
    let worker = mesh.work();
    mesh.await_count(1, "select count(*) from dbmail_mesh.overtaking", 0).await;
    mesh.await_equal(folder, 8).await;
    worker.stop().await;
}

/// Mail came for a deleted mailbox of somebody without an INBOX. The look at where it belongs made that INBOX in the transaction in
/// which the content is shipped: dbmail, which was about to make it too, waited until all of that had come (guarantee G).
#[tokio::test]
async fn an_inbox_for_the_rescued_holds_nobody_up() {
    let (mesh, inbox) = Mesh::with_inbox("noinbox", 2, 2).await;
    let mut there = mesh.dbmail(1).await;
    there.create_user("bob").await.unwrap();
    let folder = there.create_mailbox("bob", "Folder").await.unwrap();
    there.deliver(inbox, &Mail::named("first")).await.unwrap();
    let worker = mesh.work();
    mesh.await_equal(inbox, 1).await;
    mesh.await_count(2, &format!("select count(*) from dbmail_mailboxes where mailbox_idnr = {folder}"), 1).await;
    worker.stop().await;
    there.deliver(folder, &Mail::named("m")).await.unwrap();
    let mut here = mesh.dbmail(2).await;
    here.delete_mailbox(folder).await.unwrap();
    // Whoever writes content waits for this: as long as a slow link would take.
    let mut slow = mesh.psql(2).await;
    let open = slow.transaction().await.unwrap();
    open.batch_execute("lock table dbmail_physmessage in share mode").await.unwrap();
    let worker = mesh.work_for(&[2]);
    let made = "select count(*) from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
                where u.userid = 'bob' and m.name = 'INBOX'";
    mesh.await_count(2, made, 1).await;
    open.commit().await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_messages where unique_id = 'm' and status < 2", 1).await;
    worker.stop().await;
}

/// An alias that was committed between the look at what is there and the making of the trigger was in neither: no peer ever heard of it
/// (guarantee D). The same with a user, whose mail stayed on this node then.
#[tokio::test]
async fn what_dbmail_writes_during_an_install_is_noticed() {
    let mesh = Mesh::new("gap", 1, 2).await;
    // Views depend on what they look at.
    for views in [
        include_str!("../../../migrations/0023_inspect.down.sql"),
        include_str!("../../../migrations/0021_verify.down.sql"),
    ] {
        mesh.psql(1).await.batch_execute(views).await.unwrap();
    }
    for (down, up, write, noticed) in [
        (
            include_str!("../../../migrations/0015_entries.down.sql"),
            include_str!("../../../migrations/0015_entries.up.sql"),
            "insert into dbmail_aliases (alias, deliver_to) values ('a@example.org', 'b@example.org')",
            "select count(*) from dbmail_mesh.entry where kind = 'alias'",
        ),
        (
            include_str!("../../../migrations/0008_registers.down.sql"),
            include_str!("../../../migrations/0008_registers.up.sql"),
            "insert into dbmail_users (userid, passwd) values ('bob', '')",
            "select count(*) from dbmail_mesh.account where born_as = 'bob'",
        ),
    ] {
        if write.contains("dbmail_users") {
            mesh.psql(1).await.batch_execute(DOWN_TO_8).await.unwrap();
        }
        let migration = mesh.psql(1).await;
        migration.batch_execute(&format!("begin; {down}; commit")).await.unwrap();
        let mut session = mesh.psql(1).await;
        let open = session.transaction().await.unwrap();
        open.batch_execute(write).await.unwrap();
        let up = up.replace("'250ms'", "'20s'");
        let run = tokio::spawn(async move { migration.batch_execute(&format!("begin; {up}; commit")).await });
        mesh.await_count(1, WAITS_FOR_TABLE, 1).await;
        open.commit().await.unwrap();
        run.await.unwrap().unwrap();
        assert_eq!(mesh.count(1, noticed).await, 1, "{write}");
        let down = if write.contains("dbmail_users") { "" } else { down };
        mesh.psql(1).await.batch_execute(&format!("begin; {down}; commit")).await.unwrap();
    }
}

const WAITS_FOR_TABLE: &str = "select least(count(*), 1) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'relation'";
const DOWN_TO_8: &str = concat!(
    include_str!("../../../migrations/0014_accounts.down.sql"),
    include_str!("../../../migrations/0013_fates.down.sql"),
    include_str!("../../../migrations/0012_join.down.sql"),
    include_str!("../../../migrations/0011_moves.down.sql"),
    include_str!("../../../migrations/0010_marks.down.sql"),
    include_str!("../../../migrations/0009_mailboxes.down.sql"),
);
