//! One migration on one node: the transaction, as text for `--dry-run` and as what is run.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::{ErrorPosition, SqlState};

use super::floors::Floors;
use super::inspect::has_relation;
use super::session::Session;
use super::set::Migration;
use crate::config::NodeSettings;
use crate::domain::ids::Stride;
use crate::error::{Error, Kind, Result};

/// How long a migration waits for one lock while dbmail may be waiting for those that it has already. A quarter of
/// PostgreSQL's default `deadlock_timeout`: past it the migration rolls back and tries again, so that PostgreSQL never
/// has a deadlock to end with dbmail as its victim.
const LOCK_WAIT: &str = "250ms";

/// Between two tries, at least and at most: long enough for those who waited for us to get their turn.
const RETRY_PAUSE_MS: std::ops::Range<u64> = 50..250;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Install.
    Up,
    /// Take away.
    Down,
}

/// One migration on one node.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node's name.
    pub node: String,
    /// Where it is, without a password.
    pub address: String,
    /// The migration's number.
    pub version: i32,
    /// Which way.
    pub direction: Direction,
    /// The file that is run, `NNNN_name.up.sql` or `NNNN_name.down.sql`.
    pub file: String,
    /// The file's SQL.
    sql: String,
    /// What is set before it: the parameters, for this transaction only.
    parameters: String,
    name: String,
    checksum: String,
}

impl Step {
    pub(super) fn new(
        node: &NodeSettings,
        stride: Stride,
        floors: Floors,
        migration: &Migration,
        direction: Direction,
    ) -> Self {
        let (ending, sql) = match direction {
            Direction::Up => ("up", &migration.up),
            Direction::Down => ("down", &migration.down),
        };
        Self {
            node: node.name.to_string(),
            address: node.address.clone(),
            version: migration.version,
            direction,
            file: format!("{}.{ending}.sql", migration.stem()),
            sql: sql.clone(),
            parameters: parameters(node, stride, floors),
            name: migration.name.clone(),
            checksum: migration.checksum(),
        }
    }

    /// The whole transaction as a script.
    pub fn script(&self) -> String {
        let Self { node, address, file, parameters, sql, .. } = self;
        format!(
            "-- node {node} ({address}): {file}\nbegin;\n{parameters}\n\n{}\n\n{}\ncommit;\n",
            sql.trim_end(),
            self.note()
        )
    }

    /// The statement that follows the file, for the script.
    fn note(&self) -> String {
        let Self { version, checksum, .. } = self;
        match self.direction {
            Direction::Up => {
                format!("update dbmail_mesh.migration set checksum = '{checksum}' where version = {version};")
            }
            Direction::Down => {
                format!("-- then version {version} is deleted from dbmail_mesh.migration, if that is left")
            }
        }
    }

    /// Runs it in a transaction; tries again for `patience` where dbmail's traffic is in the way.
    pub(super) async fn run(&self, session: &mut Session<'_>, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let Err(error) = self.attempt(session).await else { break };
            if !is_locked(&error) {
                return Err(session.error(error));
            }
            if Instant::now() >= deadline {
                let what = format!(
                    "{}: {}: other sessions hold dbmail's tables; nothing of it was done",
                    session.node, self.file
                );
                let remedy = "see pg_stat_activity for a long transaction, such as a dump; then run this again";
                return Err(Error::new(Kind::Transient, what).remedy(remedy).source(error));
            }
            tracing::debug!(node = %self.node, file = %self.file, "dbmail's tables are busy, trying again");
            tokio::time::sleep(Duration::from_millis(fastrand::u64(RETRY_PAUSE_MS))).await;
        }
        tracing::debug!(node = %self.node, file = %self.file, "migrated");
        Ok(())
    }

    async fn attempt(&self, session: &mut Session<'_>) -> Result<()> {
        let transaction = session.client.transaction().await?;
        transaction.batch_execute(&self.parameters).await?;
        transaction.batch_execute(&self.sql).await.map_err(|error| self.error_in_file(error))?;
        match self.direction {
            Direction::Up => {
                let set = include_str!("../../sql/migrate/set_checksum.sql");
                let noted = transaction.execute(set, &[&self.version, &self.checksum, &self.name]).await?;
                if noted != 1 {
                    let what = format!("{} has not noted itself in dbmail_mesh.migration", self.file);
                    return Err(Error::new(Kind::Internal, what));
                }
            }
            Direction::Down if has_relation(&transaction, "migration").await? => {
                transaction.execute(include_str!("../../sql/migrate/forget.sql"), &[&self.version]).await?;
            }
            Direction::Down => {}
        }
        Ok(transaction.commit().await?)
    }

    /// The server's error with the file and, where the server says it, the line.
    fn error_in_file(&self, error: tokio_postgres::Error) -> Error {
        let position = match error.as_db_error().and_then(|db| db.position()) {
            Some(ErrorPosition::Original(position)) => *position,
            _ => 0,
        };
        let before = self.sql.chars().take(usize::try_from(position).unwrap_or(0));
        let line = before.filter(|c| *c == '\n').count() + 1;
        let place = if position > 0 { format!("{} line {line}", self.file) } else { self.file.clone() };
        let hint = error.as_db_error().and_then(|db| db.hint()).map(str::to_owned);
        let error = Error::from(error).context(place);
        match hint {
            Some(hint) => error.remedy(hint),
            None => error,
        }
    }
}

/// The parameters of the files, for one transaction, behind the lock that keeps workers from writing meanwhile (see
/// `dbmail_mesh.admit_program`). Names are checked and the others are numbers, so quoting is safe.
fn parameters(node: &NodeSettings, stride: Stride, floors: Floors) -> String {
    let values = [
        ("node_id", node.id.to_string()),
        ("node_name", node.name.to_string()),
        ("stride", stride.to_string()),
        ("uid_floor", floors.uid.to_string()),
        ("mailbox_floor", floors.mailbox.to_string()),
    ];
    let set = values.map(|(name, value)| format!("set_config('dbmail_mesh.{name}', '{value}', true)"));
    let alone = "select pg_advisory_xact_lock(1684169072, 0)";
    format!("set local lock_timeout = '{LOCK_WAIT}';\n{alone};\nselect {};", set.join(",\n       "))
}

/// Whether the error means that somebody else had a lock.
fn is_locked(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    let code = source.and_then(tokio_postgres::Error::code);
    code == Some(&SqlState::LOCK_NOT_AVAILABLE) || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}
