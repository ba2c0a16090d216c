//! Three nodes that all deliver, at half of what they can: how far behind the last of them is, and whether that grows.

use std::time::{Duration, Instant};

use anyhow::Result;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::cluster::Cluster;
use futures_util::future::{join_all, try_join_all};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Config;

use crate::Options;
use crate::figures::{Figure, Reach, median, percentile};
use crate::load::{Delivered, Site};
use crate::mesh::Mesh;
use crate::native::Native;
use crate::watch::Watcher;
use crate::{ground, mail};

pub const NAME: &str = "steady";

const NODES: usize = 3;
/// Clients that deliver, a node. The one publisher has those of all.
const CLIENTS: usize = 2;
/// How long it is found out what they can.
const TRIAL: Duration = Duration::from_secs(8);
const TIME: Duration = Duration::from_secs(20);
/// One of so many deliveries is watched.
const WATCHED: usize = 4;
const BEFORE: usize = 2_000;
/// Far apart, for no two sites may deliver the same message.
const NUMBERS_A_SITE: usize = 1_000_000;

/// What came of a load.
struct Outcome {
    p50_ms: f64,
    p99_ms: f64,
    /// By how much messages take longer to arrive, in milliseconds a second.
    grows: f64,
    /// How long the last messages take to arrive once no more come.
    drained_ms: f64,
    per_s: f64,
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let publishing = Publishing::new().await?;
    let meshed = Meshed::new().await?;
    let per_s = meshed.capacity_per_s().await? / 2.0;
    let (mut native, mut ours): (Vec<Outcome>, Vec<Outcome>) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        native.push(
            load(
                std::slice::from_ref(&publishing.site),
                per_s * NODES as f64,
                CLIENTS * NODES,
                &publishing.subscribers,
            )
            .await?,
        );
        publishing.native.caught_up().await?;
        ours.push(load(&meshed.sites, per_s, CLIENTS, &meshed.nodes()).await?);
        meshed.mesh.current().await?;
    }
    meshed.mesh.verify().await?;
    let of = |outcomes: &[Outcome], value: fn(&Outcome) -> f64| outcomes.iter().map(value).collect::<Vec<f64>>();
    let beside = |what: &str, unit, value: fn(&Outcome) -> f64, reach| {
        let what = format!("three nodes, {per_s:.0} deliveries a second each: {what}");
        Figure::beside(NAME, what, unit, &of(&ours, value), ("native", &of(&native, value)), reach)
    };
    let done = median(&of(&ours, |outcome| outcome.per_s));
    Ok(vec![
        beside(
            "commit to visible on the last node, 99 of 100",
            "ms",
            |outcome| outcome.p99_ms,
            Reach::RatioAtMost(2.0),
        )
        .note("native: one publisher that gets all of it, and two subscribers")
        .note(format!("{done:.0} deliveries a second were made on all nodes together; each has mailboxes of its own")),
        beside("the same, median", "ms", |outcome| outcome.p50_ms, Reach::Nothing),
        Figure::alone(
            NAME,
            "what that grows by",
            "ms a second",
            &of(&ours, |outcome| outcome.grows),
            Reach::AtMost(1.0),
        ),
        beside("the last one visible after the end", "ms", |outcome| outcome.drained_ms, Reach::Nothing),
    ])
}

/// A publisher and two subscribers.
struct Publishing {
    native: Native,
    site: Site,
    subscribers: Vec<Config>,
    _servers: Vec<Cluster>,
}

impl Publishing {
    async fn new() -> Result<Self> {
        let ((publisher, from), (first, one), (second, two)) =
            (ground::dbmail().await?, ground::dbmail().await?, ground::dbmail().await?);
        let native = Native::publish(&publisher, &[&first, &second]).await?;
        native.subscribe(&publisher).await?;
        let mailboxes = mail::create_mailboxes(&from, mail::MAILBOXES).await?;
        mail::deliver_all(&from, &mailboxes, 0, BEFORE).await?;
        native.copied().await?;
        native.caught_up().await?;
        for node in [&from, &one, &two] {
            ground::settle_down(node).await?;
        }
        let site = Site::new(&from, &mailboxes, BEFORE);
        Ok(Self { native, site, subscribers: vec![one, two], _servers: vec![publisher, first, second] })
    }
}

/// Three nodes. Each delivers to mailboxes of its own, as the site does that has them: a mailbox that gets mail on two nodes at once costs
/// new UIDs, which are given after `settle_after`.
struct Meshed {
    mesh: Mesh,
    sites: Vec<Site>,
    _worker: crate::mesh::Worker,
    _servers: Vec<Cluster>,
}

impl Meshed {
    async fn new() -> Result<Self> {
        let servers = [ground::dbmail().await?.0, ground::dbmail().await?.0, ground::dbmail().await?.0];
        let databases: Vec<(&Cluster, &str)> = servers.iter().map(|server| (server, "dbmail")).collect();
        let mesh = Mesh::installed(&databases, 8).await?;
        let worker = mesh.worker(&[])?;
        let mailboxes = mail::create_mailboxes(mesh.config(0), mail::MAILBOXES).await?;
        mail::deliver_all(mesh.config(0), &mailboxes, 0, BEFORE).await?;
        mesh.current().await?;
        for node in 0..NODES {
            ground::settle_down(mesh.config(node)).await?;
        }
        let sites = (0..NODES).map(|node| {
            let own: Vec<MailboxId> = mailboxes.iter().copied().skip(node).step_by(NODES).collect();
            Site::new(mesh.config(node), &own, (node + 1) * NUMBERS_A_SITE)
        });
        Ok(Self { sites: sites.collect(), mesh, _worker: worker, _servers: servers.into() })
    }

    fn nodes(&self) -> Vec<Config> {
        (0..NODES).map(|node| self.mesh.config(node).clone()).collect()
    }

    /// What a node can while all of them do, until all have all of it.
    async fn capacity_per_s(&self) -> Result<f64> {
        let begun = Instant::now();
        let rates: Vec<Result<f64>> =
            join_all(self.sites.iter().map(|site| site.deliveries_per_s(CLIENTS, TRIAL))).await;
        let done = rates.into_iter().sum::<Result<f64>>()? * TRIAL.as_secs_f64();
        self.mesh.current().await?;
        Ok(done / begun.elapsed().as_secs_f64() / NODES as f64)
    }
}

/// Delivers on all sites, and watches on all nodes.
async fn load(sites: &[Site], per_s: f64, clients: usize, nodes: &[Config]) -> Result<Outcome> {
    let watchers = try_join_all(nodes.iter().map(Watcher::connect)).await?;
    let watchers = std::sync::Arc::new(watchers);
    let (told, mut delivered) = mpsc::unbounded_channel::<Delivered>();
    let begun = Instant::now();
    let work = sites.iter().map(|site| {
        let (site, told) = (site.clone(), told.clone());
        tokio::spawn(async move { site.deliver_steadily(per_s, clients, TIME, told).await })
    });
    let work: Vec<_> = work.collect();
    drop(told);
    let (mut watched, mut count) = (JoinSet::new(), 0);
    while let Some(message) = delivered.recv().await {
        count += 1;
        // All are, once no more are to come: the last ones are among them.
        if count % WATCHED == 0 || begun.elapsed() > TIME.mul_f64(0.95) {
            let watchers = watchers.clone();
            watched.spawn(async move {
                let seen =
                    try_join_all(watchers.iter().map(|watcher| watcher.await_message(&message.unique_id))).await?;
                let seen = seen.into_iter().max().unwrap_or(message.at);
                Ok::<_, anyhow::Error>((
                    message.at.duration_since(begun),
                    seen.saturating_duration_since(message.at),
                    seen,
                ))
            });
        }
    }
    let ended = Instant::now();
    for work in work {
        work.await??;
    }
    let (mut points, mut last) = (Vec::new(), ended);
    while let Some(seen) = watched.join_next().await {
        let (at, lag, seen) = seen??;
        points.push((at.as_secs_f64(), lag.as_secs_f64() * 1e3));
        last = last.max(seen);
    }
    let lags: Vec<f64> = points.iter().map(|(_, lag)| *lag).collect();
    Ok(Outcome {
        p50_ms: median(&lags),
        p99_ms: percentile(&lags, 0.99),
        grows: slope(&points),
        drained_ms: (last - ended).as_secs_f64() * 1e3,
        per_s: count as f64 / (ended - begun).as_secs_f64(),
    })
}

/// Of the line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (at, lag) = (mean(|point| point.0), mean(|point| point.1));
    let covered: f64 = points.iter().map(|point| (point.0 - at) * (point.1 - lag)).sum();
    covered / points.iter().map(|point| (point.0 - at).powi(2)).sum::<f64>()
}
