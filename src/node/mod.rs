//! One PostgreSQL node: connect, listen, read changes, lock and apply, settle. SQL lives in files; what it means is decided in
//! [`crate::domain`].

pub mod accounts;
pub mod admission;
pub mod alike;
pub mod apply;
mod arrival;
pub mod aside;
pub mod ask;
mod chunks;
pub mod connect;
pub mod content;
pub mod cursor;
pub mod doctor;
pub mod entries;
pub mod fates;
pub mod listen;
pub mod locks;
pub mod look;
pub mod mailbox_plan;
pub mod mailboxes;
pub mod membership;
pub mod moved;
pub mod parents;
pub mod participant;
pub mod pause;
pub mod placing;
pub mod plan;
mod refusal;
pub mod relay;
pub mod renumber;
pub mod scan;
pub mod schema;
pub mod state;
pub mod status;
pub mod store;
pub mod tides;
pub mod verify;
pub mod wait;

use crate::config::SessionSettings;
use crate::domain::ids::NodeId;
use crate::migrate::SCHEMA_VERSION;
use crate::tls::Tls;

/// Where a node is and who it is: enough to connect to it and to speak of it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its number in the mesh.
    pub id: NodeId,
    /// Its name in messages.
    pub name: String,
    /// How to connect.
    pub config: tokio_postgres::Config,
    /// How the connection is protected.
    pub tls: Tls,
    /// What bounds each session.
    pub session: SessionSettings,
    /// The schema version that this program works with. Tests play other programs.
    pub program: i32,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {}", self.name)
    }
}

impl From<&crate::config::NodeSettings> for Endpoint {
    fn from(node: &crate::config::NodeSettings) -> Self {
        Self {
            id: node.id,
            name: node.name.to_string(),
            config: node.connection.clone(),
            tls: node.tls.clone(),
            session: node.session.clone(),
            program: SCHEMA_VERSION,
        }
    }
}
