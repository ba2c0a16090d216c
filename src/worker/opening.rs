//! How a link begins: the two nodes are admitted to one another, and neither may have gone back in time.

use deadpool_postgres::GenericClient;

use super::hub::{Hub, Node};
use crate::error::{Error, Result};
use crate::node::admission::{self, Identity, Side};
use crate::node::cursor::Cursor;
use crate::node::membership::fence;
use crate::node::scan::{self, SourceRead};
use crate::node::{Endpoint, store};

/// Where a link stands, once nothing is against it.
///
/// # Errors
/// `Refused` with what to do; `Unreachable`, `Transient`.
pub(super) async fn open(hub: &Hub, source: &Node, target: &Node) -> Result<Cursor> {
    // Before anything is held: whoever holds a session must not wait for another of the same pool.
    let founder = founder(hub).await;
    let of_target = target.writer().await?;
    let mut of_source = source.reader().await?;
    keep_out_if_moved(&of_source, &source.endpoint, &of_target).await?;
    keep_out_if_moved(&of_target, &target.endpoint, &of_source).await?;
    admission::admit(
        &Side { endpoint: &source.endpoint, client: &of_source },
        &Side { endpoint: &target.endpoint, client: &of_target },
        hub.mesh.stride,
        founder.as_deref(),
    )
    .await?;
    store::set_presence(&of_target, hub.mesh.presence.window()).await?;
    let (source, target) = (&source.endpoint, &target.endpoint);
    let read = SourceRead::begin(&mut of_source).await?;
    let snapshot = read.snapshot(None).await?;
    Cursor::start(&of_target, source.id, &snapshot, read.last_change().await?).await?;
    let stored = Cursor::read(&of_target, source.id)
        .await?
        .ok_or_else(|| Error::new(crate::error::Kind::Transient, format!("the cursor for {source} is gone again")))?;
    read.end().await?;
    if scan::source_went_back(&of_source, &stored).await? {
        let why = format!("{source} is behind what {target} has already seen of it");
        return Err(went_back(source, &of_source, &of_target, why).await);
    }
    // The link in the other direction may begin later, and what is brought until then would meet what the target has given out again:
    // a tombstone, say, of a UID that a new message has there now.
    if let Some(taken_over) = Cursor::read(&of_source, target.id).await?
        && scan::source_went_back(&of_target, &taken_over).await?
    {
        let why = format!("{target} is behind what {source} has already seen of it");
        return Err(went_back(target, &of_target, &of_source, why).await);
    }
    if scan::target_went_back(&of_source, target.id, &stored.from).await? {
        let why = format!("{target} holds less than it has told {source} that it holds");
        return Err(went_back(target, &of_target, &of_source, why).await);
    }
    Ok(stored)
}

/// A database that is in another cluster than it was may have been restored: it is not admitted, and until somebody has said what it is it
/// hands out nothing that the peer knows.
async fn keep_out_if_moved(client: &impl GenericClient, node: &Endpoint, peer: &impl GenericClient) -> Result<()> {
    let identity = Identity::read(node, client).await?;
    if identity.moved && !identity.stays_out && identity.mesh_id.is_some() {
        fence::shut_out(peer, client, node.id, "it is in another PostgreSQL cluster than it was").await?;
    }
    Ok(())
}

/// Shuts out a node that has gone back in time, on `client`; the error that says so, or the one that kept it from being done.
async fn went_back(node: &Endpoint, client: &impl GenericClient, peer: &impl GenericClient, why: String) -> Error {
    match fence::shut_out(peer, client, node.id, &why).await {
        Ok(()) => Error::refused(why, admission::remedy_for_the_past(&node.name)),
        Err(error) => error,
    }
}

/// The incarnation of the node with the lowest number: the id of a new mesh.
async fn founder(hub: &Hub) -> Option<String> {
    let node = hub.nodes().next()?;
    let client = node.reader().await.ok()?;
    Identity::read(&node.endpoint, &client).await.ok().map(|identity| identity.incarnation)
}
