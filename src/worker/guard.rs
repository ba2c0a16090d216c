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

/// A server that does not answer for so long is one that this worker is no longer the active one for.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A server that has not heard of the active worker for so long lets the next one have the lock: a machine that is gone does not say
/// goodbye, and TCP takes its time to find out. Longer than an interval and an answer together, so that the worker is the first to know.
const SILENCE_MAX_MS: i32 = 5_000;

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
    let asked = tokio::time::timeout(ANSWER_MAX, client.query_one(schema::SCHEMA, &[])).await;
    let silent = |_| Error::new(Kind::Unreachable, format!("{target}: does not answer"));
    schema::judge(target, asked.map_err(silent)?.map_err(Error::from))
}

/// Takes the lock and keeps its session alive. `Ok` when another worker has it.
async fn hold(target: &Endpoint, active: &watch::Sender<bool>) -> Result<()> {
    let client: Client = target.connect("worker lock").await?;
    check(target, &client).await?;
    client.query(include_str!("../../sql/target/bound_silence.sql"), &[&SILENCE_MAX_MS.to_string()]).await?;
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
