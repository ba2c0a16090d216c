//! For how long the worker keeps deliveries waiting: looked at in `pg_locks`, while there is as much to settle as ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dbmail_mesh::scratch::standin::Mail;

use super::Mesh;

/// Transactions of the worker that have a lock on the table of lines now: whoever locks a line has one until he commits.
const HOLDERS: &str = "select l.virtualtransaction, extract(epoch from clock_timestamp())::double precision as at,
      concat_ws(': ', a.application_name, a.state, left(a.query, 200)) as doing
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.relation = 'dbmail_mesh.line'::regclass and l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.mode in ('RowShareLock', 'RowExclusiveLock') and a.application_name like 'dbmail-mesh %'";

/// A line is held by six statements at the most, and the pauses after them, each bounded by the server: of a settlement those that lock, look,
/// write, look at what deliveries have drawn meanwhile, and commit; of a batch one more. On a machine that is busy with other things nearly all
/// of it may be used.
const STEPS: f64 = 12.0;

/// Looks until it is told to stop; returns for how long each transaction was seen, in seconds, and at what.
async fn sample(client: tokio_postgres::Client, stop: Arc<AtomicBool>) -> Vec<(f64, Vec<String>)> {
    let mut seen: BTreeMap<String, (f64, f64, Vec<String>)> = BTreeMap::new();
    let statement = client.prepare(HOLDERS).await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        for row in client.query(&statement, &[]).await.unwrap() {
            let (at, doing): (f64, String) = (row.get("at"), row.get("doing"));
            let (first, last, done) = seen.entry(row.get("virtualtransaction")).or_insert((at, at, Vec::new()));
            *last = at;
            if !done.last().is_some_and(|last| last.ends_with(&doing)) {
                done.push(format!("{:.3} s {doing}", at - *first));
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    seen.into_values().map(|(first, last, done)| (last - first, done)).collect()
}

/// Hundreds of messages are late on both sides at once, in three mailboxes, while mail comes in.
#[tokio::test]
async fn no_line_is_held_for_longer_than_its_bound_allows() {
    let (mesh, inbox) = Mesh::with_inbox("held", 2, 2).await;
    let mut delivered = 0;
    for n in 0..150 {
        for id in [2, 1] {
            mesh.dbmail(id).await.deliver(inbox, &Mail::named(&format!("{id}-{n}"))).await.unwrap();
            delivered += 1;
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (first, second) = (mesh.psql(1).await, mesh.psql(2).await);
    let samplers = [tokio::spawn(sample(first, stop.clone())), tokio::spawn(sample(second, stop.clone()))];
    let worker = mesh.work();
    let (mut session, mut waited) = (mesh.dbmail(1).await, Vec::new());
    for n in 0..100 {
        let begun = std::time::Instant::now();
        session.deliver(inbox, &Mail::named(&format!("meanwhile {n}"))).await.unwrap();
        waited.push(begun.elapsed());
        delivered += 1;
    }
    mesh.await_equal(inbox, delivered).await;
    stop.store(true, Ordering::Relaxed);
    worker.stop().await;
    let bound = mesh.mesh.lock_bound.as_secs_f64();
    let mut held = Vec::new();
    for sampler in samplers {
        held.extend(sampler.await.unwrap());
    }
    held.sort_by(|one, other| f64::total_cmp(&one.0, &other.0));
    waited.sort();
    let (longest, done) = held.last().unwrap();
    println!(
        "{} transactions seen with a line: half of them for less than {:.0} ms, the longest {:.0} ms; the slowest of {} deliveries took {:?}",
        held.len(),
        held[held.len() / 2].0 * 1000.0,
        longest * 1000.0,
        waited.len(),
        waited.last().unwrap()
    );
    assert!(held.len() > 5, "too few to tell: {}", held.len());
    assert!(*longest <= STEPS * bound, "a line was held for {longest} s: {done:#?}");
}
