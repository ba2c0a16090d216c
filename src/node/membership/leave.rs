//! Taking a node out of a mesh.

use super::Member;
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
    let row = ask::row(&peer.client, include_str!("../../../sql/node/covers.sql"), &[&cursor.from, &snapshot]).await?;
    Ok(row.get(0))
}

/// Takes `node` out: its peers forget how far it is, and keep nothing for it; it keeps its mail, and no link touches it. `None`: it is
/// lost, and only its peers are told. `id` is its number.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn dismiss(id: i16, node: Option<&Member>, peers: &[Member]) -> Result<()> {
    if let Some(node) = node {
        let none: Option<&str> = None;
        ask::row(&node.client, include_str!("../../../sql/node/stay_out.sql"), &[&none]).await?;
    }
    for peer in peers {
        ask::row(&peer.client, include_str!("../../../sql/node/dismiss.sql"), &[&id]).await?;
    }
    Ok(())
}
