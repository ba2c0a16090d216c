//! Marks what differs for shipping. The ordinary join mends it: the highest UID, the last writer, and death win, on every node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use deadpool_postgres::Client;

use super::judge::{Confirmed, Subject};
use super::session::Nodes;
use crate::domain::comparison::{Found, MISSING, Registered, right_about};
use crate::error::Result;
use crate::node::ask;
use crate::node::connect::checkout;

/// So many are marked in one statement.
const AT_ONCE: usize = 1_000;
/// dbmail may hold the row of a message that is stamped anew.
const TRIES: usize = 3;

/// What the join cannot mend.
const NOT_JOINED: [&str; 3] = ["content", "unique_id", "rows"];

/// A difference as far as marking it needs.
#[derive(Clone, Debug)]
pub(super) struct ToMend {
    pub(super) subject: Subject,
    /// Nodes that have something to tell: they have it, or know that it is dead. By their place.
    tellers: Vec<u16>,
    /// Nodes that have it.
    holders: Vec<u16>,
    is_misplaced: bool,
    is_hopeless: bool,
    /// Of one that is missing somewhere: its `unique_id`, hashed.
    name: Option<u64>,
}

impl ToMend {
    pub(super) fn of(confirmed: &Confirmed) -> Self {
        let at = |wanted: fn(&Found) -> bool| {
            let found = confirmed.found.iter().enumerate().filter(|(_, found)| wanted(found));
            found.filter_map(|(at, _)| u16::try_from(at).ok()).collect()
        };
        let unique_id = confirmed.found.iter().find_map(|found| found.values()?.get("unique_id"));
        let is_missing = confirmed.what.iter().any(|what| what == MISSING);
        Self {
            subject: confirmed.subject.clone(),
            tellers: at(|found| matches!(found, Found::Here(_) | Found::Dead)),
            holders: at(|found| matches!(found, Found::Here(_))),
            is_misplaced: confirmed.subject.message().is_some() && confirmed.what.iter().any(|what| what == "mailbox"),
            is_hopeless: confirmed.what.iter().all(|what| NOT_JOINED.contains(&what.as_str())),
            name: unique_id.filter(|_| is_missing).map(|unique_id| {
                let mut hasher = DefaultHasher::new();
                unique_id.hash(&mut hasher);
                hasher.finish()
            }),
        }
    }
}

/// Messages that stand on one node under a number that nobody gave them, and on others under another: shipping both would double them.
pub(super) fn renumbered_by_hand(all: &[ToMend]) -> BTreeSet<Subject> {
    let mut by_name: HashMap<u64, Vec<&ToMend>> = HashMap::new();
    for one in all {
        if let Some(name) = one.name {
            by_name.entry(name).or_default().push(one);
        }
    }
    let apart = |a: &ToMend, b: &ToMend| a.subject != b.subject && !a.holders.iter().any(|at| b.holders.contains(at));
    let twins = by_name.values().filter(|twins| twins.len() > 1);
    twins
        .flat_map(|twins| twins.iter().filter(|a| twins.iter().any(|b| apart(a, b))))
        .map(|twin| twin.subject.clone())
        .collect()
}

/// Sessions that write.
pub(super) struct Repair<'a> {
    nodes: &'a Nodes,
    clients: Vec<Client>,
}

impl<'a> Repair<'a> {
    pub(super) async fn open(nodes: &'a Nodes) -> Result<Self> {
        let mut clients = Vec::new();
        for node in &nodes.compared {
            let client = checkout(&node.endpoint, &node.endpoint.pool("repair")?).await?;
            ask::row(&client, include_str!("../../../sql/verify/repair_session.sql"), &[]).await?;
            clients.push(client);
        }
        Ok(Self { nodes, clients })
    }

    /// Marks users, mailboxes and entries; returns how many.
    pub(super) async fn mark_things(&self, all: &[ToMend]) -> Result<usize> {
        let things: Vec<(&ToMend, &str, &str)> =
            all.iter().filter_map(|one| one.subject.kind_and_key().map(|(kind, key)| (one, kind, key))).collect();
        for (at, client) in self.clients.iter().enumerate() {
            let told = |wanted: &'static str| {
                things.iter().filter(move |(one, kind, _)| *kind == wanted && tells(one, at)).map(|(.., key)| *key)
            };
            let accounts: Vec<&str> = told("user").collect();
            let mailboxes: Vec<i64> = told("mailbox").filter_map(|key| key.parse().ok()).collect();
            if !accounts.is_empty() || !mailboxes.is_empty() {
                let sql = include_str!("../../../sql/verify/mark_things.sql");
                ask::row(client, sql, &[&accounts, &mailboxes]).await?;
            }
        }
        let entries: Vec<(&str, &str)> = things
            .iter()
            .filter(|(_, kind, _)| !matches!(*kind, "user" | "mailbox"))
            .map(|(_, kind, key)| (*kind, *key))
            .collect();
        for batch in entries.chunks(AT_ONCE) {
            self.mark_entries(batch).await?;
        }
        Ok(things.len())
    }

    /// The node that is right about an entry says so anew, with a stamp above all others.
    async fn mark_entries(&self, entries: &[(&str, &str)]) -> Result<()> {
        let (kinds, keys): (Vec<&str>, Vec<&str>) = entries.iter().copied().unzip();
        let mut of_nodes: Vec<BTreeMap<(String, String), Registered>> = Vec::new();
        for node in &self.nodes.compared {
            let mut found: BTreeMap<(String, String), Registered> = BTreeMap::new();
            let sql = include_str!("../../../sql/verify/entry_registers.sql");
            for row in ask::rows(&node.client, sql, &[&kinds, &keys]).await? {
                let registered =
                    Registered { row: row.get("value"), stamp: Some(row.get("stamp")), present: row.get("present") };
                found.insert((row.get("kind"), row.get("key")), registered);
            }
            let (keys, everywhere): (_, Option<Vec<i64>>) = (Some(&keys), None);
            let sql = include_str!("../../../sql/verify/things.sql");
            for row in ask::rows(&node.client, sql, &[&kinds, &keys, &everywhere]).await? {
                let nothing = Registered { row: None, stamp: None, present: false };
                found.entry((row.get("kind"), row.get("key"))).or_insert(nothing).row = Some(row.get("value"));
            }
            of_nodes.push(found);
        }
        for (kind, key) in entries {
            let nothing = Registered { row: None, stamp: None, present: false };
            let known = ((*kind).to_owned(), (*key).to_owned());
            let found: Vec<Registered> =
                of_nodes.iter().map(|node| node.get(&known).cloned().unwrap_or_else(|| nothing.clone())).collect();
            let Some(right) = right_about(&found) else { continue };
            let above = found.iter().filter_map(|one| one.stamp).max().unwrap_or(0);
            let Registered { row, stamp, .. } = &found[right];
            let sql = include_str!("../../../sql/verify/restamp_entry.sql");
            ask::row(&self.clients[right], sql, &[kind, key, &row.is_some(), row, stamp, &above]).await?;
        }
        Ok(())
    }

    /// Marks messages; returns how many. `but` are left alone.
    pub(super) async fn mark_messages(&self, all: &[ToMend], but: &BTreeSet<Subject>) -> Result<usize> {
        let wanted: Vec<(&ToMend, i64)> = all
            .iter()
            .filter(|one| !one.is_hopeless && !but.contains(&one.subject))
            .filter_map(|one| Some((one, one.subject.message()?)))
            .collect();
        let misplaced: Vec<i64> = wanted.iter().filter(|(one, _)| one.is_misplaced).map(|(_, birth)| *birth).collect();
        for births in misplaced.chunks(AT_ONCE) {
            self.restamp_places(births).await?;
        }
        for (at, client) in self.clients.iter().enumerate() {
            let births: Vec<i64> = wanted.iter().filter(|(one, _)| tells(one, at)).map(|(_, birth)| *birth).collect();
            for births in births.chunks(AT_ONCE) {
                ask::row(client, include_str!("../../../sql/verify/mark_messages.sql"), &[&births]).await?;
            }
        }
        Ok(wanted.len())
    }

    /// Messages that are in different mailboxes: the later stamp is right, of equal ones the higher mailbox.
    async fn restamp_places(&self, births: &[i64]) -> Result<()> {
        let mut best: BTreeMap<i64, (i64, i64, usize, i64)> = BTreeMap::new();
        for (at, node) in self.nodes.compared.iter().enumerate() {
            let sql = include_str!("../../../sql/verify/messages.sql");
            for row in ask::rows(&node.client, sql, &[&births, &false]).await? {
                let place: (Option<i64>, Option<i64>) = (row.get("row_mailbox"), row.get("row_idnr"));
                let (Some(mailbox), Some(number)) = place else { continue };
                let stamp = row.get::<_, Option<i64>>("place_stamp").unwrap_or(0);
                let known = best.entry(row.get("birth_uid")).or_insert((stamp, mailbox, at, number));
                if (stamp, mailbox) > (known.0, known.1) {
                    *known = (stamp, mailbox, at, number);
                }
            }
        }
        for (birth, (stamp, mailbox, at, number)) in best {
            for _ in 0..TRIES {
                let sql = include_str!("../../../sql/verify/restamp_place.sql");
                match ask::row(&self.clients[at], sql, &[&birth, &number, &mailbox, &stamp]).await {
                    Err(error) if error.is_transient() => {}
                    other => {
                        other?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

fn tells(one: &ToMend, at: usize) -> bool {
    one.tellers.iter().any(|teller| usize::from(*teller) == at)
}

/// What a person can do about what the join does not mend.
pub(super) fn advice(what: &[String], by_hand: bool) -> Option<&'static str> {
    let has = |wanted: &str| what.iter().any(|what| what == wanted);
    if by_hand {
        Some("one message under two numbers: one was changed by hand; put the old number back")
    } else if has("content") || has("unique_id") {
        Some("nothing says which copy is right; see \"Content\" in docs/verify.md")
    } else if has("rows") {
        Some("a row is left over under an old number; delete it under dbmail_mesh.applying")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_under_two_numbers_are_told_from_messages_that_are_missing() {
        let missing = |birth: i64, unique_id: &str, here: &[bool]| {
            let found = |here: &bool| match here {
                true => Found::Here([("unique_id".to_owned(), unique_id.to_owned())].into()),
                false => Found::Absent,
            };
            ToMend::of(&Confirmed {
                subject: Subject::Message(birth),
                what: vec![MISSING.into()],
                found: here.iter().map(found).collect(),
            })
        };
        let all = [
            missing(1, "a", &[true, false]),
            missing(2, "a", &[false, true]),
            missing(3, "b", &[true, false]),
            missing(4, "c", &[true, false]),
            missing(5, "c", &[true, false]),
        ];
        let twins: Vec<i64> = renumbered_by_hand(&all).iter().filter_map(Subject::message).collect();
        assert_eq!(twins, [1, 2]);
    }
}
