//! What the tasks of a worker share: the nodes with their connection pools and doorbells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Client, Pool};
use tokio::sync::{Notify, Semaphore, watch};

use super::Options;
use super::backoff::Backoff;
use super::breath::Breath;
use super::following::Waiters;
use super::outlook::Outlook;
use crate::config::{MeshSettings, WorkerSettings};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::apply::Applied;
use crate::node::look::Looked;
use crate::node::schema::Fitness;
use crate::node::{Endpoint, connect, listen};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::counters::BatchCounts;

/// Batches under way at once into one node. A batch takes its two sessions for writing first; so many there always are, whatever
/// else goes on. Only then does it wait for one to read from its source, and whoever has that waits for nothing.
const BATCHES_AT_ONCE: usize = 2;

/// Sessions of one term of this worker with a node.
#[derive(Clone)]
struct Writers {
    term: i64,
    pool: Pool,
}

/// A node as the worker knows it.
pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    readers: Pool,
    /// For what any worker may do: settle.
    settlers: Pool,
    /// For what only the active worker does; none while this one stands by.
    writers: Mutex<Option<Writers>>,
    /// The most sessions for writing.
    sessions: usize,
    /// Bounds the batches into this node.
    pub(crate) batches: Semaphore,
    /// What its links owe it of rest.
    pub(crate) breath: Breath,
    /// Links that wait for others.
    pub(crate) waiters: Waiters,
    /// Third nodes that are being relayed into this one.
    pub(crate) turns: Turns,
    fitness: Fitness,
    /// What it says of itself each second while this worker is the active one.
    pub(crate) outlook: Outlook,
    bell: Arc<watch::Sender<u64>>,
    asleep: watch::Sender<usize>,
}

impl Node {
    /// A session to read changes from this node.
    pub(crate) async fn reader(&self) -> Result<Client> {
        self.fitting(connect::checkout(&self.endpoint, &self.readers).await?).await
    }

    /// A session to write to this node as its active worker: its transactions prove the term.
    pub(crate) async fn writer(&self) -> Result<Client> {
        let writers = self.writers().ok_or_else(|| {
            Error::new(Kind::Superseded, format!("{}: this worker is not the active one", self.endpoint))
        })?;
        self.fitting(connect::checkout(&self.endpoint, &writers.pool).await?).await
    }

    /// A session to settle with this node, whichever worker is active there.
    pub(crate) async fn settler(&self) -> Result<Client> {
        self.fitting(connect::checkout(&self.endpoint, &self.settlers).await?).await
    }

    fn writers(&self) -> Option<Writers> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this worker is the active one here.
    pub(crate) fn is_ours(&self) -> bool {
        self.writers().is_some()
    }

    /// A term of this worker begins.
    pub(crate) fn begin_term(&self, term: i64) -> Result<()> {
        let pool = self.endpoint.pool_of_term(term, self.sessions)?;
        *self.writers.lock().unwrap_or_else(PoisonError::into_inner) = Some(Writers { term, pool });
        Ok(())
    }

    /// This worker is not the active one any more: its sessions for writing are given up. Returns the term, if there was one.
    pub(crate) fn end_term(&self) -> Option<i64> {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        writers.pool.close();
        Some(writers.term)
    }

    /// The session, if this program may work with the node's schema.
    async fn fitting(&self, client: Client) -> Result<Client> {
        if self.fitness.check(&self.endpoint, &client).await? {
            // Statements that were prepared before a migration may have other results now.
            self.forget_statements();
        }
        Ok(client)
    }

    /// Has statements prepared anew.
    pub(crate) fn forget_statements(&self) {
        self.readers.manager().statement_caches.clear();
        self.settlers.manager().statement_caches.clear();
        if let Some(writers) = self.writers() {
            writers.pool.manager().statement_caches.clear();
        }
    }

    /// What a look at the node has found, which this program may work with. What came without a ring is rung for.
    pub(crate) fn hear(&self, looked: Looked) {
        if self.fitness.note(looked.schema) {
            self.forget_statements();
        }
        if self.outlook.hear(looked) {
            self.bell.send_modify(|count| *count += 1);
        }
    }

    /// The node's doorbell.
    pub(crate) fn bell(&self) -> listen::Doorbell {
        self.bell.subscribe()
    }

    /// Marks a link that reads from this node as asleep until the value is dropped: triggers ring meanwhile.
    pub(crate) fn nap(&self) -> Nap {
        self.asleep.send_modify(|count| *count += 1);
        Nap { asleep: self.asleep.clone() }
    }
}

/// A link that sleeps.
pub(crate) struct Nap {
    asleep: watch::Sender<usize>,
}

impl Drop for Nap {
    fn drop(&mut self) {
        self.asleep.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Whose turn it is: of several links that could relay a third node, one does at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<BTreeSet<NodeId>>>);

/// A link's turn to relay a node, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    pub(crate) node: NodeId,
}

impl Turns {
    /// The turn to relay `node`, if no other link has it.
    pub(crate) fn take(&self, node: NodeId) -> Option<Turn> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node);
        is_free.then(|| Turn { turns: self.clone(), node })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.node);
    }
}

/// All nodes, and what all tasks need.
pub(crate) struct Hub {
    nodes: BTreeMap<NodeId, Node>,
    targets: Vec<NodeId>,
    pub(crate) mesh: MeshSettings,
    pub(crate) worker: WorkerSettings,
    /// Wakes the settler: something is late.
    pub(crate) late: Notify,
    /// Of its links, by source and target.
    pulses: BTreeMap<(NodeId, NodeId), Pulse>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// Signs of life of a link: what a batch brings is not seen before it ends.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Counts up as batches come along.
    pub(crate) beats: AtomicI64,
    /// Whether one is under way.
    pub(crate) at_work: AtomicBool,
    /// Counts up whenever the source has answered.
    pub(crate) answers: AtomicI64,
}

impl Hub {
    pub(crate) fn new(options: Options, telemetry: Arc<Telemetry>) -> Result<Self> {
        let nodes = options
            .nodes
            .into_iter()
            .map(|endpoint| {
                let sessions = options.worker.sessions;
                let node = Node {
                    readers: endpoint.pool_of_readers(sessions)?,
                    settlers: endpoint.pool_of_settlers(connect::SETTLING)?,
                    writers: Mutex::new(None),
                    sessions,
                    batches: Semaphore::new(BATCHES_AT_ONCE),
                    breath: Breath::default(),
                    waiters: Waiters::default(),
                    turns: Turns::default(),
                    fitness: Fitness::default(),
                    outlook: Outlook::default(),
                    bell: Arc::new(watch::Sender::new(0)),
                    asleep: watch::Sender::new(0),
                    endpoint,
                };
                Ok((node.endpoint.id, node))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        let targets: Vec<NodeId> = options.targets.into_iter().collect();
        let links = targets.iter().flat_map(|target| nodes.keys().map(|source| (*source, *target)));
        Ok(Self {
            pulses: links.map(|link| (link, Pulse::default())).collect(),
            nodes,
            targets,
            mesh: options.mesh,
            worker: options.worker,
            late: Notify::new(),
            telemetry,
        })
    }

    /// All nodes, by their numbers.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The nodes that this worker writes to.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Node> {
        self.targets.iter().filter_map(|id| self.nodes.get(id))
    }

    /// One node.
    pub(crate) fn node(&self, id: NodeId) -> Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| Error::new(Kind::Internal, format!("node {id} is not among the settings")))
    }

    /// What people call a node; its number where it is not among the settings.
    pub(crate) fn name(&self, id: NodeId) -> String {
        self.nodes.get(&id).map_or_else(|| id.to_string(), |node| node.endpoint.name.clone())
    }

    /// The pulse of a link of this worker.
    pub(crate) fn pulse(&self, source: NodeId, target: NodeId) -> Option<&Pulse> {
        self.pulses.get(&(source, target))
    }

    /// Tells of a batch that a link has applied: in the log, by the counters, and to the settler.
    pub(crate) fn has_applied(&self, link: (&Node, &Node), keys: usize, applied: &Applied, took: Duration) {
        let (source, target) = (&link.0.endpoint.name, &link.1.endpoint.name);
        let &Applied { messages, written, late, aside, .. } = applied;
        tracing::debug!(source, target, keys, messages, written, late, aside, "batch applied");
        self.telemetry.counters.batch(source, target, BatchCounts { applied: messages, written, late, aside, took });
        if late > 0 {
            self.late.notify_one();
        }
    }

    /// The bound of lock waits and holds, in milliseconds.
    pub(crate) fn lock_ms(&self) -> i32 {
        i32::try_from(self.mesh.lock_bound.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Keeps the listener of a node connected, for ever.
pub(crate) async fn ring_for(hub: Arc<Hub>, id: NodeId) {
    let Ok(node) = hub.node(id) else { return };
    let mut backoff = Backoff::new(hub.worker.retry_max);
    loop {
        let connected = tokio::time::Instant::now();
        match listen::listen(&node.endpoint, node.bell.clone(), node.asleep.subscribe()).await {
            Ok(()) => return,
            Err(error) => {
                hub.telemetry.counters.bell_lost(&node.endpoint.name);
                tracing::debug!(node = node.endpoint.name, %error, "doorbell lost; polling until it is back");
            }
        }
        if connected.elapsed() > hub.worker.retry_max {
            backoff.reset();
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}
