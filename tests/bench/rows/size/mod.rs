//! What a change costs on nodes that hold little and on nodes that hold much: a hundred times the mailboxes, with a hundred times the mail.

mod pair;

use std::time::Instant;

use anyhow::Result;
use dbmail_mesh::scratch::cluster::{Cluster, connect};

use crate::Options;
use crate::cpu::server_cpu_s;
use crate::figures::{Figure, Reach, median};
use crate::ground;
use crate::mesh::Worker;
use crate::profile;
use pair::Pair;

pub const NAME: &str = "size";

/// Changes in a burst.
const CHANGES: usize = 2_000;
/// A worker that has just been started has nothing prepared yet.
const CHANGES_BEFORE: usize = 400;
/// The most that the largest node may cost more than the smallest.
const GROWTH_MAX: f64 = 1.2;

/// A kind of change, and the SQL of a burst of it.
struct Kind {
    what: &'static str,
    sql: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind { what: "a delivery", sql: include_str!("deliver.sql") },
    Kind { what: "a flag", sql: include_str!("flags.sql") },
    Kind { what: "an expunge", sql: include_str!("expunge.sql") },
];

/// What a burst cost, in microseconds a change.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Until it was applied.
    wall: f64,
    /// Processor time of both nodes and the worker from the burst's commit until it was applied.
    cpu: f64,
    /// That of the burst's own statements, triggers with them.
    own: f64,
}

/// A value a round; of each kind, on each size.
type Costs = [[Vec<Cost>; 3]; KINDS.len()];

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let cluster = ground::cluster().await?;
    // It would come when it likes. Statistics and the visibility map are brought up to date between the rounds.
    connect(&cluster.config("postgres")).await?.batch_execute("alter system set autovacuum = off").await?;
    connect(&cluster.config("postgres")).await?.batch_execute("select pg_reload_conf()").await?;
    let mut pairs = Vec::new();
    for (place, messages) in sizes(options).into_iter().enumerate() {
        pairs.push(Pair::make(&cluster, place, messages).await?);
    }
    let mut costs = Costs::default();
    for round in 0..options.rounds {
        for place in 0..pairs.len() {
            let size = (round + place) % pairs.len();
            take_turn(options, &cluster, &mut pairs[size], size, &mut costs).await?;
        }
    }
    for pair in &pairs {
        pair.verify().await?;
    }
    Ok(KINDS.iter().zip(&costs).flat_map(|(kind, costs)| figures(options, kind, costs)).collect())
}

/// The smallest first.
fn sizes(options: &Options) -> [usize; 3] {
    // A hundred mailboxes at the least: bursts go to so many.
    [100, 10, 1].map(|part| (options.messages / part).max(10_000))
}

/// A burst of each kind.
async fn take_turn(
    options: &Options,
    cluster: &Cluster,
    pair: &mut Pair,
    size: usize,
    costs: &mut Costs,
) -> Result<()> {
    pair.settle_down().await?;
    let worker = pair.mesh.worker(&[])?;
    pair.mesh.current().await?;
    for kind in &KINDS {
        burst(cluster, pair, &worker, kind, CHANGES_BEFORE).await?;
    }
    for (kind, costs) in KINDS.iter().zip(costs) {
        let nodes = [pair.mesh.config(0).clone(), pair.mesh.config(1).clone()];
        profile::begin(options, &nodes).await?;
        let cost = burst(cluster, pair, &worker, kind, CHANGES).await?;
        profile::end(options, &nodes).await?;
        eprintln!("  {} messages, {}: {cost:.0?}", pair.messages, kind.what);
        costs[size].push(cost);
    }
    Ok(())
}

async fn burst(cluster: &Cluster, pair: &mut Pair, worker: &Worker, kind: &Kind, count: usize) -> Result<Cost> {
    let before = server_cpu_s(cluster)?;
    let transaction = pair.change(kind.sql, count).await?;
    let (begun, servers, of_worker) = (Instant::now(), server_cpu_s(cluster)?, worker.cpu_s()?);
    pair.applied(&transaction).await?;
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    Ok(Cost {
        wall: each(begun.elapsed().as_secs_f64()),
        cpu: each(server_cpu_s(cluster)? - servers + worker.cpu_s()? - of_worker),
        own: each(servers - before),
    })
}

fn figures(options: &Options, kind: &Kind, costs: &[Vec<Cost>; 3]) -> [Figure; 2] {
    let of = |size: usize, value: fn(&Cost) -> f64| -> Vec<f64> { costs[size].iter().map(value).collect() };
    let [small, middle, large] = sizes(options);
    let figure = |what: &str, value: fn(&Cost) -> f64| {
        let what = format!("{what} of {}, {large} messages on a node", kind.what);
        let peer = ("a hundredth of them", &*of(0, value));
        Figure::beside(NAME, what, "µs", &of(2, value), peer, Reach::RatioAtMost(GROWTH_MAX))
            .note(format!("{:.0} µs with {middle} messages on a node", median(&of(1, value))))
    };
    let own = |size| median(&of(size, |cost| cost.own));
    let of_its_own =
        format!("on its own node it takes {:.0} µs with {small} messages, {:.0} µs with {large}", own(0), own(2));
    [figure("processor time", |cost| cost.cpu).note(of_its_own), figure("time", |cost| cost.wall)]
}
