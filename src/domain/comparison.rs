//! What several nodes have of one thing, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a node has of a thing: a message, a user, a mailbox, an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// Nothing: it has never seen it, or has lost it.
    Absent,
    /// It knows that the thing is dead. Death is final, and wins.
    Dead,
    /// It has not come to its end here yet; why.
    Waiting(String),
    /// It is here, with these values.
    Here(Values),
}

/// Values by the names of what is compared.
pub type Values = BTreeMap<String, String>;

/// What is to be said of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the same everywhere.
    Equal,
    /// It is under way; why.
    Waiting(String),
    /// It differs in this: [`MISSING`], or names of values.
    Differs(Vec<String>),
}

/// Some have it, and others do not.
pub const MISSING: &str = "missing";

/// Compares what the nodes have.
pub fn compare<'a>(found: impl Iterator<Item = &'a Found> + Clone) -> Verdict {
    if let Some(reason) = found.clone().find_map(|found| match found {
        Found::Waiting(reason) => Some(reason.clone()),
        _ => None,
    }) {
        return Verdict::Waiting(reason);
    }
    let here = || found.clone().filter_map(Found::values);
    let Some(first) = here().next() else { return Verdict::Equal };
    let mut differs = Vec::new();
    if found.clone().any(|found| found.values().is_none()) {
        differs.push(MISSING.to_owned());
    }
    let names: BTreeSet<&String> = here().flat_map(BTreeMap::keys).collect();
    differs
        .extend(names.into_iter().filter(|name| here().any(|values| values.get(*name) != first.get(*name))).cloned());
    if differs.is_empty() { Verdict::Equal } else { Verdict::Differs(differs) }
}

impl Found {
    /// Its values, where it is here.
    pub fn values(&self) -> Option<&Values> {
        match self {
            Self::Here(values) => Some(values),
            _ => None,
        }
    }
}

/// A number that changes when anything changes that a node has: enough to see whether it was looked at twice in the same state.
pub fn fingerprint(found: &[Found]) -> u64 {
    let mut hasher = DefaultHasher::new();
    found.hash(&mut hasher);
    hasher.finish()
}

/// What one node has of an entry, with its register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The row's value; `None`: there is none.
    pub row: Option<String>,
    /// The stamp of its register; `None`: there is none.
    pub stamp: Option<i64>,
    /// Whether the register says that the row is there.
    pub present: bool,
}

impl Registered {
    /// The order in which nodes are right. A row that is gone though the register says that it is there was not deleted by dbmail: whoever
    /// has it is right. One that is there though the register says that it was deleted was not put there by dbmail: whoever does not have
    /// it is right.
    fn rank(&self) -> (i64, &Option<String>) {
        match (&self.row, self.present) {
            (Some(_), false) if self.stamp.is_some() => (-2, &None),
            (None, true) => (-1, &None),
            (None, false) if self.stamp.is_none() => (-1, &None),
            (row, _) => (self.stamp.unwrap_or(0), row),
        }
    }
}

/// Which node is right about an entry: the one with the latest stamp, and of equal ones the greater value; of equal ones the first.
pub fn right_about(nodes: &[Registered]) -> Option<usize> {
    (0..nodes.len()).max_by(|&a, &b| nodes[a].rank().cmp(&nodes[b].rank()).then(b.cmp(&a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(uid: &str, flags: &str) -> Found {
        Found::Here([("uid", uid), ("flags", flags)].map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn comparing_as_a_table() {
        let differs = |what: &[&str]| Verdict::Differs(what.iter().map(ToString::to_string).collect());
        let late = || Found::Waiting("late on fra".into());
        for (found, expected) in [
            (vec![here("5", ""), here("5", "")], Verdict::Equal),
            (vec![here("5", ""), here("9", "")], differs(&["uid"])),
            (vec![here("5", ""), here("9", "seen")], differs(&["flags", "uid"])),
            (vec![here("5", ""), Found::Absent], differs(&[MISSING])),
            (vec![here("5", ""), Found::Dead], differs(&[MISSING])),
            (vec![Found::Absent, Found::Dead], Verdict::Equal),
            (vec![Found::Absent, Found::Absent], Verdict::Equal),
            (vec![here("5", ""), Found::Absent, here("5", "seen")], differs(&[MISSING, "flags"])),
            (vec![here("5", ""), late()], Verdict::Waiting("late on fra".into())),
            (vec![here("5", ""), Found::Absent, late()], Verdict::Waiting("late on fra".into())),
        ] {
            assert_eq!(compare(found.iter()), expected, "{found:?}");
        }
    }

    #[test]
    fn a_change_shows_in_the_fingerprint() {
        let print = |found: &[Found]| fingerprint(found);
        assert_eq!(print(&[here("5", ""), Found::Absent]), print(&[here("5", ""), Found::Absent]));
        assert_ne!(print(&[here("5", ""), Found::Absent]), print(&[Found::Absent, here("5", "")]));
        assert_ne!(print(&[here("5", ""), Found::Absent]), print(&[here("5", ""), Found::Dead]));
    }

    #[test]
    fn who_is_right_as_a_table() {
        let node =
            |row: Option<&str>, stamp: Option<i64>, present| Registered { row: row.map(str::to_owned), stamp, present };
        for (nodes, right) in [
            // A row that somebody took away behind the triggers' back comes again.
            ([node(Some("a"), Some(5), true), node(None, Some(5), true)], 0),
            ([node(None, Some(5), true), node(Some("a"), Some(5), true)], 1),
            // One that was never noted is told to all.
            ([node(None, None, false), node(Some("a"), None, false)], 1),
            // One that dbmail deleted later stays deleted, and one that was deleted before does not.
            ([node(Some("a"), Some(5), true), node(None, Some(7), false)], 1),
            ([node(Some("a"), Some(7), true), node(None, Some(5), false)], 0),
            // A row that somebody put back behind the triggers' back stays deleted.
            ([node(Some("a"), Some(5), false), node(None, Some(5), false)], 1),
            ([node(None, Some(5), false), node(Some("a"), Some(5), false)], 0),
            ([node(Some("a"), Some(5), false), node(None, None, false)], 1),
            ([node(Some("a"), Some(5), false), node(Some("b"), Some(7), true)], 1),
            // The greater value, and of equal ones the first node.
            ([node(Some("a"), Some(5), true), node(Some("b"), Some(5), true)], 1),
            ([node(Some("a"), Some(5), true), node(Some("a"), Some(5), true)], 0),
        ] {
            assert_eq!(right_about(&nodes), Some(right), "{nodes:?}");
        }
    }
}
