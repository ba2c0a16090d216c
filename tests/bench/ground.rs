//! Servers and databases to measure on.

use anyhow::Result;
use dbmail_mesh::scratch::cluster::{Cluster, DBMAIL_ROLE, OWNER_ROLE, Options, connect};
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
    let client = connect(&cluster.config("postgres")).await?;
    for statement in [
        format!("create database {database} template dbmail owner {DBMAIL_ROLE}"),
        format!("grant create on database {database} to {OWNER_ROLE}"),
        "checkpoint".to_owned(),
    ] {
        client.batch_execute(&statement).await?;
    }
    Ok(())
}

/// Gives the right to leave out checks of foreign keys for content, as a DBA may: docs/rights.md.
pub async fn spare_checks(cluster: &Cluster) -> Result<()> {
    let client = connect(&cluster.config("dbmail")).await?;
    client.batch_execute(&format!("grant set on parameter session_replication_role to {OWNER_ROLE}")).await?;
    Ok(())
}
