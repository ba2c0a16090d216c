//! One cluster for all tests of a process.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio_postgres::Config;

use super::cluster::{Cluster, Options};
use crate::error::Result;

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// More than a cluster of one's own gets: all the tests of a process meet here.
const MAX_CONNECTIONS: u16 = 400;

/// The process's cluster, started by whoever asks first. It ends with the process.
///
/// # Errors
/// Those of [`Cluster::start`]; the next caller tries again.
pub async fn shared_cluster() -> Result<&'static Cluster> {
    let options = || Options { max_connections: MAX_CONNECTIONS, ..Options::default() };
    CLUSTER.get_or_try_init(|| Cluster::start(options())).await
}

/// A new dbmail database in the shared cluster, called `<prefix>_<number>`; the name is in the result.
///
/// # Errors
/// Those of [`Cluster::start`] and [`Cluster::create_dbmail`].
pub async fn fresh_dbmail(prefix: &str) -> Result<Config> {
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    shared_cluster().await?.create_dbmail(&format!("{prefix}_{number}")).await
}
