//! Where numbers end: what happens near 4294967294, far above it, and near the last physmessage id.

use std::time::{Duration, Instant};

use dbmail_mesh::domain::budget::{PHYSMESSAGE_ID_LAST, PHYSMESSAGE_IDS_KEPT, UID_LAST};
use dbmail_mesh::domain::ids::Uid;
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::Mesh;

/// No delivery may wait for longer than that for a number, wherever the sequence has to go; drawing its way would take minutes.
const AT_ONCE: Duration = Duration::from_secs(5);

impl Mesh {
    /// Puts the sequence of UIDs of a node at the first number of its class from `uid` on.
    async fn uids_from(&self, id: i16, uid: i64) {
        let stride = i64::from(self.mesh.stride.0);
        let uid = uid + (i64::from(id) - uid).rem_euclid(stride);
        let sql = format!("select setval('dbmail_message_idnr_seq', {uid}, false)");
        self.psql(id).await.batch_execute(&sql).await.unwrap();
    }
}

/// An error would lose mail, for dbmail swallows it and answers OK. So numbers go on above the last UID, and everything with them:
/// capture, links, settlement, moves, expunges. Also above 2^33, where hidden rows once began: a delivery met the number of a staging
/// row there and was lost, and what was stored was not replicated.
async fn numbers_go_on_above(beginning: i64) {
    let (mesh, inbox) = Mesh::with_inbox("end", 2, 2).await;
    let (mut a, mut b) = (mesh.dbmail(1).await, mesh.dbmail(2).await);
    let other = a.create_mailbox("alice", "Other").await.unwrap();
    mesh.uids_from(1, beginning).await;

    // While they are apart, A goes far ahead: what B delivers comes late to A.
    for n in 0..5 {
        a.deliver(inbox, &Mail::named(&format!("a{n}"))).await.unwrap();
        b.deliver(inbox, &Mail::named(&format!("b{n}"))).await.unwrap();
    }
    let worker = mesh.work();
    let uids = mesh.await_equal(inbox, 10).await;
    assert!(uids[0] >= beginning, "A's five, and B's that were renumbered: {uids:?}");
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.renumbers").await, 5);

    // Together again, nobody waits although B's sequence is billions behind.
    for (count, session) in [(11, &mut b), (12, &mut a)] {
        let begun = Instant::now();
        let uid = session.deliver(inbox, &Mail::named("together")).await.unwrap();
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        let uids = mesh.await_equal(inbox, count).await;
        assert_eq!(uids.last(), Some(&uid.0));
    }

    let uids = mesh.await_equal(inbox, 12).await;
    b.store(inbox, &[Uid(uids[11])], &StoreFlags::add(Flags::DELETED)).await.unwrap();
    assert_eq!(b.expunge(inbox).await.unwrap(), [Uid(uids[11])]);
    mesh.await_equal(inbox, 11).await;
    assert_eq!(b.move_messages(inbox, &[Uid(uids[10])], other).await.unwrap(), 1);
    mesh.await_equal(inbox, 10).await;
    mesh.await_equal(other, 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn numbers_go_on_above_the_last_uid() {
    numbers_go_on_above(UID_LAST - 4).await;
}

#[tokio::test]
async fn numbers_go_on_where_hidden_rows_once_began() {
    numbers_go_on_above((1 << 33) - 4).await;
}

/// A jump by setval beside a plain nextval, or beside a jump that is not as far, takes a sequence back, and numbers are handed out twice.
#[tokio::test]
async fn a_sequence_that_jumps_hands_out_no_number_twice() {
    let (mesh, _) = Mesh::with_inbox("jump", 1, 8).await;
    let mut tasks = Vec::new();
    for task in 0..6_i64 {
        let client = mesh.psql(1).await;
        tasks.push(tokio::spawn(async move {
            let mut drawn = Vec::new();
            for n in 0..400_i64 {
                // Half of them only draw; the others leap, each to another place and at times to one that was passed.
                let above = if task % 2 == 0 { 0 } else { n * 5_000 + (n * 7_919 + task * 104_729) % 40_000 };
                let uid: i64 = client.query_one("select dbmail_mesh.next_uid($1)", &[&above]).await.unwrap().get(0);
                assert!(uid > above && uid % 8 == 1, "{uid}, to be above {above}");
                drawn.push(uid);
            }
            assert!(drawn.is_sorted(), "a session's numbers rise");
            drawn
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "numbers were handed out twice");
    assert_eq!(mesh.count(1, &WAITING.replace("not l.granted", "l.classid = 1684169069")).await, 0, "no lock stays");
}

/// Sessions of this database that wait to draw a number.
const WAITING: &str = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and l.objid = 2 and not l.granted and d.datname = current_database()";

/// Whoever cannot have the sequence for himself draws on, and nobody waits for him.
#[tokio::test]
async fn a_jump_that_is_in_the_way_of_others_is_put_off() {
    let (mesh, _) = Mesh::with_inbox("put_off", 1, 8).await;
    let other = mesh.psql(1).await;
    other.execute("select pg_advisory_lock_shared(1684169069, 2)", &[]).await.unwrap();
    let jump = "select dbmail_mesh.jump_to_uid(80001)";
    assert!(!mesh.psql(1).await.query_one(jump, &[]).await.unwrap().get::<_, bool>(0));
    assert!(mesh.count(1, "select dbmail_mesh.next_uid(8000)").await > 8_000);
    other.execute("select pg_advisory_unlock_shared(1684169069, 2)", &[]).await.unwrap();
    let client = mesh.psql(1).await;
    assert!(client.query_one(jump, &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(mesh.count(1, "select dbmail_mesh.next_uid(0)").await, 80_009);
    assert!(client.query_one(jump, &[]).await.unwrap().get::<_, bool>(0), "it is there already");
    assert_eq!(mesh.count(1, "select dbmail_mesh.next_uid(0)").await, 80_017, "never back");

    // And who draws at the moment of a jump waits until it is over.
    other.execute("select pg_advisory_lock(1684169069, 2)", &[]).await.unwrap();
    let draw =
        tokio::spawn(
            async move { client.query_one("select dbmail_mesh.next_uid(0)", &[]).await.unwrap().get::<_, i64>(0) },
        );
    mesh.await_count(1, WAITING, 1).await;
    other.execute("select pg_advisory_unlock(1684169069, 2)", &[]).await.unwrap();
    assert_eq!(draw.await.unwrap(), 80_025);
}

/// With all sequences kept level, each message took the highest UID up by half a stride and more, whoever delivered it: 32 for 64
/// places. Messages of nodes that are less busy fill the gaps.
#[tokio::test]
async fn the_highest_uid_goes_up_by_one_stride_a_message_of_the_busiest_node() {
    let (mesh, _) = Mesh::with_inbox("burn", 2, 64).await;
    let worker = mesh.work();
    let mut sessions = Vec::new();
    let mut mailboxes = Vec::new();
    for id in [1, 2] {
        let mut session = mesh.dbmail(id).await;
        mailboxes.push(session.create_mailbox("alice", &format!("Box{id}")).await.unwrap());
        sessions.push(session);
    }
    let highest = "select max(message_idnr) from dbmail_messages where message_idnr < 281474976710656";
    for n in 0..40 {
        // In turns of two: level sequences cost the least when nodes strictly take turns.
        let at = n / 2 % 2;
        let uid = sessions[at].deliver(mailboxes[at], &Mail::named(&format!("m{n}"))).await.unwrap();
        // The link has brought it before the next is delivered.
        let arrived = format!("select count(*) from dbmail_messages where message_idnr = {uid}");
        mesh.await_count(2 - at as i16, &arrived, 1).await;
    }
    worker.stop().await;
    let used = mesh.count(1, highest).await;
    assert!(used <= 21 * 64, "20 messages on each of two nodes took the highest UID to {used}");
}

/// Above 2^31 dbmail loses deliveries, and above 2^32 it serves other people's mail. A link leaves dbmail the last ids, says so, and
/// stops; the source keeps what was not shipped.
#[tokio::test]
async fn a_link_does_not_use_up_the_last_physmessage_ids() {
    let (mut mesh, inbox) = Mesh::with_inbox("physmessages", 2, 2).await;
    // What does not go in one piece goes in smaller ones, down to one message, a try each.
    mesh.worker.batch_messages = 4;
    mesh.worker.retry_max = Duration::from_secs(1);
    let last = PHYSMESSAGE_ID_LAST - PHYSMESSAGE_IDS_KEPT;
    let set = |id: i64| format!("select setval('dbmail_physmessage_id_seq', {id})");
    let b = mesh.psql(2).await;
    b.batch_execute(&set(last - 2)).await.unwrap();
    let mut session = mesh.dbmail(1).await;
    for n in 0..5 {
        session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
    }
    let worker = mesh.work();
    let refused = "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'refused'
                   and last_error like 'the ids of dbmail_physmessage are used up, but for the last 1048576 %docs/plan.md)'";
    mesh.await_count(2, refused, 1).await;
    mesh.await_count(2, "select coalesce(max(id), 0) from dbmail_physmessage", last).await;
    assert_eq!(mesh.uids(2, inbox).await.len(), 2, "what there was room for is here");
    assert_eq!(mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await, 0);

    // dbmail's own deliveries have the last ids, and reach the other node.
    let own = mesh.dbmail(2).await.deliver(inbox, &Mail::named("own")).await.unwrap();
    assert!(mesh.count(2, "select coalesce(max(id), 0) from dbmail_physmessage").await > last);
    mesh.await_count(
        1,
        &format!("select count(*) from dbmail_messages where unique_id = 'own' and mailbox_idnr = {inbox}"),
        1,
    )
    .await;
    assert!(own.0 > 0);

    // With room again (here the ids that the test skipped), everything comes.
    b.batch_execute(&set(1000)).await.unwrap();
    mesh.await_equal(inbox, 6).await;
    worker.stop().await;
}

/// Hourly for eight days, then daily, for 400 days, and the first: some hundreds of rows, however long it runs.
#[tokio::test]
async fn samples_are_thinned() {
    let (mesh, _) = Mesh::with_inbox("samples", 1, 8).await;
    let client = mesh.psql(1).await;
    client.batch_execute("delete from dbmail_mesh.number_sample").await.unwrap();
    let sample = "select count(*) filter (where dbmail_mesh.sample_numbers(at))
                  from generate_series($1::text::timestamptz, $2::text::timestamptz, $3::text::interval) at";
    let (from, to) = ("2026-01-01 00:10+00", "2027-06-01 00:10+00");
    let taken: i64 = client.query_one(sample, &[&from, &to, &"12 h"]).await.unwrap().get(0);
    assert_eq!(taken, 516 * 2 + 1);
    let (from, to) = ("2027-06-01 00:10+00", "2027-06-03 00:10+00");
    let taken: i64 = client.query_one(sample, &[&from, &to, &"20 min"]).await.unwrap().get(0);
    assert_eq!(taken, 48, "one an hour");
    let count =
        async |sql: &str| mesh.count(1, &format!("select count(*) from dbmail_mesh.number_sample where {sql}")).await;
    assert_eq!(count("at < '2026-04-29'").await, 1, "the first stays");
    assert_eq!(count("at between '2026-06-01' and '2027-05-01'").await, 334, "one a day");
    assert_eq!(count("at > '2027-06-01 00:20'").await, 48);
    assert!(count("true").await < 500);

    // A clock that had been wrong, and was set right.
    let again = "select dbmail_mesh.sample_numbers('2027-05-30 12:00+00')";
    assert!(client.query_one(again, &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(count("at > '2027-05-30 12:00+00'").await, 0);

    // What a first copy burns says nothing of the days to come.
    client.batch_execute("delete from dbmail_mesh.number_sample where at < '2027-05-29'").await.unwrap();
    let copying = "insert into dbmail_mesh.cursor (source_id, from_snapshot, copy_stage) values (2, '1:1:', 'm')";
    client.batch_execute(copying).await.unwrap();
    client.query_one("select dbmail_mesh.sample_numbers('2027-05-30 18:00+00')", &[]).await.unwrap();
    assert_eq!(count("true").await, 1, "the count begins anew");
}

/// The worker notes how far numbers are used up.
#[tokio::test]
async fn the_worker_takes_samples() {
    let (mesh, inbox) = Mesh::with_inbox("sampled", 1, 8).await;
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("m")).await.unwrap();
    mesh.psql(1).await.batch_execute("delete from dbmail_mesh.number_sample").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(
        1,
        "select count(*) from dbmail_mesh.number_sample s join dbmail_messages g on g.message_idnr = s.uid",
        1,
    )
    .await;
    worker.stop().await;
}
