//! PostgreSQL's own logical replication of dbmail's tables.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dbmail_mesh::scratch::cluster::{Cluster, connect};
use tokio_postgres::Client;

const DEADLINE: Duration = Duration::from_secs(1800);
const PUBLISH: &str = include_str!("publish.sql");

/// A publisher and its subscribers.
pub struct Native {
    pub publisher: Client,
    subscribers: Vec<Client>,
}

impl Native {
    /// Publishes all of dbmail's tables of `source`, and makes the rows of a fresh installation go from the subscribers: they come again from
    /// the publisher.
    pub async fn publish(source: &Cluster, targets: &[&Cluster]) -> Result<Self> {
        let native = Self::of(source, targets).await?;
        native.publisher.batch_execute(PUBLISH).await?;
        for subscriber in &native.subscribers {
            subscriber.batch_execute(include_str!("empty.sql")).await?;
        }
        Ok(native)
    }

    /// Connects to a publisher and its subscribers.
    pub async fn of(source: &Cluster, targets: &[&Cluster]) -> Result<Self> {
        let publisher = connect(&source.config("dbmail")).await?;
        let mut subscribers = Vec::new();
        for target in targets {
            subscribers.push(connect(&target.config("dbmail")).await?);
        }
        Ok(Self { publisher, subscribers })
    }

    /// Subscribes, with the first copy of what is there.
    pub async fn subscribe(&self, source: &Cluster) -> Result<()> {
        for (n, subscriber) in self.subscribers.iter().enumerate() {
            let dir = source.dir().display();
            let subscribe = format!(
                "create subscription {slot} connection 'host={dir} user=postgres dbname=dbmail' publication dbmail",
                slot = slot(n),
            );
            subscriber.batch_execute(&subscribe).await?;
        }
        Ok(())
    }

    /// Takes the subscriptions away, and what the publisher keeps for them.
    pub async fn end(self) -> Result<()> {
        for (n, subscriber) in self.subscribers.iter().enumerate() {
            subscriber.batch_execute(&format!("drop subscription {}", slot(n))).await?;
        }
        Ok(())
    }

    /// Starts to apply.
    pub async fn enable(&self) -> Result<()> {
        for (n, subscriber) in self.subscribers.iter().enumerate() {
            subscriber.batch_execute(&format!("alter subscription {} enable", slot(n))).await?;
        }
        Ok(())
    }

    /// Stops to apply.
    pub async fn disable(&self) -> Result<()> {
        for (n, subscriber) in self.subscribers.iter().enumerate() {
            subscriber.batch_execute(&format!("alter subscription {} disable", slot(n))).await?;
        }
        Ok(())
    }

    /// Waits until every table has been copied.
    pub async fn copied(&self) -> Result<()> {
        let left = "select count(*) from pg_subscription_rel where srsubstate <> 'r'";
        for subscriber in &self.subscribers {
            await_zero(subscriber, left).await?;
        }
        Ok(())
    }

    /// Waits until the subscribers have applied, and flushed, all that is there now.
    pub async fn caught_up(&self) -> Result<()> {
        let now: String = self.publisher.query_one("select pg_current_wal_flush_lsn()::text", &[]).await?.get(0);
        let behind = format!(
            "select count(*) from pg_replication_slots where slot_type = 'logical' and confirmed_flush_lsn < '{now}'::pg_lsn"
        );
        await_zero(&self.publisher, &behind).await
    }
}

fn slot(n: usize) -> String {
    format!("native{n}")
}

/// Waits until a count is zero.
pub async fn await_zero(client: &Client, sql: &str) -> Result<()> {
    let begun = Instant::now();
    while client.query_one(sql, &[]).await?.get::<_, i64>(0) > 0 {
        ensure!(begun.elapsed() < DEADLINE, "gave up: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
