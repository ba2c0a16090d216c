//! Processor time of a process, and of a server.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use dbmail_mesh::scratch::cluster::Cluster;

/// What the kernel counts a process's time in (USER_HZ): a constant of its interface.
const TICKS_PER_S: f64 = 100.0;

/// The processor time that all processes of a server have used so far, also those that have ended, in seconds.
pub fn server_cpu_s(cluster: &Cluster) -> Result<f64> {
    let pid = cluster.pid();
    let own = process_cpu_s(pid)? + ended_children_cpu_s(pid)?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    // One that has ended meanwhile is not there any more.
    let alive = children.split_whitespace().filter_map(|child| process_cpu_s(child.parse().ok()?).ok());
    Ok(own + alive.sum::<f64>())
}

/// The processor time of a process, in seconds.
pub fn process_cpu_s(pid: u32) -> Result<f64> {
    stat_s(pid, 11)
}

fn ended_children_cpu_s(pid: u32) -> Result<f64> {
    stat_s(pid, 13)
}

/// The user's and the system's time from two fields in a row, counted from behind the name, which may have anything in it.
fn stat_s(pid: u32, first: usize) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().skip(first).take(2).collect();
    ensure!(fields.len() == 2, "/proc/{pid}/stat is shorter than it should be");
    fields.iter().map(|ticks| Ok(ticks.parse::<f64>()? / TICKS_PER_S)).sum()
}
