//! Installs nodes of throwaway servers as an operator does: by the owner's role, for a worker that owns nothing.

use super::cluster::OWNER_ROLE;
use crate::config::NodeSettings;
use crate::domain::ids::Stride;
use crate::error::Result;
use crate::migrate::{MigrationSet, Runner, migrate_down};

/// Installs `nodes`, some of `all`, whose settings name the worker's role, and gives that role its rights.
///
/// # Errors
/// Those of [`Runner::up`].
pub async fn install(nodes: &[NodeSettings], all: &[NodeSettings], stride: Stride) -> Result<()> {
    install_set(&MigrationSet::embedded()?, nodes, all, stride).await
}

/// The same by other migrations than this program's own.
///
/// # Errors
/// Those of [`Runner::up`].
pub async fn install_set(
    set: &MigrationSet,
    nodes: &[NodeSettings],
    all: &[NodeSettings],
    stride: Stride,
) -> Result<()> {
    let (chosen, all) = (owned(nodes), owned(all));
    let worker = |node: &NodeSettings| Some((node.name.to_string(), node.connection.get_user()?.to_owned()));
    let workers = nodes.iter().filter_map(worker).collect();
    Runner::new(set, stride, chosen.iter().collect(), &all).workers(workers).up(&mut |_| {}).await
}

/// Takes everything away again.
///
/// # Errors
/// Those of [`Runner::down`].
pub async fn uninstall(nodes: &[NodeSettings], stride: Stride) -> Result<()> {
    migrate_down(&owned(nodes), stride).await
}

/// The nodes as the owner connects to them.
pub fn owned(nodes: &[NodeSettings]) -> Vec<NodeSettings> {
    nodes.iter().map(|node| node.connecting_as(OWNER_ROLE, None)).collect()
}
