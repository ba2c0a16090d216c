//! One connection as a dbmail process holds it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, GenericClient, Row, Statement, Transaction};

use super::sql::Sql;
use crate::domain::ids::MailboxId;
use crate::error::{Error, Result};
use crate::scratch::cluster::{DBMAIL_ROLE, connect_as};

/// The user whose INBOX is dbmail's staging area.
pub const INTERNAL_USER: &str = "__@!internal_delivery_user!@__";

/// How a session calls itself where its caller has not named it; the server's log shows it on each line.
const APPLICATION_NAME: &str = "dbmail";

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A dbmail session: one connection, used for one operation at a time.
#[derive(Debug)]
pub struct Session {
    client: Client,
    statements: Statements,
    /// Owners of the mailboxes that were used here. Like dbmail, a session goes on using what it once looked up.
    pub(super) owners: HashMap<MailboxId, i64>,
    /// How long the last INSERT of a message that clients see took.
    pub(super) insert_took: Duration,
    /// When it was committed.
    pub(super) published_at: Option<Instant>,
}

impl Session {
    /// Connects as dbmail's own role, whomever `config` names, and as application `dbmail` unless `config` has a name.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn connect(config: &Config) -> Result<Self> {
        Self::connect_as(DBMAIL_ROLE, config).await
    }

    /// The same as another role: dbmail may have one that does not own its tables.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn connect_as(role: &str, config: &Config) -> Result<Self> {
        let mut config = config.clone();
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        let client = connect_as(role, &config).await?;
        let (statements, owners) = (Statements::default(), HashMap::new());
        Ok(Self { client, statements, owners, insert_took: Duration::ZERO, published_at: None })
    }

    /// How long the last INSERT of a message that clients see took, as this side of the connection has it: there a delivery waits for
    /// its mailbox's line.
    pub fn insert_took(&self) -> Duration {
        self.insert_took
    }

    /// When the last message that clients see was committed, as this side of the connection has it: a delivery goes on after that.
    pub fn published_at(&self) -> Option<Instant> {
        self.published_at
    }

    /// The connection, for what a test wants to ask besides.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the connection is gone; a session does not come back by itself.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs one statement as a transaction of its own.
    pub(super) async fn query(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        self.statements.query(&self.client, sql, parameters).await
    }

    /// The same for a statement with at most one row.
    pub(super) async fn query_opt(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    /// The same for a statement without rows; the number that it changed.
    pub(super) async fn execute(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<u64> {
        self.statements.execute(&self.client, sql, parameters).await
    }

    /// Begins a transaction; dropped without a commit, it is rolled back.
    pub(super) async fn begin(&mut self) -> Result<Work<'_>> {
        Ok(Work { transaction: self.client.transaction().await?, statements: &mut self.statements })
    }
}

/// An open transaction of a session.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    statements: &'a mut Statements,
}

impl Work<'_> {
    pub(super) async fn query(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        self.statements.query(&self.transaction, sql, parameters).await
    }

    pub(super) async fn query_opt(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    pub(super) async fn execute(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<u64> {
        self.statements.execute(&self.transaction, sql, parameters).await
    }

    pub(super) async fn commit(self) -> Result<()> {
        self.transaction.commit().await.map_err(|error| Error::from(error).context("commit"))
    }
}

/// The session's prepared statements, by name.
#[derive(Debug, Default)]
struct Statements(HashMap<&'static str, Statement>);

impl Statements {
    async fn query(&mut self, client: &impl GenericClient, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        let statement = self.prepared(client, sql).await?;
        client.query(&statement, parameters).await.map_err(|error| Error::from(error).context(sql.name))
    }

    async fn execute(&mut self, client: &impl GenericClient, sql: Sql, parameters: Parameters<'_>) -> Result<u64> {
        let statement = self.prepared(client, sql).await?;
        client.execute(&statement, parameters).await.map_err(|error| Error::from(error).context(sql.name))
    }

    async fn prepared(&mut self, client: &impl GenericClient, sql: Sql) -> Result<Statement> {
        if let Some(statement) = self.0.get(sql.name) {
            return Ok(statement.clone());
        }
        let prepared = client.prepare(sql.text).await;
        let statement = prepared.map_err(|error| Error::from(error).context(format!("prepare {}", sql.name)))?;
        self.0.insert(sql.name, statement.clone());
        Ok(statement)
    }
}

/// Whether PostgreSQL gave this SQLSTATE.
pub(super) fn is_sqlstate(error: &Error, state: &SqlState) -> bool {
    // `Error::source` is also the name of its builder; this is the standard trait's.
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    source.and_then(tokio_postgres::Error::code) == Some(state)
}
