//! Rolling upgrades: programs and schemas of different versions beside each other. The next version is made up here: a migration
//! that adds a harmless table, and either lets programs of this version go on or does not.

use std::time::Duration;

use dbmail_mesh::domain::ids::{MailboxId, Stride};
use dbmail_mesh::migrate::{Direction, MigrationSet, Runner, SCHEMA_VERSION};
use dbmail_mesh::scratch::install::owned;
use dbmail_mesh::scratch::standin::Mail;
use dbmail_mesh::worker::{Options, Worker};

use super::super::cli::File;
use super::Mesh;

const NEXT: i32 = SCHEMA_VERSION + 1;

/// All migrations of this program and the next.
fn next_set(needs: Option<i32>) -> MigrationSet {
    let this = MigrationSet::embedded().unwrap();
    let needs = needs.map_or("null".to_owned(), |needs| needs.to_string());
    let up = format!(
        "create table dbmail_mesh.harmless (id integer);
         insert into dbmail_mesh.migration (version, name, needs) values ({NEXT}, 'harmless', {needs});"
    );
    let down = format!("drop table dbmail_mesh.harmless; delete from dbmail_mesh.migration where version = {NEXT};");
    let mut files: Vec<(String, String, String)> = this
        .up_to(this.latest())
        .iter()
        .map(|migration| (migration.stem(), migration.up.clone(), migration.down.clone()))
        .collect();
    files.push((format!("{NEXT:04}_harmless"), up, down));
    let files: Vec<_> = files.iter().map(|(stem, up, down)| (stem.as_str(), up.as_str(), down.as_str())).collect();
    MigrationSet::new(&files).unwrap()
}

/// One node with one table more, as a program of the next version does it.
async fn migrate(mesh: &Mesh, id: i16, set: &MigrationSet) {
    let (node, all) = (owned(std::slice::from_ref(mesh.node(id))), owned(&mesh.nodes));
    let runner = Runner::new(set, Stride(8), node.iter().collect(), &all);
    runner.up(&mut |step| assert_eq!((step.version, step.direction), (NEXT, Direction::Up))).await.unwrap();
}

/// A worker of a version for the links into some nodes.
fn work_as(mesh: &Mesh, program: i32, targets: &[i16]) -> Worker {
    let mut options: Options = mesh.options(targets);
    for node in &mut options.nodes {
        node.program = program;
    }
    Worker::start(options).unwrap()
}

async fn deliver(mesh: &Mesh, id: i16, inbox: MailboxId, name: &str) {
    mesh.dbmail(id).await.deliver(inbox, &Mail::named(name)).await.unwrap();
}

/// What the target `id` says of its link from `source`.
async fn await_link(mesh: &Mesh, source: i16, id: i16, state: &str, word: &str) {
    let sql = format!(
        "select count(*) from dbmail_mesh.link_status
         where source_id = {source} and state = '{state}' and coalesce(last_error, '') ~ '{word}'"
    );
    mesh.await_count(id, &sql, 1).await;
}

async fn holders_of_the_worker_lock(mesh: &Mesh, id: i16) -> i64 {
    let sql = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1684169070 and granted
               and database = (select oid from pg_database where datname = current_database())";
    mesh.count(id, sql).await
}

/// The migration lets older workers go on: nodes first, one by one, then the workers. Mail flows on all links all the time.
#[tokio::test]
async fn nodes_are_migrated_one_by_one_under_workers_that_may_go_on() {
    let (mesh, inbox) = Mesh::with_inbox("upgrade", 3, 8).await;
    let set = next_set(Some(SCHEMA_VERSION));
    let old = work_as(&mesh, SCHEMA_VERSION, &[1, 2, 3]);
    let mut count = 0;
    for id in [1, 2, 3] {
        migrate(&mesh, id, &set).await;
        for from in [1, 2, 3] {
            deliver(&mesh, from, inbox, &format!("{id}-{from}")).await;
            count += 1;
        }
        mesh.await_equal(inbox, count).await;
    }
    old.stop().await;
    let new = work_as(&mesh, NEXT, &[1, 2, 3]);
    deliver(&mesh, 2, inbox, "new").await;
    mesh.await_equal(inbox, count + 1).await;
    new.stop().await;
}

/// The migration shuts older workers out: the one that runs lets go of the node at once, of the links out of it too, and the links
/// between the others go on. A worker of the next version takes over node by node; in the end everything has arrived.
#[tokio::test]
async fn a_worker_lets_go_of_a_node_that_becomes_too_new_for_it() {
    let (mesh, inbox) = Mesh::with_inbox("toonew", 3, 8).await;
    let set = next_set(None);
    let old = work_as(&mesh, SCHEMA_VERSION, &[1, 2, 3]);
    deliver(&mesh, 1, inbox, "before").await;
    mesh.await_equal(inbox, 1).await;

    migrate(&mesh, 1, &set).await;
    deliver(&mesh, 1, inbox, "of the new").await;
    deliver(&mesh, 2, inbox, "of the old").await;
    for id in [2, 3] {
        await_link(&mesh, 1, id, "refused", "needs a program that knows version").await;
    }
    mesh.await_count(3, "select count(*) from dbmail_messages where status < 2", 2).await;
    assert_eq!(mesh.uids(1, inbox).await.len(), 2, "the old worker wrote to a node that is too new for it");
    let begun = std::time::Instant::now();
    while holders_of_the_worker_lock(&mesh, 1).await > 0 {
        assert!(begun.elapsed() < super::DEADLINE, "the old worker holds on to the node");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // One that is too new for the others takes over what the old one has let go of, and no more.
    let new = work_as(&mesh, NEXT, &[1, 2, 3]);
    await_link(&mesh, 2, 1, "refused", "is at version").await;
    migrate(&mesh, 2, &set).await;
    mesh.await_count(1, "select count(*) from dbmail_messages where status < 2", 3).await;
    migrate(&mesh, 3, &set).await;
    mesh.await_equal(inbox, 3).await;
    old.stop().await;
    new.stop().await;
}

/// A transaction of a worker's that is under way keeps a migration waiting, and none begins while one is under way. What the
/// migration commits counts for a session that is open already.
#[tokio::test]
async fn a_migration_and_a_write_exclude_each_other() {
    let (mesh, _) = Mesh::with_inbox("exclude", 1, 8).await;
    let mut worker = mesh.psql(1).await;
    worker.batch_execute(&format!("set dbmail_mesh.program = {SCHEMA_VERSION}")).await.unwrap();
    let guard = include_str!("../../../sql/target/guard.sql");
    let nodes = owned(&mesh.nodes);
    let set = next_set(None);

    let write = worker.transaction().await.unwrap();
    write.query(guard, &[&20_000, &20_000]).await.unwrap();
    let runner = Runner::new(&set, Stride(8), nodes.iter().collect(), &nodes).lock_patience(Duration::ZERO);
    let error = runner.up(&mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("nothing of it was done"), "{error}");
    write.commit().await.unwrap();

    let other = mesh.psql(1).await;
    other.batch_execute("begin; select pg_advisory_xact_lock(1684169072, 0)").await.unwrap();
    let error = worker.query(guard, &[&20_000, &20_000]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "55P03");
    other.batch_execute("rollback").await.unwrap();

    runner.up(&mut |_| {}).await.unwrap();
    let error = worker.query(guard, &[&20_000, &20_000]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "DM001");
    // A person in psql is none of our programs.
    other.query(guard, &[&20_000, &20_000]).await.unwrap();
}

/// The commands that look say what is to be upgraded, and go on where they may.
#[tokio::test]
async fn commands_tell_what_is_to_be_upgraded() {
    let (mesh, _) = Mesh::with_inbox("told", 1, 8).await;
    let (client, url) = (mesh.psql(1).await, mesh.url(1));
    let file = File::with_nodes(std::slice::from_ref(&url));
    let begin = "update dbmail_mesh.local_node set node_name = 'ams'";
    client.batch_execute(begin).await.unwrap();
    assert_eq!(file.run("status --check").code, 0);
    let program = SCHEMA_VERSION.to_string();
    for (change, status, check, words) in [
        (
            format!("insert into dbmail_mesh.migration (version, name, needs) values ({NEXT}, 'x', {program})"),
            0,
            0,
            "newer",
        ),
        (format!("update dbmail_mesh.migration set needs = null where version = {NEXT}"), 1, 4, "upgrade dbmail-mesh"),
        (
            format!("delete from dbmail_mesh.migration where version >= {program}"),
            1,
            4,
            "run dbmail-mesh migrate up --node ams",
        ),
    ] {
        client.batch_execute(&change).await.unwrap();
        let said = file.run("status --check");
        assert_eq!(said.code, status, "{change}: {said:?}");
        assert!(said.out.contains("its schema is at version"), "{change}: {said:?}");
        let said = file.run("config check --connect");
        assert_eq!(said.code, check, "{change}: {said:?}");
        assert!(check == 0 || said.out.contains(words) && said.out.contains("refused"), "{change}: {said:?}");
        let said = file.run("doctor --json");
        assert!(said.out.contains("\"check\": \"schema_version\""), "{said:?}");
    }
}
