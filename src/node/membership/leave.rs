//! Taking a node out of a mesh.

use super::{Member, fence};
use crate::domain::snapshot::Snapshot;
use crate::error::Result;
use crate::node::ask;
use crate::node::cursor::Cursor;

/// Whether all that `snapshot` of `node` sees is on `peer`.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn has_given_all(node: &Member, peer: &Member, snapshot: &str) -> Result<bool> {
    let Some(cursor) = Cursor::read(&peer.client, node.endpoint.id).await? else { return Ok(false) };
    if cursor.copy.is_some() {
        return Ok(false);
    }
    Ok(cursor.from.parse::<Snapshot>()?.covers(&snapshot.parse()?))
}

/// How many rows of `node` the peer could not join: it does not have them, although its cursor is behind them.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn count_aside(node: &Member, peer: &Member) -> Result<i64> {
    let sql = include_str!("../../../sql/node/count_aside.sql");
    Ok(ask::row(&peer.client, sql, &[&node.endpoint.id.0]).await?.get("rows"))
}

/// Takes `node` out: its peers forget how far it is, and keep nothing for it; it keeps its mail, and no link touches it. `None`: it is
/// lost, and only its peers are told. `id` is its number.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn dismiss(id: i16, node: Option<&Member>, peers: &[Member]) -> Result<()> {
    if let Some(node) = node {
        fence::stay_out(&node.client, None).await?;
    }
    for peer in peers {
        ask::row(&peer.client, include_str!("../../../sql/node/dismiss.sql"), &[&id]).await?;
    }
    Ok(())
}
