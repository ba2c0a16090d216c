//! Two nodes that hold the same mail, so many messages each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dbmail_mesh::scratch::cluster::{Cluster, DBMAIL_ROLE, OWNER_ROLE, connect};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::ground;
use crate::mesh::Mesh;
use crate::native::await_zero;

const DEADLINE: Duration = Duration::from_secs(600);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// `create database` can copy files, instead of writing all to the log, from this version on.
const COPIES_FILES: i32 = 150_000;

pub struct Pair {
    pub messages: usize,
    pub mesh: Mesh,
    source: Client,
    target: Client,
    /// The number of the next message.
    next: usize,
}

impl Pair {
    /// Fills a database, copies it, installs both, and has them prove to one another that they hold the same.
    pub async fn make(cluster: &Cluster, place: usize, messages: usize) -> Result<Self> {
        let begun = Instant::now();
        let (a, b) = (format!("a{place}"), format!("b{place}"));
        let config = cluster.create_dbmail(&a).await?;
        {
            let client = connect(&config).await?;
            client.batch_execute(&format!("set bench.messages = {messages}")).await?;
            client.batch_execute(include_str!("grown.sql")).await?;
        }
        copy(cluster, &a, &b).await?;
        for database in [&a, &b] {
            connect(&cluster.config(database)).await?.batch_execute("vacuum (analyze)").await?;
        }
        let mesh = Mesh::installed(&[(cluster, &a), (cluster, &b)], 8).await?;
        let (source, target) = (mesh.client(0).await?, mesh.client(1).await?);
        let worker = mesh.worker(&[])?;
        for client in [&source, &target] {
            await_zero(client, "select 1 - count(*) from dbmail_mesh.cursor").await?;
        }
        drop(worker);
        for client in [&source, &target] {
            client.batch_execute(include_str!("skip_copy.sql")).await?;
        }
        eprintln!("  two nodes with {messages} messages were made in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(Self { messages, mesh, source, target, next: messages })
    }

    /// As between any two rounds.
    pub async fn settle_down(&self) -> Result<()> {
        ground::settle_down(self.mesh.config(0)).await?;
        ground::settle_down(self.mesh.config(1)).await
    }

    /// Makes changes on the source, all in one transaction: they are there at once. Returns the transaction.
    pub async fn change(&mut self, sql: &str, count: usize) -> Result<String> {
        let (messages, first) = (self.messages, self.next);
        self.next += count;
        let set = format!("set bench.messages = {messages}; set bench.first = {first}; set bench.count = {count}");
        self.source.batch_execute(&set).await?;
        let answers = self.source.simple_query(sql).await?;
        let row = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(row.context("no transaction was told")?.to_owned())
    }

    /// Waits until the target has applied it.
    pub async fn applied(&self, transaction: &str) -> Result<()> {
        let begun = Instant::now();
        let has_applied = self.target.prepare(include_str!("../../has_applied.sql")).await?;
        while self.target.query_opt(&has_applied, &[&1_i16, &transaction]).await?.is_none() {
            ensure!(begun.elapsed() < DEADLINE, "the burst was not applied");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// That both hold the same, by the program's own comparison: the other one reads all into memory.
    pub async fn verify(&self) -> Result<()> {
        self.mesh.run(&["verify"]).await?;
        self.mesh.nothing_left().await
    }
}

/// A copy of a database that nobody uses.
async fn copy(cluster: &Cluster, from: &str, to: &str) -> Result<()> {
    let client = connect(&cluster.config("postgres")).await?;
    let version: String = client.query_one("show server_version_num", &[]).await?.get(0);
    let strategy = if version.parse::<i32>()? >= COPIES_FILES { "strategy file_copy" } else { "" };
    client.batch_execute(&format!("create database {to} template {from} owner {DBMAIL_ROLE} {strategy}")).await?;
    // Rights on a database are not copied with it.
    client.batch_execute(&format!("grant create on database {to} to {OWNER_ROLE}")).await?;
    Ok(())
}
