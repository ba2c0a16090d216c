//! Sequences above all that is known elsewhere.

use deadpool_postgres::GenericClient;

use crate::domain::ids::NodeId;
use crate::domain::membership::FENCE_GAP;
use crate::error::Result;
use crate::node::ask;

/// Raises the sequences of `node`, on `client`, above all that `peer` knows of it, and by `gap` more. Returns whether one had to be.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn raise(peer: &impl GenericClient, client: &impl GenericClient, node: NodeId, gap: i64) -> Result<bool> {
    let known = ask::row(peer, include_str!("../../../sql/node/highest_known.sql"), &[&node.0]).await?;
    let (uid, mailbox, physmessage): (i64, i64, i64) =
        (known.get("uid"), known.get("mailbox"), known.get("physmessage"));
    let raised =
        ask::row(client, include_str!("../../../sql/node/fence.sql"), &[&uid, &mailbox, &physmessage, &gap]).await?;
    Ok(raised.get(0))
}

/// Keeps links and settlements from a node until it joins again. `why`: none where it was taken out of the mesh.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn stay_out(client: &impl GenericClient, why: Option<&str>) -> Result<()> {
    ask::row(client, include_str!("../../../sql/node/stay_out.sql"), &[&why]).await?;
    Ok(())
}

/// Both for a node that may have forgotten something: it may be handing out numbers at this moment that `peer` knows already.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn shut_out(peer: &impl GenericClient, client: &impl GenericClient, node: NodeId, why: &str) -> Result<()> {
    raise(peer, client, node, FENCE_GAP).await?;
    stay_out(client, Some(why)).await
}
