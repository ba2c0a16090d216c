//! How a mesh is doing at a moment, in numbers: what `dbmail-mesh status` tells, and the new UIDs.

use tokio_postgres::Client;

use super::ground::Mesh;
use crate::config::NodeSettings;
use crate::domain::ids::Stride;
use crate::error::Result;
use crate::migrate::MigrationSet;
use crate::node::Endpoint;
use crate::node::status::{self, Asked};

/// The numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    /// Messages that wait for a new UID, each counted on every node where it waits.
    pub(super) late: i64,
    /// How long the longest of them has been waiting, in seconds.
    pub(super) late_s: f64,
    /// Deliveries that could not wait for their mailbox's lock, and that nobody has looked at yet: late messages may follow.
    pub(super) overtaking: i64,
    /// Messages that got a new UID so far, by the node that knows of most.
    pub(super) renumbered: i64,
    /// The new UIDs that were given out for them.
    pub(super) new_uids: i64,
    /// Changes of messages that have yet to be taken over, by the link that is furthest behind.
    pub(super) behind: i64,
    /// The age of the oldest such change on any link, in seconds.
    pub(super) behind_s: f64,
    /// The highest UID that is in use.
    pub(super) highest_uid: i64,
    /// Whether a node or a link could not say.
    pub(super) incomplete: bool,
}

impl Pulse {
    /// Whether nothing moves any more, as far as these numbers tell.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.incomplete && self.late == 0 && self.overtaking == 0 && self.behind == 0
    }
}

/// Takes the pulse.
pub(super) struct Nurse {
    asked: Vec<Asked>,
    clients: Vec<Client>,
    stride: Stride,
    schema_version: i32,
}

impl Nurse {
    pub(super) async fn new(mesh: &Mesh<'_>, stride: Stride) -> Result<Self> {
        let ask = |node: &NodeSettings| Asked {
            endpoint: Endpoint::from(node),
            address: node.address.clone(),
            selected: true,
        };
        let asked = mesh.nodes.iter().map(ask).collect();
        Ok(Self { asked, clients: mesh.clients().await?, stride, schema_version: MigrationSet::embedded()?.latest() })
    }

    pub(super) async fn pulse(&self) -> Result<Pulse> {
        let mut pulse = Pulse::default();
        let status = status::read(&self.asked, self.stride, self.schema_version).await;
        for node in &status.nodes {
            pulse.incomplete |= node.late_messages.is_none();
            pulse.late += node.late_messages.unwrap_or_default();
            pulse.late_s = pulse.late_s.max(node.late_longest_seconds.unwrap_or_default());
            pulse.highest_uid = pulse.highest_uid.max(node.uid_highest.unwrap_or_default());
        }
        for link in &status.links {
            pulse.incomplete |= link.lag_messages.is_none();
            pulse.behind = pulse.behind.max(link.lag_messages.unwrap_or_default());
            pulse.behind_s = pulse.behind_s.max(link.lag_seconds.unwrap_or_default());
        }
        for client in &self.clients {
            let row = client.query_one(include_str!("../../../sql/scratch/demo/pulse.sql"), &[]).await?;
            pulse.overtaking += row.get::<_, i64>("overtaking");
            pulse.renumbered = pulse.renumbered.max(row.get("renumbered"));
            pulse.new_uids = pulse.new_uids.max(row.get("new_uids"));
        }
        Ok(pulse)
    }
}
