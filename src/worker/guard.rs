//! One worker writes to a node at a time: whoever holds a session lock there. The others stand by.

use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, Kind, Result};
use crate::node::{Endpoint, schema};
use crate::telemetry::vitals::Vital;

/// How often a standing-by worker tries, and an active one makes sure that its session is alive.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whether this worker is the active one for a node.
#[derive(Clone, Debug)]
pub(crate) struct Guard(watch::Receiver<bool>);

impl Guard {
    /// Waits until this worker is the active one.
    pub(crate) async fn active(&mut self) {
        // The sender lives as long as the worker.
        let _ = self.0.wait_for(|active| *active).await;
    }

    /// Whether it is now.
    pub(crate) fn is_active(&self) -> bool {
        *self.0.borrow()
    }
}

/// Starts the task that seeks and holds the lock.
pub(crate) fn watch(tracker: &TaskTracker, stop: &CancellationToken, target: Endpoint, vital: Vital) -> Guard {
    let (sender, receiver) = watch::channel(false);
    tracker.spawn(stop.clone().run_until_cancelled_owned(vital.watch(async move {
        let (mut told, mut refused) = (false, false);
        loop {
            match hold(&target, &sender).await {
                Ok(()) if !told => {
                    tracing::info!(node = target.name, "another worker is active for this node; standing by");
                    told = true;
                }
                Ok(()) => refused = false,
                Err(error) if error.kind() == Kind::Refused && (!refused || *sender.borrow()) => {
                    tracing::warn!(node = target.name, %error, "this program stops working with this node");
                    refused = true;
                }
                Err(error) => tracing::debug!(node = target.name, %error, "not holding the worker lock"),
            }
            sender.send_replace(false);
            tokio::time::sleep(INTERVAL).await;
        }
    })));
    Guard(receiver)
}

/// Whether this program may work with the node. It leaves the lock to one that may.
async fn check(target: &Endpoint, client: &Client) -> Result<()> {
    schema::judge(target, client.query_one(schema::SCHEMA, &[]).await.map_err(Error::from))
}

/// Takes the lock and keeps its session alive. `Ok` when another worker has it.
async fn hold(target: &Endpoint, active: &watch::Sender<bool>) -> Result<()> {
    let client: Client = target.connect("worker lock").await?;
    check(target, &client).await?;
    let row = client.query_one(include_str!("../../sql/target/lock_worker.sql"), &[]).await?;
    if !row.get::<_, bool>("active") {
        return Ok(());
    }
    active.send_replace(true);
    loop {
        tokio::time::sleep(INTERVAL).await;
        check(target, &client).await?;
    }
}
