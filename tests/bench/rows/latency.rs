//! From the commit on one node to the moment at which clients of another see it, while little else goes on.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Session;
use tokio_postgres::Config;

use crate::Options;
use crate::figures::{Figure, Reach, percentile};
use crate::mesh::Mesh;
use crate::native::Native;
use crate::watch::Lookout;
use crate::{ground, mail, profile};

pub const NAME: &str = "latency";

const PROBES: usize = 100;
/// Between a message of one contender and the next of the other, in milliseconds: between two of its own the worker falls asleep.
const PAUSE_MS: std::ops::Range<u64> = 100..350;
/// Not measured: statements are prepared, plans are made.
const WARM_UP: usize = 15;
const BEFORE: usize = 2_000;

/// A contender: where mail is delivered, and where it is looked for.
struct Line {
    session: Session,
    lookout: Lookout,
    mailboxes: Vec<MailboxId>,
    next: usize,
}

impl Line {
    async fn new(from: &Config, to: &Config, mailboxes: Vec<MailboxId>) -> Result<Self> {
        Ok(Self { session: Session::connect(from).await?, lookout: Lookout::on(to)?, mailboxes, next: BEFORE })
    }

    /// Delivers a message; the milliseconds from its commit until it is visible on the other side.
    async fn probe(&mut self) -> Result<f64> {
        let n = self.next;
        self.next += 1;
        let mail = mail::mail(n);
        let seen = self.lookout.watch(&mail.unique_id)?;
        self.session.deliver(self.mailboxes[n % self.mailboxes.len()], &mail).await?;
        let published = self.session.published_at().context("nothing was committed")?;
        // It may be there before the commit is answered.
        Ok(seen.await??.saturating_duration_since(published).as_secs_f64() * 1e3)
    }
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let ((publisher, from), (subscriber, to)) = (ground::dbmail().await?, ground::dbmail().await?);
    let native = Native::publish(&publisher, &[&subscriber]).await?;
    native.subscribe(&publisher).await?;
    let ((source, _), (target, _)) = (ground::dbmail().await?, ground::dbmail().await?);
    let mesh = Mesh::installed(&[(&source, "dbmail"), (&target, "dbmail")], 8).await?;
    let worker = mesh.worker(&[])?;
    let mut lines = Vec::new();
    for (from, to) in [(&from, &to), (mesh.config(0), mesh.config(1))] {
        let mailboxes = mail::create_mailboxes(from, mail::MAILBOXES).await?;
        mail::deliver_all(from, &mailboxes, 0, BEFORE).await?;
        lines.push(Line::new(from, to, mailboxes).await?);
    }
    native.copied().await?;
    native.caught_up().await?;
    mesh.current().await?;
    for node in [&from, &to, mesh.config(0), mesh.config(1)] {
        ground::settle_down(node).await?;
    }
    for line in &mut lines {
        for _ in 0..WARM_UP {
            line.probe().await?;
        }
    }
    let nodes = [mesh.config(0).clone(), mesh.config(1).clone()];
    profile::begin(options, &nodes).await?;
    let parts = [0.5, 0.99];
    let mut found = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for _ in 0..options.rounds {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..PROBES {
            for (line, taken) in lines.iter_mut().zip(&mut taken) {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
                taken.push(line.probe().await?);
            }
        }
        for (taken, found) in taken.iter().zip(&mut found) {
            for (part, found) in parts.iter().zip(found) {
                found.push(percentile(taken, *part));
            }
        }
    }
    profile::end(options, &nodes).await?;
    mesh.current().await?;
    mesh.verify().await?;
    drop(worker);
    let [native, ours] = &found;
    let figures = ["median", "99 of 100"].into_iter().zip(native.iter().zip(ours)).map(|(what, (native, ours))| {
        let what = format!("commit to visible on another node, idle, {what}");
        Figure::beside(NAME, what, "ms", ours, ("native", native), Reach::RatioAtMost(2.0))
    });
    Ok(figures.collect())
}
