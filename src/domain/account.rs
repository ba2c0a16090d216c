//! Accounts: a row of registers, a death that is final, and names of which each can have one holder on a node.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::ids::NodeId;
use super::register::Register;

/// dbmail's own users: each node has them, and nothing of theirs is replicated.
const SYSTEM_USERS: [&str; 3] = ["__@!internal_delivery_user!@__", "__public__", "anyone"];

/// The longest userid that dbmail can store, in characters.
pub const USERID_LENGTH: usize = 100;

/// An account as it is known on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId {
    /// The userid under which it was created.
    pub born_as: String,
    /// How often that userid had been created by then.
    pub generation: i32,
}

impl AccountId {
    /// Whether it is one of dbmail's own users.
    pub fn is_system(&self) -> bool {
        SYSTEM_USERS.contains(&self.born_as.as_str())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.born_as, self.generation)
    }
}

/// The registers of an account, values as text: userid; credentials; `maxmail_size`; `maxsieve_size`; `client_idnr`; `saction`; `active`.
pub type Fields = Box<[Register<String>; 7]>;

/// What they are called.
pub const FIELDS: [&str; 7] =
    ["userid", "credentials", "maxmail_size", "maxsieve_size", "client_idnr", "saction", "active"];

/// Which of them is the userid.
pub const USERID: usize = 0;

/// What a node has of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Alive.
    Alive(Fields),
    /// Dead, but the user is here until his mail has been put aside.
    Dying(Fields),
    /// Gone.
    Dead,
}

/// The state of an account as another node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Alive.
    Alive(Fields),
    /// Dead.
    Dead,
}

/// What is to be written for an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// It was never here.
    pub is_new: bool,
    /// It dies.
    pub dies: bool,
    /// Its registers, all of them, when one has changed.
    pub fields: Option<Fields>,
    /// Its userid was taken away by another account: a decision of this node's.
    pub displaced: bool,
}

/// An account while the batch is being joined.
struct Joining {
    fields: Fields,
    dying: bool,
    write: Write,
}

/// Joins accounts into what a node holds of them, and gives each name to one of them. `held` has what is held of those that come, and
/// of whoever holds a name that may be needed. Returns what is to be written, in the order of the accounts.
pub fn join(
    held: &BTreeMap<AccountId, Held>,
    incoming: &[(AccountId, Incoming)],
    here: NodeId,
) -> BTreeMap<AccountId, Write> {
    let mut dead: BTreeMap<AccountId, Write> = BTreeMap::new();
    let mut joining: BTreeMap<AccountId, Joining> = BTreeMap::new();
    for (id, held) in held {
        if let Held::Alive(fields) | Held::Dying(fields) = held {
            let dying = matches!(held, Held::Dying(_));
            joining.insert(id.clone(), Joining { fields: fields.clone(), dying, write: Write::default() });
        }
    }
    for (id, state) in incoming.iter().filter(|(id, _)| !id.is_system()) {
        match (joining.get_mut(id), state) {
            (Some(here), Incoming::Alive(fields)) => here.take(fields),
            (Some(here), Incoming::Dead) => here.die(),
            (None, _) if held.contains_key(id) || dead.contains_key(id) => {}
            (None, Incoming::Dead) => {
                dead.insert(id.clone(), Write { is_new: true, dies: true, ..Write::default() });
            }
            (None, Incoming::Alive(fields)) => {
                let write = Write { is_new: true, fields: Some(fields.clone()), ..Write::default() };
                joining.insert(id.clone(), Joining { fields: fields.clone(), dying: false, write });
            }
        }
    }
    displace(&mut joining, here);
    dead.extend(joining.into_iter().filter(|(_, it)| it.write != Write::default()).map(|(id, it)| (id, it.write)));
    dead
}

impl Joining {
    /// The dead take no more changes.
    fn take(&mut self, fields: &Fields) {
        if self.dying {
            return;
        }
        let mut changed = false;
        for (mine, other) in self.fields.iter_mut().zip(fields.iter()) {
            changed |= mine.join(other.clone());
        }
        if changed {
            self.write.fields = Some(self.fields.clone());
        }
    }

    fn die(&mut self) {
        self.write.dies |= !self.dying;
        self.dying = true;
    }
}

/// Of several accounts with one name, the last that took it keeps it. The others get one that nobody else has, by a write that gives way
/// to any true rename: names that were swapped come through whatever the order in which the renames arrive.
fn displace(joining: &mut BTreeMap<AccountId, Joining>, here: NodeId) {
    loop {
        let mut holders: BTreeMap<&str, &AccountId> = BTreeMap::new();
        let mut loser = None;
        for (id, it) in &*joining {
            let name = it.fields[USERID].value.as_str();
            if let Some(other) = holders.insert(name, id) {
                let rank =
                    |id: &AccountId| joining.get(id).map(|it| (id.is_system(), !it.dying, it.fields[USERID].stamp));
                // Of equals the later account: it comes last here.
                loser = Some(if rank(other) > rank(id) { id.clone() } else { other.clone() });
                break;
            }
        }
        let Some(id) = loser else { return };
        let Some(it) = joining.get_mut(&id) else { return };
        let name = &mut it.fields[USERID];
        *name = Register { stamp: name.stamp.just_after(here), value: displaced_name(&name.value, &id) };
        it.write.fields = Some(it.fields.clone());
        it.write.displaced = true;
    }
}

/// The userid of an account whose own was taken: `alice (alice/1)`, cut so that it fits. Always another than it was.
fn displaced_name(userid: &str, id: &AccountId) -> String {
    let account = id.to_string();
    let name = if account.chars().count() > USERID_LENGTH / 2 {
        with_suffix(userid, &digest(&account))
    } else {
        with_suffix(userid, &account)
    };
    // One that is called so already, to the last character that there is room for.
    if name == userid { with_suffix(userid, &digest(&format!("{userid} {account}"))) } else { name }
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn with_suffix(userid: &str, account: &str) -> String {
    let suffix = format!(" ({account})");
    let room = USERID_LENGTH - suffix.chars().count();
    userid.chars().take(room).chain(suffix.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::stamp::Stamp;
    use super::*;

    const HERE: NodeId = NodeId(1);

    fn id(born_as: &str, generation: i32) -> AccountId {
        AccountId { born_as: born_as.into(), generation }
    }

    fn named(userid: &str, stamp: i64) -> Fields {
        let mut fields = Fields::default();
        fields[USERID] = Register { stamp: Stamp(stamp << 12), value: userid.into() };
        fields
    }

    /// What is held after a batch; what was written is written.
    fn after(held: &BTreeMap<AccountId, Held>, batch: &[(AccountId, Incoming)]) -> BTreeMap<AccountId, Held> {
        let mut next = held.clone();
        for (id, write) in join(held, batch, HERE) {
            let fields = write.fields.or_else(|| match held.get(&id) {
                Some(Held::Alive(fields) | Held::Dying(fields)) => Some(fields.clone()),
                _ => None,
            });
            let dying = write.dies || matches!(held.get(&id), Some(Held::Dying(_)));
            next.insert(
                id,
                match fields {
                    Some(fields) if dying => Held::Dying(fields),
                    Some(fields) => Held::Alive(fields),
                    None => Held::Dead,
                },
            );
        }
        assert!(join(&next, batch, HERE).is_empty(), "once more changes something: {held:?} {batch:?}");
        next
    }

    fn names(held: &BTreeMap<AccountId, Held>) -> Vec<String> {
        held.iter()
            .map(|(id, held)| match held {
                Held::Alive(fields) => format!("{id}={}", fields[USERID].value),
                Held::Dying(fields) => format!("{id}={} dying", fields[USERID].value),
                Held::Dead => format!("{id} dead"),
            })
            .collect()
    }

    /// One event a line: what is held, what comes, what is held then.
    #[test]
    fn who_keeps_a_name() {
        let alive = |born_as: &str, generation, userid: &str, stamp| {
            (id(born_as, generation), Held::Alive(named(userid, stamp)))
        };
        let comes = |born_as: &str, generation, userid: &str, stamp| {
            (id(born_as, generation), Incoming::Alive(named(userid, stamp)))
        };
        let dies = |born_as: &str| (id(born_as, 1), Incoming::Dead);
        for (held, batch, expected) in [
            (vec![], vec![comes("a", 1, "a", 0)], vec!["a/1=a"]),
            (vec![alive("a", 1, "a", 0)], vec![comes("a", 1, "b", 5)], vec!["a/1=b"]),
            (vec![alive("a", 1, "a", 9)], vec![comes("a", 1, "b", 5)], vec!["a/1=a"]),
            // Two renames onto one name; a rename onto the name of a new one.
            (
                vec![alive("a", 1, "x", 5), alive("b", 1, "b", 0)],
                vec![comes("b", 1, "x", 6)],
                vec!["a/1=x (a/1)", "b/1=x"],
            ),
            (
                vec![alive("a", 1, "x", 7), alive("b", 1, "b", 0)],
                vec![comes("b", 1, "x", 6)],
                vec!["a/1=x", "b/1=x (b/1)"],
            ),
            (vec![alive("a", 1, "a", 0)], vec![comes("b", 1, "a", 6)], vec!["a/1=a (a/1)", "b/1=a"]),
            // A name that was used again, while the rename of its first holder has not come.
            (vec![alive("a", 1, "a", 0)], vec![comes("a", 2, "a", 0)], vec!["a/1=a (a/1)", "a/2=a"]),
            (vec![alive("a", 1, "a", 0)], vec![comes("a", 2, "a", 0), dies("a")], vec!["a/1=a (a/1) dying", "a/2=a"]),
            // A swap, in one piece.
            (
                vec![alive("a", 1, "a", 0), alive("b", 1, "b", 0)],
                vec![comes("a", 1, "b", 5), comes("b", 1, "a", 6)],
                vec!["a/1=b", "b/1=a"],
            ),
            (vec![alive("a", 1, "a", 0)], vec![dies("a"), comes("a", 1, "b", 9)], vec!["a/1=a dying"]),
            (vec![], vec![dies("a"), comes("a", 1, "b", 9)], vec!["a/1 dead"]),
            (vec![(id("a", 1), Held::Dead)], vec![comes("a", 1, "b", 9)], vec!["a/1 dead"]),
            (
                vec![alive("anyone", 1, "anyone", 0)],
                vec![comes("a", 1, "anyone", 9), comes("anyone", 1, "x", 9)],
                vec!["a/1=anyone (a/1)", "anyone/1=anyone"],
            ),
        ] {
            let held: BTreeMap<_, _> = held.into_iter().collect();
            assert_eq!(names(&after(&held, &batch)), expected, "{held:?} {batch:?}");
        }
    }

    /// The renames of a swap that arrive one by one: the name that is taken first is given up by a write to which the true rename does
    /// not give way.
    #[test]
    fn a_swap_comes_through_in_pieces() {
        let held: BTreeMap<_, _> = [("a", 0), ("b", 0)]
            .map(|(born_as, stamp)| (id(born_as, 1), Held::Alive(named(born_as, stamp))))
            .into_iter()
            .collect();
        let renames = [(id("a", 1), Incoming::Alive(named("b", 7))), (id("b", 1), Incoming::Alive(named("a", 8)))];
        for order in [[0, 1], [1, 0]] {
            let mut held = held.clone();
            for at in order {
                held = after(&held, std::slice::from_ref(&renames[at]));
            }
            assert_eq!(names(&held), ["a/1=b", "b/1=a"]);
        }
    }

    #[test]
    fn a_displaced_name_fits() {
        let long = "ä".repeat(100);
        assert_eq!(displaced_name(&long, &id("alice", 1)).chars().count(), 100);
        assert!(displaced_name(&long, &id("alice", 1)).ends_with("ä (alice/1)"));
        let of_long = displaced_name(&long, &id(&long, 1));
        assert_eq!(of_long.chars().count(), 100);
        assert_ne!(of_long, displaced_name(&long, &id(&long, 2)));
    }

    /// The name that was to be given was the one that the account had, for there was no room for another suffix: it was given again and
    /// again, and the link stood still.
    #[test]
    fn a_displaced_name_is_another_one() {
        let mut name = "ä".repeat(100);
        for account in [id("alice", 1), id(&"b".repeat(100), 1)] {
            for _ in 0..5 {
                let next = displaced_name(&name, &account);
                assert_ne!(next, name);
                assert_eq!(next.chars().count(), 100);
                name = next;
            }
        }
        let taken = displaced_name(&"ä".repeat(100), &id("alice", 1));
        let held = [(id("alice", 1), Held::Alive(named(&taken, 5)))].into_iter().collect();
        assert_eq!(names(&after(&held, &[(id("bob", 1), Incoming::Alive(named(&taken, 6)))])).len(), 2);
    }
}
