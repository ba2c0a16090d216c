//! What a mesh that nobody has would use up.

use jiff::Timestamp;

use super::{Args, Count, Line, Plan};
use crate::domain::budget::{Burn, Millionths, Outlook, Rate, Space};
use crate::error::{Error, Kind, Result};
use crate::node::status::numbers::SpaceStatus;

pub(super) fn plan(args: &Args, nodes: u16, rate: Count) -> Result<Plan> {
    let stride = args.stride.unwrap_or(nodes);
    if stride < nodes {
        return Err(Error::new(Kind::Usage, format!("--stride {stride} is less than --nodes {nodes}")));
    }
    let now_s = Timestamp::now().as_second();
    let mut lines: Vec<Line> = loads(args, nodes, stride)
        .into_iter()
        .map(|(load, burn)| line(load, Space::Uids, args.used, Some(burn), burn.rate(rate.things, rate.seconds), now_s))
        .collect();
    let one = Burn::designed(1, Millionths::ONE, Millionths(0));
    let physmessages = one.rate(rate.things, rate.seconds);
    let each = "each node".to_owned();
    lines.push(line(each, Space::PhysmessageIds, args.used_physmessage_ids, Some(one), physmessages, now_s));
    let made =
        Burn::designed(stride, Millionths::ONE, Millionths(0)).rate(args.mailboxes.things, args.mailboxes.seconds);
    lines.push(line("any node".into(), Space::MailboxIds, args.used_mailbox_ids, None, made, now_s));
    Ok(Plan { imagined: true, nodes: nodes.into(), stride, lines, errors: Vec::new() })
}

/// The cases to look at, each with what a message costs in it.
fn loads(args: &Args, nodes: u16, stride: u16) -> Vec<(String, Burn)> {
    let even = Millionths::one_of(nodes.into());
    if let Some(busiest) = args.busiest {
        // Somebody has to take an even share.
        let burn = Burn::designed(stride, busiest.max(even), args.renumbered);
        return vec![(format!("{} % on the busiest node", f64::from(busiest.max(even).0) / 10_000.0), burn)];
    }
    let mut loads = vec![("evenly on all nodes".to_owned(), Burn::designed(stride, even, args.renumbered))];
    if nodes > 1 {
        loads.push(("all in one mailbox".to_owned(), Burn::one_mailbox(stride, nodes, args.renumbered)));
        loads.push(("all on one node".to_owned(), Burn::designed(stride, Millionths::ONE, args.renumbered)));
    }
    loads
}

fn line(load: String, space: Space, highest: i64, burn: Option<Burn>, rate: Rate, now_s: i64) -> Line {
    let outlook = Outlook::of(space, highest, rate);
    Line {
        node: None,
        load: Some(load),
        space: SpaceStatus::at_rate(space, highest, rate, now_s),
        numbers_left: outlook.left,
        numbers_per_message: burn.map(Burn::per_message),
        messages_left: burn.and_then(|burn| burn.messages_for(outlook.left)),
        rates: Vec::new(),
    }
}
