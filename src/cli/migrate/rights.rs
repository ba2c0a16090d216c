//! `dbmail-mesh migrate rights`.

use crate::cli::output::Output;
use crate::config::NodeSettings;
use crate::error::{Error, Kind, Result};
use crate::migrate::rights::{self, Given, OWNER, READER_ROLE, Roles};

use super::{OK, Which};

/// Which roles, and what to do.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) which: Which,
    /// Who owns what is installed. It has to be a member of the role that owns dbmail's tables.
    #[arg(long, value_name = "ROLE", default_value = OWNER)]
    owner: String,
    /// What the worker connects as [default: the user of the node's url].
    #[arg(long, value_name = "ROLE")]
    worker: Option<String>,
    /// Who may look, and changes nothing.
    #[arg(long, value_name = "ROLE", default_value = READER_ROLE)]
    reader: String,
    /// Does it, instead of printing it.
    #[arg(long)]
    apply: bool,
}

/// `nodes` as the settings have them, and as they are connected to here.
pub(super) async fn run(args: &Args, nodes: &[(&NodeSettings, NodeSettings)], output: &mut Output) -> Result<u8> {
    let mut all = Vec::new();
    for (node, connected) in nodes {
        all.push((connected, roles(args, node).map_err(|error| error.context(node))?));
    }
    for (node, roles) in all {
        if !args.apply {
            output.print(&roles.script(node))?;
            continue;
        }
        let told = match rights::apply(node, &roles).await? {
            Given::All => "roles and rights",
            Given::RolesOnly => "the roles; migrate up gives the rights",
        };
        let Roles { owner, worker, reader } = &roles;
        output.print(&format!("{}: owner {owner}, worker {worker}, reader {reader}: {told}", node.name))?;
    }
    Ok(OK)
}

fn roles(args: &Args, node: &NodeSettings) -> Result<Roles> {
    let named = node.connection.get_user();
    let Some(worker) = args.worker.as_deref().or(named) else {
        let what = "its url names no user, so it is not known as whom the worker connects";
        return Err(Error::new(Kind::Usage, what).remedy("put user@ before the host, or give --worker"));
    };
    Roles::new(&args.owner, worker, &args.reader)
}
