//! Interleavings that once broke a guarantee, or would.

use std::time::Duration;

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::Mesh;

/// A plan as the worker writes it, with one message that becomes visible.
fn take(birth: i64, uid: i64, mailbox: MailboxId, physmessage: i64) -> serde_json::Value {
    serde_json::json!({
        "take": [{"birth": birth, "uid": uid, "mailbox": mailbox.0, "physmessage": physmessage, "seen": 0, "answered": 0,
                  "deleted": 0, "flagged": 0, "draft": 0, "unique_id": format!("taken{uid}"), "status": 0, "keywords": []}],
        "hide": [], "move": [], "wait": [], "kill": [], "numbers": [], "origin": 2,
    })
}

/// A batch of a link looked for content to share with a lock on its message, and then shipped other content for as long as that took.
/// dbmail's DELETE of the mailbox waited for the batch, every delivery into the mailbox for the DELETE, and in the end dbmail was the
/// victim of a deadlock (guarantee G).
#[tokio::test]
async fn looking_for_content_holds_nobody_up() {
    let (mesh, inbox) = Mesh::with_inbox("hold", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let folder = session.create_mailbox("alice", "Folder").await.unwrap();
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    session.copy(uid, folder).await.unwrap();
    let mut worker = mesh.psql(1).await;
    let batch = worker.transaction().await.unwrap();
    let content = mesh.count(1, "select max(id) from dbmail_physmessage").await;
    let found = batch
        .query(
            "select physmessage_id from dbmail_mesh.find_content(array[1::smallint], array[$1::bigint])",
            &[&content],
        )
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let dbmail = mesh.psql(1).await;
    dbmail.batch_execute("set lock_timeout = '100ms'").await.unwrap();
    dbmail.execute("delete from dbmail_mailboxes where mailbox_idnr = $1", &[&folder.0]).await.unwrap();
    dbmail.execute("delete from dbmail_mailboxes where mailbox_idnr = $1", &[&inbox.0]).await.unwrap();
    // What was to be shared has gone meanwhile: the batch is told so when it asks for it under its locks.
    let kept = batch.query("select dbmail_mesh.keep_content(array[$1::bigint])", &[&content]).await.unwrap();
    assert!(kept.is_empty());
}

/// A renumber without its number row made the message unknown to its own node: the next batch brought it a second time. Such a plan
/// is refused, and a number whose row is not here does not hide the row that is.
#[tokio::test]
async fn a_number_of_which_nothing_is_known_is_not_written() {
    let (mesh, inbox) = Mesh::with_inbox("number", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap().0;
    let client = mesh.psql(1).await;
    let plan = serde_json::json!({
        "take": [], "hide": [], "wait": [], "kill": [], "numbers": [], "origin": null,
        "move": [{"birth": uid, "mailbox": inbox.0, "row_idnr": uid, "old_uid": uid, "uid": uid + 10}],
    });
    let refused = client.execute("select dbmail_mesh.write_plan($1)", &[&plan]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("a number of which nothing is known"));
    assert_eq!(mesh.uids(1, inbox).await, [uid]);
    let elsewhere = "insert into dbmail_mesh.number values ($1, $2, 2, now())";
    client.execute(elsewhere, &[&(uid + 10), &uid]).await.unwrap();
    let view = "select state::text, uid from dbmail_mesh.view_messages(array[$1::bigint])";
    let row = client.query_one(view, &[&uid]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i64>(1)), ("v", uid));
}

/// A delivery that could not wait for the line overtook a message that a link was just showing. The sweep looked at local deliveries
/// only, so a client that was shown the delivery never learned of the other (guarantee B).
#[tokio::test]
async fn what_a_link_shows_can_be_overtaken_and_is_renumbered() {
    let (mesh, inbox) = Mesh::with_inbox("overtaken", 2, 2).await;
    let mut session = mesh.dbmail(1).await;
    session.deliver(inbox, &Mail::named("before")).await.unwrap();
    let content = mesh.count(1, "select max(id) from dbmail_physmessage").await;
    let mut reader = IncrementalReader::new("a", inbox);
    reader.poll(&mut session).await.unwrap();

    let mut worker = mesh.psql(1).await;
    let batch = worker.transaction().await.unwrap();
    batch.batch_execute("set local dbmail_mesh.applying = 'on'").await.unwrap();
    batch.query("select * from dbmail_mesh.lock_and_view(array[$1::bigint], '{}', 0)", &[&inbox.0]).await.unwrap();
    // It holds the line for longer than a delivery waits.
    let overtaker = session.deliver(inbox, &Mail::named("overtaker")).await.unwrap();
    reader.poll(&mut session).await.unwrap();
    batch.execute("select dbmail_mesh.write_plan($1)", &[&take(2, 2, inbox, content)]).await.unwrap();
    batch.commit().await.unwrap();
    assert_eq!(mesh.uids(1, inbox).await, [1, 2, overtaker.0]);

    let worker = mesh.work();
    mesh.await_count(1, "select count(*) from dbmail_mesh.overtaking", 0).await;
    mesh.await_count(1, "select count(*) from dbmail_mesh.late", 0).await;
    worker.stop().await;
    reader.poll(&mut session).await.unwrap();
    assert!(reader.missing(["before", "taken2", "overtaker"]).is_empty(), "{:?}", reader.seen);
}

/// A delivery that went without the lock and committed last was itself overtaken. Its own transaction is none that its snapshot knows
/// to be under way, so once any other transaction had ended meanwhile, the sweep took it for old and forgot it.
#[tokio::test]
async fn whoever_overtakes_may_itself_have_been_overtaken() {
    let (mesh, inbox) = Mesh::with_inbox("twice", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let first = session.deliver(inbox, &Mail::named("first")).await.unwrap();
    let insert = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
                  select $2, physmessage_id, $3, 1, 0 from dbmail_messages where message_idnr = $1 returning message_idnr";
    let (mut holder, mut overtaker) = (mesh.psql(1).await, mesh.psql(1).await);
    let held = holder.transaction().await.unwrap();
    held.execute(insert, &[&first.0, &inbox.0, &"holder"]).await.unwrap();
    let open = overtaker.transaction().await.unwrap();
    open.query_one("select pg_current_xact_id()::text", &[]).await.unwrap();
    // Any other transaction that ends meanwhile.
    mesh.psql(1).await.batch_execute("create table other ()").await.unwrap();
    let without_lock: i64 = open.query_one(insert, &[&first.0, &inbox.0, &"overtaker"]).await.unwrap().get(0);
    held.commit().await.unwrap();
    let second = session.deliver(inbox, &Mail::named("second")).await.unwrap();
    assert!(second.0 > without_lock);
    let mut reader = IncrementalReader::new("a", inbox);
    reader.poll(&mut session).await.unwrap();
    open.commit().await.unwrap();

    let worker = mesh.work();
    mesh.await_count(1, "select count(*) from dbmail_mesh.overtaking", 0).await;
    mesh.await_count(1, "select count(*) from dbmail_mesh.late", 0).await;
    worker.stop().await;
    reader.poll(&mut session).await.unwrap();
    assert!(reader.missing(["first", "holder", "overtaker", "second"]).is_empty(), "{:?}", reader.seen);
}

/// A message that was visible and waited for a new number was expunged by its owner: it waited for ever, and five hundred such would
/// have kept all others waiting.
#[tokio::test]
async fn what_is_expunged_waits_for_no_number() {
    let (mesh, inbox) = Mesh::with_inbox("waits", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let gone = session.create_mailbox("alice", "Gone").await.unwrap();
    let with_it = session.deliver(gone, &Mail::named("n")).await.unwrap();
    let late = "insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr) values ($1, $2, $1, $1)";
    let client = mesh.psql(1).await;
    client.execute(late, &[&uid.0, &inbox.0]).await.unwrap();
    client.execute(late, &[&with_it.0, &gone.0]).await.unwrap();
    session.store(inbox, &[uid], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    session.expunge(inbox).await.unwrap();
    session.delete_mailbox(gone).await.unwrap();
    assert_eq!(mesh.late().await, 0);
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.tombstone").await, 2);
}

/// A header name that dbmail-util removed a moment ago took all headers of that name along, without a word.
#[tokio::test]
async fn a_header_whose_name_is_gone_is_not_dropped() {
    let (mesh, inbox) = Mesh::with_inbox("header", 1, 2).await;
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("m")).await.unwrap();
    let content = mesh.count(1, "select max(id) from dbmail_physmessage").await;
    let store = "select dbmail_mesh.store_headers(array['x-no-such-name'], array['h'], array['v'], array['s'], array[null], array[$1::bigint], array[1], array[1])";
    let error = mesh.psql(1).await.execute(store, &[&content]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "40001", "to be tried again");
}

/// A transaction that began first and delivered last has the lower transaction id and the higher UID. Read by transaction id, its
/// message came first, and the other one was late without any conflict (guarantee F).
#[tokio::test]
async fn a_backlog_is_cut_in_the_order_of_uids() {
    let (mut mesh, inbox) = Mesh::with_inbox("cut", 2, 2).await;
    mesh.worker.batch_messages = 1;
    let mut session = mesh.dbmail(1).await;
    let first = session.deliver(inbox, &Mail::named("first")).await.unwrap();
    for n in 0..5 {
        let mut early = mesh.psql(1).await;
        let open = early.transaction().await.unwrap();
        open.query_one("select pg_current_xact_id()::text", &[]).await.unwrap();
        session.deliver(inbox, &Mail::named(&format!("quick{n}"))).await.unwrap();
        let insert = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
                      select $2, physmessage_id, $3, 1, 0 from dbmail_messages where message_idnr = $1";
        open.execute(insert, &[&first.0, &inbox.0, &format!("early{n}")]).await.unwrap();
        open.commit().await.unwrap();
    }
    let worker = mesh.work();
    mesh.await_equal(inbox, 11).await;
    worker.stop().await;
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.number").await, 0, "nothing was in conflict");
}

/// A target that was restored from a backup has an old cursor, and the source has emptied its outbox since: the scan would find
/// nothing, for ever.
#[tokio::test]
async fn a_target_that_went_back_in_time_is_refused() {
    let (mesh, inbox) = Mesh::with_inbox("back", 2, 2).await;
    let worker = mesh.work();
    let backup = mesh.psql(2).await;
    backup.batch_execute("create table backup as select * from dbmail_mesh.cursor").await.unwrap();
    for n in 0..3 {
        let uid = mesh.dbmail(1).await.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
        let there = format!("select count(*) from dbmail_messages where message_idnr = {uid}");
        mesh.await_count(2, &there, 1).await;
    }
    let acknowledged = "select count(*) from dbmail_mesh.acknowledged a, dbmail_mesh.outbox o
                        where o.key = 5 and o.kind = 'm' and pg_visible_in_snapshot(o.txid, a.snapshot)";
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("last")).await.unwrap();
    mesh.await_count(1, acknowledged, 1).await;
    worker.stop().await;
    backup
        .batch_execute("update dbmail_mesh.cursor c set from_snapshot = b.from_snapshot from backup b where b.source_id = c.source_id")
        .await
        .unwrap();
    let worker = mesh.work();
    let refused =
        "select count(*) from dbmail_mesh.link_status where state = 'refused' and last_error like '%holds less than%'";
    mesh.await_count(2, refused, 1).await;
    worker.stop().await;
}

/// A row that the target's constraints refuse is set aside by itself; what came before and after it goes on; when the cause is gone it
/// arrives.
#[tokio::test]
async fn a_row_that_is_refused_is_set_aside_and_the_link_goes_on() {
    let (mesh, inbox) = Mesh::with_inbox("poison", 2, 2).await;
    let target = mesh.psql(2).await;
    target
        .batch_execute("alter table dbmail_messages add constraint no_poison check (unique_id <> 'poison')")
        .await
        .unwrap();
    let mut session: Session = mesh.dbmail(1).await;
    let mut uids = Vec::new();
    for name in ["one", "two", "poison", "three", "four"] {
        uids.push(session.deliver(inbox, &Mail::named(name)).await.unwrap().0);
    }
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[uids[0], uids[1], uids[3], uids[4]]).await;
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside where reason like '%no_poison%'", 1).await;
    target.batch_execute("alter table dbmail_messages drop constraint no_poison").await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.set_aside", 0).await;
    assert_eq!(mesh.await_equal(inbox, 5).await.len(), 5);
    worker.stop().await;
}

/// Two nodes made a mailbox of one name: while that could not be united, mail was tried again and again, and each time its content was
/// shipped in vain and burned ids of physmessage. Now it is one mailbox, and each message is shipped once.
#[tokio::test]
async fn mail_of_mailboxes_of_one_name_is_united_and_burns_no_ids() {
    let (mesh, _) = Mesh::with_inbox("same", 2, 2).await;
    let (mut a, mut b) = (mesh.dbmail(1).await, mesh.dbmail(2).await);
    let of_a = a.create_mailbox("alice", "Same").await.unwrap();
    let of_b = b.create_mailbox("alice", "Same").await.unwrap();
    a.deliver(of_a, &Mail::named("on a")).await.unwrap();
    b.deliver(of_b, &Mail::named("on b")).await.unwrap();
    let worker = mesh.work();
    let uids = mesh.await_equal(of_a.max(of_b), 2).await;
    assert_eq!(uids.len(), 2);
    worker.stop().await;
    for node in [1, 2] {
        // One or two more where a lock could not be had in time and a batch was tried again.
        let last = mesh.count(node, "select last_value from dbmail_physmessage_id_seq").await;
        assert!((2..=4).contains(&last), "{last}");
        assert_eq!(mesh.count(node, "select count(*) from dbmail_mesh.set_aside").await, 0);
    }
}

/// A delivery to several recipients copies each recipient's row from the one before: as long as dbmail's staging row of it is there,
/// it is not renumbered.
#[tokio::test]
async fn a_delivery_under_way_to_more_recipients_is_not_renumbered() {
    let (mesh, inbox) = Mesh::with_inbox("recipients", 2, 2).await;
    let mut b = mesh.dbmail(2).await;
    let uid = b.deliver(inbox, &Mail::named("to many")).await.unwrap();
    let staging = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, status)
        select m.mailbox_idnr, g.physmessage_id, 'staged', 0 from dbmail_messages g, dbmail_mailboxes m
        join dbmail_users u on u.user_idnr = m.owner_idnr
        where g.message_idnr = $1 and u.userid = '__@!internal_delivery_user!@__' returning message_idnr";
    let staged: i64 = mesh.psql(2).await.query_one(staging, &[&uid.0]).await.unwrap().get(0);
    for n in 0..3 {
        mesh.dbmail(1).await.deliver(inbox, &Mail::named(&format!("a{n}"))).await.unwrap();
    }
    let worker = mesh.work();
    mesh.await_count(1, "select count(*) from dbmail_mesh.late", 1).await;
    tokio::time::sleep(mesh.mesh.settle_after * 4 + Duration::from_millis(500)).await;
    assert!(b.fetch(inbox, uid).await.unwrap().is_some(), "it was renumbered while dbmail was at it");
    mesh.psql(2).await.execute("delete from dbmail_messages where message_idnr = $1", &[&staged]).await.unwrap();
    mesh.await_equal(inbox, 4).await;
    worker.stop().await;
    assert!(b.fetch(inbox, Uid(uid.0)).await.unwrap().is_none());
}

/// Two EXPUNGEs lock rows downwards by UID. One that waited for a row while it was renumbered followed it to its new number, where the
/// other had come from above: a deadlock between two sessions of dbmail, made by us. And a STORE that waited so found nothing. Now the
/// renumber steps back and lets the session go first.
#[tokio::test]
async fn a_renumber_gives_way_to_a_session_that_waits_for_the_message() {
    let (mesh, inbox) = Mesh::with_inbox("giveway", 1, 2).await;
    let mut session = mesh.dbmail(1).await;
    let uid = session.deliver(inbox, &Mail::named("m")).await.unwrap();
    let plan = |steps_back: bool| {
        serde_json::json!({
            "take": [], "hide": [], "wait": [], "kill": [], "origin": null, "steps_back": steps_back,
            "numbers": [{"uid": uid.0 + 10, "birth": uid.0, "decided_by": 1, "decided_at": "2026-11-23T00:00:00Z"}],
            "move": [{"birth": uid.0, "mailbox": inbox.0, "row_idnr": uid.0, "old_uid": uid.0, "uid": uid.0 + 10}],
        })
    };
    let mut worker = mesh.psql(1).await;
    let settlement = worker.transaction().await.unwrap();
    settlement.execute("select from dbmail_messages where message_idnr = $1 for update", &[&uid.0]).await.unwrap();
    let store = tokio::spawn(async move {
        session.store(inbox, &[uid], &StoreFlags::add(Flags::FLAGGED)).await.unwrap();
        session
    });
    let waiting = "select count(*) from pg_locks where locktype = 'transactionid' and not granted
                   and pid in (select pid from pg_stat_activity where datname = current_database())";
    mesh.await_count(1, waiting, 1).await;
    let error = settlement.execute("select dbmail_mesh.write_plan($1)", &[&plan(true)]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55P03");
    settlement.rollback().await.unwrap();
    let mut session = store.await.unwrap();
    assert!(session.fetch(inbox, uid).await.unwrap().unwrap().listed.flags.flagged, "the STORE found its message");
    // With nobody waiting, or after it has given way often enough, it goes ahead.
    worker.execute("select dbmail_mesh.write_plan($1)", &[&plan(true)]).await.unwrap();
    assert!(session.fetch(inbox, Uid(uid.0 + 10)).await.unwrap().is_some());
}

/// A node that only receives notes what it receives, and its peers, to whom it sends nothing, acknowledged nothing: its outbox grew for
/// ever.
#[tokio::test]
async fn the_outbox_of_a_node_that_only_receives_is_emptied() {
    let (mut mesh, inbox) = Mesh::with_inbox("receives", 2, 2).await;
    mesh.worker.outbox_keep = Duration::from_secs(1);
    let worker = mesh.work();
    for n in 0..5 {
        mesh.dbmail(1).await.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
    }
    mesh.await_count(2, "select count(*) from dbmail_mesh.outbox where origin = 1 and kind = 'm'", 5).await;
    mesh.await_count(2, "select count(*) from dbmail_mesh.outbox where origin = 1", 0).await;
    worker.stop().await;
}
