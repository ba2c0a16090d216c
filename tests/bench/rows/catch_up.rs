//! A backlog that a target has to catch up with, over one link.

use std::time::Instant;

use anyhow::Result;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::cluster::Cluster;
use tokio_postgres::Config;

use crate::Options;
use crate::figures::{Figure, Reach};
use crate::mesh::Mesh;
use crate::native::Native;
use crate::{ground, mail, profile};

pub const NAME: &str = "catch-up";

/// What a contender did.
struct Round {
    per_s: f64,
    memory_mib: f64,
    cpu_s: f64,
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let replicated = Backlog::native(options).await?;
    let (meshed, mesh) = Backlog::mesh(options).await?;
    let (mut native, mut ours, mut spared) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        native.push(replicated.of_native(options.deliveries).await?);
        ours.push(meshed.of_mesh(&mesh, options, false).await?);
        spared.push(meshed.of_mesh(&mesh, options, true).await?);
    }
    let rates: Vec<f64> = ours.iter().map(|round: &Round| round.per_s).collect();
    let spared: Vec<f64> = spared.iter().map(|round| round.per_s).collect();
    let memory: Vec<f64> = ours.iter().map(|round| round.memory_mib).collect();
    let cpu: Vec<f64> = ours.iter().map(|round| round.cpu_s * 1e6 / options.deliveries as f64).collect();
    let what = format!("catch-up with {} deliveries, one link", options.deliveries);
    Ok(vec![
        Figure::beside(NAME, &what, "messages/s", &rates, ("native", &native), Reach::RatioAtLeast(1.5)),
        Figure::beside(
            NAME,
            format!("{what}, checks spared"),
            "messages/s",
            &spared,
            ("native", &native),
            Reach::RatioAtLeast(1.5),
        ),
        Figure::alone(NAME, "memory of the worker at catch-up, resident", "MiB", &memory, Reach::AtMost(200.0)),
        Figure::alone(NAME, "processor time of the worker at catch-up", "µs a message", &cpu, Reach::Nothing),
    ])
}

/// Servers that are put back, for each round, to where a target has nothing yet of what was delivered.
struct Backlog {
    source: Cluster,
    target: Cluster,
}

impl Backlog {
    async fn native(options: &Options) -> Result<Self> {
        let ((source, from), (target, _)) = (ground::dbmail().await?, ground::dbmail().await?);
        let native = Native::publish(&source, &[&target]).await?;
        native.subscribe(&source).await?;
        let mailboxes = mail::create_mailboxes(&from, mail::MAILBOXES).await?;
        native.copied().await?;
        native.caught_up().await?;
        native.disable().await?;
        let backlog = Self { source, target };
        backlog.fill(&from, &mailboxes, options.deliveries).await?;
        Ok(backlog)
    }

    async fn mesh(options: &Options) -> Result<(Self, Mesh)> {
        let ((source, from), (target, _)) = (ground::dbmail().await?, ground::dbmail().await?);
        let mesh = Mesh::installed(&[(&source, "dbmail"), (&target, "dbmail")], 8).await?;
        let mailboxes = mail::create_mailboxes(&from, mail::MAILBOXES).await?;
        let worker = mesh.worker(&[])?;
        mesh.current().await?;
        drop(worker);
        let backlog = Self { source, target };
        backlog.fill(&from, &mailboxes, options.deliveries).await?;
        Ok((backlog, mesh))
    }

    async fn fill(&self, from: &Config, mailboxes: &[MailboxId], deliveries: usize) -> Result<()> {
        mail::deliver_all(from, mailboxes, 0, deliveries).await?;
        ground::settle_down(from).await?;
        ground::settle_down(&self.target.config("dbmail")).await?;
        ground::keep(&[&self.source, &self.target]).await
    }

    async fn of_native(&self, deliveries: usize) -> Result<f64> {
        ground::restore(&[&self.source, &self.target]).await?;
        let native = Native::of(&self.source, &[&self.target]).await?;
        let begun = Instant::now();
        native.enable().await?;
        native.caught_up().await?;
        Ok(deliveries as f64 / begun.elapsed().as_secs_f64())
    }

    async fn of_mesh(&self, mesh: &Mesh, options: &Options, is_spared: bool) -> Result<Round> {
        let servers = [&self.source, &self.target];
        ground::restore(&servers).await?;
        if is_spared {
            ground::spare_checks(&self.target).await?;
        }
        let databases = servers.map(|server| server.config("dbmail"));
        profile::begin(options, &databases).await?;
        let begun = Instant::now();
        let worker = mesh.worker(&[])?;
        mesh.current().await?;
        let per_s = options.deliveries as f64 / begun.elapsed().as_secs_f64();
        let round = Round { per_s, memory_mib: worker.memory_mib()?, cpu_s: worker.cpu_s()? };
        profile::end(options, &databases).await?;
        mesh.verify().await?;
        Ok(round)
    }
}
