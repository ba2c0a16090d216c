//! Housekeeping of a node: looks who was overtaken while a line was locked for too long, and empties the outbox of what all peers
//! hold.

use std::sync::Arc;
use std::time::Duration;

use super::guard::Guard;
use super::hub::Hub;
use crate::domain::ids::NodeId;
use crate::error::Result;
use crate::node::ask;

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps house on a node, for ever.
pub(crate) async fn run(hub: Arc<Hub>, id: NodeId, mut guard: Guard) {
    loop {
        guard.active().await;
        if let Err(error) = once(&hub, id).await {
            tracing::debug!(node = %id, %error, "housekeeping failed; it is tried again");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn once(hub: &Hub, id: NodeId) -> Result<()> {
    let client = hub.node(id)?.client().await?;
    let keep_s = hub.worker.outbox_keep.as_secs_f64();
    let row = ask::row(&client, include_str!("../../sql/node/housekeeping.sql"), &[&keep_s]).await?;
    let overtaken: i64 = row.get("overtaken");
    if overtaken > 0 {
        tracing::info!(node = %id, overtaken, "messages were overtaken while a mailbox was locked; they will be renumbered");
        hub.late.notify_one();
    }
    Ok(())
}
