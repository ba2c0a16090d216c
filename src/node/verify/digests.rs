//! Where the nodes differ: digests first, and only where they differ the messages one by one. What is found are candidates, for mail
//! flows meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;

use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;

use super::judge::Subject;
use super::session::{Node, Nodes};
use super::{Progress, Scope};
use crate::domain::rule::FIRST_HIDDEN_ROW;
use crate::error::Result;
use crate::node::ask;

/// So many messages are compared at once; where bodies are read, fewer.
const MESSAGES_AT_ONCE: i64 = 50_000;
const BODIES_AT_ONCE: i64 = 2_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// What may differ.
    pub(super) subjects: BTreeSet<Subject>,
    /// Messages, by node.
    pub(super) messages: Vec<i64>,
    /// Mailboxes, by node.
    pub(super) mailboxes: Vec<i64>,
}

/// Digests of one node, by mailbox or by kind: how many there are, and their sum.
type Digests<K> = BTreeMap<K, (i64, String)>;

/// Compares everything in the scope.
pub(super) async fn candidates(nodes: &Nodes, scope: &Scope, progress: &impl Progress) -> Result<Candidates> {
    let mut found = Candidates {
        subjects: things(nodes, scope).await?,
        messages: vec![0; nodes.compared.len()],
        mailboxes: Vec::new(),
    };
    found.mailboxes = try_join_all(nodes.compared.iter().map(|node| mailboxes_of(node, scope))).await?;
    let ranges = ranges(nodes, scope).await?;
    for (done, (above, upto)) in ranges.iter().enumerate() {
        progress.compared(done, ranges.len());
        messages(nodes, scope, (*above, *upto), &mut found).await?;
    }
    progress.compared(ranges.len(), ranges.len());
    Ok(found)
}

/// Users, mailboxes and entries.
async fn things(nodes: &Nodes, scope: &Scope) -> Result<BTreeSet<Subject>> {
    let sql = include_str!("../../../sql/verify/thing_digests.sql");
    let digests = try_join_all(nodes.compared.iter().map(async |node| {
        let rows = ask::rows(&node.client, sql, &[&scope.mailboxes]).await?;
        let of = |row: &tokio_postgres::Row| (row.get("kind"), (row.get("things"), row.get("digest")));
        Ok::<Digests<String>, crate::error::Error>(rows.iter().map(of).collect())
    }))
    .await?;
    let kinds = differing(&digests);
    if kinds.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = include_str!("../../../sql/verify/things.sql");
    let all: Option<Vec<String>> = None;
    let rows = try_join_all(nodes.compared.iter().map(async |node| {
        let rows = ask::rows(&node.client, sql, &[&kinds, &all, &scope.mailboxes]).await?;
        let of = |row: &tokio_postgres::Row| {
            let (kind, key): (&str, &str) = (row.get("kind"), row.get("key"));
            (Subject::thing(kind, key), row.get::<_, String>("value"))
        };
        Ok::<HashSet<(Subject, String)>, crate::error::Error>(rows.iter().map(of).collect())
    }))
    .await?;
    Ok(not_everywhere(&rows).map(|(subject, _)| subject.clone()).collect())
}

async fn mailboxes_of(node: &Node, scope: &Scope) -> Result<i64> {
    let rows =
        ask::rows(&node.client, include_str!("../../../sql/verify/thing_digests.sql"), &[&scope.mailboxes]).await?;
    Ok(rows.iter().find(|row| row.get::<_, &str>("kind") == "mailbox").map_or(0, |row| row.get("things")))
}

/// Ranges of UIDs that hold about as many messages as are compared at once, as counted on the node that has most.
async fn ranges(nodes: &Nodes, scope: &Scope) -> Result<Vec<(i64, i64)>> {
    let at_once = if scope.bodies { BODIES_AT_ONCE } else { MESSAGES_AT_ONCE };
    let sql = include_str!("../../../sql/verify/boundaries.sql");
    let boundaries = try_join_all(nodes.compared.iter().map(async |node| {
        let rows = ask::rows(&node.client, sql, &[&at_once, &scope.mailboxes]).await?;
        Ok::<Vec<i64>, crate::error::Error>(rows.iter().map(|row| row.get("uid")).collect())
    }))
    .await?;
    let mut ends = boundaries.into_iter().max_by_key(Vec::len).unwrap_or_default();
    ends.push(FIRST_HIDDEN_ROW - 1);
    Ok(std::iter::once(i64::MIN).chain(ends.iter().copied()).zip(ends.iter().copied()).collect())
}

/// Compares the messages of one range.
async fn messages(nodes: &Nodes, scope: &Scope, (above, upto): (i64, i64), found: &mut Candidates) -> Result<()> {
    let sql = include_str!("../../../sql/verify/digests.sql");
    let digests = try_join_all(nodes.compared.iter().map(async |node| {
        let rows = ask::rows(&node.client, sql, &[&above, &upto, &scope.mailboxes, &scope.bodies]).await?;
        let of = |row: &tokio_postgres::Row| (row.get("mailbox_idnr"), (row.get("messages"), row.get("digest")));
        Ok::<Digests<i64>, crate::error::Error>(rows.iter().map(of).collect())
    }))
    .await?;
    for (count, digests) in found.messages.iter_mut().zip(&digests) {
        *count += digests.values().map(|(messages, _)| messages).sum::<i64>();
    }
    let mailboxes = differing(&digests);
    if mailboxes.is_empty() {
        return Ok(());
    }
    let of_node = |node| message_digests(node, scope, (above, upto), &mailboxes);
    let rows = try_join_all(nodes.compared.iter().map(of_node)).await?;
    found.subjects.extend(not_everywhere(&rows).map(|(birth, _)| Subject::Message(*birth)));
    Ok(())
}

/// Birth UID and digest of each message of a range: no more than are compared at once.
async fn message_digests(
    node: &Node,
    scope: &Scope,
    (above, upto): (i64, i64),
    mailboxes: &[i64],
) -> Result<HashSet<(i64, i64)>> {
    let sql = include_str!("../../../sql/verify/message_digests.sql");
    let statement = node.client.prepare_cached(sql).await?;
    let parameters: ask::Params<'_> = &[&above, &upto, &mailboxes, &scope.bodies];
    let mut rows = pin!(node.client.query_raw(&statement, parameters.iter().copied()).await?);
    let mut found = HashSet::new();
    while let Some(row) = rows.try_next().await? {
        found.insert((row.get("birth_uid"), row.get("digest")));
    }
    Ok(found)
}

/// Keys whose digest is not the same on all nodes.
fn differing<K: Ord + Clone>(nodes: &[Digests<K>]) -> Vec<K> {
    let keys: BTreeSet<&K> = nodes.iter().flat_map(BTreeMap::keys).collect();
    let first = |key: &K| nodes.first().and_then(|node| node.get(key));
    keys.into_iter().filter(|key| nodes.iter().any(|node| node.get(*key) != first(key))).cloned().collect()
}

/// What at least one node has, and another has not.
fn not_everywhere<T: std::hash::Hash + Eq>(nodes: &[HashSet<T>]) -> impl Iterator<Item = &T> {
    nodes.iter().flatten().filter(|item| !nodes.iter().all(|node| node.contains(*item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_digests() {
        let node = |digests: &[(i64, i64, &str)]| -> Digests<i64> {
            digests.iter().map(|(mailbox, count, sum)| (*mailbox, (*count, (*sum).to_owned()))).collect()
        };
        let (a, b) = (node(&[(1, 2, "7"), (2, 1, "4"), (3, 1, "1")]), node(&[(1, 2, "7"), (2, 1, "5"), (4, 1, "1")]));
        assert_eq!(differing(&[a.clone(), b.clone()]), [2, 3, 4]);
        assert_eq!(differing(&[b.clone(), a.clone(), a.clone()]), [2, 3, 4]);
        assert_eq!(differing(&[a.clone(), a]), [0; 0]);
        let sets = [HashSet::from([(1, 7), (2, 8)]), HashSet::from([(1, 7), (2, 9)]), HashSet::from([(1, 7)])];
        let found: BTreeSet<i32> = not_everywhere(&sets).map(|(birth, _)| *birth).collect();
        assert_eq!(found, BTreeSet::from([2]));
    }
}
