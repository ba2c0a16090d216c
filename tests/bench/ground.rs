//! Servers and databases to measure on.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use dbmail_mesh::scratch::cluster::{Cluster, OWNER_ROLE, Options, connect};
use tokio_postgres::Config;

/// The same for every contender, on every server. Checkpoints are no part of what is measured.
pub const SETTINGS: [(&str, &str); 7] = [
    ("shared_buffers", "1GB"),
    ("wal_level", "logical"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("max_replication_slots", "20"),
    ("max_wal_senders", "20"),
    ("shared_preload_libraries", "pg_stat_statements"),
];

/// A server whose commits are flushed.
pub async fn cluster() -> Result<Cluster> {
    cluster_for(300).await
}

/// The same for so many connections.
pub async fn cluster_for(max_connections: u16) -> Result<Cluster> {
    let settings = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Cluster::start(Options { settings, durable: true, max_connections, ..Options::default() }).await?)
}

/// A server with one dbmail database.
pub async fn dbmail() -> Result<(Cluster, Config)> {
    let cluster = cluster().await?;
    let config = cluster.create_dbmail("dbmail").await?;
    Ok((cluster, config))
}

/// Brings statistics and visibility up to date, and writes down what is still in memory: nothing of what was prepared is to be paid for by
/// what is measured.
pub async fn settle_down(config: &Config) -> Result<()> {
    let client = connect(config).await?;
    for statement in ["vacuum (analyze)", "checkpoint"] {
        client.batch_execute(statement).await?;
    }
    Ok(())
}

/// A copy of a server's dbmail database, beside it.
pub async fn copy(cluster: &Cluster, database: &str) -> Result<()> {
    let copy = cluster.copy_dbmail("dbmail", database).await?;
    Ok(connect(&copy).await?.batch_execute("checkpoint").await?)
}

/// Gives the right to leave out checks of foreign keys for content, as a DBA may: docs/rights.md.
pub async fn spare_checks(cluster: &Cluster) -> Result<()> {
    let client = connect(&cluster.config("dbmail")).await?;
    client.batch_execute(&format!("grant set on parameter session_replication_role to {OWNER_ROLE}")).await?;
    Ok(())
}

/// Puts away what servers hold, so that each round can begin with it: mail is delivered once.
pub async fn keep(clusters: &[&Cluster]) -> Result<()> {
    for cluster in clusters {
        cluster.stop_immediate().await?;
        copy_folder(&cluster.dir().join("data"), &cluster.dir().join("kept")).await?;
        cluster.start_again().await?;
    }
    Ok(())
}

/// Has servers hold again what was put away.
pub async fn restore(clusters: &[&Cluster]) -> Result<()> {
    for cluster in clusters {
        cluster.stop_immediate().await?;
        let data = cluster.dir().join("data");
        tokio::fs::remove_dir_all(&data).await?;
        copy_folder(&cluster.dir().join("kept"), &data).await?;
        cluster.start_again().await?;
    }
    Ok(())
}

/// With owners and modes: a server refuses a folder that is not its own.
async fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let copied = tokio::process::Command::new("cp").arg("-a").args([from, to]).status().await.context("cp")?;
    ensure!(copied.success(), "cp -a {} {}: {copied}", from.display(), to.display());
    Ok(())
}
