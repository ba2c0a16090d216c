//! What is to be written for mailboxes, in the form that `dbmail_mesh.write_mailboxes` takes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parents::Joining;
use super::state::MailboxState;
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::mailboxes::{Alive, Change, Fate, Outcome};

/// The plan of a node for what came over a link.
pub fn plan(joining: Joining, outcome: &Outcome, states: &BTreeMap<MailboxId, MailboxState>) -> Value {
    let (node, source) = (joining.here, joining.source);
    let (mut rows, mut fates, mut conflicts) = (Vec::new(), Vec::new(), own_conflicts(node, outcome));
    for (id, change) in &outcome.changes {
        let state = states.get(id);
        if let Some(after) = change.after.row.as_ref().filter(|after| change.before.row.as_ref() != Some(*after)) {
            rows.push(row(*id, change, after, state.map_or(0, |state| state.seq)));
        }
        if let Some(fate) = change.after.fate.filter(|fate| change.before.fate != Some(*fate)) {
            fates.push(ended(*id, change, fate, joining, state));
            if let (Fate::MergedInto(winner), false) = (fate, change.own) {
                conflicts.push(told_conflict(*id, change, winner, source));
            }
        }
    }
    json!({"rows": rows, "fates": fates, "conflicts": conflicts, "notes": notes(joining, outcome)})
}

fn row(id: MailboxId, change: &Change, after: &Alive, seq: i64) -> Value {
    let before = change.before.row.as_ref();
    let place = |alive: &Alive| (alive.name.value.owner.clone(), alive.name.value.name.clone());
    let shown = |alive: &Alive| (place(alive), alive.no_select.value, alive.permission.value, alive.rest.value);
    let [seen, answered, deleted, flagged, recent, draft, no_inferiors] = after.rest.value;
    let name = &after.name.value;
    json!({
        "id": id.0, "is_new": before.is_none(), "stamps_before": before.map(Alive::stamps), "seq": seq,
        "is_moved": before.is_some_and(|before| place(before) != place(after)),
        "is_shown": before.is_none_or(|before| shown(before) != shown(after)),
        "owner": name.owner, "name": name.name, "renamed": name.renamed, "name_stamp": after.name.stamp.0,
        "no_select": after.no_select.value, "no_select_stamp": after.no_select.stamp.0,
        "permission": after.permission.value, "permission_stamp": after.permission.stamp.0,
        "seen": seen, "answered": answered, "deleted": deleted, "flagged": flagged, "recent": recent, "draft": draft,
        "no_inferiors": no_inferiors, "rest_stamp": after.rest.stamp.0,
    })
}

fn ended(id: MailboxId, change: &Change, fate: Fate, joining: Joining, state: Option<&MailboxState>) -> Value {
    let told = (!change.own).then_some(joining.source.0);
    let into = match fate {
        Fate::MergedInto(winner) => Some(winner.0),
        Fate::Deleted => None,
    };
    let source_xid = state.filter(|_| !change.own).and_then(|state| state.gone_in.as_deref());
    json!({
        "id": id.0, "merged_into": into, "owner": state.map(MailboxState::account), "source_id": told, "source_xid": source_xid,
        "relayed": joining.is_own && told.is_some(),
    })
}

fn own_conflicts(node: NodeId, outcome: &Outcome) -> Vec<Value> {
    let conflict = |conflict: &crate::domain::mailboxes::Conflict| {
        json!({
            "what": if conflict.new_name.is_some() { "displaced" } else { "merged" }, "id": conflict.mailbox.0,
            "owner": conflict.owner, "name": conflict.name, "new_name": conflict.new_name, "other": conflict.other.0,
            "decided_by": node.0,
        })
    };
    outcome.conflicts.iter().map(conflict).collect()
}

/// A merge that another node has decided.
fn told_conflict(id: MailboxId, change: &Change, winner: MailboxId, source: NodeId) -> Value {
    let name = change.before.row.as_ref().map(|row| &row.name.value);
    json!({
        "what": "merged", "id": id.0, "owner": name.map(|name| &name.owner), "name": name.map(|name| &name.name), "new_name": null,
        "other": winner.0, "decided_by": source.0,
    })
}

/// What the peers are told: what ended first, then what was renamed, then what came into being, so that a name is free before another
/// takes it.
fn notes(joining: Joining, outcome: &Outcome) -> Vec<Value> {
    let mut notes: Vec<(u8, MailboxId, bool)> = outcome
        .changes
        .iter()
        .map(|(id, change)| {
            let rank = match (change.after.fate, &change.before.row) {
                (Some(_), _) => 0,
                (None, Some(_)) => 1,
                (None, None) => 2,
            };
            (rank, *id, change.own || joining.is_own)
        })
        .collect();
    notes.sort_unstable();
    notes.iter().map(|(_, id, own)| json!({"id": id.0, "origin": (!own).then_some(joining.source.0)})).collect()
}
