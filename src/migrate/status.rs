//! What is installed where, for people.

use futures_util::future::join_all;
use serde::Serialize;

use super::history;
use super::inspect::{self, Inspection, LocalNode};
use super::session::Session;
use super::set::MigrationSet;
use crate::config::NodeSettings;
use crate::domain::ids::Stride;
use crate::error::Result;
use crate::node::Endpoint;
use crate::node::schema::{SCHEMA, Schema};

/// A node's line of `migrate status`.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// The node's name.
    pub node: String,
    /// Where it is, without a password.
    pub address: String,
    /// The version that it is at; 0 when nothing is installed, none when it could not be asked.
    pub installed: Option<i32>,
    /// The last version that this program knows.
    pub latest: i32,
    /// In one word.
    pub state: State,
    /// In a sentence; empty when there is nothing to say.
    pub detail: String,
}

/// A node's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything is installed.
    Current,
    /// `migrate up` has something to do.
    Pending,
    /// `migrate up` would refuse.
    Wrong,
    /// It cannot be reached.
    Unreachable,
}

impl State {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
            Self::Wrong => "wrong",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The status of each of `nodes`. Changes nothing and never fails: what went wrong is in the lines.
pub(super) async fn of_all(nodes: &[&NodeSettings], set: &MigrationSet, stride: Stride) -> Vec<NodeStatus> {
    join_all(nodes.iter().map(|node| of(node, set, stride))).await
}

async fn of(node: &NodeSettings, set: &MigrationSet, stride: Stride) -> NodeStatus {
    let session = match Session::open(node).await {
        Ok(session) => session,
        Err(error) => return line(node, set, None, State::Unreachable, error.to_string()),
    };
    let inspection = match Inspection::of(&session).await {
        Ok(inspection) => inspection,
        Err(error) => return line(node, set, None, State::Wrong, error.to_string()),
    };
    let (installed, _) = history::judge(&inspection.applied, set);
    let problems: Vec<_> = inspection.seen(node, set, stride).iter().map(ToString::to_string).collect();
    let (state, detail) = if !problems.is_empty() {
        (State::Wrong, problems.join("; "))
    } else if installed < set.latest() {
        let files: Vec<_> = set.above(installed).iter().map(|migration| migration.stem()).collect();
        (State::Pending, format!("to run: {}", files.join(", ")))
    } else {
        (State::Current, by_psql(&inspection))
    };
    line(node, set, Some(installed), state, detail)
}

fn by_psql(inspection: &Inspection) -> String {
    let without = inspection.applied.iter().filter(|row| row.checksum.is_none());
    let versions: Vec<_> = without.map(|row| row.version.to_string()).collect();
    if versions.is_empty() {
        String::new()
    } else {
        format!("run by psql, hence not compared: {}", versions.join(", "))
    }
}

fn line(node: &NodeSettings, set: &MigrationSet, installed: Option<i32>, state: State, detail: String) -> NodeStatus {
    // The line names the node already.
    let detail = detail.replace(&format!("{node}: "), "");
    let (name, address, latest) = (node.name.to_string(), node.address.clone(), set.latest());
    NodeStatus { node: name, address, installed, latest, state, detail }
}

/// Who the database at `node` was installed as; none before `migrate up`.
///
/// # Errors
/// [`Kind::Unreachable`](crate::error::Kind::Unreachable) when it cannot be asked; [`Kind::Usage`](crate::error::Kind::Usage)
/// when it was installed with another id or stride than the settings have;
/// [`Kind::Refused`](crate::error::Kind::Refused) when this program must not work with its schema.
pub async fn check_installed(node: &NodeSettings, stride: Stride) -> Result<Option<LocalNode>> {
    let session = Session::open(node).await?;
    let local = inspect::local_node(&session).await?;
    let differences = local.iter().flat_map(|local| inspect::differences(local, node, stride));
    super::report::together("the settings do not fit", differences.map(|error| error.context(node)).collect())?;
    if local.is_some() {
        let row = session.client.query_one(SCHEMA, &[]).await.map_err(|error| session.error(error))?;
        Schema::from_row(&row).check(&Endpoint::from(node))?;
    }
    Ok(local)
}
