//! How far the links into a node are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Member;
use crate::domain::ids::NodeId;
use crate::error::Result;
use crate::node::ask;

/// One link into the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkProgress {
    /// Whether its first copy is done.
    pub is_copied: bool,
    /// Messages, alive and dead, that it has brought since it began.
    pub messages: i64,
    /// Why it is refused.
    pub refused: Option<String>,
}

/// By their sources. `since`: what was refused before counts no more.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn progress(node: &Member, since: Timestamp) -> Result<BTreeMap<NodeId, LinkProgress>> {
    let rows = ask::rows(&node.client, include_str!("../../../sql/node/copy_progress.sql"), &[&since]).await?;
    let link = |row: &tokio_postgres::Row| LinkProgress {
        is_copied: row.get("is_copied"),
        messages: row.get("messages"),
        refused: row.get("refused"),
    };
    Ok(rows.iter().map(|row| (NodeId(row.get("source_id")), link(row))).collect())
}

/// How many messages, alive and dead, a first copy from a node brings.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn messages_to_copy(node: &Member) -> Result<i64> {
    Ok(ask::row(&node.client, include_str!("../../../sql/node/messages_to_copy.sql"), &[]).await?.get(0))
}

/// The node's own clock.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn clock(node: &Member) -> Result<Timestamp> {
    Ok(ask::row(&node.client, include_str!("../../../sql/node/now.sql"), &[]).await?.get(0))
}

/// What is committed on a node now, as a snapshot in text form.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn committed(node: &Member) -> Result<String> {
    let sql = include_str!("../../../sql/source/current_snapshot.sql");
    Ok(ask::row(&node.client, sql, &[&None::<&str>]).await?.get(0))
}
