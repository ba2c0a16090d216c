//! The worker: links, settlement, supervision, shutdown.
//!
//! Every task loops for ever: it does a step, and on an error reports it, waits longer each time, and tries again. Nothing that one
//! node does stops the links between others.

mod backoff;
mod breath;
mod burst;
mod following;
pub mod guard;
mod hub;
mod keeper;
mod link;
mod moved;
mod opening;
mod outlook;
pub(crate) mod pace;
mod pause;
mod portion;
mod relay;
mod retry;
pub mod settle;
mod step;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{MeshSettings, WorkerSettings};
use crate::domain::ids::NodeId;
use crate::error::Result;
use crate::node::Endpoint;
use crate::telemetry::Telemetry;
use crate::telemetry::vitals::Vital;
use hub::{Hub, Node};
use link::Link;
use settle::Settler;

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
    telemetry: Arc<Telemetry>,
}

impl Worker {
    /// Starts all tasks. Returns at once: nodes that cannot be reached are tried again for ever.
    ///
    /// # Errors
    /// `Internal` when a connection pool cannot be built.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_with(options, Arc::new(Telemetry::new()?))
    }

    /// The same, and tells how it is doing.
    ///
    /// # Errors
    /// `Internal` when a connection pool cannot be built.
    pub fn start_with(options: Options, telemetry: Arc<Telemetry>) -> Result<Self> {
        let hub = Arc::new(Hub::new(options, telemetry.clone())?);
        let tasks = Tasks { tracker: TaskTracker::new(), stop: CancellationToken::new(), hub };
        tasks.start();
        let Tasks { tracker, stop, .. } = tasks;
        Ok(Self { tracker, stop, telemetry })
    }

    /// Stops all tasks where they stand and waits for them. Transactions that were under way roll back; nothing is lost, for every
    /// step can be repeated.
    pub async fn stop(self) {
        self.telemetry.vitals.stop();
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

/// The tasks of a worker.
struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    hub: Arc<Hub>,
}

impl Tasks {
    fn start(&self) {
        let vitals = &self.hub.telemetry.vitals;
        for node in self.hub.nodes() {
            let (id, name) = (node.endpoint.id, &node.endpoint.name);
            self.hub.telemetry.counters.node(name);
            self.spawn(vitals.task(format!("listener on {name}")), hub::ring_for(self.hub.clone(), id));
        }
        for target in self.hub.targets() {
            self.start_for(target);
        }
        let settling = vitals.central("settlement", settle::SILENCE_MAX);
        self.spawn_beating(Settler::new(self.hub.clone()).run(settling));
        self.tracker.close();
    }

    /// What is done for one node.
    fn start_for(&self, target: &Node) {
        let vitals = &self.hub.telemetry.vitals;
        let (id, name) = (target.endpoint.id, target.endpoint.name.as_str());
        let guard =
            guard::watch(&self.tracker, &self.stop, self.hub.clone(), id, vitals.task(format!("guard of {name}")));
        let keeper = keeper::run(self.hub.clone(), id, guard.clone());
        self.spawn(vitals.task(format!("housekeeping of {name}")), keeper);
        let moved = moved::run(self.hub.clone(), id, guard.clone());
        self.spawn(vitals.task(format!("moved readers of {name}")), moved);
        for source in self.hub.nodes().filter(|source| source.endpoint.id != id) {
            self.hub.telemetry.counters.link(&source.endpoint.name, name);
            let vital = vitals.link(format!("link {} -> {name}", source.endpoint.name), link::SILENCE_MAX);
            self.spawn_beating(Link::new(self.hub.clone(), source.endpoint.id, id, guard.clone(), vital).run());
        }
    }

    fn spawn(&self, vital: Vital, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_beating(vital.watch(task));
    }

    fn spawn_beating(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(self.stop.clone().run_until_cancelled_owned(task));
    }
}
