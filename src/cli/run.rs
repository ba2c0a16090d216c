//! `dbmail-mesh run`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::output::Output;
use super::status::asked;
use super::{Common, OK};
use crate::config::Settings;
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::migrate::{MigrationSet, check_installed};
use crate::node::Endpoint;
use crate::node::status::reader::Reader;
use crate::telemetry::Telemetry;
use crate::telemetry::health::{self, Health, Known};
use crate::telemetry::knowledge::Knowledge;
use crate::telemetry::systemd;
use crate::worker::{Options, Worker};

/// A reading of all nodes is bounded, and takes less by far.
const STATUS_SILENCE_MAX: Duration = Duration::from_secs(600);

/// Replicates, until SIGINT or SIGTERM: drives every link into the named nodes.
///
/// A node that cannot be reached is named in the log and tried again for ever; the others go on. Run one worker for all nodes, or
/// one beside each node; of two workers for the same node one stands by.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only the links into this node; can be given several times [default: all nodes of the settings].
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// Stops also when standard input ends: for a parent that must not leave a worker behind, however it ends itself.
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

pub(super) async fn run(args: Args, common: &Common, _output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let targets: BTreeSet<_> = settings.select(&args.nodes)?.iter().map(|node| node.id).collect();
    let listener = match settings.health.listen {
        Some(address) => Some(health::bind(address).await?),
        None => None,
    };
    for node in settings.nodes.iter().filter(|node| node.is_open()) {
        tracing::warn!(
            node = node.name.as_str(),
            address = node.address,
            "mail and password go to this node in clear text, as sslmode=disable says"
        );
    }
    check(&settings).await?;
    let stop = |kind, name| {
        signal(kind).map_err(|error| Error::new(Kind::Internal, format!("cannot wait for {name}: {error}")))
    };
    let (mut interrupt, mut terminate) =
        (stop(SignalKind::interrupt(), "SIGINT")?, stop(SignalKind::terminate(), "SIGTERM")?);
    let input_ended = end_of_input(args.stop_at_eof);
    let telemetry = Arc::new(Telemetry::new()?);
    let answering = match listener {
        Some(listener) => Some(answer(listener, &settings, &targets, telemetry.clone())?),
        None => None,
    };
    let nodes = settings.nodes.iter().map(Endpoint::from).collect();
    let options = Options { nodes, targets, mesh: settings.mesh, worker: settings.worker };
    let worker = Worker::start_with(options, telemetry.clone())?;
    tracing::info!(nodes = settings.nodes.len(), "worker started");
    tokio::select! {
        () = systemd::report(telemetry.clone()) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = input_ended => {}
    }
    systemd::stopping();
    if let Some(answering) = answering {
        // A node whose worker is about to stop gets no more clients.
        answering.abort();
    }
    worker.stop().await;
    tracing::info!("worker stopped");
    Ok(OK)
}

/// Starts to answer how the worker and the nodes are.
fn answer(
    listener: TcpListener,
    settings: &Settings,
    targets: &BTreeSet<NodeId>,
    telemetry: Arc<Telemetry>,
) -> Result<JoinHandle<()>> {
    let (refresh, ready_lag) = (settings.health.refresh, settings.health.ready_lag);
    let knowledge = Arc::new(Knowledge::new(refresh, ready_lag));
    let schema_version = MigrationSet::embedded()?.latest();
    let asked = asked(settings, &[])?;
    let readers = [asked.clone(), asked]
        .map(|asked| Reader::new(asked, settings.mesh.stride, schema_version).every(knowledge.patience()));
    let vital = telemetry.vitals.central("status", STATUS_SILENCE_MAX);
    let nodes = settings.nodes.iter().map(|node| Known {
        name: node.name.to_string(),
        id: node.id,
        is_served: targets.contains(&node.id),
    });
    let health = Health { telemetry, knowledge: knowledge.clone(), nodes: nodes.collect() };
    Ok(tokio::spawn(async move {
        tokio::join!(knowledge.renew(readers, vital), health::serve(listener, health));
    }))
}

/// Waits until standard input has ended; for ever where that is not `asked_for`.
async fn end_of_input(asked_for: bool) {
    if !asked_for {
        return std::future::pending().await;
    }
    let (ended, end) = oneshot::channel::<()>();
    // A thread of its own and no task: a read that blocks must not keep the process from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    let _ = end.await;
}

/// Settings that do not fit an installation end the command; a node that cannot be reached, or is not installed yet, does not.
async fn check(settings: &Settings) -> Result<()> {
    let checks = settings.nodes.iter().map(|node| check_installed(node, settings.mesh.stride));
    for (node, checked) in settings.nodes.iter().zip(futures_util::future::join_all(checks).await) {
        match checked {
            Ok(Some(_)) => {}
            Ok(None) => {
                tracing::warn!(node = node.name.as_str(), "dbmail-mesh is not installed on this node; run migrate up");
            }
            Err(error) if error.kind() == Kind::Usage => return Err(error),
            Err(error) => tracing::warn!(node = node.name.as_str(), %error, "the others go on without this node"),
        }
    }
    Ok(())
}
