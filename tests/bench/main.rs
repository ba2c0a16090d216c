//! `make bench`: dbmail-mesh beside PostgreSQL's own logical replication, on the same data, in one run.
//!
//! Nothing here passes or fails by a clock: it measures, checks the guarantees, and prints what came out. docs/bench.md says how to read it.

#![allow(unreachable_pub, missing_docs)]

mod cpu;
mod figures;
mod ground;
mod load;
mod machine;
mod mail;
mod mesh;
mod native;
mod profile;
mod rows;
mod watch;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;

use figures::{Figure, Table};
use machine::Machine;

/// Measures dbmail-mesh beside PostgreSQL's own logical replication.
#[derive(Debug, Parser)]
pub struct Options {
    /// The rows to measure, by name [default: all].
    rows: Vec<String>,
    /// How often each figure is taken; the median is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Messages in the backlog.
    #[arg(long, default_value_t = 20_000)]
    deliveries: usize,
    /// Messages of the first copy.
    #[arg(long, default_value_t = 60_000)]
    copied: usize,
    /// Messages of the largest node of the rows that are about size.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Prints where the servers' time goes, which takes time itself: by pg_stat_statements, the statements within functions included; of the
    /// rows catch-up, nodes and size.
    #[arg(long)]
    profile: bool,
    /// How long traffic lasts in the rows that have a rate.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Lists the rows.
    #[arg(long)]
    list: bool,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    if options.list {
        for row in rows::ALL {
            println!("{:12} {}", row.name, row.what);
        }
        return Ok(());
    }
    let asked: BTreeSet<&str> = options.rows.iter().map(String::as_str).collect();
    if let Some(unknown) = asked.iter().find(|name| !rows::ALL.iter().any(|row| row.name == **name)) {
        bail!("no row is called {unknown}; --list names them");
    }
    let machine = Machine::look().await?;
    let mut figures: Vec<Figure> = Vec::new();
    for row in rows::ALL.iter().filter(|row| asked.is_empty() || asked.contains(row.name)) {
        eprintln!("{}: {}", row.name, row.what);
        let measured = (row.measure)(options).await?;
        measured.iter().for_each(|figure| eprintln!("  {figure}"));
        figures.extend(measured);
    }
    let table = Table { machine, rounds: options.rounds, figures };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&table)?)
    } else {
        println!("{table}")
    }
    Ok(())
}
