//! One cluster for all tests of a process.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::Config;

use super::cluster::{Cluster, Options};
use super::install::install;
use crate::config::NodeSettings;
use crate::domain::ids::{NodeId, Stride};
use crate::error::Result;

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);
/// The nodes that were installed to be copied.
static INSTALLED: Mutex<BTreeSet<(NodeId, Stride)>> = Mutex::const_new(BTreeSet::new());

/// More than a cluster of one's own gets: all the tests of a process meet here.
const MAX_CONNECTIONS: u16 = 400;

/// The process's cluster, started by whoever asks first. It ends with the process.
///
/// # Errors
/// Those of [`Cluster::start`]; the next caller tries again.
pub async fn shared_cluster() -> Result<&'static Cluster> {
    // Hundreds of small databases that live for a minute: looking through all of them again and again takes a tenth of the machine.
    let settings = || vec![("autovacuum".to_owned(), "off".to_owned())];
    let options = || Options { max_connections: MAX_CONNECTIONS, settings: settings(), ..Options::default() };
    CLUSTER.get_or_try_init(|| Cluster::start(options())).await
}

/// A new dbmail database in the shared cluster, called `<prefix>_<number>`; the name is in the result.
///
/// # Errors
/// Those of [`Cluster::start`] and [`Cluster::create_dbmail`].
pub async fn fresh_dbmail(prefix: &str) -> Result<Config> {
    shared_cluster().await?.create_dbmail(&next_name(prefix)).await
}

/// A new node in the shared cluster, installed: a copy of one that was installed under this number and stride, which spares the
/// migrations. So all of one number have one incarnation, and they must not meet one another.
///
/// # Errors
/// Those of [`Cluster::start`], [`Cluster::create_dbmail`] and [`install`].
pub async fn fresh_node(prefix: &str, name: &str, id: NodeId, stride: Stride) -> Result<NodeSettings> {
    let (cluster, template) = (shared_cluster().await?, format!("installed_{id}_of_{stride}"));
    let settings = |database: &str| NodeSettings::new(name, id, &cluster.worker_url(database));
    let mut installed = INSTALLED.lock().await;
    if !installed.contains(&(id, stride)) {
        cluster.create_dbmail(&template).await?;
        let node = [settings(&template)?];
        install(&node, &node, stride).await?;
        cluster.close(&template).await?;
        installed.insert((id, stride));
    }
    drop(installed);
    let database = next_name(prefix);
    cluster.copy_dbmail(&template, &database).await?;
    settings(&database)
}

fn next_name(prefix: &str) -> String {
    format!("{prefix}_{}", DATABASES.fetch_add(1, Ordering::Relaxed))
}
