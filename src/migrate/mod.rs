//! The migration runner: installs the schema `dbmail_mesh` on nodes, takes it away, and tells what is where.
//!
//! A migration is a pair of plain SQL files. Each runs in a transaction of its own and reads its parameters from
//! settings that hold for this transaction only: `dbmail_mesh.node_id`, `.node_name`, `.stride`, `.uid_floor`,
//! `.mailbox_floor`. psql can run the same files; an up file notes itself in `dbmail_mesh.migration`, and the runner
//! adds the file's checksum.
//!
//! Nothing is changed on any node before all chosen nodes have been looked at and found fit, and only by one runner at
//! a time (an advisory lock on each database).
//!
//! *Floors.* What an installed node hands out must lie above every number that is in use on any node. So the floors
//! are read on all nodes of the mesh; where one cannot be reached, nothing is installed. While one node is installed
//! dbmail goes on counting on those that are not: hence the floors are read again for each node, and the node with the
//! highest numbers comes first. Two nodes that both count on their own while they are being installed can still give
//! one number to two messages; admission, which compares, refuses such nodes.

mod floors;
mod history;
mod inspect;
mod report;
pub mod rights;
mod session;
mod set;
mod status;
mod step;

use std::collections::BTreeMap;
use std::time::Duration;

pub use floors::Floors;
pub use history::{Applied, Fault};
pub(crate) use inspect::quoted;
pub use inspect::{LocalNode, Subject, problems_of};
pub use session::MIGRATION_LOCK;
pub use set::{Migration, MigrationSet, SCHEMA_VERSION};
pub use status::{NodeStatus, State, check_installed};
pub use step::{Direction, Step};

use crate::config::NodeSettings;
use crate::domain::ids::Stride;
use crate::error::{Error, Result};
use inspect::Inspection;
use session::Session;

/// How long a file tries to get its locks while dbmail works on.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Is told of each step when it is done.
pub type OnStep<'a> = &'a mut (dyn FnMut(&Step) + Send);

/// Migrates some nodes of a mesh.
#[derive(Clone, Debug)]
pub struct Runner<'a> {
    set: &'a MigrationSet,
    stride: Stride,
    nodes: Vec<&'a NodeSettings>,
    all: &'a [NodeSettings],
    workers: BTreeMap<String, String>,
    lock_patience: Duration,
}

impl<'a> Runner<'a> {
    /// A runner of `set` for `nodes`, which are some of `all` nodes of the mesh.
    pub fn new(set: &'a MigrationSet, stride: Stride, nodes: Vec<&'a NodeSettings>, all: &'a [NodeSettings]) -> Self {
        Self { set, stride, nodes, all, workers: BTreeMap::new(), lock_patience: LOCK_PATIENCE }
    }

    /// Gives up after `patience` (instead of a minute) when other sessions hold dbmail's tables.
    #[must_use]
    pub fn lock_patience(mut self, patience: Duration) -> Self {
        self.lock_patience = patience;
        self
    }

    /// As whom the worker connects, by the node's name, where that is another role than the one that installs. It gets the rights that it
    /// needs (see [`rights`]).
    #[must_use]
    pub fn workers(mut self, workers: BTreeMap<String, String>) -> Self {
        self.workers = workers;
        self
    }

    /// Brings the nodes to the latest version, tells `done` of each step, and gives those who have rights there what they need now.
    ///
    /// # Errors
    /// Before anything is changed: a node that cannot be reached, that is not fit, or that another runner is at work
    /// on. Later: what a file ran into; the file's transaction is rolled back, the steps before it stay.
    pub async fn up(&self, done: OnStep<'_>) -> Result<()> {
        let mut sessions = self.locked().await?;
        let result = self.up_locked(&mut sessions, done).await;
        unlock(&sessions).await;
        result
    }

    /// Takes everything away again, the latest first.
    ///
    /// # Errors
    /// As for [`up`](Self::up).
    pub async fn down(&self, done: OnStep<'_>) -> Result<()> {
        let mut sessions = self.locked().await?;
        let result = self.down_locked(&mut sessions, done).await;
        unlock(&sessions).await;
        result
    }

    /// What [`up`](Self::up) or [`down`](Self::down) would do now. Touches nothing.
    ///
    /// # Errors
    /// As for [`up`](Self::up), as far as that can be known beforehand.
    pub async fn plan(&self, direction: Direction) -> Result<Vec<Step>> {
        let sessions = Session::open_all(&self.nodes).await?;
        let installed = self.versions(&sessions).await?;
        let mut steps = Vec::new();
        match direction {
            Direction::Up => {
                let others = self.others(&sessions, &installed).await?;
                let everywhere: Vec<_> = sessions.iter().chain(&others).collect();
                for index in self.order(&sessions, &installed).await? {
                    let floors = highest(&everywhere).await?;
                    steps.extend(self.steps_up(sessions[index].node, installed[index], floors));
                }
            }
            Direction::Down => {
                for (session, installed) in sessions.iter().zip(&installed) {
                    steps.extend(self.steps_down(session, *installed).await?);
                }
            }
        }
        Ok(steps)
    }

    /// With what [`up`](Self::up) would end, on nodes where it has something to do: rights for those who have some there already.
    ///
    /// # Errors
    /// When a node cannot be asked.
    pub async fn plan_rights(&self) -> Result<Vec<String>> {
        let sessions = Session::open_all(&self.nodes).await?;
        let installed = self.versions(&sessions).await?;
        let mut scripts = Vec::new();
        for (session, _) in sessions.iter().zip(installed).filter(|(_, version)| *version < self.set.latest()) {
            let node = session.node;
            for script in rights::renewals(session, self.worker_of(node)).await? {
                scripts.push(format!("-- node {} ({}): rights\nbegin;\n{script}\ncommit;\n", node.name, node.address));
            }
        }
        Ok(scripts)
    }

    fn worker_of(&self, node: &NodeSettings) -> Option<&str> {
        self.workers.get(node.name.as_str()).map(String::as_str)
    }

    /// What is installed on each node. Changes nothing; what went wrong is in the lines.
    pub async fn status(&self) -> Vec<NodeStatus> {
        status::of_all(&self.nodes, self.set, self.stride).await
    }

    async fn locked(&self) -> Result<Vec<Session<'a>>> {
        let sessions = Session::open_all(&self.nodes).await?;
        for session in &sessions {
            if let Err(error) = session.lock().await {
                unlock(&sessions).await;
                return Err(error);
            }
        }
        Ok(sessions)
    }

    async fn up_locked(&self, sessions: &mut [Session<'a>], done: OnStep<'_>) -> Result<()> {
        let installed = self.versions(sessions).await?;
        let others = self.others(sessions, &installed).await?;
        for index in self.order(sessions, &installed).await? {
            let everywhere: Vec<_> = sessions.iter().chain(&others).collect();
            let floors = highest(&everywhere).await?;
            let session = &mut sessions[index];
            for step in self.steps_up(session.node, installed[index], floors) {
                step.run(session, self.lock_patience).await?;
                done(&step);
            }
        }
        // Also where nothing was to do: the last run may have been stopped just before.
        for session in sessions.iter_mut().filter(|_| self.set.latest() == SCHEMA_VERSION) {
            let worker = self.worker_of(session.node);
            rights::renew(session, worker).await?;
        }
        Ok(())
    }

    async fn down_locked(&self, sessions: &mut [Session<'a>], done: OnStep<'_>) -> Result<()> {
        let installed = self.versions(sessions).await?;
        for (session, installed) in sessions.iter_mut().zip(installed) {
            for step in self.steps_down(session, installed).await? {
                step.run(session, self.lock_patience).await?;
                done(&step);
            }
        }
        Ok(())
    }

    /// The version of each node, once all are found fit.
    async fn versions(&self, sessions: &[Session<'_>]) -> Result<Vec<i32>> {
        let inspections = Inspection::of_all(sessions, self.set, self.stride).await?;
        Ok(inspections.iter().map(|seen| history::judge(&seen.applied, self.set).0).collect())
    }

    /// Connections to the nodes that are not to be migrated; none are needed where there is nothing to install.
    async fn others(&self, sessions: &[Session<'_>], installed: &[i32]) -> Result<Vec<Session<'a>>> {
        if installed.iter().all(|version| *version == self.set.latest()) {
            return Ok(Vec::new());
        }
        let chosen = |node: &&NodeSettings| sessions.iter().any(|session| session.node.name == node.name);
        let others: Vec<_> = self.all.iter().filter(|node| !chosen(node)).collect();
        Session::open_all(&others).await.map_err(|error| {
            let why = "nothing was installed, because the numbers in use on every node must be known";
            Error::new(error.kind(), format!("{why}: {error}")).source(error)
        })
    }

    /// The nodes that have something to install, that with the highest numbers first (see [`self`]).
    async fn order(&self, sessions: &[Session<'_>], installed: &[i32]) -> Result<Vec<usize>> {
        let each: Vec<_> = sessions.iter().collect();
        let mut order: Vec<_> = floors::used_on_each(&each).await?.into_iter().enumerate().collect();
        order.retain(|(index, _)| installed[*index] < self.set.latest());
        order.sort_by_key(|(index, used)| (std::cmp::Reverse(*used), *index));
        Ok(order.into_iter().map(|(index, _)| index).collect())
    }

    fn steps_up(&self, node: &NodeSettings, installed: i32, floors: Floors) -> Vec<Step> {
        let step = |migration| Step::new(node, self.stride, floors, migration, Direction::Up);
        self.set.above(installed).iter().map(step).collect()
    }

    /// A node that is taken out needs to know its own numbers only.
    async fn steps_down(&self, session: &Session<'_>, installed: i32) -> Result<Vec<Step>> {
        let floors = floors::used(session).await?;
        let step = |migration| Step::new(session.node, self.stride, floors, migration, Direction::Down);
        Ok(self.set.up_to(installed).iter().rev().map(step).collect())
    }
}

/// Brings `nodes`, which are some of `all` nodes of the mesh, to the latest version of this program.
///
/// # Errors
/// Those of [`Runner::up`].
pub async fn migrate_up(nodes: &[NodeSettings], all: &[NodeSettings], stride: Stride) -> Result<()> {
    let set = MigrationSet::embedded()?;
    Runner::new(&set, stride, nodes.iter().collect(), all).up(&mut |_| {}).await
}

/// Takes everything of this program away from `nodes`.
///
/// # Errors
/// Those of [`Runner::down`].
pub async fn migrate_down(nodes: &[NodeSettings], stride: Stride) -> Result<()> {
    let set = MigrationSet::embedded()?;
    Runner::new(&set, stride, nodes.iter().collect(), nodes).down(&mut |_| {}).await
}

async fn highest(sessions: &[&Session<'_>]) -> Result<Floors> {
    Ok(floors::used_on_each(sessions).await?.into_iter().fold(Floors::NONE, Floors::max))
}

async fn unlock(sessions: &[Session<'_>]) {
    for session in sessions {
        session.unlock().await;
    }
}
