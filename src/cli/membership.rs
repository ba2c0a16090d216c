//! What `join` and `leave` have in common: the nodes, a worker of their own, and waiting.

use std::time::Duration;

use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::node::Endpoint;
use crate::node::membership::Member;
use crate::worker::{Options, Worker};

/// How often is looked how far the links are.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The node called `name`, as in the settings.
pub(super) fn endpoint(settings: &Settings, name: &str) -> Result<Endpoint> {
    let names = [name.to_owned()];
    let nodes = settings.select(&names)?;
    nodes.first().map(|node| Endpoint::from(*node)).ok_or_else(|| Error::new(Kind::Internal, "no node was selected"))
}

/// All other nodes. Every one has to answer: what a node may do depends on what all of them know of it.
pub(super) async fn others(settings: &Settings, node: &Endpoint) -> Result<Vec<Member>> {
    let others = settings.nodes.iter().filter(|other| other.id != node.id).map(Endpoint::from);
    let mut members = Vec::new();
    for endpoint in others {
        let name = endpoint.name.clone();
        members.push(Member::connect(endpoint, settings.mesh.stride).await.map_err(|error| {
            if error.kind() == Kind::Unreachable {
                let remedy = format!(
                    "all nodes have to be reachable; one that is lost for ever: dbmail-mesh leave --lost --node {name}, and take \
                     it out of the settings"
                );
                Error::new(Kind::Unreachable, error.to_string()).remedy(remedy)
            } else {
                error
            }
        })?);
    }
    if members.is_empty() {
        return Err(Error::new(Kind::Usage, "there is no other node in the settings"));
    }
    Ok(members)
}

/// Drives all links for as long as it lives, where no other worker does: of two for one node, one stands by.
pub(super) fn worker(settings: &Settings) -> Result<Worker> {
    Worker::start(Options {
        nodes: settings.nodes.iter().map(Endpoint::from).collect(),
        targets: settings.nodes.iter().map(|node| node.id).collect(),
        mesh: settings.mesh.clone(),
        worker: settings.worker.clone(),
    })
}
