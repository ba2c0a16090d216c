//! The guarantees, checked over the databases once writes have stopped and the nodes have converged.
//!
//! Nothing here knows how replication works: it reads dbmail's tables on each node and compares them with each other,
//! with what was acknowledged, and with what readers were shown.

mod compare;
mod digest;
mod once;
mod quota;
mod rows;
mod snapshot;

use std::collections::BTreeMap;

use tokio_postgres::Config;

use super::findings::{Guarantee, Report};
use super::ledger::Ledger;
use super::reader::IncrementalReader;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;
pub use quota::quota;
use snapshot::Snapshot;

/// Above this `dbmail_physmessage.id` dbmail loses mail (it keeps the id in a C int).
const PHYSMESSAGE_ID_END: i64 = 1 << 31;

/// How much higher than the number of messages that the nodes ever held the highest physmessage id may be, as factor
/// and as count: an id is burned by each attempt to apply that is rolled back. An id space that is strided or copied
/// between nodes exceeds both soon.
const PHYSMESSAGE_FACTOR: i64 = 3;
const PHYSMESSAGE_SLACK: i64 = 200;

/// Checks A, D, E and dbmail's limits on all nodes, and adds what the readers noticed during the run. D is about all that
/// is replicated: accounts, mailboxes, messages, subscriptions, ACLs, aliases, usermap, scripts, filters, replies and
/// notifications, with every column that is not local. The readers must
/// have polled after the last write: one that lacks a message that its mailbox shows is a finding against B.
///
/// # Errors
/// `Kind::Unreachable` when a node cannot be asked.
pub async fn audit(nodes: &[(String, Config)], ledger: &Ledger, readers: &[IncrementalReader]) -> Result<Report> {
    let snapshots = take_all(nodes).await?;
    let entries = ledger.snapshot();
    let mut report = Report { nodes: nodes.len(), deliveries: entries.deliveries.len(), ..Report::default() };
    if let Some((first, others)) = snapshots.split_first() {
        (report.mailboxes, report.messages) = (first.mailboxes.len(), first.messages.len());
        for other in others {
            compare::compare(first, other, &mut report);
        }
    }
    one_meaning(&snapshots, readers, &mut report);
    for snapshot in &snapshots {
        once::check(snapshot, &entries, &mut report);
        limits(snapshot, entries.deliveries.len(), &mut report);
    }
    for reader in readers {
        report.include(reader.findings());
        complete(reader, &snapshots, &mut report);
    }
    Ok(report)
}

/// Notes under D every difference between the first node and each other, as [`audit`] does, and checks nothing else.
///
/// # Errors
/// `Kind::Unreachable` when a node cannot be asked.
pub async fn differences(nodes: &[(String, Config)]) -> Result<Vec<String>> {
    let mut report = Report::default();
    let snapshots = take_all(nodes).await?;
    if let Some((first, others)) = snapshots.split_first() {
        others.iter().for_each(|other| compare::compare(first, other, &mut report));
    }
    Ok(report.findings.remove(&Guarantee::D).unwrap_or_default())
}

/// SHA-256 in hex over all that [`audit`] compares between nodes: two nodes are equal if and only if this is.
///
/// # Errors
/// `Kind::Unreachable` when the node cannot be asked.
pub async fn state_digest(config: &Config) -> Result<String> {
    Ok(digest::digest(&Snapshot::take("", config).await?))
}

async fn take_all(nodes: &[(String, Config)]) -> Result<Vec<Snapshot>> {
    let mut snapshots = Vec::new();
    for (name, config) in nodes {
        let taken = Snapshot::take(name, config).await;
        snapshots.push(taken.map_err(|error| error.context(format!("audit of node {name}")))?);
    }
    Ok(snapshots)
}

/// Guarantee A: over all nodes and all that readers ever saw, a UID of a mailbox means one message.
fn one_meaning(snapshots: &[Snapshot], readers: &[IncrementalReader], report: &mut Report) {
    let mut meanings: BTreeMap<(MailboxId, Uid), (&str, &str)> = BTreeMap::new();
    let stored = snapshots.iter().flat_map(|snapshot| {
        snapshot
            .uids
            .iter()
            .map(|(mailbox, uid, unique_id)| (*mailbox, *uid, unique_id.as_str(), snapshot.node.as_str()))
    });
    let shown = readers.iter().flat_map(|reader| {
        reader.seen.iter().map(|(uid, unique_id)| (reader.mailbox, *uid, unique_id.as_str(), reader.node.as_str()))
    });
    for (mailbox, uid, unique_id, node) in stored.chain(shown) {
        let (first, first_node) = *meanings.entry((mailbox, uid)).or_insert((unique_id, node));
        if first != unique_id {
            let text = format!("mailbox {mailbox}: UID {uid} is {first} on {first_node} and {unique_id} on {node}");
            report.add(Guarantee::A, text);
        }
    }
}

/// Guarantee B as a client feels it: asking only for what is above the last UID, it got everything.
fn complete(reader: &IncrementalReader, snapshots: &[Snapshot], report: &mut Report) {
    let Some(snapshot) = snapshots.iter().find(|snapshot| snapshot.node == reader.node) else { return };
    let visible = snapshot.messages.values().filter(|message| message.mailbox_id == reader.mailbox);
    for unique_id in reader.missing(visible.map(|message| &message.unique_id)) {
        let (node, mailbox, last) = (&reader.node, reader.mailbox, reader.last_uid);
        let text = format!("{node}, mailbox {mailbox}: a client that read up to {last} was never shown {unique_id}");
        report.add(Guarantee::B, text);
    }
}

fn limits(snapshot: &Snapshot, deliveries: usize, report: &mut Report) {
    let Snapshot { node, physmessages, physmessage_id_max: max, .. } = snapshot;
    if *max >= PHYSMESSAGE_ID_END {
        report.add(Guarantee::Limits, format!("{node}: physmessage id {max} is beyond what dbmail can address"));
    }
    let ever = (*physmessages).max(i64::try_from(deliveries).unwrap_or(i64::MAX));
    if *max > ever.saturating_mul(PHYSMESSAGE_FACTOR).saturating_add(PHYSMESSAGE_SLACK) {
        let text = format!("{node}: physmessage ids are not dense: {physmessages} rows, the highest id is {max}");
        report.add(Guarantee::Limits, text);
    }
}
