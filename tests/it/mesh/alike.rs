//! A fault that meets every row is no row's fault: the link stops, and nothing, or little, is set aside. And what is set aside and cannot be
//! tried does not keep others from being tried.

use super::Mesh;
use super::poison::MAIL;

const ASIDE: &str = "select count(*) from dbmail_mesh.set_aside";
const STOPPED: &str = "select count(*) from dbmail_mesh.link_status
    where source_id = 1 and state = 'failing' and last_error like '%rows in a row failed alike%SQLSTATE XX000%'";

impl Mesh {
    /// Has the next link that reads these messages of node 1 read them anew.
    async fn note(&self, names: &str) {
        let note = "insert into dbmail_mesh.outbox (kind, key) select 'm', message_idnr from dbmail_messages";
        self.run(1, &format!("{note} where unique_id ~ '{names}'")).await;
    }
}

/// A damaged catalogue of the target ("cache lookup failed") was taken for a fault of each row: a link set aside all that came.
#[tokio::test]
async fn a_target_that_fails_at_every_row_stops_the_link() {
    let (mesh, inbox) = Mesh::with_inbox("alike", 2, 2).await;
    mesh.bring(2).await;
    mesh.run(1, MAIL).await;
    mesh.run(
        2,
        "create function damaged() returns trigger language plpgsql as
           $$ begin raise exception 'cache lookup failed for type 4711' using errcode = 'XX000'; end $$;
         create trigger damaged before insert on dbmail_messages for each row execute function damaged()",
    )
    .await;
    mesh.run(1, &format!("select mail({inbox}, 'm' || n) from generate_series(1, 40) n")).await;
    let worker = mesh.work_for(&[2]);
    mesh.await_count(2, STOPPED, 1).await;
    assert_eq!(mesh.count(2, ASIDE).await, 7);
    mesh.run(2, "drop trigger damaged on dbmail_messages; drop function damaged()").await;
    // Without anybody's help.
    mesh.await_count(2, &format!("select count(*) from dbmail_messages where mailbox_idnr = {inbox}"), 40).await;
    mesh.await_count(2, ASIDE, 0).await;
    mesh.await_count(2, "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'current'", 1)
        .await;
    worker.stop().await;
}

/// The same of a source that fails at every read, whether its changes come one by one or many at once.
#[tokio::test]
async fn a_source_that_fails_at_every_read_stops_the_link() {
    let (mesh, inbox) = Mesh::with_inbox("alike", 2, 2).await;
    mesh.run(1, MAIL).await;
    mesh.run(1, &format!("select mail({inbox}, 'm' || n) from generate_series(1, 40) n")).await;
    mesh.bring(2).await;
    let client = mesh.psql(1).await;
    let sound: String =
        client.query_one("select pg_get_functiondef('dbmail_mesh.birth_of'::regproc)", &[]).await.unwrap().get(0);
    let damaged = "create or replace function dbmail_mesh.birth_of(uid bigint) returns bigint language plpgsql as
        $$ begin raise exception 'cache lookup failed for type 4711' using errcode = 'XX000'; end $$";
    client.batch_execute(damaged).await.unwrap();
    let worker = mesh.work_for(&[2]);
    // A few at a time each seem to be to blame, the first and the second time.
    for (names, aside) in [("^m[123]$", 3), ("^m[456]$", 6)] {
        mesh.note(names).await;
        mesh.await_count(2, ASIDE, aside).await;
    }
    mesh.note("^m[789]$").await;
    mesh.await_count(2, STOPPED, 1).await;
    // However many come: they wait.
    mesh.note("^m[1234].$").await;
    let failed = client.query_one("select now()::text", &[]).await.unwrap().get::<_, String>(0);
    let again = format!("select (max(last_error_at) > '{failed}')::int::bigint from dbmail_mesh.link_status");
    mesh.await_count(2, &again, 1).await;
    assert_eq!(mesh.count(2, ASIDE).await, 6);
    client.batch_execute(&sound).await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'current'", 1)
        .await;
    mesh.await_count(2, ASIDE, 0).await;
    worker.stop().await;

    // And where many come at once, none of them is set aside.
    client.batch_execute(damaged).await.unwrap();
    mesh.note("^m").await;
    let worker = mesh.work_for(&[2]);
    mesh.await_count(2, STOPPED, 1).await;
    assert_eq!(mesh.count(2, ASIDE).await, 0);
    client.batch_execute(&sound).await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.link_status where source_id = 1 and state = 'current'", 1)
        .await;
    assert_eq!(mesh.count(2, ASIDE).await, 0);
    worker.stop().await;
}

/// A row that somebody always locks was due longest, for ever, and was all that was tried.
#[tokio::test]
async fn a_row_that_cannot_be_tried_lets_others_be_tried() {
    let (mesh, inbox) = Mesh::with_inbox("put_off", 2, 2).await;
    mesh.bring(2).await;
    mesh.run(1, MAIL).await;
    mesh.run(2, "alter table dbmail_messages add constraint no_poison check (unique_id not like 'poison%')").await;
    mesh.run(1, &format!("select mail({inbox}, 'poison' || n) from generate_series(1, 3) n")).await;
    let worker = mesh.work_for(&[2]);
    mesh.await_count(2, ASIDE, 3).await;
    mesh.run(
        2,
        "create function busy() returns trigger language plpgsql as
           $$ begin raise exception 'somebody is in the way' using errcode = 'lock_not_available'; end $$;
         create trigger busy before insert on dbmail_messages for each row when (new.unique_id = 'poison1') execute function busy();
         alter table dbmail_messages drop constraint no_poison;
         update dbmail_mesh.set_aside set next_try = now() - interval '1 s' * (1000000 - key)",
    )
    .await;
    let there = format!("select count(*) from dbmail_messages where mailbox_idnr = {inbox}");
    mesh.await_count(2, &there, 2).await;
    // Why it was refused is still to be seen.
    mesh.await_count(2, &format!("{ASIDE} where reason like '%no_poison%'"), 1).await;
    assert_eq!(mesh.count(2, ASIDE).await, 1);
    mesh.run(2, "drop trigger busy on dbmail_messages; drop function busy()").await;
    mesh.await_count(2, &there, 3).await;
    mesh.await_count(2, ASIDE, 0).await;
    worker.stop().await;
}
