//! `dbmail-mesh plan`.

mod imagined;
mod measured;

use clap::builder::RangedU64ValueParser;
use serde::Serialize;

use super::output::Output;
use super::status::{ends, share};
use super::{Common, FOUND, OK};
use crate::domain::budget::{Level, Millionths, Space, Window};
use crate::error::Result;
use crate::node::status::numbers::SpaceStatus;

/// Tells how long UIDs, physmessage ids and mailbox ids last: of this mesh, or of one that you imagine.
///
/// Without --nodes it asks every node of the settings how far its numbers are used up and how fast that goes. With --nodes it asks
/// nobody and reads no settings: it computes what a mesh of that size would use up.
///
/// UIDs end at 4294967294 for the whole mesh, and the highest one counts: it goes up by one stride for each message of the busiest
/// node, and by one for each message that is renumbered; messages of the other nodes fill the gaps below. Each message takes one
/// physmessage id on every node; those end at 2147483647 on each node by itself. Mailbox ids are UIDVALIDITYs and end at 4294967295; the
/// highest goes up by one stride for each new mailbox.
///
/// Exit code 1 when a real mesh has used up 80 % of anything, or a node could not be asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Imagine a mesh of this many nodes.
    #[arg(long, value_name = "N", requires = "rate", value_parser = RangedU64ValueParser::<u16>::new().range(1..=1024))]
    nodes: Option<u16>,
    /// The most nodes that it may ever have [default: as many as --nodes].
    #[arg(long, value_name = "N", requires = "nodes", value_parser = RangedU64ValueParser::<u16>::new().range(1..=1024))]
    stride: Option<u16>,
    /// Messages that are delivered, appended or copied, on all nodes together: 10/s, 500/min, 20000/h, 864000/day.
    #[arg(long, value_name = "MESSAGES/TIME", requires = "nodes", value_parser = rate)]
    rate: Option<Count>,
    /// The share of them that the busiest node takes, in percent [default: several cases, from an even share to all].
    #[arg(long, value_name = "PERCENT", requires = "nodes", value_parser = percent)]
    busiest: Option<Millionths>,
    /// The share of them that is renumbered, in percent; status shows how many are.
    #[arg(long, value_name = "PERCENT", requires = "nodes", default_value = "0", value_parser = percent)]
    renumbered: Millionths,
    /// Mailboxes that are made, on all nodes together.
    #[arg(long, value_name = "MAILBOXES/TIME", requires = "nodes", default_value = "0/day", value_parser = rate)]
    mailboxes: Count,
    /// The highest UID in use at the beginning.
    #[arg(long, value_name = "UID", requires = "nodes", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    used: i64,
    /// The highest dbmail_physmessage.id in use at the beginning.
    #[arg(long, value_name = "ID", requires = "nodes", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    used_physmessage_ids: i64,
    /// The highest mailbox id in use at the beginning.
    #[arg(long, value_name = "ID", requires = "nodes", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    used_mailbox_ids: i64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// So many things in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    things: u64,
    seconds: u64,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Plan {
    /// Whether the mesh is imagined.
    imagined: bool,
    /// How many nodes it has.
    nodes: usize,
    /// The most that it may have.
    stride: u16,
    /// What was found, a line each.
    lines: Vec<Line>,
    /// Nodes that could not be asked, and why.
    errors: Vec<String>,
}

/// One space of numbers, of a mesh or of a node.
#[derive(Debug, Serialize)]
struct Line {
    /// The node; `None`: the numbers are the mesh's.
    node: Option<String>,
    /// Of an imagined mesh: where the mail arrives.
    load: Option<String>,
    #[serde(flatten)]
    space: SpaceStatus,
    /// The numbers that are left.
    numbers_left: u64,
    /// How many numbers a message costs; `None` when it is not known, and for mailbox ids.
    numbers_per_message: Option<f64>,
    /// For how many messages the rest is enough; `None` when it is not known, or for ever.
    messages_left: Option<u64>,
    /// What was measured over each time that is known.
    rates: Vec<Measured>,
}

/// A rate over one time.
#[derive(Debug, Serialize)]
struct Measured {
    /// `30 days`, `7 days`, `1 day`, or since `install`.
    measured_over: Window,
    /// Numbers a day.
    per_day: u64,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let plan = match (args.nodes, args.rate) {
        (Some(nodes), Some(rate)) => imagined::plan(&args, nodes, rate)?,
        _ => measured::plan(&common.settings()?).await?,
    };
    if args.json {
        output.json(&plan)?;
    } else {
        print(&plan, output)?;
    }
    let used_up = plan.lines.iter().any(|line| line.space.level > Level::Notice);
    let trouble = !plan.imagined && (used_up || !plan.errors.is_empty());
    Ok(if trouble { FOUND } else { OK })
}

fn print(plan: &Plan, output: &mut Output) -> Result<()> {
    let what = if plan.imagined { "WHERE MAIL ARRIVES" } else { "OF" };
    let headings = ["NUMBERS", what, "USED", "SHARE", "PER DAY", "A MESSAGE", "MESSAGES LEFT", "END"];
    output.table(headings, plan.lines.iter().map(row).collect())?;
    let measured = plan.lines.iter().find_map(|line| line.space.measured_over);
    if let Some(window) = measured {
        output.print(&format!("\nThe rates were measured {}.", window.measured()))?;
    } else if !plan.imagined {
        output.print("\nNo rate is known yet: the worker notes the numbers once an hour.")?;
    }
    plan.errors.iter().try_for_each(|error| output.print(error))
}

fn row(line: &Line) -> [String; 8] {
    let name = match line.space.space {
        Space::Uids => "UIDs",
        Space::PhysmessageIds => "physmessage ids",
        Space::MailboxIds => "mailbox ids",
    };
    let of = line.load.clone().or_else(|| line.node.clone()).unwrap_or_else(|| "mesh".into());
    let known = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
    [
        name.into(),
        of,
        line.space.highest.to_string(),
        share(&line.space),
        known(line.space.per_day),
        line.numbers_per_message.map_or("-".into(), |numbers| format!("{numbers:.2}")),
        known(line.messages_left),
        ends(&line.space),
    ]
}

/// Reads "10/s", "500/min", "20000/h", "864000/day".
fn rate(text: &str) -> Result<Count, &'static str> {
    const UNITS: [(&str, u64); 5] = [("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400), ("day", 86_400)];
    let read = || {
        let (things, unit) = text.split_once('/')?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        Some(Count { things: things.trim().parse().ok()?, seconds: *seconds })
    };
    read().ok_or("write a whole number and a time: 10/s, 500/min, 20000/h, 864000/day")
}

/// Reads "12.5" or "12.5%".
fn percent(text: &str) -> Result<Millionths, &'static str> {
    let read = || {
        let text = text.trim_end_matches('%');
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if part.len() > 4 || !digits(whole) || !digits(part) {
            return None;
        }
        let part: u32 = format!("{part:0<4}").parse().ok()?;
        let millionths = whole.parse::<u32>().ok()?.checked_mul(10_000)?.checked_add(part)?;
        (millionths <= Millionths::ONE.0).then_some(Millionths(millionths))
    };
    read().ok_or("write 0 to 100, with up to four decimals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_shares_are_read() {
        for (text, things, seconds) in [("10/s", 10, 1), ("5/min", 5, 60), ("7/day", 7, 86_400), ("0/h", 0, 3_600)] {
            assert_eq!(rate(text), Ok(Count { things, seconds }), "{text}");
        }
        for text in ["10", "/s", "-1/s", "1.5/s", "10/year", ""] {
            assert!(rate(text).is_err(), "{text:?}");
        }
        for (text, millionths) in [("0", 0), ("100", 1_000_000), ("12.5", 125_000), ("0.0001%", 1), ("1.", 10_000)] {
            assert_eq!(percent(text), Ok(Millionths(millionths)), "{text}");
        }
        for text in ["", "-1", "101", "100.0001", "0.00001", "1e2", "+5", "99999999999"] {
            assert!(percent(text).is_err(), "{text:?}");
        }
    }
}
