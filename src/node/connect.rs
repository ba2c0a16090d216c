//! Connections. Each says who it is and has bounds on the server's side.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use tokio_postgres::{Client, Config};

use super::Endpoint;
use crate::config::SessionSettings;
use crate::error::{Error, Kind, Result};
use crate::tls::Driven;

/// How long a server may take to greet, over and above accepting the connection: one that is silent is as good as unreachable.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a task waits for a session of a pool. It is tried again, so that no two tasks wait for one another for ever.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for so long is gone: keepalives do not look while data is under way.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// The same of a session that is read from, on the server's side: it waits while what was read is being stored on a slow node, and that looks
/// alike to TCP.
const READER_DEAD_AFTER: Duration = Duration::from_secs(120);
/// Keepalives: a peer that is silent on a quiet connection is gone after 25 s. Both ends look: the server ends sessions of a machine that is
/// off, which would otherwise take up connections for two hours.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
/// Between two of them.
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
/// So many without an answer.
const KEEPALIVES_COUNT: u32 = 3;
/// Sessions of a pool of one node, for commands.
const POOL_SIZE: usize = 8;
/// Sessions of a worker with one node that settle: one mailbox at a time, and a look at what is late.
pub const SETTLING: usize = 4;

/// The most sessions that a worker has with a node, of which `sessions` for reading and as many for writing: besides those that settle,
/// the listener and the worker lock.
pub const fn sessions_of_a_worker(sessions: usize) -> usize {
    2 * sessions + SETTLING + 2
}

/// A statement that reads a whole node, or changes one, may take as long as this: a migration, and the proof that two nodes have the same
/// mail (ten million messages take minutes).
pub const LONG_STATEMENT: Duration = Duration::from_secs(3600);

/// Nothing that anybody has put into schema `public` is taken for PostgreSQL's own: a function there whose arguments fit better would be
/// called, whatever the order. For migrations this counts most: a view keeps what it found when it was made.
pub(crate) const PINNED_PATH: &str = "search_path=pg_catalog,pg_temp";

/// Settings of every session: its name, the schema version that we know (see [`super::schema`]), and bounds that the server itself enforces. No JIT: our statements join a few hundred
/// keys, but are planned as if for many more as long as tables have not been analyzed, and compiling one takes 50 to 250 ms where
/// running it takes 1, sometimes with a mailbox locked. Parameters are mail: the server must not put them into what it says of an error.
fn with_session_settings(endpoint: &Endpoint, role: &str) -> Config {
    let (mut config, program) = (endpoint.config.clone(), endpoint.program);
    let bounds = &endpoint.session;
    config
        .application_name(format!("dbmail-mesh {role}"))
        .tcp_user_timeout(DEAD_AFTER)
        .keepalives_idle(KEEPALIVES_IDLE)
        .keepalives_interval(KEEPALIVES_INTERVAL)
        .keepalives_retries(KEEPALIVES_COUNT);
    add_options(
        &mut config,
        &format!(
            "-c datestyle=ISO -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
             -c tcp_keepalives_idle={} -c tcp_keepalives_interval={} -c tcp_keepalives_count={KEEPALIVES_COUNT} \
             -c tcp_user_timeout={} -c client_min_messages=warning -c log_parameter_max_length_on_error=0 -c jit=off -c {PINNED_PATH} \
             -c dbmail_mesh.program={program} \
             -c default_transaction_isolation=read\\ committed",
            bounds.statement_timeout.as_millis(),
            bounds.lock_timeout.as_millis(),
            bounds.idle_in_transaction_timeout.as_millis(),
            KEEPALIVES_IDLE.as_secs(),
            KEEPALIVES_INTERVAL.as_secs(),
            if role == "reader" { READER_DEAD_AFTER } else { DEAD_AFTER }.as_millis(),
        ),
    );
    config
}

/// Settings of a worker's sessions, which look rows up by their keys, a few hundred at the most. Plans are kept, and those made while tables
/// were small, or not analyzed, read them whole later: a batch of one message cost twice as much as it does by key, on nodes of a few
/// thousand messages. Functions that join one list with another turn hash joins on again (migration 0035).
fn by_key(mut config: Config) -> Config {
    for method in ["seqscan", "hashjoin", "mergejoin", "material"] {
        add_options(&mut config, &format!("-c enable_{method}=off"));
    }
    config
}

/// More options, besides those that are there.
fn add_options(config: &mut Config, more: &str) {
    let own = config.get_options().map(str::to_owned).unwrap_or_default();
    config.options(format!("{own} {more}"));
}

impl Endpoint {
    /// Opens a connection of its own for `role` (shown in `pg_stat_activity.application_name`), which looks rows up by key.
    ///
    /// # Errors
    /// `Unreachable` with the node's name when it cannot be connected to.
    pub async fn connect(&self, role: &str) -> Result<Client> {
        self.connect_with(by_key(with_session_settings(self, role))).await
    }

    /// Opens a connection with the settings that any session of this role in this database has, as `pg_settings.reset_val` tells. Its own
    /// bounds are set only then: those that are sent with a connection would take their place.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn connect_plainly(&self, role: &str) -> Result<Client> {
        let mut config = self.config.clone();
        config.application_name(format!("dbmail-mesh {role}"));
        add_options(&mut config, &format!("-c {PINNED_PATH} -c dbmail_mesh.program={}", self.program));
        let client = self.connect_with(config).await?;
        self.session.set_on(&client).await?;
        Ok(client)
    }

    async fn connect_with(&self, config: Config) -> Result<Client> {
        let (client, connection) = tokio::time::timeout(ANSWER_TIMEOUT, self.tls.connect(&config))
            .await
            .map_err(|_| Error::new(Kind::Unreachable, format!("{self}: does not answer")))?
            .map_err(|error| error.context(format!("{self}: cannot connect")))?;
        let node = self.name.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(node, error = %Error::from(error), "connection ended");
            }
        });
        Ok(client)
    }

    /// A small pool for short queries. Connects on use.
    ///
    /// # Errors
    /// `Internal` when the pool cannot be built.
    pub fn pool(&self, role: &str) -> Result<Pool> {
        self.pool_of(with_session_settings(self, role), POOL_SIZE)
    }

    /// The same of a worker, with up to `size` sessions, to read what has changed.
    ///
    /// # Errors
    /// As for [`pool`](Self::pool).
    pub fn pool_of_readers(&self, size: usize) -> Result<Pool> {
        self.pool_of(by_key(with_session_settings(self, "reader")), size)
    }

    /// The same to settle: a thousand messages are written at once, list joined with list.
    ///
    /// # Errors
    /// As for [`pool`](Self::pool).
    pub fn pool_of_settlers(&self, size: usize) -> Result<Pool> {
        self.pool_of(with_session_settings(self, "settler"), size)
    }

    /// A pool of the active worker: what it writes is written in this term, or not at all (`dbmail_mesh.hold_term`).
    ///
    /// # Errors
    /// As for [`pool`](Self::pool).
    pub fn pool_of_term(&self, term: i64, size: usize) -> Result<Pool> {
        let mut config = by_key(with_session_settings(self, &format!("writer {term}")));
        add_options(&mut config, &format!("-c dbmail_mesh.term={term}"));
        self.pool_of(config, size)
    }

    fn pool_of(&self, config: Config, size: usize) -> Result<Pool> {
        let manager = Manager::from_config(
            config,
            self.tls.connector(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        Pool::builder(manager)
            .max_size(size)
            // Those in use have their plans; others may rest.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(ANSWER_TIMEOUT))
            .wait_timeout(Some(WAIT_TIMEOUT))
            .build()
            .map_err(|error| Error::new(Kind::Internal, format!("{self}: no connection pool: {error}")))
    }

    /// Opens a connection whose messages the caller polls itself.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub(super) async fn connect_listener(&self) -> Result<(Client, Driven)> {
        let config = with_session_settings(self, "listener");
        self.tls.connect(&config).await.map_err(|error| error.context(format!("{self}: cannot connect the listener")))
    }
}

/// Lets statements of a session take long (see [`LONG_STATEMENT`]) until `reset statement_timeout`.
///
/// # Errors
/// `Unreachable`.
pub async fn allow_long_statements(client: &impl GenericClient) -> Result<()> {
    Ok(client.batch_execute(&format!("set statement_timeout = {}", LONG_STATEMENT.as_millis())).await?)
}

impl SessionSettings {
    /// Sets the bounds in a session that has begun without.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn set_on(&self, client: &Client) -> Result<()> {
        let Self { statement_timeout, lock_timeout, idle_in_transaction_timeout, .. } = self;
        let set = format!(
            "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = {}",
            statement_timeout.as_millis(),
            lock_timeout.as_millis(),
            idle_in_transaction_timeout.as_millis()
        );
        Ok(client.batch_execute(&set).await?)
    }
}

/// A connection of a pool.
///
/// # Errors
/// `Unreachable` when the node cannot be connected to.
pub async fn checkout(endpoint: &Endpoint, pool: &Pool) -> Result<deadpool_postgres::Client> {
    pool.get().await.map_err(|error| match error {
        deadpool_postgres::PoolError::Backend(error) => {
            endpoint.tls.failed(error).context(format!("{endpoint}: cannot connect"))
        }
        other => Error::new(Kind::Unreachable, format!("{endpoint}: no connection: {other}")),
    })
}
