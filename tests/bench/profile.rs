//! Where the servers' time goes: `--profile`.

use anyhow::Result;
use dbmail_mesh::scratch::cluster::{Cluster, connect};

/// Counts from now on, also the statements within functions.
pub async fn begin(clusters: &[&Cluster]) -> Result<()> {
    for cluster in clusters {
        let client = connect(&cluster.config("dbmail")).await?;
        for statement in [
            "create extension if not exists pg_stat_statements",
            "alter system set pg_stat_statements.track = 'all'",
            "select pg_reload_conf()",
            "select pg_stat_statements_reset()",
        ] {
            client.batch_execute(statement).await?;
        }
    }
    Ok(())
}

/// Prints what has taken the most time since, on each server.
pub async fn end(clusters: &[&Cluster]) -> Result<()> {
    for (n, cluster) in clusters.iter().enumerate() {
        let client = connect(&cluster.config("dbmail")).await?;
        eprintln!(
            "server {}: total ms, calls, ms each, blocks hit, WAL MB, whether asked for by a client, statement",
            n + 1
        );
        for row in client.query(include_str!("profile.sql"), &[]).await? {
            eprintln!(
                "  {:9.1} {:7} {:9.3} {:9} {:7.1} {:5} {}",
                row.get::<_, f64>(0),
                row.get::<_, i64>(1),
                row.get::<_, f64>(2),
                row.get::<_, i64>(3),
                row.get::<_, f64>(4),
                row.get::<_, bool>(5),
                row.get::<_, String>(6)
            );
        }
    }
    Ok(())
}
