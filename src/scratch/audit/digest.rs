//! One text that says whether two nodes are equal.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::rows::KINDS;
use super::snapshot::Snapshot;

/// SHA-256 in hex over all that is compared between nodes.
pub(super) fn digest(snapshot: &Snapshot) -> String {
    let mut hasher = Sha256::new();
    for line in lines(snapshot) {
        hasher.update(line);
        hasher.update(b"\n");
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Debug quotes the texts, so that no two states have the same lines.
fn lines(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let rows = KINDS
        .iter()
        .zip(&snapshot.rows)
        .flat_map(|(kind, rows)| rows.iter().map(|(key, fields)| format!("{} {key:?} {fields:?}", kind.name)));
    let mailboxes = snapshot.mailboxes.iter().map(|(name, id)| format!("id {name:?} {id}"));
    let messages = snapshot.messages.iter().map(|(place, message)| {
        let fields = super::compare::FIELDS.map(|(_, of)| of(message));
        format!("message {place:?} {fields:?}")
    });
    rows.chain(mailboxes).chain(messages)
}
