//! Whether the nodes hold the same, while mail flows; and mending what they do not.
//!
//! 1. Digests, a sum of 64-bit numbers a mailbox, over ranges of UIDs: one pass over the messages of each node, all nodes at once. Where they
//!    differ, the messages of that mailbox and range are compared by their numbers. Users, mailboxes and entries alike, by kind.
//! 2. What was found is only under way for the most part. It is looked at by itself, before and after the links have brought what is on its
//!    way (`judge`).
//! 3. To repair, what differs is put into the outbox of every node that has it, and the links do the rest (`repair`).

mod digests;
mod judge;
mod look;
mod passing;
mod repair;
mod report;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::status::Asked;
use crate::domain::comparison::{Found, MISSING};
use crate::error::Result;
pub use report::{Difference, InFlight, NodeReport, OnNode, RepairReport, Report, SHOWN_MAX};

use judge::{Confirmed, Subject, Undecided, Verdicts, judge};
use repair::{Repair, ToMend};
use session::Nodes;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only these mailboxes, as `owner/name` or by their ids; empty: everything.
    pub mailboxes: Vec<String>,
    /// Whether bodies and header fields are read, and not only what dbmail says of them.
    pub bodies: bool,
    /// How long what is under way is waited for.
    pub wait: Duration,
    /// Whether what differs is marked for shipping.
    pub repair: bool,
}

/// What is compared, and how.
struct Scope {
    mailboxes: Option<Vec<i64>>,
    bodies: bool,
    wait: Duration,
}

/// Is told how far the comparison is.
pub trait Progress {
    /// So many ranges of so many are compared.
    fn compared(&self, done: usize, of: usize);
    /// So many candidates are waited for.
    fn judging(&self, open: usize);
}

/// Compares the selected nodes of `asked`; the others are asked how far their links are. With fewer than two that can be asked nothing is
/// compared.
///
/// # Errors
/// `Usage` when a mailbox is not known; `Unreachable`, `Transient` when a node goes away meanwhile.
pub async fn verify(asked: &[Asked], options: &Options, progress: &impl Progress) -> Result<Report> {
    let begun = Instant::now();
    let nodes = Nodes::open(asked).await;
    let mut report = Report { nodes: nodes.reports.clone(), ..Report::default() };
    if nodes.compared.len() >= 2 {
        compare(&nodes, options, progress, &mut report).await?;
    } else {
        for node in &mut report.nodes {
            node.compared = false;
        }
    }
    report.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(report)
}

async fn compare(nodes: &Nodes, options: &Options, progress: &impl Progress, report: &mut Report) -> Result<()> {
    let mailboxes = match options.mailboxes.as_slice() {
        [] => None,
        wanted => Some(nodes.find_mailboxes(wanted).await?),
    };
    let scope = Scope { mailboxes, bodies: options.bodies, wait: options.wait };
    let found = digests::candidates(nodes, &scope, progress).await?;
    let counts = found.mailboxes.iter().zip(&found.messages);
    for (node, (mailboxes, messages)) in report.nodes.iter_mut().filter(|node| node.compared).zip(counts) {
        (node.mailboxes, node.messages) = (Some(*mailboxes), Some(*messages));
    }
    let mut listing = Listing { names: nodes.names().into_iter().map(str::to_owned).collect(), ..Listing::default() };
    judge(nodes, &scope, found.subjects, progress, &mut listing).await?;
    let twins = repair::renumbered_by_hand(&listing.to_mend);
    listing.take_twins(&twins);
    if options.repair {
        let mended = mend(nodes, &scope, &listing, &twins, progress).await?;
        listing.note(&mended);
        report.repair = Some(mended.report);
    }
    name(nodes, &mut listing.shown).await?;
    (report.differences_total, report.differences_by_kind) = (listing.to_mend.len(), listing.by_kind);
    report.differences = listing.shown;
    (report.in_flight_total, report.in_flight) = (listing.in_flight_total, listing.in_flight);
    Ok(())
}

/// How a repair went.
struct Mended {
    report: RepairReport,
    left: BTreeSet<Subject>,
    on_the_way: BTreeSet<Subject>,
}

/// Marks what differs, waits, and looks again: what carries others before what is carried.
async fn mend(
    nodes: &Nodes,
    scope: &Scope,
    listing: &Listing,
    twins: &BTreeSet<Subject>,
    progress: &impl Progress,
) -> Result<Mended> {
    let mut mended = Mended { report: RepairReport::default(), left: BTreeSet::new(), on_the_way: BTreeSet::new() };
    if listing.to_mend.is_empty() {
        return Ok(mended);
    }
    let repair = Repair::open(nodes).await?;
    let (things, messages): (Vec<&ToMend>, Vec<&ToMend>) =
        listing.to_mend.iter().partition(|one| one.subject.message().is_none());
    let mut after = After::default();
    mended.report.marked = repair.mark_things(&listing.to_mend).await?;
    judge(nodes, scope, things.iter().map(|one| one.subject.clone()), progress, &mut after).await?;
    mended.report.marked += repair.mark_messages(&listing.to_mend, twins).await?;
    judge(nodes, scope, messages.iter().map(|one| one.subject.clone()), progress, &mut after).await?;
    (mended.left, mended.on_the_way) = (after.left, after.on_the_way);
    mended.report.not_mended = mended.left.len();
    mended.report.in_flight = mended.on_the_way.len();
    mended.report.mended = listing.to_mend.len() - mended.left.len() - mended.on_the_way.len();
    Ok(mended)
}

/// Collects verdicts: all that a repair needs, and the first for people.
#[derive(Default)]
struct Listing {
    names: Vec<String>,
    to_mend: Vec<ToMend>,
    by_kind: BTreeMap<String, usize>,
    shown: Vec<Difference>,
    subjects: Vec<Subject>,
    in_flight_total: usize,
    in_flight: Vec<InFlight>,
}

impl Verdicts for Listing {
    fn differs(&mut self, confirmed: Confirmed) {
        self.to_mend.push(ToMend::of(&confirmed));
        let (kind, key) = kind_and_key(&confirmed.subject);
        *self.by_kind.entry(kind.clone()).or_default() += 1;
        if self.shown.len() >= SHOWN_MAX {
            return;
        }
        let nodes = self.names.iter().zip(&confirmed.found).map(|(node, found)| on_node(node, found)).collect();
        let advice = repair::advice(&confirmed.what, false);
        self.shown.push(Difference { kind, key, what: confirmed.what, nodes, advice, ..Difference::default() });
        self.subjects.push(confirmed.subject);
    }

    fn undecided(&mut self, undecided: Undecided) {
        self.in_flight_total += 1;
        if self.in_flight.len() < SHOWN_MAX {
            let (kind, key) = kind_and_key(&undecided.subject);
            self.in_flight.push(InFlight { kind, key, reason: undecided.reason });
        }
    }
}

impl Listing {
    fn take_twins(&mut self, twins: &BTreeSet<Subject>) {
        for (difference, subject) in self.shown.iter_mut().zip(&self.subjects) {
            if twins.contains(subject) {
                difference.advice = repair::advice(&difference.what, true);
            }
        }
    }

    fn note(&mut self, mended: &Mended) {
        for (difference, subject) in self.shown.iter_mut().zip(&self.subjects) {
            difference.repair = Some(if mended.left.contains(subject) {
                "not_mended"
            } else if mended.on_the_way.contains(subject) {
                "in_flight"
            } else {
                "mended"
            });
        }
    }
}

/// Collects what a repair has not brought to an end.
#[derive(Default)]
struct After {
    left: BTreeSet<Subject>,
    on_the_way: BTreeSet<Subject>,
}

impl Verdicts for After {
    fn differs(&mut self, confirmed: Confirmed) {
        self.left.insert(confirmed.subject);
    }

    fn undecided(&mut self, undecided: Undecided) {
        self.on_the_way.insert(undecided.subject);
    }
}

fn kind_and_key(subject: &Subject) -> (String, String) {
    match subject {
        Subject::Message(birth) => ("message".into(), birth.to_string()),
        Subject::Thing(thing) => (thing.0.clone(), thing.1.clone()),
    }
}

fn on_node(node: &str, found: &Found) -> OnNode {
    let mut values = found.values().cloned().unwrap_or_default();
    values.remove("credentials");
    let state = match found {
        Found::Absent => MISSING,
        Found::Dead => "dead",
        Found::Waiting(_) => "waiting",
        Found::Here(_) => "here",
    };
    OnNode { node: node.to_owned(), state, values }
}

/// Gives differences the owners and names of their mailboxes.
async fn name(nodes: &Nodes, differences: &mut [Difference]) -> Result<()> {
    let of = |difference: &Difference| -> Option<i64> {
        if difference.kind == "mailbox" {
            return difference.key.parse().ok();
        }
        let key: Option<serde_json::Value> = serde_json::from_str(&difference.key).ok();
        let of_entry = key.and_then(|key| key.get("mailbox")?.as_i64());
        of_entry.or_else(|| difference.nodes.iter().find_map(|on| on.values.get("mailbox")?.parse().ok()))
    };
    let ids: BTreeSet<i64> = differences.iter().filter_map(of).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let names = look::mailbox_names(nodes, &ids).await?;
    for difference in differences {
        if let Some((owner, name)) = of(difference).and_then(|id| names.get(&id)) {
            (difference.owner, difference.mailbox) = (Some(owner.clone()), Some(name.clone()));
        }
    }
    Ok(())
}
