//! Entries: the rows of dbmail's small tables, each a register as a whole.

use super::ids::NodeId;
use super::register::Register;

/// The register of a row: its value as text; `None`: it was deleted.
pub type Entry = Register<Option<String>>;

/// How an entry comes to the key under which it is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It is its own.
    Own,
    /// It belongs to a mailbox that was merged into the one of the key, and counts for that one.
    Merged,
    /// The same, and it gives rights on a public mailbox: dbmail gave them to whoever created the folder, and nobody has granted them
    /// for the other one's mail. Only where both sides had them they are kept.
    MergedRights,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The register.
    pub entry: Entry,
    /// Whether it is a decision of this node's, and not what came.
    pub own: bool,
}

/// Joins what came into what is held. `None`: nothing is to be written.
pub fn join(held: Option<&Entry>, incoming: &Entry, way: Way, here: NodeId) -> Option<Joined> {
    if held.is_some_and(|held| held >= incoming) {
        return None;
    }
    let had = held.is_some_and(|held| held.value.is_some());
    if way == Way::MergedRights && incoming.value.is_some() && !had {
        // Later than the grant, so that it dies wherever it is, and earlier than any that is made in the meantime.
        return Some(Joined { entry: Entry { stamp: incoming.stamp.just_after(here), value: None }, own: true });
    }
    // A key that nobody else has heard of is news to all.
    Some(Joined { entry: incoming.clone(), own: way != Way::Own })
}

#[cfg(test)]
mod tests {
    use super::super::stamp::Stamp;
    use super::*;

    const HERE: NodeId = NodeId(3);

    fn entry(stamp: i64, value: &str) -> Entry {
        Entry { stamp: Stamp(stamp << 12), value: (!value.is_empty()).then(|| value.to_owned()) }
    }

    /// One event a line: what is held, what arrives and how, what is held then.
    #[test]
    fn the_join_as_a_table() {
        let dropped = Entry { stamp: Stamp(7 << 12).just_after(HERE), value: None };
        for (held, incoming, way, expected) in [
            (None, entry(0, "a"), Way::Own, entry(0, "a")),
            (None, entry(7, ""), Way::Own, entry(7, "")),
            (Some(entry(5, "a")), entry(7, ""), Way::Own, entry(7, "")),
            (Some(entry(7, "")), entry(5, "a"), Way::Own, entry(7, "")),
            (Some(entry(7, "")), entry(8, "a"), Way::Own, entry(8, "a")),
            (Some(entry(0, "")), entry(0, "a"), Way::Own, entry(0, "a")),
            (Some(entry(0, "b")), entry(0, "a"), Way::Own, entry(0, "b")),
            (None, entry(7, "a"), Way::Merged, entry(7, "a")),
            (Some(entry(5, "b")), entry(7, "a"), Way::Merged, entry(7, "a")),
            (None, entry(7, "a"), Way::MergedRights, dropped.clone()),
            (Some(entry(5, "")), entry(7, "a"), Way::MergedRights, dropped.clone()),
            (Some(dropped.clone()), entry(7, "a"), Way::MergedRights, dropped),
            (Some(entry(9, "")), entry(7, "a"), Way::MergedRights, entry(9, "")),
            (Some(entry(5, "b")), entry(7, "a"), Way::MergedRights, entry(7, "a")),
            (Some(entry(9, "b")), entry(7, "a"), Way::MergedRights, entry(9, "b")),
            (Some(entry(9, "b")), entry(7, ""), Way::MergedRights, entry(9, "b")),
        ] {
            let joined = join(held.as_ref(), &incoming, way, HERE).map(|joined| joined.entry);
            assert_eq!(joined.as_ref().or(held.as_ref()), Some(&expected), "{held:?} {incoming:?} {way:?}");
            assert_eq!(join(Some(&expected), &incoming, way, HERE), None, "again: {held:?} {incoming:?} {way:?}");
        }
    }
}
