//! Waits until the links that were paused stand still.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::Serialize;

use crate::cli::sessions::Sessions;
use crate::config::{NodeSettings, Settings};
use crate::domain::ids::NodeId;
use crate::error::{Error, Result};
use crate::node::pause::{self, Obeyed};

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How a link that was paused stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It carries nothing.
    Still,
    /// No worker drives it; one that is started obeys.
    NoWorker,
    /// Its target cannot be asked.
    Unreachable,
    /// It has not said that it stands still.
    Busy,
}

impl Standing {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Still => "stands still",
            Self::NoWorker => "no worker drives it now; one that is started will obey",
            Self::Unreachable => "its target cannot be asked; it stands still as soon as it could go on",
            Self::Busy => "has not stopped yet; it will when the batch that is under way has ended",
        }
    }
}

/// A link that was paused.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Link {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) state: Standing,
}

/// What has to stand still: for each pause the node that keeps it, the source of the link (none: the whole node), and its token.
pub(super) struct Halting<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) settings: &'a Settings,
    pub(super) settle: Duration,
    pub(super) pauses: Vec<(&'a NodeSettings, Option<&'a NodeSettings>, String)>,
}

impl Halting<'_> {
    /// Returns how the links stand, and how many messages stay late on nodes that are paused.
    pub(super) async fn wait(&self, timeout: Duration) -> Result<(Vec<Link>, i64)> {
        let deadline = Instant::now() + timeout;
        let links = loop {
            let links = self.links().await?;
            if links.iter().all(|link| link.state != Standing::Busy) || Instant::now() >= deadline {
                break links;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        let nodes = self.pauses.iter().filter(|(_, source, _)| source.is_none());
        let late = try_join_all(nodes.map(|(node, _, token)| self.end_settling(node, token))).await?;
        Ok((links, late.into_iter().sum()))
    }

    async fn links(&self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        for (keeper, source, token) in &self.pauses {
            let looks =
                self.sessions.all().map(async |(id, client)| Ok::<_, Error>((id, pause::obeyed(client, token).await?)));
            let obeyed: BTreeMap<NodeId, Obeyed> = try_join_all(looks).await?.into_iter().collect();
            let link = |source: &NodeSettings, target: &NodeSettings| Link {
                source: source.name.to_string(),
                target: target.name.to_string(),
                state: standing(obeyed.get(&target.id), source.id),
            };
            match source {
                Some(source) => links.push(link(source, keeper)),
                None => {
                    for other in self.settings.nodes.iter().filter(|other| other.id != keeper.id) {
                        links.extend([link(other, keeper), link(keeper, other)]);
                    }
                }
            }
        }
        Ok(links)
    }

    /// What is late on the node gets its new UID before the node takes no part in that any more, if it does so soon. Returns how many
    /// messages are left.
    async fn end_settling(&self, node: &NodeSettings, token: &str) -> Result<i64> {
        let client = self.sessions.with(node)?;
        let deadline = Instant::now() + self.settle;
        loop {
            let now = pause::obeyed(client, token).await?;
            if now.late == 0 || !now.is_driven || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        pause::end_settling(client).await?;
        // A settlement that has begun to write ends within the bound of its locks, or its server ends it.
        tokio::time::sleep(3 * self.settings.mesh.lock_bound).await;
        Ok(pause::obeyed(client, token).await?.late)
    }
}

fn standing(target: Option<&Obeyed>, source: NodeId) -> Standing {
    match target {
        None => Standing::Unreachable,
        Some(obeyed) if obeyed.links.contains(&source) => Standing::Still,
        Some(obeyed) if !obeyed.is_driven => Standing::NoWorker,
        Some(_) => Standing::Busy,
    }
}
