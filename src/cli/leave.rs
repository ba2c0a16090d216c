//! `dbmail-mesh leave`.

use std::time::{Duration, Instant};

use super::membership::{self, LOOK_INTERVAL};
use super::output::Output;
use super::{Common, OK};
use crate::config::duration;
use crate::error::{Error, Kind, Result};
use crate::node::membership::{Member, committed, count_aside, dismiss, has_given_all};
use crate::node::wait::mark;

/// Takes a node out of the mesh: waits until the others have all that it has, then has them keep nothing for it any more.
///
/// Its mail stays, and dbmail there works on by itself. Stop dbmail there first: what comes later is given to nobody. Afterwards take the
/// node out of the settings of all workers. `dbmail-mesh join` brings it back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node that leaves.
    #[arg(long, value_name = "NAME")]
    node: String,
    /// It is lost for ever, and not asked: what it had given to nobody is gone.
    #[arg(long)]
    lost: bool,
    /// How long the others may take to get what it has.
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration)]
    timeout: Duration,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let endpoint = membership::endpoint(&settings, &args.node)?;
    let others = membership::others(&settings, &endpoint).await?;
    let (id, name) = (endpoint.id.0, endpoint.name.clone());
    let node = if args.lost {
        None
    } else {
        let node = Member::connect(endpoint, settings.mesh.stride).await.map_err(|error| match error.kind() {
            Kind::Unreachable => {
                error.remedy("if it is lost for ever, add --lost: what it had given to nobody is gone")
            }
            _ => error,
        })?;
        Some(node)
    };
    if let Some(node) = node.as_ref().filter(|node| !node.identity.stays_out) {
        let worker = membership::worker(&settings)?;
        let given = await_given(node, &others, args.timeout).await;
        worker.stop().await;
        given?;
    }
    dismiss(id, node.as_ref(), &others).await?;
    let names: Vec<_> = others.iter().map(|other| other.endpoint.name.as_str()).collect();
    output.print(&format!("{name} has left the mesh; {} keep nothing for it any more", names.join(", ")))?;
    output.print(&format!("take {name} out of the settings, and restart the workers"))?;
    Ok(OK)
}

/// Waits until all others have what the node has now.
async fn await_given(node: &Member, others: &[Member], timeout: Duration) -> Result<()> {
    let snapshot = committed(node).await?;
    // A link that has nothing to do stores only now and then how far it is.
    mark(&node.client).await?;
    let begun = Instant::now();
    for other in others {
        while !has_given_all(node, other, &snapshot).await? {
            if begun.elapsed() > timeout {
                let what =
                    format!("{} does not have all that {} has, after {timeout:?}", other.endpoint, node.endpoint);
                return Err(Error::refused(what, "see dbmail-mesh status; nothing was changed"));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let aside = count_aside(node, other).await?;
        if aside > 0 {
            let what =
                format!("{} could not join {aside} rows of {}: it does not have them", other.endpoint, node.endpoint);
            let remedy = format!(
                "dbmail-mesh aside --node {} tells why; mend that, or add --lost: then they can come from third nodes only",
                other.endpoint.name
            );
            return Err(Error::refused(what, remedy));
        }
    }
    Ok(())
}
