//! The nodes that take part, and the sessions with them.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_postgres::{Client, Pool};
use futures_util::future::join_all;

use super::NodeReport;
use crate::error::{Error, Kind, Result};
use crate::node::connect::checkout;
use crate::node::status::Asked;
use crate::node::{Endpoint, ask, schema};

/// How long a node may take until it is ready for a statement.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// No statement of the comparison takes longer.
const STATEMENT_MAX: Duration = Duration::from_secs(300);

/// A node that can be asked.
pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    /// Reads only.
    pub(super) client: Client,
    _pool: Pool,
}

/// All that take part.
pub(super) struct Nodes {
    /// Those that are compared.
    pub(super) compared: Vec<Node>,
    /// Those of the settings that are not, but can be asked how far their links are.
    pub(super) others: Vec<Node>,
    /// Those of the settings that cannot be asked.
    pub(super) silent: Vec<Endpoint>,
    /// What is said of the selected ones.
    pub(super) reports: Vec<NodeReport>,
}

impl Nodes {
    /// Opens a session with every node of the settings.
    pub(super) async fn open(asked: &[Asked]) -> Self {
        let opened = join_all(asked.iter().map(|asked| within(open(&asked.endpoint)))).await;
        let mut nodes = Self { compared: Vec::new(), others: Vec::new(), silent: Vec::new(), reports: Vec::new() };
        for (asked, opened) in asked.iter().zip(opened) {
            let mut report =
                NodeReport { name: asked.endpoint.name.clone(), id: asked.endpoint.id.0, ..NodeReport::default() };
            match opened {
                Ok(node) if asked.selected => {
                    report.compared = true;
                    nodes.compared.push(node);
                }
                Ok(node) => nodes.others.push(node),
                Err(error) => {
                    report.error = Some(error.to_string().replace(&format!("{}: ", asked.endpoint), ""));
                    nodes.silent.push(asked.endpoint.clone());
                }
            }
            if asked.selected {
                nodes.reports.push(report);
            }
        }
        nodes
    }

    /// Names of those that are compared, in their order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.compared.iter().map(|node| node.endpoint.name.as_str()).collect()
    }

    /// Every node that can be asked.
    pub(super) fn all(&self) -> impl Iterator<Item = &Node> {
        self.compared.iter().chain(&self.others)
    }

    /// The mailboxes that are called so on any node, each by `owner/name` or by its id.
    pub(super) async fn find_mailboxes(&self, wanted: &[String]) -> Result<Vec<i64>> {
        let mut found: BTreeMap<&str, Vec<i64>> = wanted.iter().map(|name| (name.as_str(), Vec::new())).collect();
        for node in &self.compared {
            for row in
                ask::rows(&node.client, include_str!("../../../sql/verify/find_mailboxes.sql"), &[&wanted]).await?
            {
                if let Some(ids) = found.get_mut(row.get::<_, &str>("asked")) {
                    ids.push(row.get("mailbox_idnr"));
                }
            }
        }
        let unknown: Vec<&str> = found.iter().filter(|(_, ids)| ids.is_empty()).map(|(name, _)| *name).collect();
        if !unknown.is_empty() {
            return Err(Error::new(Kind::Usage, format!("no node has a mailbox {}", unknown.join(", ")))
                .remedy("write it as owner/name, as in alice/INBOX, or give its mailbox_idnr"));
        }
        let mut ids: Vec<i64> = found.into_values().flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

async fn within<T>(opening: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CONNECT_MAX, opening)
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, format!("no answer within {} s", CONNECT_MAX.as_secs()))))
}

async fn open(endpoint: &Endpoint) -> Result<Node> {
    let pool = endpoint.pool("verify")?;
    let client = checkout(endpoint, &pool).await?;
    let bound = STATEMENT_MAX.as_millis().to_string();
    ask::row(&client, include_str!("../../../sql/verify/session.sql"), &[&bound]).await?;
    let found = ask::row(&client, include_str!("../../../sql/migrate/has_relation.sql"), &[&"migration"]).await?;
    if !found.get::<_, bool>("found") {
        return Err(Error::new(Kind::Refused, "dbmail-mesh is not installed").remedy("dbmail-mesh migrate up"));
    }
    schema::check(endpoint, &client).await?;
    Ok(Node { endpoint: endpoint.clone(), client, _pool: pool })
}
