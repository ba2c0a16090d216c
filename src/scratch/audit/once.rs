//! Guarantee E: every acknowledged delivery is there once and whole; what was expunged is not.

use std::collections::BTreeMap;

use super::snapshot::{Message, Place, Snapshot};
use crate::scratch::findings::{Guarantee, Report};
use crate::scratch::ledger::{Delivery, Entries};

/// Where a message is visible on a node.
type Found<'a> = Vec<(&'a Place, &'a Message)>;

/// Compares a node with what was acknowledged.
pub(super) fn check(snapshot: &Snapshot, entries: &Entries, report: &mut Report) {
    let mut by_name: BTreeMap<&str, Found<'_>> = BTreeMap::new();
    for (place, message) in &snapshot.messages {
        by_name.entry(&message.unique_id).or_default().push((place, message));
        if !message.lacks.is_empty() {
            let text = format!("{}: {} is incomplete: {}", snapshot.node, describe(place, message), message.lacks);
            report.add(Guarantee::E, text);
        }
        if entries.expunged.contains(&message.unique_id) {
            let text = format!("{}: {} was expunged and is visible", snapshot.node, describe(place, message));
            report.add(Guarantee::E, text);
        }
    }
    for (name, found) in by_name.iter().filter(|(_, found)| found.len() > 1) {
        let places: Vec<String> = found.iter().map(|(place, message)| describe(place, message)).collect();
        report.add(
            Guarantee::E,
            format!("{}: {name} is there {} times: {}", snapshot.node, found.len(), places.join(", ")),
        );
    }
    for (name, delivery) in &entries.deliveries {
        match by_name.get(name.as_str()).and_then(|found| found.first()) {
            None if entries.must_be_there(name) => {
                let Delivery { userid, mailbox, .. } = delivery;
                report
                    .add(Guarantee::E, format!("{}: {name}, delivered to {userid}/{mailbox}, is lost", snapshot.node));
            }
            None => {}
            Some((place, message)) => check_found(snapshot, entries, delivery, (place, message), report),
        }
    }
}

fn check_found(
    snapshot: &Snapshot,
    entries: &Entries,
    delivery: &Delivery,
    (place, message): (&Place, &Message),
    report: &mut Report,
) {
    let (userid, mailbox, _) = place;
    let what = format!("{}: {}", snapshot.node, describe(place, message));
    if !entries.may_be_in(delivery, userid, mailbox) {
        report.add(Guarantee::E, format!("{what} was delivered to {}/{}", delivery.userid, delivery.mailbox));
    }
    if message.digest != delivery.digest {
        report.add(Guarantee::E, format!("{what} has other content than was delivered"));
    }
}

fn describe((userid, mailbox, uid): &Place, message: &Message) -> String {
    format!("{userid}/{mailbox} UID {uid} ({})", message.unique_id)
}
