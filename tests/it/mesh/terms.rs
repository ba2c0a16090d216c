//! Two workers for one node: one is active, never both, and the other takes over within seconds, however the first one ends.

use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Mail;
use tokio_postgres::Client;

use super::child::WorkerProcess;
use super::{DEADLINE, Mesh};

/// How long the standing-by worker takes at the most to notice, to take over, and to bring a message, on a busy machine.
const TAKEN_OVER_IN: Duration = Duration::from_secs(20);

/// Notes at each commit of a session with a term which one it was, and which one was present. A deferred trigger runs in the commit: no
/// later look would tell what came first.
const AUDIT: &str = "
    create table term_audit (own bigint, present bigint, of text);
    create function note_term() returns trigger language plpgsql security definer as $$
    begin
      if current_setting('dbmail_mesh.term', true) <> '' then
        insert into public.term_audit select current_setting('dbmail_mesh.term')::bigint, w.term, tg_table_name from dbmail_mesh.worker w;
      end if;
      return null;
    end $$;
    create constraint trigger note_term after insert or update on dbmail_mesh.cursor deferrable initially deferred
    for each row execute function note_term();
    create constraint trigger note_term after insert or update on dbmail_mesh.link_status deferrable initially deferred
    for each row execute function note_term();
    create constraint trigger note_term after insert or update on dbmail_messages deferrable initially deferred
    for each row execute function note_term()";

impl Mesh {
    /// The term on a node, and the process id of whose it is.
    async fn term(&self, id: i16) -> (i64, Option<u32>) {
        let sql = "select term, case when is_active then held_by end from dbmail_mesh.active_worker";
        let row = self.psql(id).await.query_one(sql, &[]).await.unwrap();
        let pid = row.get::<_, Option<&str>>(1).and_then(|holder| holder.rsplit_once(':')?.1.parse().ok());
        (row.get(0), pid)
    }

    /// Waits until a worker is the active one on a node; returns its term.
    async fn await_active(&self, id: i16, worker: &WorkerProcess) -> i64 {
        let begun = Instant::now();
        loop {
            let (term, holder) = self.term(id).await;
            if holder == Some(worker.id()) {
                return term;
            }
            assert!(begun.elapsed() < DEADLINE, "{} is not active, but {holder:?}", worker.id());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A worker that seeks to be the active one for node 2, known to the node by now.
    async fn standing_by(&self) -> WorkerProcess {
        let locks = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'dbmail-mesh worker lock'";
        let before = self.count(2, locks).await;
        let worker = worker(self);
        self.await_count(2, locks, before + 1).await;
        worker
    }

    /// Nothing was committed in a term when another had begun; and so many terms have committed something.
    async fn assert_never_both(&self, terms: i64) {
        assert_eq!(self.count(2, "select count(*) from term_audit where own <> present").await, 0);
        assert_eq!(self.count(2, "select count(distinct own) from term_audit").await, terms);
    }
}

/// A process that drives the link into node 2, and is silent for two seconds at the most.
fn worker(mesh: &Mesh) -> WorkerProcess {
    WorkerProcess::start_with(mesh, &["--set", "worker.lease=2s"])
}

/// Delivers on node 1 and waits for it on node 2; returns how long it took.
async fn through(mesh: &Mesh, inbox: MailboxId, name: &str) -> Duration {
    let begun = Instant::now();
    mesh.dbmail(1).await.deliver(inbox, &Mail::named(name)).await.unwrap();
    let there = format!("select count(*) from dbmail_messages where status < 2 and unique_id = '{name}'");
    mesh.await_count(2, &there, 1).await;
    begun.elapsed()
}

async fn with_term(mesh: &Mesh, term: i64) -> Client {
    let client = mesh.psql(2).await;
    client.batch_execute(&format!("set dbmail_mesh.term = '{term}'")).await.unwrap();
    client
}

const GUARD: &str = include_str!("../../../sql/target/guard.sql");
const BEGIN_TERM: &str = "select term from dbmail_mesh.seek_term('the next', '1 min')";

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("", |code| code.code())
}

/// A transaction that has proved its term commits before the next begins; one that has not yet, and any single statement, fails once it
/// has begun, whatever it was about.
#[tokio::test]
async fn a_term_that_is_over_writes_nothing() {
    let (mesh, inbox) = Mesh::with_inbox("term", 2, 2).await;
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("m")).await.unwrap();
    let worker = mesh.work();
    mesh.await_uids(2, inbox, &[1]).await;
    worker.stop().await;
    let gone = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'dbmail-mesh %'";
    mesh.await_count(2, gone, 0).await;
    let (term, _) = mesh.term(2).await;
    let (mut proved, mut late, single) =
        (with_term(&mesh, term).await, with_term(&mesh, term).await, with_term(&mesh, term).await);
    let proved = proved.transaction().await.unwrap();
    proved.query(GUARD, &[&30_000, &30_000]).await.unwrap();
    let late = late.transaction().await.unwrap();
    late.batch_execute("select 1").await.unwrap();

    let next = mesh.psql(2).await;
    let takeover = tokio::spawn(async move { next.query_one(BEGIN_TERM, &[]).await.map(|row| row.get::<_, i64>(0)) });
    let waits = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1684169079 and not granted";
    mesh.await_count(2, waits, 1).await;
    // While the next term waits to begin, nothing more of this one does.
    assert_eq!(code(&single.query(GUARD, &[&1000, &1000]).await.unwrap_err()), "DM002");
    assert_eq!(mesh.term(2).await.0, term);
    proved.commit().await.unwrap();
    assert_eq!(takeover.await.unwrap().unwrap(), term + 1);

    assert_eq!(code(&late.query(GUARD, &[&1000, &1000]).await.unwrap_err()), "DM002");
    for sql in [
        include_str!("../../../sql/target/lock_parents.sql"),
        "update dbmail_mesh.cursor set batches = batches",
        "update dbmail_mesh.link_status set since = since",
        "delete from dbmail_mesh.set_aside",
        "delete from dbmail_mesh.moved_reader",
        "delete from dbmail_mesh.late",
        "delete from dbmail_mesh.outbox",
        "update dbmail_mesh.peer set left_at = left_at",
        "update dbmail_mesh.local_node set presence = presence",
    ] {
        assert_eq!(code(&single.execute(sql, &[]).await.unwrap_err()), "DM002", "{sql}");
    }
    // Whoever has no term is not asked: dbmail, a person, a settlement.
    mesh.psql(2).await.query(GUARD, &[&1000, &1000]).await.unwrap();
    mesh.dbmail(2).await.deliver(inbox, &Mail::named("n")).await.unwrap();
}

/// The session that holds the lock is killed, as by a network that was cut for that connection alone, again and again in the midst of
/// traffic: the two workers take turns, a batch that is under way fails or has come before, and nothing is lost or doubled.
#[tokio::test]
async fn two_workers_are_never_active_at_once() {
    let (mesh, inbox) = Mesh::with_inbox("both", 2, 2).await;
    let client = mesh.psql(2).await;
    client.batch_execute(AUDIT).await.unwrap();
    let before = mesh.term(2).await.0;
    let workers = [worker(&mesh), worker(&mesh)];
    let mut session = mesh.dbmail(1).await;
    let mut delivered = 0;
    let mut terms = 0;
    while terms < 6 {
        let term = mesh.term(2).await.0;
        for _ in 0..5 {
            session.deliver(inbox, &Mail::named(&format!("{delivered}"))).await.unwrap();
            delivered += 1;
        }
        // Held where contents come in, a batch is in its midst when the term ends, and goes on when the next has begun.
        let mut holder = mesh.psql(2).await;
        let held = holder.transaction().await.unwrap();
        held.batch_execute("lock table dbmail_physmessage in share mode").await.unwrap();
        session.deliver(inbox, &Mail::named(&format!("{delivered}"))).await.unwrap();
        delivered += 1;
        let kill = "select count(*) from (select pg_terminate_backend(w.pid) from dbmail_mesh.active_worker w where w.is_active) x";
        if client.query_one(kill, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            continue;
        }
        let begun = Instant::now();
        while mesh.term(2).await.0 == term {
            assert!(begun.elapsed() < DEADLINE, "nobody takes over");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        held.commit().await.unwrap();
        // The new term gets somewhere.
        let last = format!("select count(*) from dbmail_messages where status < 2 and unique_id = '{}'", delivered - 1);
        mesh.await_count(2, &last, 1).await;
        terms += 1;
    }
    mesh.await_equal(inbox, delivered).await;
    assert_eq!(
        mesh.count(2, "select count(distinct unique_id) from dbmail_messages where status < 2").await,
        delivered as i64
    );
    assert_eq!(mesh.count(2, "select count(*) from term_audit where own <> present").await, 0);
    assert!(mesh.count(2, "select count(distinct own) from term_audit").await >= 6);
    assert!(mesh.term(2).await.0 >= before + 6);
    for worker in workers {
        worker.kill().await;
    }
}

/// The first worker is killed; the other takes over.
#[tokio::test]
async fn a_worker_that_stands_by_takes_over_from_one_that_was_killed() {
    let (mesh, inbox) = Mesh::with_inbox("killed", 2, 2).await;
    mesh.psql(2).await.batch_execute(AUDIT).await.unwrap();
    let first = worker(&mesh);
    let term = mesh.await_active(2, &first).await;
    through(&mesh, inbox, "before").await;
    let second = mesh.standing_by().await;
    first.kill().await;
    let took = through(&mesh, inbox, "after").await;
    assert_eq!(mesh.await_active(2, &second).await, term + 1);
    assert!(took < TAKEN_OVER_IN, "{took:?}");
    mesh.assert_never_both(2).await;
    println!("SIGKILL: the other brought mail after {took:?}");
    let status: serde_json::Value = serde_json::from_str(&mesh.command("status --json").await.out).unwrap();
    let node = &status["nodes"][1];
    assert_eq!(node["worker_term"], term + 1, "{node}");
    assert!(node["worker_name"].as_str().unwrap().ends_with(&format!(":{}", second.id())), "{node}");
    assert_eq!(node["worker_active"], true);
    second.kill().await;
}

/// A machine that stands still keeps its connections: the kernel answers for it. It is deposed when its lease is over; once it goes on, it
/// finds itself out and stands by.
#[tokio::test]
async fn a_worker_that_stands_still_is_deposed_and_stands_by_when_it_goes_on() {
    let (mesh, inbox) = Mesh::with_inbox("still", 2, 2).await;
    mesh.psql(2).await.batch_execute(AUDIT).await.unwrap();
    let first = worker(&mesh);
    let term = mesh.await_active(2, &first).await;
    through(&mesh, inbox, "before").await;
    let second = mesh.standing_by().await;
    first.signal("STOP").await;
    let took = through(&mesh, inbox, "while it stands still").await;
    assert_eq!(mesh.await_active(2, &second).await, term + 1);
    assert!(took < TAKEN_OVER_IN, "{took:?}");
    println!("SIGSTOP: the other brought mail after {took:?}");
    first.signal("CONT").await;
    let locks = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'dbmail-mesh worker lock'";
    mesh.await_count(2, locks, 2).await;
    through(&mesh, inbox, "when it goes on").await;
    assert_eq!(mesh.term(2).await, (term + 1, Some(second.id())));
    mesh.assert_never_both(2).await;
    // And back.
    second.kill().await;
    through(&mesh, inbox, "back").await;
    assert_eq!(mesh.await_active(2, &first).await, term + 2);
    mesh.assert_never_both(3).await;
    first.kill().await;
}

/// A worker that stands by settles nothing: the active one does. It begins once it is the active one.
#[tokio::test]
async fn a_worker_that_stands_by_settles_nothing() {
    let (mut mesh, inbox) = Mesh::with_inbox("onduty", 1, 2).await;
    // Whoever holds the lock here says nothing.
    mesh.worker.lease = Duration::from_secs(300);
    let holder = mesh.psql(1).await;
    holder.query("select pg_advisory_lock(1684169070, 0)", &[]).await.unwrap();
    let uid = mesh.dbmail(1).await.deliver(inbox, &Mail::named("m")).await.unwrap();
    let late = "insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr) values ($1, $2, $1, $1)";
    mesh.psql(1).await.execute(late, &[&uid.0, &inbox.0]).await.unwrap();
    let worker = mesh.work();
    let locks = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'dbmail-mesh worker lock'";
    mesh.await_count(1, locks, 1).await;
    // Longer than settlements look for what is late.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(mesh.uids(1, inbox).await, [uid.0]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(holder);
    mesh.await_count(1, "select count(*) from dbmail_mesh.late", 0).await;
    assert_ne!(mesh.uids(1, inbox).await, [uid.0], "nothing was to be settled: the test tests nothing");
    worker.stop().await;
}
