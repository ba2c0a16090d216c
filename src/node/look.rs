//! All that a worker wants to know of a node while nothing happens there, in one statement.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Row, Statement};

use super::ask::Columns as _;
use super::schema::Schema;
use crate::domain::ids::NodeId;
use crate::domain::snapshot::Snapshot;
use crate::error::Result;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The node's schema.
    pub schema: Schema,
    /// The moment: a snapshot of the node, as text.
    pub snapshot: String,
    /// Whether nothing has become visible in the outbox since the snapshot that was given, nor anything else happened that concerns those
    /// who read from there.
    pub is_quiet: bool,
    /// What is paused: sources of links into the node, or [`super::pause::WHOLE_NODE`].
    pub paused: BTreeSet<NodeId>,
    /// The sources of rows that were set aside and are due.
    pub due: BTreeSet<NodeId>,
    /// Whether any rows are set aside.
    pub has_aside: bool,
    /// Whether somebody was overtaken, or something is to be taken out.
    pub has_housework: bool,
    /// Whether somebody has come from a node that is gone.
    pub has_moved_readers: bool,
    /// Whether anything is late.
    pub has_late: bool,
}

/// The statement of [`look`], prepared in a session.
///
/// # Errors
/// `Unreachable`; `Refused` where the schema does not have what it asks for.
pub async fn prepare(client: &Client) -> Result<Statement> {
    Ok(client.prepare(include_str!("../../sql/node/look.sql")).await?)
}

/// Looks. `since`: a snapshot of an earlier look.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn look(client: &Client, statement: &Statement, since: Option<&str>) -> Result<Looked> {
    Looked::from_row(&client.query_one(statement, &[&since]).await?)
}

impl Looked {
    fn from_row(row: &Row) -> Result<Self> {
        let nodes = |column: &str| {
            row.read::<Vec<i16>>(column).map(|nodes| nodes.into_iter().map(NodeId).collect::<BTreeSet<_>>())
        };
        let snapshot: String = row.read("snapshot")?;
        snapshot.parse::<Snapshot>()?;
        Ok(Self {
            schema: Schema::from_row(row),
            snapshot,
            is_quiet: row.read("is_quiet")?,
            paused: nodes("paused")?,
            due: nodes("due")?,
            has_aside: row.read("has_aside")?,
            has_housework: row.read("has_housework")?,
            has_moved_readers: row.read("has_moved_readers")?,
            has_late: row.read("has_late")?,
        })
    }
}
