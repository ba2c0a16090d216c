//! A connection to a node for as long as a command takes, and the migrations' lock.

use std::fmt::Display;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::report::together;
use crate::config::{NodeSettings, SessionSettings, show_duration};
use crate::error::{Error, Kind, Result};
use crate::node::connect::{LONG_STATEMENT, PINNED_PATH};

/// The advisory lock that a runner holds on a database while it migrates it: "dbmesh" in ASCII, then 1.
pub const MIGRATION_LOCK: i64 = 0x6462_6d65_7368_0001;

/// How long a node may take from the first packet until it is ready for a statement. The connection's own time-out
/// ends with TCP's handshake, which a hung server still completes.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A node with a connection.
pub(super) struct Session<'a> {
    pub(super) node: &'a NodeSettings,
    pub(super) client: Client,
}

impl<'a> Session<'a> {
    /// Connects to `node`.
    pub(super) async fn open(node: &'a NodeSettings) -> Result<Self> {
        let cannot = |why: &dyn Display| Error::new(Kind::Unreachable, format!("{node}: cannot connect: {why}"));
        let mut config = node.connection.clone();
        let own = config.get_options().map(str::to_owned).unwrap_or_default();
        config.options(format!("{own} -c {PINNED_PATH}"));
        let connected = timeout(ANSWER_MAX, node.tls.connect(&config)).await;
        let (client, connection) = connected
            .map_err(|_| cannot(&format!("no answer within {}", show_duration(ANSWER_MAX))))?
            .map_err(|error| cannot(&error))?;
        tracing::debug!(node = %node.name, address = %node.address, "connected");
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Error::from(error), "connection ended");
            }
        });
        let bounds = SessionSettings { statement_timeout: LONG_STATEMENT, ..node.session.clone() };
        bounds.set_on(&client).await.map_err(|error| cannot(&error))?;
        Ok(Self { node, client })
    }

    /// Connects to all of `nodes` at once; all that cannot be reached are named together.
    pub(super) async fn open_all(nodes: &[&'a NodeSettings]) -> Result<Vec<Self>> {
        let opened = join_all(nodes.iter().map(|node| Self::open(node))).await;
        let mut sessions = Vec::new();
        let mut errors = Vec::new();
        for session in opened {
            session.map_or_else(|error| errors.push(error), |session| sessions.push(session));
        }
        together("cannot be reached", errors)?;
        Ok(sessions)
    }

    /// Takes the migrations' lock, or says who else has it.
    pub(super) async fn lock(&self) -> Result<()> {
        let row = self.client.query_one(include_str!("../../sql/migrate/try_lock.sql"), &[&MIGRATION_LOCK]).await;
        if row.map_err(|error| self.error(error))?.get("locked") {
            return Ok(());
        }
        let what = format!("{}: somebody else is migrating this node; nothing was changed here", self.node);
        let remedy =
            "wait for the other dbmail-mesh migrate to end; pg_locks with locktype advisory tells which session it is";
        Err(Error::refused(what, remedy))
    }

    /// Gives the lock back. A failure does no harm: the lock ends with the session.
    pub(super) async fn unlock(&self) {
        let unlock = include_str!("../../sql/migrate/unlock.sql");
        if let Err(error) = self.client.execute(unlock, &[&MIGRATION_LOCK]).await {
            tracing::debug!(node = %self.node.name, %error, "could not give back the migrations' lock");
        }
    }

    /// `error` with the node's name.
    pub(super) fn error(&self, error: impl Into<Error>) -> Error {
        error.into().context(self.node)
    }
}
