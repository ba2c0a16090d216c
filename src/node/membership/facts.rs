//! What a node and its peers say of one another.

use deadpool_postgres::Client;

use crate::domain::ids::Stride;
use crate::domain::membership::{Facts, PeerFacts};
use crate::error::{Error, Result};
use crate::node::admission::Identity;
use crate::node::cursor::Cursor;
use crate::node::scan;
use crate::node::{Endpoint, ask, connect, schema};

/// A node that is asked.
pub struct Member {
    /// Where it is.
    pub endpoint: Endpoint,
    /// A session there. What is done at a join may take longer than a batch.
    pub client: Client,
    /// Who it says it is.
    pub identity: Identity,
}

impl Member {
    /// Connects to a node.
    ///
    /// # Errors
    /// `Refused` when dbmail-mesh is not installed there, or with another stride; `Unreachable`.
    pub async fn connect(endpoint: Endpoint, stride: Stride) -> Result<Self> {
        let pool = endpoint.pool("membership")?;
        let client = connect::checkout(&endpoint, &pool).await?;
        schema::check(&endpoint, &client).await?;
        let identity = Identity::read(&endpoint, &client).await?;
        if identity.stride != stride {
            return Err(Error::refused(
                format!(
                    "mesh.stride is {stride} in the settings but {endpoint} was installed with {}",
                    identity.stride
                ),
                "correct mesh.stride: it cannot change",
            ));
        }
        connect::allow_long_statements(&client).await?;
        Ok(Self { endpoint, client, identity })
    }
}

/// What `node` is, as it and `peers` say.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn look(node: &Member, peers: &[Member]) -> Result<Facts> {
    let mut facts = Facts {
        wanted_id: node.endpoint.id.0,
        id: node.identity.id.0,
        incarnation: node.identity.incarnation.clone(),
        former: node.identity.former.clone(),
        mesh_id: node.identity.mesh_id.clone(),
        moved: node.identity.moved,
        stays_out: node.identity.stays_out,
        why_out: node.identity.why_out.clone(),
        peers: Vec::new(),
    };
    for peer in peers {
        facts.peers.push(look_at(node, peer).await?);
    }
    Ok(facts)
}

async fn look_at(node: &Member, peer: &Member) -> Result<PeerFacts> {
    let id = node.endpoint.id;
    let says = ask::row(&peer.client, include_str!("../../../sql/node/peer_says.sql"), &[&id.0]).await?;
    let mut facts = PeerFacts {
        id: peer.identity.id.0,
        name: peer.endpoint.name.clone(),
        incarnation: peer.identity.incarnation.clone(),
        mesh_id: peer.identity.mesh_id.clone(),
        knows: says.get("incarnation"),
        has_dismissed: says.get("has_left"),
        ..PeerFacts::default()
    };
    // Positions are those of the database that the peer knows: of another one they mean nothing.
    if facts.knows.as_ref() != Some(&node.identity.incarnation) {
        return Ok(facts);
    }
    if let Some(taken_over) = Cursor::read(&peer.client, id).await? {
        facts.has_more_of_it = scan::source_went_back(&node.client, &taken_over).await?;
        facts.is_cut_off = scan::is_cut_off(&node.client, &taken_over).await?;
    }
    match Cursor::read(&node.client, peer.endpoint.id).await? {
        Some(has) => {
            facts.was_told_more = scan::target_went_back(&peer.client, id, &has.from).await?;
            facts.has_trimmed = scan::is_cut_off(&peer.client, &has).await?;
        }
        // It has told that it holds something, and knows nothing of it.
        None => facts.was_told_more = says.get("has_acknowledged"),
    }
    Ok(facts)
}
