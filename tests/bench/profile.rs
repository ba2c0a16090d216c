//! Where the servers' time goes: `--profile`.

use anyhow::Result;
use dbmail_mesh::scratch::cluster::connect;
use tokio_postgres::Config;

use crate::Options;

/// Counts from now on, also the statements within functions, if that was asked for.
pub async fn begin(options: &Options, databases: &[Config]) -> Result<()> {
    if !options.profile {
        return Ok(());
    }
    for database in databases {
        let client = connect(database).await?;
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

/// Prints what has taken the most time since, in each database.
pub async fn end(options: &Options, databases: &[Config]) -> Result<()> {
    if !options.profile {
        return Ok(());
    }
    for (n, database) in databases.iter().enumerate() {
        let client = connect(database).await?;
        eprintln!(
            "database {}: total ms, calls, ms each, blocks hit, WAL MB, whether asked for by a client, statement",
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
