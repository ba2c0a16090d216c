//! One worker writes to a node at a time: whoever holds a session lock there. The others stand by.
//!
//! The lock tells who lives: it goes with its session. A session whose other end is cut off, or stands still, does not end by itself; so
//! whoever holds the lock says something each second (a look at how the node is, see `outlook`), and one that has been silent for
//! `worker.lease` loses it to a worker that stands by.
//! That may be wrong, as any guess about a distant machine, and a worker may write for a moment after its lock has gone. So whoever
//! gets the lock begins a *term*, and each transaction of the active worker proves its own (`dbmail_mesh.hold_term`): one of an earlier
//! term fails, and one that has proved its term ends before the next begins.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio_postgres::{Client, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hub::{Hub, Node};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::{Endpoint, look, schema};
use crate::telemetry::vitals::Vital;

/// How often a standing-by worker tries, and an active one says that it is alive.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// A server that does not answer for so long is one that this worker is no longer the active one for. Shorter than the lease, as a rule, so
/// that the worker is the first to know.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Whether this worker is the active one for a node.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    active: watch::Receiver<bool>,
    superseded: Arc<Notify>,
}

impl Guard {
    /// Waits until this worker is the active one.
    pub(crate) async fn active(&mut self) {
        // The sender lives as long as the worker.
        let _ = self.active.wait_for(|active| *active).await;
    }

    /// Whether it is now.
    pub(crate) fn is_active(&self) -> bool {
        *self.active.borrow()
    }

    /// Does `work` for as long as this worker is the active one. What is under way when it no longer is, is dropped: `None`.
    pub(crate) async fn while_active<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut active = self.active.clone();
        tokio::select! {
            biased;
            _ = active.wait_for(|active| !*active) => None,
            done = work => Some(done),
        }
    }

    /// Tells what came of some work: where the node says that the term is over, this worker stands by at once.
    pub(crate) fn heed(&self, error: &Error) {
        if error.kind() == Kind::Superseded {
            self.superseded.notify_one();
        }
    }
}

/// Starts the task that seeks and holds the lock.
pub(crate) fn watch(tracker: &TaskTracker, stop: &CancellationToken, hub: Arc<Hub>, id: NodeId, vital: Vital) -> Guard {
    let (sender, receiver) = watch::channel(false);
    let superseded = Arc::new(Notify::new());
    let guard = Guard { active: receiver, superseded: superseded.clone() };
    tracker.spawn(stop.clone().run_until_cancelled_owned(vital.watch(async move {
        let Ok(node) = hub.node(id) else { return };
        let mut watcher =
            Watcher { hub: &hub, node, active: sender, superseded, told: None, refused: false, stood_by: false };
        loop {
            watcher.round().await;
            tokio::time::sleep(INTERVAL).await;
        }
    })));
    guard
}

/// Whether this program may work with the node. It leaves the lock to one that may.
async fn check(target: &Endpoint, client: &Client) -> Result<()> {
    let asked = tokio::time::timeout(ANSWER_MAX, client.query_one(schema::SCHEMA, &[])).await;
    schema::judge(target, asked.map_err(|_| silent(target))?.map_err(Error::from))
}

fn silent(target: &Endpoint) -> Error {
    Error::new(Kind::Unreachable, format!("{target}: does not answer"))
}

/// Who this worker is to the others: host and process id.
fn claimant() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
}

struct Watcher<'a> {
    hub: &'a Hub,
    node: &'a Node,
    active: watch::Sender<bool>,
    superseded: Arc<Notify>,
    /// The active worker that was told of last.
    told: Option<String>,
    refused: bool,
    /// Whether the log has it that this worker is not the active one: then the next term is told there, too. That there is a worker and no
    /// other is nothing to tell.
    stood_by: bool,
}

impl Watcher<'_> {
    /// One session, for as long as it lasts.
    async fn round(&mut self) {
        let held = self.hold().await;
        let was_active = self.active.send_replace(false);
        self.node.outlook.forget();
        let term = self.node.end_term();
        let name = self.node.endpoint.name.as_str();
        let Err(error) = held else { return };
        match error.kind() {
            Kind::Refused if !self.refused || was_active => {
                tracing::warn!(node = name, %error, "this program stops working with this node");
                (self.refused, self.stood_by) = (true, true);
            }
            _ if was_active => {
                tracing::warn!(node = name, term, %error, "no longer the active worker for this node; standing by");
                self.stood_by = true;
            }
            _ => tracing::debug!(node = name, %error, "not holding the worker lock"),
        }
    }

    /// Seeks the lock, holds it, and says each second that this worker is alive. Returns when the session, or the term, is over.
    async fn hold(&mut self) -> Result<()> {
        let target = &self.node.endpoint;
        let client: Client = target.connect("worker lock").await?;
        // A machine that is gone does not say goodbye, and TCP takes its time to find out. The server lets go of the lock by itself, also
        // where nobody stands by who may end the session.
        let lease_ms = self.hub.worker.lease.as_millis().to_string();
        client.query(include_str!("../../sql/target/bound_silence.sql"), &[&lease_ms]).await?;
        let term = loop {
            check(target, &client).await?;
            self.refused = false;
            match self.seek(&client).await? {
                Some(term) => break term,
                None => tokio::time::sleep(INTERVAL).await,
            }
        };
        // What was said of an earlier term.
        let _ = self.superseded.notified().now_or_never();
        self.node.begin_term(term)?;
        self.active.send_replace(true);
        self.told = None;
        if std::mem::take(&mut self.stood_by) {
            tracing::info!(node = target.name, term, "the active worker for this node");
        } else {
            tracing::debug!(node = target.name, term, "the active worker for this node");
        }
        let statement = look::prepare(&client).await?;
        loop {
            self.look(&client, &statement).await?;
            tokio::select! {
                () = self.superseded.notified() => {
                    return Err(Error::new(Kind::Superseded, "the node says that another worker has taken over"));
                }
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Says that this worker is alive, and hears how the node is.
    async fn look(&self, client: &Client, statement: &Statement) -> Result<()> {
        let (node, since) = (self.node, self.node.outlook.last());
        let looked = tokio::time::timeout(ANSWER_MAX, look::look(client, statement, since.as_deref())).await;
        let looked = looked.map_err(|_| silent(&node.endpoint))??;
        looked.schema.check(&node.endpoint)?;
        node.hear(looked);
        Ok(())
    }

    /// The term that has begun, if no other worker is active.
    async fn seek(&mut self, client: &Client) -> Result<Option<i64>> {
        let name = self.node.endpoint.name.as_str();
        let lease_s = self.hub.worker.lease.as_secs_f64();
        let seek = include_str!("../../sql/target/seek_term.sql");
        let row = client.query_one(seek, &[&claimant(), &lease_s]).await?;
        let (term, holder): (Option<i64>, Option<String>) = (row.get("term"), row.get("held_by"));
        if term.is_some() {
            return Ok(term);
        }
        let holder = holder.unwrap_or_default();
        if row.get("deposed") {
            tracing::warn!(node = name, holder, lease_s, "the active worker for this node is silent; taking over");
            self.stood_by = true;
        } else if self.told.as_ref() != Some(&holder) {
            tracing::info!(node = name, holder, "another worker is active for this node; standing by");
            (self.told, self.stood_by) = (Some(holder), true);
        }
        Ok(None)
    }
}
