//! What a source has from third nodes, and what of that a target may lack: see `worker::relay` for what is done about it.

use deadpool_postgres::GenericClient;
use serde_json::Value;

use super::ask::{self, Columns as _};
use super::scan::{self, Keys, SourceRead};
use crate::domain::ids::NodeId;
use crate::error::Result;

/// What a source had at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The moment: a snapshot of the source.
    pub snapshot: String,
    /// Whether anything came to it from a third node since the target had everything.
    pub has_some: bool,
    /// Whether some of that was cut off from its outbox.
    pub is_cut: bool,
    /// How far it had taken over what each third node has, as the target's statements read it.
    nodes: Value,
}

/// A third node of which a target may lack something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacked {
    /// The third node.
    pub node: NodeId,
    /// It cannot come from the node itself: that has left, or is another incarnation now.
    pub has_ended: bool,
    /// Its link into the target stands still because somebody wants it to.
    pub is_paused: bool,
    /// The target has all that it did in transactions below this one; `None`: nothing is known.
    below: Option<String>,
}

/// What of it is looked for in the source's outbox.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// The snapshot up to which the target has everything; `None`: that is not known.
    pub since: Option<&'a str>,
    /// The snapshot up to which is looked.
    pub to: &'a str,
    /// The last row that is done.
    pub after: i64,
    /// The most rows.
    pub limit: i64,
    /// Messages, or all else.
    pub messages: bool,
}

impl Held {
    /// The third nodes of which `target` may lack what the source had.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn lacked_by(&self, target: &impl GenericClient) -> Result<Vec<Lacked>> {
        let rows = ask::rows(target, include_str!("../../sql/target/lacked_of.sql"), &[&self.nodes]).await?;
        let lacked = rows.iter().map(|row| Lacked {
            node: NodeId(row.get("node_id")),
            has_ended: row.get("has_ended"),
            is_paused: row.get("is_paused"),
            below: row.get("has_below"),
        });
        Ok(lacked.collect())
    }

    /// Whether it was not known yet how far the source has what this node did, because a first copy was under way.
    pub fn is_vague_about(&self, node: NodeId) -> bool {
        self.nodes[node.0.to_string()]["maybe"].is_null()
    }

    /// Notes on `target` that it has all that the source had of these nodes.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn hear_of(&self, target: &impl GenericClient, nodes: &[NodeId]) -> Result<()> {
        let nodes: Vec<i16> = nodes.iter().map(|node| node.0).collect();
        ask::run(target, include_str!("../../sql/target/hear_of.sql"), &[&self.nodes, &nodes]).await?;
        Ok(())
    }
}

impl SourceRead<'_> {
    /// What the source has for `target`, which has everything up to `since`; `None`: that is not known.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn held(&self, since: Option<&str>, target: NodeId) -> Result<Held> {
        let sql = include_str!("../../sql/source/read_held.sql");
        let row = ask::row(self.transaction(), sql, &[&since, &target.0]).await?;
        Ok(Held {
            snapshot: row.read("snapshot")?,
            has_some: row.read("has_some")?,
            is_cut: row.read("is_cut")?,
            nodes: row.read("held")?,
        })
    }

    /// The next keys of what came to the source from third nodes.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn relayed(&self, of: &[Lacked], range: Range<'_>) -> Result<Keys> {
        let nodes: Vec<i16> = of.iter().map(|lacked| lacked.node.0).collect();
        let below: Vec<Option<&str>> = of.iter().map(|lacked| lacked.below.as_deref()).collect();
        let Range { since, to, after, limit, messages } = range;
        let sql = include_str!("../../sql/source/scan_relayed.sql");
        let rows =
            ask::rows(self.transaction(), sql, &[&since, &to, &after, &limit, &nodes, &below, &messages]).await?;
        scan::keys_of(&rows)
    }
}
