//! The worker: links, settlement, supervision, shutdown.
//!
//! Every task loops for ever: it does a step, and on an error reports it, waits longer each time, and tries again. Nothing that one
//! node does stops the links between others.

mod backoff;
mod following;
pub mod guard;
mod hub;
mod keeper;
mod link;
mod moved;
mod opening;
pub(crate) mod pace;
mod pause;
pub mod settle;
mod vitals;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{MeshSettings, WorkerSettings};
use crate::domain::ids::NodeId;
use crate::error::Result;
use crate::node::Endpoint;
use hub::Hub;
use link::Link;
use settle::Settler;
pub use vitals::Vitals;

/// What a worker is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// All nodes of the mesh.
    pub nodes: Vec<Endpoint>,
    /// Those whose links (into them) this worker drives.
    pub targets: BTreeSet<NodeId>,
    /// Settings of the mesh.
    pub mesh: MeshSettings,
    /// Settings of the worker.
    pub worker: WorkerSettings,
}

/// A running worker.
pub struct Worker {
    tracker: TaskTracker,
    stop: CancellationToken,
    vitals: Arc<Vitals>,
}

impl Worker {
    /// Starts all tasks. Returns at once: nodes that cannot be reached are tried again for ever.
    ///
    /// # Errors
    /// `Internal` when a connection pool cannot be built.
    pub fn start(options: Options) -> Result<Self> {
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let hub = Arc::new(Hub::new(options)?);
        for node in hub.nodes() {
            tracker.spawn(stop.clone().run_until_cancelled_owned(hub::ring_for(hub.clone(), node.endpoint.id)));
        }
        for target in hub.targets() {
            let guard = guard::watch(&tracker, &stop, target.endpoint.clone());
            tracker.spawn(stop.clone().run_until_cancelled_owned(keeper::run(
                hub.clone(),
                target.endpoint.id,
                guard.clone(),
            )));
            let moved = moved::run(hub.clone(), target.endpoint.id, guard.clone());
            tracker.spawn(stop.clone().run_until_cancelled_owned(moved));
            for source in hub.nodes().filter(|source| source.endpoint.id != target.endpoint.id) {
                let link = Link::new(hub.clone(), source.endpoint.id, target.endpoint.id, guard.clone());
                tracker.spawn(stop.clone().run_until_cancelled_owned(link.run()));
            }
        }
        let vitals = hub.vitals.clone();
        tracker.spawn(stop.clone().run_until_cancelled_owned(Settler::new(hub).run()));
        tracker.close();
        Ok(Self { tracker, stop, vitals })
    }

    /// The signs of life of its loops.
    pub fn vitals(&self) -> Arc<Vitals> {
        self.vitals.clone()
    }

    /// Stops all tasks where they stand and waits for them. Transactions that were under way roll back; nothing is lost, for every
    /// step can be repeated.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}
