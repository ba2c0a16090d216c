//! Deliveries by several sessions at once: as fast as they go, or at a given pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::cluster::{DBMAIL_ROLE, connect_as};
use dbmail_mesh::scratch::standin::Session;
use futures_util::future::{join_all, try_join_all};
use tokio::sync::{Barrier, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_postgres::Config;

use crate::mail::mail;

/// Where mail is delivered.
#[derive(Clone)]
pub struct Site {
    pub node: Config,
    pub mailboxes: Arc<Vec<MailboxId>>,
    /// The number of the next message: no two are alike.
    next: Arc<AtomicUsize>,
}

impl Site {
    pub fn new(node: &Config, mailboxes: &[MailboxId], first: usize) -> Self {
        Self { node: node.clone(), mailboxes: Arc::new(mailboxes.to_vec()), next: Arc::new(AtomicUsize::new(first)) }
    }

    async fn deliver(&self, session: &mut Session) -> Result<String> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let mail = mail(n);
        session.deliver(self.mailboxes[n % self.mailboxes.len()], &mail).await?;
        Ok(mail.unique_id)
    }

    /// Deliveries a second by so many clients, each of which waits for one before it begins the next.
    pub async fn deliveries_per_s(&self, clients: usize, time: Duration) -> Result<f64> {
        let start = Arc::new(Barrier::new(clients));
        let clients = (0..clients).map(|_| {
            let (site, start) = (self.clone(), start.clone());
            tokio::spawn(async move {
                let mut session = Session::connect(&site.node).await?;
                // Prepares all statements.
                site.deliver(&mut session).await?;
                start.wait().await;
                let (begun, mut done) = (Instant::now(), 0.0);
                while begun.elapsed() < time {
                    site.deliver(&mut session).await?;
                    done += 1.0;
                }
                Ok::<f64, anyhow::Error>(done / begun.elapsed().as_secs_f64())
            })
        });
        sum(clients).await
    }

    /// The same of the one row by which a message becomes visible, of a message that is there already: a transaction of one row.
    pub async fn rows_per_s(&self, clients: usize, time: Duration) -> Result<f64> {
        let start = Arc::new(Barrier::new(clients));
        let clients = (0..clients).map(|_| {
            let (site, start) = (self.clone(), start.clone());
            tokio::spawn(async move {
                let client = connect_as(DBMAIL_ROLE, &site.node).await?;
                let insert = client.prepare(include_str!("insert.sql")).await?;
                let content: i64 = client.query_one("select max(id) from dbmail_physmessage", &[]).await?.get(0);
                start.wait().await;
                let (begun, mut done) = (Instant::now(), 0.0);
                while begun.elapsed() < time {
                    let n = site.next.fetch_add(1, Ordering::Relaxed);
                    let mailbox = site.mailboxes[n % site.mailboxes.len()];
                    client.query_one(&insert, &[&mailbox.0, &content, &format!("row{n:029}")]).await?;
                    done += 1.0;
                }
                Ok::<f64, anyhow::Error>(done / begun.elapsed().as_secs_f64())
            })
        });
        sum(clients).await
    }

    /// Delivers `per_s` messages a second by so many clients for that time, and tells of each when it was committed. Clients that fall behind
    /// make up for it.
    pub async fn deliver_steadily(
        &self,
        per_s: f64,
        clients: usize,
        time: Duration,
        told: mpsc::UnboundedSender<Delivered>,
    ) -> Result<()> {
        let pace = Duration::from_secs_f64(clients as f64 / per_s);
        let begun = tokio::time::Instant::now();
        let clients = (0..clients).map(|_| {
            let (site, told) = (self.clone(), told.clone());
            tokio::spawn(async move {
                let mut session = Session::connect(&site.node).await?;
                let mut pace = tokio::time::interval_at(begun + pace.mul_f64(fastrand::f64()), pace);
                pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
                while begun.elapsed() < time {
                    pace.tick().await;
                    let unique_id = site.deliver(&mut session).await?;
                    let at = session.published_at().context("nothing was committed")?;
                    drop(told.send(Delivered { unique_id, at }));
                }
                Ok::<(), anyhow::Error>(())
            })
        });
        for ended in try_join_all(clients).await? {
            ended?;
        }
        Ok(())
    }
}

/// A message that was delivered.
pub struct Delivered {
    pub unique_id: String,
    pub at: Instant,
}

async fn sum(clients: impl Iterator<Item = tokio::task::JoinHandle<Result<f64>>>) -> Result<f64> {
    let mut sum = 0.0;
    for client in join_all(clients).await {
        sum += client??;
    }
    Ok(sum)
}
