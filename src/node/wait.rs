//! Whether a node has all that had been committed anywhere at some moment, and shows it.
//!
//! What a source has committed is what its snapshot sees; what of it a target has is what the snapshot in the target's cursor sees. So
//! the question is answered by comparing the two, and nothing has to be written for it but a mark where a link has nothing to do: it does
//! not store each time how far it has looked.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::ask;
use crate::domain::ids::NodeId;
use crate::domain::snapshot::Snapshot;
use crate::error::Result;

/// Where a node stands.
#[derive(Clone, Debug)]
pub struct Position {
    /// When, by its own clock.
    pub at: Timestamp,
    /// What has been committed on it.
    pub snapshot: Snapshot,
    /// Of each source that it has a link from.
    pub sources: BTreeMap<NodeId, Taken>,
}

/// What a node has of a source.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What it surely has; `None` during a first copy.
    pub here: Option<Snapshot>,
    /// What it may have: while it works through a range, some of that.
    pub may_be: Snapshot,
}

/// Looks where a node stands.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn position(client: &impl GenericClient) -> Result<Position> {
    let row = ask::row(client, include_str!("../../sql/wait/position.sql"), &[]).await?;
    let (sources, here): (Vec<i16>, Vec<Option<String>>) = (row.get("sources"), row.get("here"));
    let may_be: Vec<String> = row.get("may_be");
    let taken = sources.into_iter().zip(here).zip(may_be).map(|((source, here), may_be)| {
        let here = here.map(|text| text.parse()).transpose()?;
        Ok((NodeId(source), Taken { here, may_be: may_be.parse()? }))
    });
    Ok(Position {
        at: row.get("at"),
        snapshot: row.get::<_, String>("snapshot").parse()?,
        sources: taken.collect::<Result<_>>()?,
    })
}

/// Has each link from this node store how far it is.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn mark(client: &impl GenericClient) -> Result<()> {
    ask::row(client, include_str!("../../sql/wait/mark.sql"), &[]).await?;
    Ok(())
}

/// What had been committed anywhere, by the node on which it was.
#[derive(Clone, Debug, Default)]
pub struct Goals(BTreeMap<NodeId, Vec<Snapshot>>);

impl Goals {
    /// Of the nodes that could be asked, and of what these have of others: of those that are `known`. What there is of a node that has
    /// been given up does not come to anybody any more.
    pub fn of(positions: &BTreeMap<NodeId, Position>, known: &BTreeSet<NodeId>) -> Self {
        let mut goals: BTreeMap<NodeId, Vec<Snapshot>> = BTreeMap::new();
        for (&node, position) in positions {
            goals.entry(node).or_default().push(position.snapshot.clone());
            for (&source, taken) in position.sources.iter().filter(|(source, _)| known.contains(*source)) {
                goals.entry(source).or_default().push(taken.may_be.clone());
            }
        }
        Self(goals)
    }

    /// The sources of which `target`, which stands at `position`, lacks something.
    pub fn lacking(&self, target: NodeId, position: &Position) -> Vec<NodeId> {
        let has_all = |source: &NodeId, goals: &[Snapshot]| {
            let here = position.sources.get(source).and_then(|taken| taken.here.as_ref());
            here.is_some_and(|here| goals.iter().all(|goal| here.covers(goal)))
        };
        let others = self.0.iter().filter(|(source, _)| **source != target);
        others.filter(|(source, goals)| !has_all(source, goals)).map(|(source, _)| *source).collect()
    }
}

/// What is on a node and is not to be seen yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Messages that wait for a UID, or for a place.
    pub late: i64,
    /// Mailboxes and users that are deleted or merged, and not gone.
    pub ending: i64,
    /// Rows of each source that could not be joined.
    pub set_aside: BTreeMap<NodeId, i64>,
}

impl Hidden {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        self.late == 0 && self.ending == 0 && self.set_aside.is_empty()
    }
}

/// What had come to a node by a moment of its own clock and is not to be seen; with `settled` also what is visible, but is to get another
/// UID.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn hidden(client: &impl GenericClient, at: Timestamp, settled: bool) -> Result<Hidden> {
    let row = ask::row(client, include_str!("../../sql/wait/hidden.sql"), &[&at, &settled]).await?;
    let (sources, rows): (Vec<i16>, Vec<i64>) = (row.get("sources"), row.get("rows"));
    Ok(Hidden {
        late: row.get("late"),
        ending: row.get("ending"),
        set_aside: sources.into_iter().map(NodeId).zip(rows).collect(),
    })
}

/// How many rows of an outbox are looked at for HIGHESTMODSEQs: those of the last moments on the busiest node.
const TIDES_FROM_ROWS: i64 = 20_000;

/// HIGHESTMODSEQ of mailboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tides {
    mailboxes: Vec<i64>,
    seqs: Vec<i64>,
}

/// HIGHESTMODSEQ of the mailboxes in which it went up lately on a node.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn tides(client: &impl GenericClient) -> Result<Tides> {
    let rows = ask::rows(client, include_str!("../../sql/wait/tides.sql"), &[&TIDES_FROM_ROWS]).await?;
    let (mailboxes, seqs) =
        rows.iter().map(|row| (row.get::<_, i64>("mailbox_idnr"), row.get::<_, i64>("seq"))).unzip();
    Ok(Tides { mailboxes, seqs })
}

/// The mailboxes whose HIGHESTMODSEQ is lower on a node than another one said.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn behind(client: &impl GenericClient, there: &Tides) -> Result<Vec<i64>> {
    let rows = ask::rows(client, include_str!("../../sql/wait/behind.sql"), &[&there.mailboxes, &there.seqs]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Has the links from a node look once more at HIGHESTMODSEQs.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn note_tides(client: &impl GenericClient, mailboxes: &[i64]) -> Result<()> {
    ask::rows(client, include_str!("../../sql/wait/note_tides.sql"), &[&mailboxes]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(next: u64) -> Snapshot {
        Snapshot::before(next)
    }

    fn position(next: u64, sources: &[(i16, Option<u64>, u64)]) -> Position {
        let taken = |(source, here, may_be): &(i16, Option<u64>, u64)| {
            (NodeId(*source), Taken { here: here.map(snapshot), may_be: snapshot(*may_be) })
        };
        Position { at: Timestamp::UNIX_EPOCH, snapshot: snapshot(next), sources: sources.iter().map(taken).collect() }
    }

    #[test]
    fn what_a_third_node_has_of_one_that_is_gone_counts_too() {
        let here = position(50, &[(1, Some(100), 100), (3, Some(10), 10)]);
        let there = position(100, &[(2, Some(50), 50), (3, Some(12), 14)]);
        let known = [NodeId(1), NodeId(2), NodeId(3)].into();
        let goals = Goals::of(&[(NodeId(1), there), (NodeId(2), here)].into(), &known);
        let lacking = |taken: &[(i16, Option<u64>, u64)]| goals.lacking(NodeId(2), &position(60, taken));
        assert_eq!(lacking(&[(1, Some(100), 100), (3, Some(13), 20)]), [NodeId(3)], "it may have some of 13");
        assert_eq!(lacking(&[(1, Some(100), 100), (3, Some(14), 14)]), []);
        assert_eq!(lacking(&[(1, Some(99), 120), (3, None, 14)]), [NodeId(1), NodeId(3)], "a first copy is under way");
        assert_eq!(lacking(&[(3, Some(14), 14)]), [NodeId(1)], "the link has not begun");
    }
}
