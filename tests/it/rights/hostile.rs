//! Objects of somebody who means harm, in `public`, in a temporary schema, and on the search path. What he wants is that something of his
//! runs with the rights of ours. His functions answer as PostgreSQL's own do, so that nobody notices; and they note whom they ran as.

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::cluster::{connect, connect_as};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::super::mesh::Mesh;

/// Functions and operators whose arguments fit better than those of `pg_catalog`: they are found first, wherever `public` stands on the
/// path. A sequence notes the catch: it is not rolled back.
const TRAPS: &str = r#"
create sequence public.caught;
grant usage on sequence public.caught to public;
create function public.trap() returns void language plpgsql as $$
begin
  if current_user in ('dbmail_mesh', 'dbmail_mesh_owner', 'dbmail_mesh_reader') then
    perform pg_catalog.nextval('public.caught');
  end if;
end $$;
create function public.lower(varchar) returns text language plpgsql as $$
begin perform public.trap(); return pg_catalog.lower($1::text); end $$;
create function public.length(varchar) returns integer language plpgsql as $$
begin perform public.trap(); return pg_catalog.length($1::text); end $$;
create function public.rtrim(varchar) returns text language plpgsql as $$
begin perform public.trap(); return pg_catalog.rtrim($1::text); end $$;
create function public.to_jsonb(varchar) returns jsonb language plpgsql as $$
begin perform public.trap(); return pg_catalog.to_jsonb($1::text); end $$;
create function public.concat_ws(text, bigint, varchar) returns text language plpgsql as $$
begin perform public.trap(); return pg_catalog.concat_ws($1, $2, $3); end $$;
create function public.starts_with(text, varchar) returns boolean language plpgsql as $$
begin perform public.trap(); return pg_catalog.starts_with($1, $2::text); end $$;
create function public.greatest_of(bigint, numeric) returns boolean language plpgsql as $$
begin perform public.trap(); return pg_catalog.int8($2) = $1; end $$;
create function public.is_equal(varchar, text) returns boolean language plpgsql as $$
begin perform public.trap(); return pg_catalog.texteq($1::text, $2); end $$;
create function public.is_equal(varchar, varchar) returns boolean language plpgsql as $$
begin perform public.trap(); return pg_catalog.texteq($1::text, $2::text); end $$;
create function public.differs(varchar, text) returns boolean language plpgsql as $$
begin perform public.trap(); return pg_catalog.textne($1::text, $2); end $$;
create function public.differs(varchar, varchar) returns boolean language plpgsql as $$
begin perform public.trap(); return pg_catalog.textne($1::text, $2::text); end $$;
create operator public.= (leftarg = bigint, rightarg = numeric, function = public.greatest_of);
create operator public.= (leftarg = varchar, rightarg = text, function = public.is_equal);
create operator public.= (leftarg = varchar, rightarg = varchar, function = public.is_equal);
create operator public.<> (leftarg = varchar, rightarg = text, function = public.differs);
create operator public.<> (leftarg = varchar, rightarg = varchar, function = public.differs);
-- What stands in for a name that does not say its schema.
create function public.now() returns timestamptz language plpgsql as $$
begin perform public.trap(); return pg_catalog.clock_timestamp(); end $$;
create function public.ring() returns void language plpgsql as $$ begin perform public.trap(); end $$;
create function public.takes_part() returns boolean language plpgsql as $$ begin perform public.trap(); return false; end $$;
create function public.int8(text) returns bigint language plpgsql as $$ begin perform public.trap(); return 1; end $$;
create table public.outbox (id bigint);
create table public.line (mailbox_idnr bigint, high bigint);
create table public.local_node (node_id smallint);
create table public.migration (version integer);
create table public.pg_class (oid oid, relname name);
create table public.pg_proc (oid oid);
"#;

async fn is_caught(mesh: &Mesh, id: i16) -> bool {
    mesh.psql(id).await.query_one("select is_called from public.caught", &[]).await.unwrap().get(0)
}

/// The traps are there before anything is installed: a view or a condition of a trigger that was made on a path with `public` in it would
/// have them for ever.
#[tokio::test]
async fn what_stands_in_public_is_never_run_with_our_rights() {
    let mesh = Mesh::not_installed("hostile", 2, 8).await;
    for id in [1, 2] {
        let admin = mesh.psql(id).await;
        let mallory = "do $$ begin create role mallory login; exception when duplicate_object then null; end $$;
                       grant create, usage on schema public to mallory";
        admin.batch_execute(mallory).await.unwrap();
        connect_as("mallory", &mesh.node(id).connection).await.unwrap().batch_execute(TRAPS).await.unwrap();
    }
    install(&mesh.nodes, &mesh.nodes, mesh.mesh.stride).await.unwrap();
    // They do catch whoever looks names up in public: so a test that finds nothing caught means something.
    let naive = connect_as("dbmail_mesh", &mesh.node(1).connection).await.unwrap();
    naive.batch_execute("select 1 from dbmail_users where lower(userid) = 'x'; select now()").await.unwrap();
    assert!(is_caught(&mesh, 1).await);
    mesh.psql(1).await.batch_execute("alter sequence public.caught restart").await.unwrap();

    let mut ams = mesh.dbmail(1).await;
    ams.create_user("alice").await.unwrap();
    let inbox = ams.create_mailbox("alice", "INBOX").await.unwrap();
    let folder = ams.create_mailbox("alice", "Folder").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where name in ('INBOX', 'Folder') and seq >= 0", 2)
        .await;
    work_on(&mut ams, inbox, folder).await;
    let mut fra = mesh.dbmail(2).await;
    fra.deliver(inbox, &Mail::named("theirs")).await.unwrap();
    mesh.await_equal(inbox, 3).await;
    fra.rename_user("alice", "alicia").await.unwrap();
    fra.rename_mailbox(folder, "Renamed").await.unwrap();
    mesh.await_count(
        1,
        "select count(*) from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
                         where m.name::text = 'Renamed' and u.userid::text = 'alicia'",
        1,
    )
    .await;
    worker.stop().await;
    for id in [1, 2] {
        let reader = connect_as("dbmail_mesh_reader", &mesh.node(id).connection).await.unwrap();
        reader
            .batch_execute(
                "select * from dbmail_mesh.mail_events('alicia', '-infinity'); select * from dbmail_mesh.history(1)",
            )
            .await
            .unwrap();
        reader
            .batch_execute("select * from dbmail_mesh.renumbers; select * from dbmail_mesh.reported_lines")
            .await
            .unwrap();
        assert!(!is_caught(&mesh, id).await, "node {id}: something of mallory's ran with our rights");
    }
}

/// All that has triggers.
async fn work_on(session: &mut Session, inbox: MailboxId, folder: MailboxId) {
    session.login("alice").await.unwrap();
    let first = session.deliver(inbox, &Mail::named("first")).await.unwrap();
    let second = session.deliver(inbox, &Mail::named("second")).await.unwrap();
    let seen = Flags { seen: true, ..Flags::default() };
    session.store(inbox, &[first], &StoreFlags::add(seen).keywords(&["word"])).await.unwrap();
    session.copy(second, folder).await.unwrap();
    session.select(inbox).await.unwrap();
    session.subscribe("alice", inbox).await.unwrap();
    session.put_script("alice", "main", "keep;").await.unwrap();
    session.add_alias("a@example.org", "alice").await.unwrap();
}

/// A session of dbmail's that was talked into tables of its own and into another path: our triggers use the real ones.
#[tokio::test]
async fn temporary_tables_and_a_hostile_path_in_dbmails_session_mislead_no_trigger() {
    let (mesh, inbox) = Mesh::with_inbox("hostile", 1, 8).await;
    let session = connect_as("dbmail", &mesh.node(1).connection).await.unwrap();
    let shadows = "
        create temp table dbmail_mailboxes (like public.dbmail_mailboxes);
        create temp table dbmail_users (like public.dbmail_users);
        create temp table dbmail_messages (like public.dbmail_messages);
        create temp table outbox (id bigint, kind text, key text);
        create temp table line (mailbox_idnr text);
        create temp table local_node (node_id text);
        create temp table pg_class (oid text);
        create function pg_temp.now() returns timestamptz language plpgsql as $$ begin raise exception 'mine'; end $$;
        set search_path = pg_temp, public, pg_catalog;";
    session.batch_execute(shadows).await.unwrap();
    let physmessage = "insert into public.dbmail_physmessage (messagesize, rfcsize, internal_date) values (1, 1, '2026-11-01') returning id";
    let id: i64 = session.query_one(physmessage, &[]).await.unwrap().get(0);
    let message = "insert into public.dbmail_messages (mailbox_idnr, physmessage_id, unique_id, status)
                   values ($1, $2, 'shadowed', 0) returning message_idnr";
    let uid: i64 = session.query_one(message, &[&inbox.0, &id]).await.unwrap().get(0);
    assert_eq!(uid % 8, 1, "a number of this node's class");
    session.execute("update public.dbmail_messages set seen_flag = 1 where message_idnr = $1", &[&uid]).await.unwrap();
    session
        .batch_execute("update public.dbmail_users set last_login = '2026-11-01', active = 0 where userid = 'alice'")
        .await
        .unwrap();
    assert_eq!(mesh.uids(1, inbox).await, [uid]);
    let noted = format!("select count(*) from dbmail_mesh.outbox where kind = 'm' and key = {uid}");
    assert!(mesh.count(1, &noted).await >= 1);
    assert_eq!(
        mesh.count(
            1,
            &format!("select count(*) from dbmail_mesh.line where mailbox_idnr = {} and high = {uid}", inbox.0)
        )
        .await,
        1
    );
    session.execute("delete from public.dbmail_messages where message_idnr = $1", &[&uid]).await.unwrap();
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.tombstone").await, 1);
}

/// dbmail may connect as a role that can read and write its tables, and owns none: that role needs nothing of ours either.
#[tokio::test]
async fn a_role_of_dbmails_that_owns_nothing_needs_no_right_of_ours() {
    let (mesh, inbox) = Mesh::with_inbox("dml", 2, 8).await;
    for id in [1, 2] {
        let plain = "do $$ begin create role dbmail_plain login; exception when duplicate_object then null; end $$;
                     grant select, insert, update, delete on all tables in schema public to dbmail_plain;
                     grant usage on all sequences in schema public to dbmail_plain";
        connect(&mesh.node(id).connection).await.unwrap().batch_execute(plain).await.unwrap();
    }
    let folder = mesh.dbmail(1).await.create_mailbox("alice", "Folder").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where name = 'Folder' and seq >= 0", 1).await;
    let mut ams = Session::connect_as("dbmail_plain", &mesh.node(1).connection).await.unwrap();
    work_on(&mut ams, inbox, folder).await;
    let mut fra = Session::connect_as("dbmail_plain", &mesh.node(2).connection).await.unwrap();
    fra.create_user("bob").await.unwrap();
    let bobs = fra.create_mailbox("bob", "INBOX").await.unwrap();
    fra.deliver(bobs, &Mail::named("bobs")).await.unwrap();
    mesh.await_equal(inbox, 2).await;
    mesh.await_equal(bobs, 1).await;
    fra.delete_mailbox(folder).await.unwrap();
    mesh.await_count(1, "select count(*) from dbmail_mailboxes where name = 'Folder'", 0).await;
    worker.stop().await;
}
