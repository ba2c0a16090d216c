//! What the worker takes of memory, whatever there is to do: measured on the program itself. `make limits` takes a million.

use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;
use super::child::WorkerProcess;

const MIB: u64 = 1 << 20;

/// What a worker may take in all: the bound that docs/limits.md states for a mesh of few nodes.
const MEMORY_MAX: u64 = 200 * MIB;

/// What a batch may take in memory: some twenty times a chunk, which is read, taken apart, put together again and sent.
const BATCH_MAX: u64 = 48 * MIB;

/// What more of the same may add: a hundredth of what it would be, if it were kept.
const GROWTH_MAX: u64 = 24 * MIB;

/// Adds messages that share the content of the first, quickly: `count` changes of a row each.
const MANY: &str = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
    select $1, (select min(g.physmessage_id) from dbmail_messages g where g.mailbox_idnr = $1), 'many' || i, 1, 0
    from generate_series($2::bigint, $3) i";

/// A message with content of its own: `parts` of `bytes` each, `headers` rows of headers, `keywords`. Its data is repetitive, so that the
/// servers store little of it; what passes is not compressed.
const LARGE: &str = "select large($1, $2, $3, $4, $5, $6)";
const LARGE_FUNCTION: &str = "create function large(mailbox bigint, name text, parts integer, bytes integer, headers integer, keywords integer)
returns bigint language plpgsql as $$
declare
  content bigint;
  uid bigint;
begin
  insert into dbmail_physmessage (messagesize, rfcsize, internal_date)
  values (parts::bigint * bytes, parts::bigint * bytes, now()) returning id into content;
  with d as (
    insert into dbmail_mimeparts (hash, data, size)
    select md5(name || i), convert_to(repeat(md5(name || i), bytes / 32), 'UTF8'), bytes from generate_series(1, parts) i
    returning id
  )
  insert into dbmail_partlists (physmessage_id, is_header, part_key, part_depth, part_order, part_id)
  select content, 0, row_number() over (), 1, 0, d.id from d;
  -- Each row under a name of its own, or all under one.
  insert into dbmail_headername (headername)
  select distinct case name when 'names' then 'X-Limits-' || i else 'x-limits' end from generate_series(1, headers) i on conflict do nothing;
  with v as (
    insert into dbmail_headervalue (hash, headervalue, sortfield)
    select md5(name || i), 'value ' || i, i from generate_series(1, headers) i returning id, sortfield as i
  )
  insert into dbmail_header (physmessage_id, headername_id, headervalue_id)
  select content, n.id, v.id
  from v join dbmail_headername n on n.headername = case name when 'names' then 'X-Limits-' || v.i else 'x-limits' end;
  insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
  values (mailbox, content, name, 1, 0) returning message_idnr into uid;
  insert into dbmail_keywords (message_idnr, keyword) select uid, 'k' || i from generate_series(1, keywords) i;
  return uid;
end $$";

/// Notes how many messages came with each batch.
const BROUGHT: &str = "create table brought (messages bigint);
    create function note_brought() returns trigger language plpgsql security definer as
    $$ begin insert into public.brought values (new.messages - old.messages); return null; end $$;
    create trigger note_brought after update on dbmail_mesh.cursor for each row execute function note_brought()";

fn number(name: &str, default: i64) -> i64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

impl Mesh {
    async fn await_named(&self, id: i16, name: &str) {
        self.await_named_within(id, name, super::DEADLINE).await;
    }

    async fn await_named_within(&self, id: i16, name: &str, deadline: Duration) {
        let (begun, client) = (Instant::now(), self.psql(id).await);
        let there = "select exists (select from dbmail_messages where status < 2 and unique_id = $1)";
        while !client.query_one(there, &[&name]).await.unwrap().get::<_, bool>(0) {
            assert!(begun.elapsed() < deadline, "{name} does not come");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn add_many(&self, inbox: MailboxId, from: i64, upto: i64) {
        let client = self.psql(1).await;
        // A few to a transaction: each finds the line as all before it in the same transaction have left it, which takes longer and longer.
        client.batch_execute("set synchronous_commit = off").await.unwrap();
        for first in (from..=upto).step_by(100) {
            let last = (first + 99).min(upto);
            client.execute(MANY, &[&inbox.0, &first, &last]).await.unwrap();
        }
    }
}

/// One worker in both directions, with a first message through.
async fn at_work(mesh: &Mesh, inbox: MailboxId) -> WorkerProcess {
    mesh.dbmail(1).await.deliver(inbox, &Mail::named("first")).await.unwrap();
    let worker = WorkerProcess::start(mesh);
    mesh.await_named(2, "first").await;
    worker
}

async fn a_backlog_of(messages: i64) {
    let (mesh, inbox) = Mesh::with_inbox("memory", 2, 2).await;
    let worker = at_work(&mesh, inbox).await;
    let tenth = messages / 10;
    worker.signal("STOP").await;
    mesh.add_many(inbox, 1, tenth).await;
    worker.signal("CONT").await;
    mesh.await_moved(2, tenth + 1).await;
    let small = worker.peak_memory();
    // Ten times as much, and all of it waits before the worker sees any.
    worker.signal("STOP").await;
    mesh.add_many(inbox, tenth + 1, 11 * tenth).await;
    worker.signal("CONT").await;
    mesh.await_moved(2, 11 * tenth + 1).await;
    let large = worker.peak_memory();
    println!("a backlog of {tenth}: {} MiB at the most, of {}: {} MiB", small / MIB, 10 * tenth, large / MIB);
    assert!(large < MEMORY_MAX, "{} MiB", large / MIB);
    assert!(large < small + GROWTH_MAX, "{} MiB, then {} MiB", small / MIB, large / MIB);
    worker.kill().await;
}

impl Mesh {
    /// Waits until so many messages are there. Of a million this takes a while; as long as some come, it is waited.
    async fn await_moved(&self, id: i16, count: i64) {
        let client = self.psql(id).await;
        let (mut seen, mut since) = (0, Instant::now());
        while seen < count {
            let sql = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
            let now: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < super::DEADLINE, "{seen} of {count}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
#[ignore = "takes a minute and more: make soak, make limits"]
async fn memory_does_not_grow_with_the_backlog() {
    a_backlog_of(number("LIMITS_MESSAGES", 10_000)).await;
}

/// 100 MB in one part, in two thousand, and four messages that would all fit one batch by their number.
#[tokio::test]
#[ignore = "takes a minute and more: make soak, make limits"]
async fn memory_does_not_grow_with_the_size_of_messages() {
    let (mesh, inbox) = Mesh::with_inbox("sizes", 2, 2).await;
    let client = mesh.psql(1).await;
    client.batch_execute(LARGE_FUNCTION).await.unwrap();
    mesh.psql(2).await.batch_execute(BROUGHT).await.unwrap();
    let worker = at_work(&mesh, inbox).await;
    let before = worker.peak_memory();
    for (name, count, parts, bytes) in
        [("one part", 1, 1, 100 << 20), ("many parts", 1, 2_000, 50 << 10), ("several", 4, 2, 12 << 20)]
    {
        worker.signal("STOP").await;
        for n in 0..count {
            client.query_one(LARGE, &[&inbox.0, &format!("{name} {n}"), &parts, &bytes, &0, &0]).await.unwrap();
        }
        worker.signal("CONT").await;
        for n in 0..count {
            mesh.await_named(2, &format!("{name} {n}")).await;
        }
        let peak = worker.peak_memory();
        println!("{name}: from {} MiB to {} MiB", before / MIB, peak / MIB);
        assert!(peak < before + BATCH_MAX, "{name}: from {} MiB to {} MiB", before / MIB, peak / MIB);
    }
    // However many there are: what weighs more than a batch may comes by itself.
    assert_eq!(mesh.count(2, "select max(messages) from brought").await, 1);
    // To the byte: parts are stored under their hash, so a wrong one would be another.
    let content = "select count(*) from (select md5(string_agg(md5(m.data), ',' order by m.hash)) from dbmail_mimeparts m) x(digest) where digest = '";
    let digest: String = client
        .query_one("select md5(string_agg(md5(m.data), ',' order by m.hash)) from dbmail_mimeparts m", &[])
        .await
        .unwrap()
        .get(0);
    mesh.await_count(2, &format!("{content}{digest}'"), 1).await;
    worker.kill().await;
}

/// A message of many rows and no size: headers, keywords, empty parts. Each header value was once looked for in all of them, so that 20,000
/// took minutes.
#[tokio::test]
async fn memory_does_not_grow_with_the_rows_of_a_message() {
    let (mesh, inbox) = Mesh::with_inbox("rows", 2, 2).await;
    let client = mesh.psql(1).await;
    client.batch_execute(LARGE_FUNCTION).await.unwrap();
    let worker = at_work(&mesh, inbox).await;
    let rows = i32::try_from(number("LIMITS_ROWS", 20_000)).unwrap();
    let keywords = rows.min(100_000);
    for (name, parts, headers, keywords) in [
        ("headers", 1, rows, 0),
        ("names", 1, rows, 0),
        ("keywords", 1, 1, keywords / 10),
        ("empty parts", rows / 10, 1, 0),
    ] {
        client.query_one(LARGE, &[&inbox.0, &name, &parts, &32, &headers, &keywords]).await.unwrap();
        let begun = Instant::now();
        mesh.await_named_within(2, name, super::DEADLINE + Duration::from_millis(rows as u64)).await;
        println!("{name}: {} MiB at the most, {:.1} s", worker.peak_memory() / MIB, begun.elapsed().as_secs_f64());
        assert!(worker.peak_memory() < MEMORY_MAX, "{name}: {} MiB", worker.peak_memory() / MIB);
    }
    for count in ["header", "headername", "headervalue", "keywords", "partlists"] {
        let sql = format!("select count(*) from dbmail_{count}");
        mesh.await_count(2, &sql, mesh.count(1, &sql).await).await;
    }
    worker.kill().await;
}

/// Twenty links at once, each with content to bring. What is bounded by a link is bounded by two batches a node.
#[tokio::test]
#[ignore = "writes gigabytes: make limits"]
async fn memory_with_twenty_links_at_once() {
    let (mesh, inbox) = Mesh::with_inbox("links", 5, 8).await;
    let worker = at_work(&mesh, inbox).await;
    worker.signal("STOP").await;
    for id in 1..=5 {
        let client = mesh.psql(id).await;
        client.batch_execute(LARGE_FUNCTION).await.unwrap();
        for n in 0..10 {
            client.query_one(LARGE, &[&inbox.0, &format!("{id}-{n}"), &40, &(256 << 10), &100, &0]).await.unwrap();
        }
    }
    worker.signal("CONT").await;
    for id in 1..=5 {
        mesh.await_moved(id, 51).await;
    }
    let peak = worker.peak_memory();
    println!("twenty links: {} MiB at the most", peak / MIB);
    // Two batches into each node.
    assert!(peak < 40 * MIB + 10 * BATCH_MAX, "{} MiB", peak / MIB);
    worker.kill().await;
}
