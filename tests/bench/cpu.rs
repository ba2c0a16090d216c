//! Processor time of a server.

use std::fs;

use anyhow::{Context as _, Result};
use dbmail_mesh::scratch::cluster::Cluster;

use crate::mesh::process_cpu_s;

/// What the kernel counts in (USER_HZ).
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

fn ended_children_cpu_s(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("stat")?.1.split_whitespace().skip(13).take(2);
    fields.map(|ticks| Ok(ticks.parse::<f64>()? / TICKS_PER_S)).sum()
}
