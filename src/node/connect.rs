//! Connections. Each says who it is and has bounds on the server's side.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Client, Config, NoTls};

use super::Endpoint;
use crate::error::{Error, Kind, Result};

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to greet, over and above accepting the connection: one that is silent is as good as unreachable.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a task waits for a session of a pool. It is tried again, so that no two tasks wait for one another for ever.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for so long is gone: keepalives do not look while data is under way.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// A statement that runs longer than this outside a locked section is stuck: a batch of large content takes a few seconds.
const STATEMENT_TIMEOUT_MS: u32 = 120_000;
/// Nothing of the worker's waits longer than this for a lock, wherever it is not bounded tighter.
const LOCK_TIMEOUT_MS: u32 = 2_000;
/// A session whose worker has vanished lets go of its transaction after this.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: u32 = 30_000;
/// Sessions of a pool of one node. A worker has two a node, see `worker::hub`.
const POOL_SIZE: usize = 8;
/// The most sessions that a worker has on a node: two pools, the listener, the worker lock.
pub const SESSIONS_OF_A_WORKER: i64 = 2 * POOL_SIZE as i64 + 2;

/// Nothing that anybody has put into schema `public` is taken for PostgreSQL's own: a function there whose arguments fit better would be
/// called, whatever the order. For migrations this counts most: a view keeps what it found when it was made.
pub(crate) const PINNED_PATH: &str = "search_path=pg_catalog,pg_temp";

/// Settings of every session: its name, the schema version that we know (see [`super::schema`]), and bounds that the server itself enforces. No JIT: our statements join a few hundred
/// keys, but are planned as if for many more as long as tables have not been analyzed, and compiling one takes 50 to 250 ms where
/// running it takes 1, sometimes with a mailbox locked.
fn with_session_settings(endpoint: &Endpoint, role: &str) -> Config {
    let (mut config, program) = (endpoint.config.clone(), endpoint.program);
    let own = config.get_options().map(str::to_owned).unwrap_or_default();
    config
        .application_name(format!("dbmail-mesh {role}"))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(DEAD_AFTER)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .options(format!(
            "{own} -c datestyle=ISO -c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} \
             -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS} -c client_min_messages=warning \
             -c jit=off -c {PINNED_PATH} -c dbmail_mesh.program={program} -c default_transaction_isolation=read\\ committed"
        ));
    config
}

impl Endpoint {
    /// Opens a connection of its own for `role` (shown in `pg_stat_activity.application_name`).
    ///
    /// # Errors
    /// `Unreachable` with the node's name when it cannot be connected to.
    pub async fn connect(&self, role: &str) -> Result<Client> {
        self.connect_with(with_session_settings(self, role)).await
    }

    /// Opens a connection without bounds: it has the settings that any session of this role in this database has.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn connect_plainly(&self, role: &str) -> Result<Client> {
        let mut config = self.config.clone();
        let own = config.get_options().map(str::to_owned).unwrap_or_default();
        config
            .application_name(format!("dbmail-mesh {role}"))
            .connect_timeout(CONNECT_TIMEOUT)
            .options(format!("{own} -c {PINNED_PATH} -c dbmail_mesh.program={}", self.program));
        self.connect_with(config).await
    }

    async fn connect_with(&self, config: Config) -> Result<Client> {
        let (client, connection) = tokio::time::timeout(ANSWER_TIMEOUT, config.connect(NoTls))
            .await
            .map_err(|_| Error::new(Kind::Unreachable, format!("{self}: does not answer")))?
            .map_err(|error| Error::from(error).context(format!("{self}: cannot connect")))?;
        let node = self.name.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(node, %error, "connection ended");
            }
        });
        Ok(client)
    }

    /// A small pool for short queries. Connects on use.
    ///
    /// # Errors
    /// `Internal` when the pool cannot be built.
    pub fn pool(&self, role: &str) -> Result<Pool> {
        let manager = Manager::from_config(
            with_session_settings(self, role),
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        Pool::builder(manager)
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(ANSWER_TIMEOUT))
            .wait_timeout(Some(WAIT_TIMEOUT))
            .build()
            .map_err(|error| Error::new(Kind::Internal, format!("{self}: no connection pool: {error}")))
    }

    /// The session settings applied to a bare configuration, for connections whose messages the caller polls itself.
    pub(super) fn listening_config(&self) -> Config {
        with_session_settings(self, "listener")
    }
}

/// A connection of a pool.
///
/// # Errors
/// `Unreachable` when the node cannot be connected to.
pub async fn checkout(endpoint: &Endpoint, pool: &Pool) -> Result<deadpool_postgres::Client> {
    pool.get().await.map_err(|error| match error {
        deadpool_postgres::PoolError::Backend(error) => {
            Error::from(error).context(format!("{endpoint}: cannot connect"))
        }
        other => Error::new(Kind::Unreachable, format!("{endpoint}: no connection: {other}")),
    })
}
