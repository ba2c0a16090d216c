//! How a mesh is doing at a moment, in numbers.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::ground::Mesh;
use crate::domain::ids::NodeId;
use crate::error::Result;

/// The numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    /// Messages that wait for a new UID, each counted on every node where it waits.
    pub(super) late: i64,
    /// How long the longest of them has been waiting, in seconds.
    pub(super) late_s: f64,
    /// Messages that got a new UID so far, by the node that knows of most.
    pub(super) renumbered: i64,
    /// The new UIDs that were given out for them.
    pub(super) new_uids: i64,
    /// Changes of messages that have yet to be taken over, by the link that is furthest behind.
    pub(super) behind: i64,
    /// The age of the oldest such change on any link, in seconds.
    pub(super) behind_s: f64,
}

/// Takes the pulse, over connections of its own.
pub(super) struct Nurse {
    clients: BTreeMap<NodeId, Client>,
}

impl Nurse {
    pub(super) async fn new(mesh: &Mesh<'_>) -> Result<Self> {
        let ids = mesh.nodes.iter().map(|node| node.id);
        Ok(Self { clients: ids.zip(mesh.clients().await?).collect() })
    }

    pub(super) async fn pulse(&self) -> Result<Pulse> {
        let mut pulse = Pulse::default();
        for (target, client) in &self.clients {
            let row = client.query_one(include_str!("../../../sql/scratch/demo/pulse.sql"), &[]).await?;
            pulse.late += row.get::<_, i64>("late");
            pulse.late_s = pulse.late_s.max(row.get("waited_s"));
            pulse.renumbered = pulse.renumbered.max(row.get("renumbered"));
            pulse.new_uids = pulse.new_uids.max(row.get("new_uids"));
            self.links_into(*target, client, &mut pulse).await?;
        }
        Ok(pulse)
    }

    async fn links_into(&self, target: NodeId, client: &Client, pulse: &mut Pulse) -> Result<()> {
        let sources: Vec<i16> = self.clients.keys().filter(|id| **id != target).map(|id| id.0).collect();
        for link in client.query(include_str!("../../../sql/status/links.sql"), &[&sources]).await? {
            // Null while the link has not begun.
            let Some(from) = link.get::<_, Option<String>>("from_snapshot") else { continue };
            let Some(source) = self.clients.get(&NodeId(link.get("source_id"))) else { continue };
            let (to, last_id): (Option<String>, i64) = (link.get("to_snapshot"), link.get("last_id"));
            let parameters: [&(dyn ToSql + Sync); 4] = [&vec![target.0], &vec![from], &vec![to], &vec![last_id]];
            let row = source.query_one(include_str!("../../../sql/status/lag.sql"), &parameters).await?;
            pulse.behind = pulse.behind.max(row.get("lag_messages"));
            pulse.behind_s = pulse.behind_s.max(row.get("lag_seconds"));
        }
        Ok(())
    }

    /// The highest UID that any node has shown.
    pub(super) async fn highest_uid(&self) -> Result<i64> {
        let mut highest = 0;
        for client in self.clients.values() {
            let row = client.query_one(include_str!("../../../sql/scratch/demo/highest_uid.sql"), &[]).await?;
            highest = highest.max(row.get("high"));
        }
        Ok(highest)
    }
}
