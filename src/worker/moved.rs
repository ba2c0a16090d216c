//! Whoever logs in on a node while another, on which he used to read, is gone: what that one never had, and may have shown higher UIDs
//! than, gets new ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Client;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::guard::Guard;
use super::hub::{Hub, Node};
use crate::domain::account::AccountId;
use crate::domain::ids::{MailboxId, NodeId};
use crate::error::{Error, Kind, Result};
use crate::node::moved::{self, MovedReader, Tops, Unacknowledged};

/// How often it is looked who has come.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most readers looked after in one round.
const READERS_AT_ONCE: i64 = 200;

/// How long a node may take to answer before it counts as silent. Its outbox may be long, since the node that is gone empties none.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What each account may read of what the node that is gone has not acknowledged.
type Found = BTreeMap<AccountId, Unacknowledged>;

/// Looks after those who move to a node, for ever.
pub(crate) async fn run(hub: Arc<Hub>, here: NodeId, mut guard: Guard) {
    loop {
        guard.active().await;
        match guard.while_active(look_after(&hub, here)).await {
            None | Some(Ok(0)) => {}
            Some(Ok(_)) => hub.late.notify_one(),
            Some(Err(error)) => {
                guard.heed(&error);
                tracing::debug!(node = %here, %error, "cannot look who has come; it is tried again");
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks after those who have moved to a node. Returns how many messages were queued for new UIDs.
async fn look_after(hub: &Hub, here: NodeId) -> Result<i64> {
    if hub.node(here)?.outlook.has_no_moved_readers() {
        return Ok(0);
    }
    let mut client = hub.node(here)?.writer().await?;
    let mut by_loss: BTreeMap<(NodeId, Timestamp), Vec<MovedReader>> = BTreeMap::new();
    for reader in moved::moved_readers(&client, READERS_AT_ONCE).await? {
        by_loss.entry((reader.gone, reader.lost_at)).or_default().push(reader);
    }
    let mut queued = 0;
    for ((gone, lost_at), readers) in by_loss {
        let accounts: Vec<AccountId> = readers.iter().map(|reader| reader.account.clone()).collect();
        let others = Others { nodes: others(hub, here, gone), gone, lost_at };
        let (lacked, complete) = others.lacked(&client, &accounts).await?;
        for reader in readers {
            // What is in the way of one keeps no other waiting.
            match of_one(hub, &mut client, &others, &reader, lacked.get(&reader.account), complete).await {
                Ok(count) => queued += count,
                Err(error) => {
                    tracing::debug!(node = %here, account = %reader.account, %error, "not looked after yet; it is tried again");
                }
            }
        }
    }
    Ok(queued)
}

async fn of_one(
    hub: &Hub,
    client: &mut Client,
    others: &Others<'_>,
    reader: &MovedReader,
    lacked: Option<&Unacknowledged>,
    complete: bool,
) -> Result<i64> {
    let mut queued = 0;
    if let Some(lacked) = lacked {
        let mailboxes = moved::mailboxes_of(client, lacked).await?;
        let tops = others.tops(client, lacked, &mailboxes).await?;
        queued = moved::queue(client, lacked, &tops, hub.lock_ms()).await?;
    }
    moved::note_looked(client, reader, queued, complete).await?;
    if queued > 0 {
        tracing::info!(gone = %others.gone, account = %reader.account, messages = queued,
            "a reader has come from a node that is gone; what that one lacked gets new UIDs");
    }
    Ok(queued)
}

fn others(hub: &Hub, here: NodeId, gone: NodeId) -> Vec<&Node> {
    hub.nodes().filter(|node| node.endpoint.id != here && node.endpoint.id != gone).collect()
}

/// The nodes that can be asked what the node that is gone had.
struct Others<'a> {
    nodes: Vec<&'a Node>,
    gone: NodeId,
    lost_at: Timestamp,
}

impl Others<'_> {
    /// Asks all nodes what of theirs the node that is gone has not acknowledged; this one answers for those that are silent. Also returns
    /// whether none was.
    async fn lacked(&self, client: &Client, accounts: &[AccountId]) -> Result<(Found, bool)> {
        let ask = async |node: &Node| {
            let client = node.reader().await?;
            moved::unacknowledged(&client, self.gone, &[], self.lost_at, accounts).await
        };
        let mut silent: Vec<NodeId> = Vec::new();
        let mut found = Found::new();
        for (node, answer) in self.nodes.iter().zip(join_all(self.nodes.iter().map(|node| bounded(ask(node)))).await) {
            match answer {
                Ok(lacked) => add(&mut found, lacked),
                Err(error) => {
                    tracing::debug!(node = node.endpoint.name, %error, "cannot say what was not acknowledged");
                    silent.push(node.endpoint.id);
                }
            }
        }
        add(&mut found, moved::unacknowledged(client, self.gone, &silent, self.lost_at, accounts).await?);
        Ok((found, silent.is_empty()))
    }

    /// The highest UIDs that the node that is gone may have shown, as far as anybody knows.
    async fn tops(&self, client: &Client, lacked: &Unacknowledged, mailboxes: &[MailboxId]) -> Result<Tops> {
        let ask = async |node: &Node| {
            let client = node.reader().await?;
            moved::had_tops(&client, lacked, mailboxes).await
        };
        let mut tops = moved::had_tops(client, lacked, mailboxes).await?;
        for answer in join_all(self.nodes.iter().map(|node| bounded(ask(node)))).await.into_iter().flatten() {
            for (mailbox, top) in answer {
                let highest = tops.entry(mailbox).or_default();
                *highest = top.max(*highest);
            }
        }
        Ok(tops)
    }
}

async fn bounded<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LOOK_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, "it does not answer")))
}

fn add(found: &mut Found, more: Found) {
    for (account, messages) in more {
        let known = found.entry(account).or_default();
        for (birth, lacked) in messages {
            let first = known.entry(birth).or_insert(lacked);
            first.at = first.at.min(lacked.at);
            first.may_have |= lacked.may_have;
        }
    }
}
