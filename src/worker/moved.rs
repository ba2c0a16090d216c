//! Whoever logs in on a node while another, on which he used to read, is gone: what that one never had, and may have shown higher UIDs
//! than, gets new ones.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_postgres::Client;
use futures_util::future::join_all;

use super::hub::{Hub, Node};
use crate::domain::account::AccountId;
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::moved::{self, MovedReader, Unacknowledged};

/// The most readers looked after in one round.
const READERS_AT_ONCE: i64 = 200;

/// How long a node may take to say what has not been acknowledged, before it counts as silent.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// What each account may read of what the node that is gone has not acknowledged.
type Found = BTreeMap<AccountId, Unacknowledged>;

/// Looks after those who have moved to a node. Returns how many messages were queued for new UIDs.
pub(super) async fn look_after(hub: &Hub, here: NodeId, client: &mut Client) -> Result<i64> {
    let readers = moved::moved_readers(client, READERS_AT_ONCE).await?;
    let mut by_node: BTreeMap<NodeId, Vec<MovedReader>> = BTreeMap::new();
    for reader in readers {
        by_node.entry(reader.gone).or_default().push(reader);
    }
    let mut queued = 0;
    for (gone, readers) in by_node {
        let accounts: Vec<AccountId> = readers.iter().map(|reader| reader.account.clone()).collect();
        let lacked = lacked_by(hub, here, client, gone, &accounts).await?;
        for reader in readers {
            let count = match lacked.get(&reader.account) {
                Some(lacked) => moved::queue(client, &reader, lacked, hub.lock_ms()).await?,
                None => 0,
            };
            moved::note_looked(client, &reader, count).await?;
            if count > 0 {
                tracing::info!(node = %here, %gone, account = %reader.account, messages = count,
                    "a reader has come from a node that is gone; what that one lacked gets new UIDs");
            }
            queued += count;
        }
    }
    Ok(queued)
}

/// Asks all nodes what of theirs the node that is gone has not acknowledged. This one answers for those that are silent.
async fn lacked_by(hub: &Hub, here: NodeId, client: &Client, gone: NodeId, accounts: &[AccountId]) -> Result<Found> {
    let others: Vec<&Node> = hub.nodes().filter(|node| node.endpoint.id != here && node.endpoint.id != gone).collect();
    let asked = others.iter().map(|node| tokio::time::timeout(LOOK_TIMEOUT, ask(node, gone, accounts)));
    let mut silent: Vec<NodeId> = Vec::new();
    let mut found = Found::new();
    for (node, answer) in others.iter().zip(join_all(asked).await) {
        match answer.unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, "it does not answer"))) {
            Ok(lacked) => add(&mut found, lacked),
            Err(error) => {
                tracing::debug!(node = node.endpoint.name, %error, "cannot say what was not acknowledged");
                silent.push(node.endpoint.id);
            }
        }
    }
    add(&mut found, moved::unacknowledged(client, gone, &silent, accounts).await?);
    Ok(found)
}

async fn ask(node: &Node, gone: NodeId, accounts: &[AccountId]) -> Result<Found> {
    let client = node.reader().await?;
    moved::unacknowledged(&client, gone, &[], accounts).await
}

fn add(found: &mut Found, more: Found) {
    for (account, messages) in more {
        let known = found.entry(account).or_default();
        for (birth, at) in messages {
            known.entry(birth).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
    }
}
