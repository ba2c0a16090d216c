//! Links and nodes that somebody has paused: what a node keeps of it, and who obeys.

use std::collections::BTreeSet;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use super::ask;
use crate::domain::ids::NodeId;
use crate::error::Result;

/// In place of a source: the node itself, with all links into it and out of it.
pub const WHOLE_NODE: NodeId = NodeId(0);

/// A pause, as the node keeps it that it was given to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pause {
    /// Tells it from an earlier one.
    #[serde(skip)]
    pub token: String,
    /// Since when, by the node's clock.
    pub since: Timestamp,
    /// For how many seconds.
    pub seconds: f64,
    /// Who paused it.
    pub by: String,
    /// Why, if he said so.
    pub reason: Option<String>,
}

impl Pause {
    fn from_row(row: &Row) -> Self {
        Self {
            token: row.get("token"),
            since: row.get("since"),
            seconds: row.get("seconds"),
            by: row.get("paused_by"),
            reason: row.get("reason"),
        }
    }
}

/// Pauses the link from `source` into a node, or [`WHOLE_NODE`], which takes part in settlements for `settles_s` more seconds. What is
/// paused already stays so, for the new reason if there is one. Returns whether it was not paused before.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn pause(
    client: &impl GenericClient,
    source: NodeId,
    by: &str,
    reason: Option<&str>,
    settles_s: f64,
) -> Result<(Pause, bool)> {
    let sql = include_str!("../../sql/pause/pause.sql");
    let row = ask::row(client, sql, &[&source.0, &by, &reason, &settles_s]).await?;
    Ok((Pause::from_row(&row), row.get("is_new")))
}

/// Takes a node that is paused out of settlements.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn end_settling(client: &impl GenericClient) -> Result<()> {
    ask::run(client, include_str!("../../sql/pause/end_settling.sql"), &[]).await?;
    Ok(())
}

/// Ends a pause, and returns what it was; `None` when there was none.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn resume(client: &impl GenericClient, source: NodeId) -> Result<Option<Pause>> {
    let row = ask::row_if_any(client, include_str!("../../sql/pause/resume.sql"), &[&source.0]).await?;
    Ok(row.map(|row| Pause::from_row(&row)))
}

/// What is paused on a node, of the links from `sources` and, by [`WHOLE_NODE`], the node.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn pauses(client: &impl GenericClient, sources: &[NodeId]) -> Result<Vec<(NodeId, Pause)>> {
    let sources: Vec<i16> = sources.iter().map(|source| source.0).collect();
    let rows = ask::rows(client, include_str!("../../sql/pause/pauses.sql"), &[&sources]).await?;
    Ok(rows.iter().map(|row| (NodeId(row.get("source_id")), Pause::from_row(row))).collect())
}

/// Says on the target that the link from `source` stands still for these pauses.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn obey(target: &impl GenericClient, source: NodeId, tokens: &[String]) -> Result<()> {
    ask::run(target, include_str!("../../sql/pause/obey.sql"), &[&source.0, &tokens]).await?;
    Ok(())
}

/// How far a pause is obeyed by the links into a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obeyed {
    /// The sources of links that stand still for it.
    pub links: BTreeSet<NodeId>,
    /// Messages that wait on the node for a new UID.
    pub late: i64,
    /// Whether a worker drives the links into the node.
    pub is_driven: bool,
}

/// Looks how far the pause `token` is obeyed.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn obeyed(client: &impl GenericClient, token: &str) -> Result<Obeyed> {
    let row = ask::row(client, include_str!("../../sql/pause/obeyed.sql"), &[&token]).await?;
    let links: Vec<i16> = row.get("obeying");
    Ok(Obeyed {
        links: links.into_iter().map(NodeId).collect(),
        late: row.get("late"),
        is_driven: row.get("is_driven"),
    })
}

/// Wakes links that sleep on a node, so that they look at once.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn wake(client: &impl GenericClient) -> Result<()> {
    ask::row(client, include_str!("../../sql/pause/wake.sql"), &[]).await?;
    Ok(())
}
