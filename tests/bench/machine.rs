//! The machine that the figures are of.

use std::fmt::{self, Display, Formatter};

use anyhow::{Context as _, Result};
use dbmail_mesh::scratch::cluster::connect;
use serde::Serialize;

use crate::ground;

/// A machine, as far as it matters to a database.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub postgresql: String,
    /// Commits of one row a second, flushed, by one session.
    pub commits_per_s: f64,
    /// Settings of the servers that differ from PostgreSQL's own.
    pub settings: Vec<String>,
}

impl Machine {
    /// Looks at this one.
    pub async fn look() -> Result<Self> {
        let cluster = ground::cluster().await?;
        let client = connect(&cluster.config("postgres")).await?;
        let version: String = client.query_one("show server_version", &[]).await?.get(0);
        client.batch_execute("create table committed (n integer)").await?;
        let insert = client.prepare("insert into committed values (1)").await?;
        let begun = std::time::Instant::now();
        let mut commits = 0.0;
        while begun.elapsed().as_secs_f64() < 2.0 {
            client.execute(&insert, &[]).await?;
            commits += 1.0;
        }
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name")?,
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: field("/proc/meminfo", "MemTotal")?
                .trim_end_matches(" kB")
                .parse::<u64>()
                .context("MemTotal")?
                .div_ceil(1 << 20),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            postgresql: version,
            commits_per_s: commits / begun.elapsed().as_secs_f64(),
            settings: ground::SETTINGS.iter().map(|(name, value)| format!("{name} = {value}")).collect(),
        })
    }
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    Ok(line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned())
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cores of {}, {} GiB, Linux {}, PostgreSQL {}, {:.0} flushed commits a second by one session.",
            self.cores, self.processor, self.memory_gib, self.kernel, self.postgresql, self.commits_per_s
        )?;
        writeln!(f, "All servers with fsync, and {}.", self.settings.join(", "))
    }
}
