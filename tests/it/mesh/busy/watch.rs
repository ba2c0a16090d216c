//! What of the mesh's own tables tells how settlement does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use dbmail_mesh::domain::ids::Uid;

use super::spread::Spread;
use crate::mesh::Mesh;

/// How often the late are counted: none of them is gone before `settle_after`.
const INTERVAL: Duration = Duration::from_millis(250);

const LATE: &str = "select birth_uid, extract(epoch from first_seen)::double precision from dbmail_mesh.late";

/// When late messages were settled: on this node, or elsewhere, and this node has learned of it.
const SETTLED: &str = "select birth_uid, extract(epoch from max(applied_at))::double precision
                       from dbmail_mesh.renumber_log group by birth_uid";

/// How often each message was given a new number, as far as a node knows.
const TIMES: &str = "select birth_uid, count(*) from dbmail_mesh.number group by birth_uid";

/// What was seen of late messages.
#[derive(Default)]
pub struct Late {
    /// On a node, by birth UID: when it was first seen there, by the node's clock.
    first_seen: BTreeMap<(i16, i64), f64>,
    /// How many there were on all nodes, second by second of the run.
    pub backlog: Vec<usize>,
}

/// Counts the late until it is told to stop.
pub async fn watch(nodes: Vec<(i16, Client)>, stop: Arc<AtomicBool>) -> Late {
    let (mut late, begun) = (Late::default(), Instant::now());
    while !stop.load(Ordering::SeqCst) {
        let mut now = 0;
        for (id, client) in &nodes {
            let rows = client.query(LATE, &[]).await.unwrap();
            now += rows.len();
            late.first_seen.extend(rows.iter().map(|row| ((*id, row.get(0)), row.get(1))));
        }
        let second = begun.elapsed().as_secs() as usize;
        late.backlog.resize(late.backlog.len().max(second + 1), 0);
        late.backlog[second] = late.backlog[second].max(now);
        tokio::time::sleep(INTERVAL).await;
    }
    late
}

impl Late {
    /// For how long messages were late.
    pub async fn waits(&self, mesh: &Mesh) -> Spread {
        let mut waits = Spread::default();
        for node in &mesh.nodes {
            let rows = mesh.psql(node.id.0).await.query(SETTLED, &[]).await.unwrap();
            for row in rows {
                let (birth, settled): (i64, f64) = (row.get(0), row.get(1));
                if let Some(first_seen) = self.first_seen.get(&(node.id.0, birth)) {
                    waits.add(Duration::from_secs_f64((settled - first_seen).max(0.0)));
                }
            }
        }
        waits
    }
}

/// How many of these messages were given how many new numbers: the most that any node knows of each.
pub async fn renumbered(mesh: &Mesh, births: &[Uid]) -> BTreeMap<i64, usize> {
    let mut times: BTreeMap<i64, i64> = births.iter().map(|birth| (birth.0, 0)).collect();
    for node in &mesh.nodes {
        for row in mesh.psql(node.id.0).await.query(TIMES, &[]).await.unwrap() {
            if let Some(known) = times.get_mut(&row.get(0)) {
                *known = (*known).max(row.get(1));
            }
        }
    }
    let mut messages: BTreeMap<i64, usize> = BTreeMap::new();
    for count in times.values() {
        *messages.entry(*count).or_default() += 1;
    }
    messages
}

/// Deliveries that gave up to wait for their mailbox's line, on all nodes.
pub async fn gave_up(mesh: &Mesh) -> i64 {
    let inserts = "select n_tup_ins from pg_stat_user_tables where relid = 'dbmail_mesh.overtaking'::regclass";
    let mut count = 0;
    for node in &mesh.nodes {
        count += mesh.count(node.id.0, inserts).await;
    }
    count
}
