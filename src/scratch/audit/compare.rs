//! Guarantee D: two nodes show the same.

use std::fmt::Debug;

use super::rows::KINDS;
use super::snapshot::{Message, Snapshot};
use crate::scratch::findings::{Guarantee, Report};

/// Notes every difference between two nodes.
pub(super) fn compare(left: &Snapshot, right: &Snapshot, report: &mut Report) {
    compare_rows(left, right, report);
    compare_mail(left, right, report);
}

fn compare_rows(left: &Snapshot, right: &Snapshot, report: &mut Report) {
    for (index, kind) in KINDS.iter().enumerate() {
        for (here, there) in [(left, right), (right, left)] {
            for key in here.rows[index].keys().filter(|key| !there.rows[index].contains_key(*key)) {
                lacks(report, here, there, format!("{} {key}", kind.name));
            }
        }
        for (key, fields) in &left.rows[index] {
            let Some(others) = right.rows[index].get(key) else { continue };
            for ((field, value), other) in kind.fields.iter().zip(fields).zip(others) {
                differs(report, (left, value), (right, other), &format!("{field} of {} {key}", kind.name));
            }
        }
    }
}

fn compare_mail(left: &Snapshot, right: &Snapshot, report: &mut Report) {
    for (here, there) in [(left, right), (right, left)] {
        for ((userid, mailbox, uid), message) in &here.messages {
            if !there.messages.contains_key(&(userid.clone(), mailbox.clone(), *uid)) {
                lacks(report, here, there, format!("{userid}/{mailbox} UID {uid} ({})", message.unique_id));
            }
        }
    }
    for ((userid, name), id) in &left.mailboxes {
        if let Some(other) = right.mailboxes.get(&(userid.clone(), name.clone())) {
            differs(report, (left, id), (right, other), &format!("UIDVALIDITY of {userid}/{name}"));
        }
    }
    for (place, message) in &left.messages {
        if let Some(other) = right.messages.get(place) {
            let (userid, mailbox, uid) = place;
            let what = format!("{userid}/{mailbox} UID {uid} ({})", message.unique_id);
            for (field, of) in FIELDS {
                differs(report, (left, of(message)), (right, of(other)), &format!("{field} of {what}"));
            }
        }
    }
}

/// A field's name and how to get it.
pub(super) type Field = (&'static str, fn(&Message) -> &String);

/// What two nodes must agree on about a message.
pub(super) const FIELDS: [Field; 5] = [
    ("unique_id", |message| &message.unique_id),
    ("flags and keywords", |message| &message.flags),
    ("sizes and internal date", |message| &message.sizes),
    ("body", |message| &message.digest),
    ("structure, header or envelope", |message| &message.content),
];

fn lacks(report: &mut Report, here: &Snapshot, there: &Snapshot, what: String) {
    report.add(Guarantee::D, format!("{} has {what}, {} has not", here.node, there.node));
}

fn differs<T: PartialEq + Debug>(report: &mut Report, left: (&Snapshot, &T), right: (&Snapshot, &T), what: &str) {
    if left.1 != right.1 {
        let text = format!("{what} is {:?} on {} and {:?} on {}", left.1, left.0.node, right.1, right.0.node);
        report.add(Guarantee::D, text);
    }
}
