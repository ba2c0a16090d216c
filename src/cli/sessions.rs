//! A session with each node, for commands that ask several.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_postgres::{Client, Pool};
use futures_util::future::join_all;

use crate::config::NodeSettings;
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::connect::checkout;
use crate::node::{Endpoint, ask};

/// How long a node may take to be ready for a statement.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long the server lets a statement of ours last.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// Sessions with nodes, by their numbers, and the nodes with which there is none.
#[derive(Default)]
pub(super) struct Sessions {
    open: BTreeMap<NodeId, (Pool, Client)>,
    /// Why there is none.
    pub(super) silent: BTreeMap<NodeId, Error>,
}

impl Sessions {
    /// Asks all nodes at once.
    pub(super) async fn open(nodes: &[NodeSettings], role: &str) -> Self {
        let mut sessions = Self::default();
        for (node, opened) in nodes.iter().zip(join_all(nodes.iter().map(|node| open(node, role))).await) {
            match opened {
                Ok(session) => drop(sessions.open.insert(node.id, session)),
                Err(error) => drop(sessions.silent.insert(node.id, error)),
            }
        }
        sessions
    }

    /// The nodes with which there is a session.
    pub(super) fn all(&self) -> impl Iterator<Item = (NodeId, &Client)> {
        self.open.iter().map(|(id, (_, client))| (*id, client))
    }

    /// The session with a node, or why there is none.
    pub(super) fn with(&self, node: &NodeSettings) -> Result<&Client> {
        if let Some((_, client)) = self.open.get(&node.id) {
            return Ok(client);
        }
        let why = self.silent.get(&node.id);
        Err(why.map_or_else(
            || Error::new(Kind::Internal, format!("node {} was not asked", node.name)),
            |error| Error::new(error.kind(), error.to_string()),
        ))
    }
}

async fn open(node: &NodeSettings, role: &str) -> Result<(Pool, Client)> {
    let endpoint = Endpoint::from(node);
    let opening = async {
        let pool = endpoint.pool(role)?;
        let client = checkout(&endpoint, &pool).await?;
        let bound_ms = STATEMENT_MAX.as_millis().to_string();
        ask::row(&client, include_str!("../../sql/status/clock.sql"), &[&bound_ms]).await?;
        let row = ask::row(&client, include_str!("../../sql/migrate/has_relation.sql"), &[&"pause"]).await?;
        if !row.get::<_, bool>("found") {
            return Err(Error::new(Kind::Unreachable, format!("{endpoint}: dbmail-mesh is not installed, or too old"))
                .remedy("run dbmail-mesh migrate up"));
        }
        Ok((pool, client))
    };
    tokio::time::timeout(CONNECT_MAX, opening).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Unreachable, format!("{endpoint}: no answer within {} s", CONNECT_MAX.as_secs())))
    })
}
