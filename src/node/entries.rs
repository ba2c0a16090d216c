//! The target's side of entries: the rows of dbmail's small tables.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Client, GenericClient};
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::ask;
use super::locks::{self, LockPatience};
use super::parents::Joining;
use super::state::EntryState;
use super::store::Aside;
use crate::domain::entry::{self, Entry, Joined, Way};
use crate::domain::ids::NodeId;
use crate::domain::stamp::Stamp;
use crate::error::{Error, Kind, Result};

/// The `account.id` on the source of accounts that these entries belong to and that the node has never heard of.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn missing_accounts(target: &impl GenericClient, entries: &[EntryState]) -> Result<Vec<i64>> {
    let known: BTreeMap<&str, i64> = entries
        .iter()
        .filter_map(|entry| entry.account.as_ref())
        .map(|(id, account)| (account.as_str(), *id))
        .collect();
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let accounts: Vec<&str> = known.keys().copied().collect();
    let rows = ask::rows(target, include_str!("../../sql/target/missing_accounts.sql"), &[&accounts]).await?;
    Ok(rows.iter().filter_map(|row| known.get(row.get::<_, &str>(0)).copied()).collect())
}

/// Joins entries that came over a link, in a short transaction of their own. It is idempotent, so a batch that breaks off later leaves
/// no harm. Returns those whose account or mailbox is not here yet, and those that the target refuses.
///
/// # Errors
/// `Transient` when a lock cannot be had in time, or dbmail writes the same at this moment; `Unreachable`.
pub async fn join(target: &mut Client, joining: Joining, entries: &[EntryState]) -> Result<Vec<Aside>> {
    let mut aside = Vec::new();
    let mut open = vec![entries];
    while let Some(entries) = open.pop().filter(|entries| !entries.is_empty()) {
        match (join_all(target, joining, entries).await, entries) {
            (Ok(waiting), _) => aside.extend(waiting),
            (Err(error), [only]) if error.kind() == Kind::Data => aside.push(Aside::refused('e', only.id, &error)),
            // One that is refused does not keep the others from being joined.
            (Err(error), several) if error.kind() == Kind::Data => {
                let (first, rest) = several.split_at(several.len() / 2);
                open.extend([rest, first]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(aside)
}

async fn join_all(target: &mut Client, joining: Joining, entries: &[EntryState]) -> Result<Vec<Aside>> {
    let transaction = target.transaction().await?;
    locks::begin_apply_alone(&transaction, joining.lock_ms).await?;
    let (changes, aside) = look(&transaction, entries).await?.decide(joining.here, joining.is_own);
    if !changes.is_empty() {
        locks::guard(&transaction, LockPatience::of(joining.lock_ms)).await?;
        let plan = json!({"origin": joining.source.0, "rows": changes});
        ask::row(&transaction, include_str!("../../sql/target/write_entries.sql"), &[&plan]).await?;
    }
    transaction.commit().await?;
    Ok(aside)
}

/// An entry that came, and how it is joined here.
struct Arrival<'e> {
    state: &'e EntryState,
    /// Kind and key here.
    place: (&'e str, String),
    way: Way,
    /// What is not here yet that it needs.
    lacks: Option<String>,
}

/// What came, and what is held.
struct Look<'e> {
    arrivals: Vec<Arrival<'e>>,
    held: BTreeMap<(&'e str, String), Entry>,
}

async fn look<'e>(target: &impl GenericClient, entries: &'e [EntryState]) -> Result<Look<'e>> {
    let keys: Vec<Value> = entries
        .iter()
        .map(|entry| {
            Ok(json!({"kind": entry.kind, "key": serde_json::from_str::<Value>(&entry.key).map_err(no_json)?}))
        })
        .collect::<Result<_>>()?;
    let view = include_str!("../../sql/target/view_entries.sql");
    let rows = ask::rows(target, view, &[&Value::Array(keys)]).await?;
    let mut look = Look { arrivals: Vec::new(), held: BTreeMap::new() };
    for row in &rows {
        let at = usize::try_from(row.get::<_, i64>("place")).unwrap_or_default();
        let Some(state) = at.checked_sub(1).and_then(|at| entries.get(at)) else { continue };
        if !row.get::<_, bool>("is_dead") {
            look.add(state, row);
        }
    }
    // What is the mailbox's own before what comes from one that was merged into it, so that rights are compared with all there is.
    look.arrivals.sort_by_key(|arrival| arrival.way);
    Ok(look)
}

fn no_json(error: serde_json::Error) -> Error {
    Error::new(Kind::Data, "the key of an entry is no JSON").source(error)
}

impl<'e> Look<'e> {
    fn add(&mut self, state: &'e EntryState, row: &Row) {
        let place = (state.kind.as_str(), row.get::<_, String>("key"));
        if let Some(stamp) = row.get::<_, Option<i64>>("stamp") {
            let value = row.get::<_, bool>("present").then(|| row.get("value"));
            self.held.insert(place.clone(), Entry { stamp: Stamp(stamp), value });
        }
        let way = match (row.get("merged"), row.get("public")) {
            (true, true) if state.kind == "acl" => Way::MergedRights,
            (true, _) => Way::Merged,
            _ => Way::Own,
        };
        self.arrivals.push(Arrival { state, place, way, lacks: row.get("lacks") });
    }

    /// The rows of the plan that `dbmail_mesh.write_entries` takes, and what has to wait.
    fn decide(self, here: NodeId, all_own: bool) -> (Vec<Value>, Vec<Aside>) {
        let mut now = self.held.clone();
        let mut own: BTreeSet<(&str, String)> = BTreeSet::new();
        let mut aside = Vec::new();
        for Arrival { state, place, way, lacks } in self.arrivals {
            // A tombstone needs nothing.
            if let (Some(reason), Some(_)) = (lacks, &state.entry.value) {
                aside.push(Aside::waiting('e', state.id, reason));
                continue;
            }
            if let Some(Joined { entry, own: is_own }) = entry::join(now.get(&place), &state.entry, way, here) {
                now.insert(place.clone(), entry);
                if is_own || all_own {
                    own.insert(place);
                }
            }
        }
        now.retain(|place, entry| self.held.get(place) != Some(entry));
        let rows = now.iter().map(|(place, entry)| {
            let seen = self.held.get(place).map(|held| held.stamp.0);
            row_of(place, entry, seen, own.contains(place))
        });
        (rows.collect(), aside)
    }
}

fn row_of((kind, key): &(&str, String), entry: &Entry, seen: Option<i64>, own: bool) -> Value {
    json!({
        "kind": kind, "key": raw(key), "stamp": entry.stamp.0, "present": entry.value.is_some(),
        "value": entry.value.as_deref().map(raw), "seen": seen, "own": own,
    })
}

/// JSON as the database wrote it.
fn raw(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(Value::Null)
}
