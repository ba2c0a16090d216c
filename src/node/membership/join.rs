//! Making a node a member (again).

use deadpool_postgres::{GenericClient, Transaction};

use super::suspects::Suspects;
use super::{Member, fence, look};
use crate::domain::ids::NodeId;
use crate::domain::membership::{Cleared, FENCE_GAP, Facts, Misfit, Standing};
use crate::error::{Error, Result};
use crate::node::ask;

/// What was done to a node before its links begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What it was.
    pub standing: Standing,
    /// Messages that got another UID: the first UID, and the new one.
    pub born_again: Vec<(i64, i64)>,
    /// Mailboxes that got another id: the old one, and the new one.
    pub found_again: Vec<(i64, i64)>,
    /// How many contents got another address.
    pub readdressed: usize,
}

/// Does what has to be done before links may touch `node` (again). `peers` are all other nodes of the mesh. May be done again after it
/// broke off.
///
/// # Errors
/// `Refused` when it cannot become a member, with what to do; `Unreachable`, `Transient`.
pub async fn prepare(node: &mut Member, peers: &[Member]) -> Result<Joined> {
    let facts = look(node, peers).await?;
    let standing = facts.standing().map_err(|misfit| refusal(node, &facts, &misfit))?;
    let (born_again, found_again) = (Vec::new(), Vec::new());
    let mut joined = Joined { standing: standing.clone(), born_again, found_again, readdressed: 0 };
    match &standing {
        Standing::New | Standing::Member => return Ok(joined),
        Standing::Copy { of } => renew(node, peers, &format!("it was a copy of node {of}"), None, &mut joined).await?,
        Standing::Restored { why } => {
            // From here on it hands out nothing that anybody knows; what it has handed out so far is looked at then.
            raise(node.endpoint.id, &node.client, peers).await?;
            let suspects = Suspects::find(node, facts.moved).await?;
            renew(node, peers, why, Some(suspects), &mut joined).await?;
        }
        Standing::Anew => {
            raise(node.endpoint.id, &node.client, peers).await?;
            let own = ask::rows(&node.client, include_str!("../../../sql/node/own_contents.sql"), &[]).await?;
            let own: Vec<i64> = own.iter().map(|row| row.get(0)).collect();
            ask::row(&node.client, include_str!("../../../sql/node/readdress.sql"), &[&own]).await?;
            joined.readdressed = own.len();
        }
        Standing::Renewed | Standing::Left | Standing::TooLongAway => {}
    }
    let is_unaware = |peer: &&Member| {
        let known = facts.peers.iter().find(|says| says.id == peer.identity.id.0).and_then(|says| says.knows.as_ref());
        standing != Standing::Renewed || known.is_some_and(|known| facts.former.contains(known))
    };
    // Whoever joins again knows how far it is with nobody, and nobody with it. The peer first: while the node has a position, what it has
    // told of that one is no contradiction.
    for peer in peers.iter().filter(is_unaware) {
        readmit(peer, node).await?;
        readmit(node, peer).await?;
    }
    // Last: until here no link touches it.
    ask::row(&node.client, include_str!("../../../sql/node/come_back.sql"), &[]).await?;
    Ok(joined)
}

/// `host` takes `guest` as a member, with which it is nowhere yet.
async fn readmit(host: &Member, guest: &Member) -> Result<()> {
    let (id, name) = (guest.endpoint.id.0, &guest.endpoint.name);
    let sql = include_str!("../../../sql/node/readmit.sql");
    ask::row(&host.client, sql, &[&id, name, &guest.identity.incarnation]).await?;
    Ok(())
}

async fn raise(id: NodeId, client: &impl GenericClient, peers: &[Member]) -> Result<()> {
    for peer in peers {
        fence::raise(&peer.client, client, id, FENCE_GAP).await?;
    }
    Ok(())
}

/// Makes it another incarnation, in one transaction; a copy also another node.
async fn renew(
    node: &mut Member,
    peers: &[Member],
    why: &str,
    suspects: Option<Suspects>,
    joined: &mut Joined,
) -> Result<()> {
    let (cleared, mailboxes) = match &suspects {
        Some(suspects) => (suspects.clear(peers).await?, suspects.other_mailboxes(peers).await?),
        None => (Cleared::default(), Vec::new()),
    };
    let transaction = node.client.transaction().await?;
    joined.found_again = pairs(&transaction, include_str!("../../../sql/node/found_again.sql"), &mailboxes).await?;
    let births: Vec<i64> = cleared.born_again.iter().map(|birth| birth.0).collect();
    joined.born_again = pairs(&transaction, include_str!("../../../sql/node/bear_again.sql"), &births).await?;
    ask::row(&transaction, include_str!("../../../sql/node/readdress.sql"), &[&cleared.readdressed]).await?;
    joined.readdressed = cleared.readdressed.len();
    let (id, name) = (node.endpoint.id.0, node.endpoint.name.as_str());
    let row = ask::row(&transaction, include_str!("../../../sql/node/become.sql"), &[&id, &name, &why]).await?;
    // A copy counts in its own class only from here on.
    raise(node.endpoint.id, &transaction, peers).await?;
    // Its links stay away until all peers have been told.
    fence::stay_out(&transaction, why).await?;
    transaction.commit().await?;
    node.identity.incarnation = row.get(0);
    Ok(())
}

/// Old and new ids.
async fn pairs(transaction: &Transaction<'_>, sql: &str, ids: &[i64]) -> Result<Vec<(i64, i64)>> {
    let rows = ask::rows(transaction, sql, &[&ids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn refusal(node: &Member, facts: &Facts, misfit: &Misfit) -> Error {
    let it = &node.endpoint;
    match misfit {
        Misfit::OtherNumber => Error::refused(
            format!(
                "{it} has id {} in the settings but is node {}, and no copy of a member",
                facts.wanted_id, facts.id
            ),
            "correct its id in the settings; a copy has to be one of a node that is a member now",
        ),
        Misfit::OtherMesh(peer) => Error::refused(
            format!("{it} and node {peer} belong to two different meshes"),
            "two meshes cannot be united; take the wrong node out of the settings",
        ),
        Misfit::OtherDatabase(peer) => Error::refused(
            format!("{it} is not the database that {peer} knows under this number, and it has been a member since"),
            "if it is a copy of that one which went on by itself, use the one that is a member; else empty it, and migrate down and up",
        ),
    }
}
