//! `dbmail-mesh simulate`.

use std::time::Duration;

use jiff::civil::Date;
use jiff::{ToSpan, Unit, Zoned};
use serde::Serialize;

use super::output::Output;
use super::{FOUND, OK};
use crate::config::{Presence, duration};
use crate::domain::ids::Stride;
use crate::error::Result;
use crate::simulation::{self, Latency, Options, Outages, Rate, Report};

/// How many findings are printed.
const FINDINGS_SHOWN: usize = 20;
const DAY_S: f64 = 86_400.0;

/// Simulates a mesh of up to 64 nodes in memory: what its size, traffic and faults do to UIDs and to clients.
///
/// Needs no settings and no database. Runs the same code as the worker where it decides what becomes visible and what is
/// renumbered, in virtual time, and checks the guarantees A to E on the way and in the end. The same options give the same result.
/// Ends with exit code 0 when everything held, and with 1 when something did not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Nodes, 2 to 64.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: i16,
    /// The most nodes that the mesh may ever have [default: the next power of two].
    #[arg(long, value_name = "N")]
    stride: Option<i16>,
    /// Mailboxes, each with an owner of its own.
    #[arg(long, value_name = "N", default_value_t = 100)]
    mailboxes: u32,
    /// Messages delivered in all mailboxes on all nodes together, as 2.5/s, 300/min, 5000/h, 100000/d.
    #[arg(long, value_name = "RATE", default_value = "1/s")]
    rate: Rate,
    /// How long, in virtual time.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    duration: Duration,
    /// How long a message between two nodes takes, one way: 20ms, or 5ms-80ms for links that differ.
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    latency: Latency,
    /// The share of a mailbox's mail that is delivered on its home node; the rest on any other.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    affinity: f64,
    /// The share of owners who read on all nodes: half of them only where a node is caught up, half at any time.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    roaming: f64,
    /// How often a client looks.
    #[arg(long, value_name = "RATE", default_value = "60/h")]
    visits: Rate,
    /// The share of the messages that are expunged.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    expunge: f64,
    /// How often the mesh falls into two parts.
    #[arg(long, value_name = "RATE", default_value = "0/h")]
    partitions: Rate,
    /// How long that lasts, on average.
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = duration)]
    partition_length: Duration,
    /// How often a node goes down.
    #[arg(long, value_name = "RATE", default_value = "0/h")]
    crashes: Rate,
    /// How long it stays down, on average.
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = duration)]
    crash_length: Duration,
    /// How often a worker is killed, in the middle of whatever it does.
    #[arg(long, value_name = "RATE", default_value = "0/h")]
    worker_crashes: Rate,
    /// How long it takes to begin again, on average.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    worker_crash_length: Duration,
    /// The share of batches that come once more, later; and of settlements that break off half-way.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    faults: f64,
    /// For how long an owner who has logged in counts as a reader; or always, whether or not he has.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = simulation::presence)]
    presence: Presence,
    /// As mesh.settle_after.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    settle_after: Duration,
    /// As mesh.patience.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    patience: Duration,
    /// As mesh.lock_bound.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = duration)]
    lock_bound: Duration,
    /// What chance starts from.
    #[arg(long, value_name = "X", default_value_t = 1)]
    seed: u64,
    /// The day from which it is counted when the UIDs end [default: today].
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// The day on which the UIDs end; `null`: after the year 9999.
    uids_end_on: Option<Date>,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<u8> {
    let report = simulation::run(&args.options())?;
    let from = args.from.unwrap_or_else(|| Zoned::now().date());
    let end = end_of_uids(from, report.uid_space.seconds_until_the_end);
    if args.json {
        output.json(&Whole { report: &report, uids_end_on: end })?;
    } else {
        print(&report, end, output)?;
    }
    Ok(if report.findings.is_empty() { OK } else { FOUND })
}

impl Args {
    fn options(&self) -> Options {
        Options {
            nodes: self.nodes,
            stride: self.stride.map_or_else(|| Options::stride_for(self.nodes), Stride),
            mailboxes: self.mailboxes,
            rate: self.rate,
            duration: self.duration,
            latency: self.latency,
            affinity: self.affinity,
            roaming: self.roaming,
            visits: self.visits,
            expunge: self.expunge,
            partitions: Outages { rate: self.partitions, length: self.partition_length },
            crashes: Outages { rate: self.crashes, length: self.crash_length },
            worker_crashes: Outages { rate: self.worker_crashes, length: self.worker_crash_length },
            faults: self.faults,
            presence: self.presence,
            settle_after: self.settle_after,
            patience: self.patience,
            lock_bound: self.lock_bound,
            seed: self.seed,
        }
    }
}

/// `None`: after the last day of the calendar.
fn end_of_uids(from: Date, seconds: f64) -> Option<Date> {
    let days = (seconds / DAY_S).floor();
    let span = 0.days().try_days(days.min(1e15) as i64).ok()?;
    from.checked_add(span).ok().filter(|end| end.since((Unit::Day, from)).is_ok())
}

fn print(report: &Report, end: Option<Date>, output: &mut Output) -> Result<()> {
    let simulated = &report.options;
    output.print(&format!(
        "{} nodes, stride {}; {} for {} into {} mailboxes, {} of it at home; latency {}; seed {}\n",
        simulated.nodes,
        simulated.stride,
        simulated.rate,
        simulated.duration,
        simulated.mailboxes,
        percent(simulated.affinity),
        simulated.latency,
        simulated.seed
    ))?;
    output.table(["", "", ""], rows(report))?;
    output.print("")?;
    print_clients(report, output)?;
    output.print("")?;
    print_uids(report, end, output)?;
    print_findings(&report.findings, output)
}

fn rows(report: &Report) -> Vec<[String; 3]> {
    let Report { settlements, convergence, .. } = report;
    let row = |what: &str, value: String, note: String| [what.to_owned(), value, note];
    let share = |count: u64| percent(count as f64 / report.messages.max(1) as f64);
    vec![
        row("messages", report.messages.to_string(), format!("{} expunged", report.expunged)),
        row("late", report.late.to_string(), share(report.late)),
        row(
            "renumbered",
            report.renumbered.to_string(),
            format!("{}, {} new UIDs", share(report.renumbered), report.renumbers),
        ),
        row(
            "numbers burned per message",
            format!("{:.3}", report.numbers_per_message),
            format!("{} set aside and not used", report.numbers_unused),
        ),
        row(
            "settlements",
            settlements.written.to_string(),
            format!("{} found nothing to do, {} broke off", settlements.idle, settlements.broken_off),
        ),
        row(
            "visible everywhere after",
            format!("{:.3} s", convergence.visible_p50_seconds),
            format!("p99 {:.3} s, longest {:.3} s", convergence.visible_p99_seconds, convergence.visible_max_seconds),
        ),
        row("quiet after the last write", format!("{:.3} s", convergence.after_last_write_seconds), String::new()),
        row("longest wait of a delivery", format!("{:.0} ms", report.delivery_wait_max_ms), String::new()),
    ]
}

fn print_clients(report: &Report, output: &mut Output) -> Result<()> {
    let rows = report.clients.iter().map(|of| {
        let kind = match of.kind {
            "at_home" => "at home",
            "roaming_caught_up" => "roaming, where it is caught up",
            _ => "roaming, anywhere",
        };
        let counts = [of.clients, of.visits, of.downloads, of.duplicates, of.overlooked, of.lost];
        let [clients, visits, downloads, duplicates, overlooked, lost] = counts.map(|count| count.to_string());
        [kind.to_owned(), clients, visits, downloads, duplicates, overlooked, lost]
    });
    let headings = ["READ", "CLIENTS", "VISITS", "DOWNLOADS", "TWICE", "OVERLOOKED", "LOST"];
    output.table(headings, rows.collect())
}

fn print_uids(report: &Report, end: Option<Date>, output: &mut Output) -> Result<()> {
    let space = &report.uid_space;
    let years = space.years_until_the_end();
    let end = end.map_or_else(|| "after the year 9999".to_owned(), |end| format!("on {end}"));
    output.print(&format!(
        "UIDs: {:.1} used up per message, highest {} ({:.4} % of 4294967294)\n\
         at this rate they end {end}, in {years:.1} years, after {} messages in all",
        space.per_message,
        space.highest,
        space.used_fraction * 100.0,
        report.messages + space.messages_until_the_end,
    ))
}

fn print_findings(findings: &[String], output: &mut Output) -> Result<()> {
    if findings.is_empty() {
        return output.print("\nA to E held on all nodes.");
    }
    output.print(&format!("\n{} findings:", findings.len()))?;
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        output.print(&format!("  {finding}"))?;
    }
    if findings.len() > FINDINGS_SHOWN {
        output.print(&format!("  and {} more", findings.len() - FINDINGS_SHOWN))?;
    }
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uids_end_on_a_day_of_the_calendar_or_after_it() {
        let from: Date = "2026-11-24".parse().unwrap();
        let end = |days: f64| end_of_uids(from, days * DAY_S).map(|date| date.to_string());
        assert_eq!(end(0.0).as_deref(), Some("2026-11-24"));
        assert_eq!(end(365.5).as_deref(), Some("2027-11-24"));
        assert_eq!(end(1e9), None);
        assert_eq!(end(f64::INFINITY), None);
    }
}
