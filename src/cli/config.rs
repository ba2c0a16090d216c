//! `dbmail-mesh config check|example`.

use clap::Subcommand;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::output::Output;
use super::{Common, OK};
use crate::config::{DEFAULT_PATH, LogFormat, NodeSettings, Reach, Settings, show_duration, show_size};
use crate::error::{Kind, Result};
use crate::migrate::{LocalNode, check_installed};

/// Checks the settings, or shows how to write them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints what was understood, without secrets, or everything that is wrong.
    Check {
        /// Also connects to each node, and compares the id and stride that it was installed with.
        #[arg(long)]
        connect: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints an annotated settings file to start from.
    Example,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    match args.command {
        Command::Example => output.print(Settings::example()).map(|()| OK),
        Command::Check { connect, json } => {
            let settings = common.settings()?;
            let found = if connect { Some(connect_all(&settings).await) } else { None };
            let path = common.file().map_or(DEFAULT_PATH.into(), |path| path.display().to_string());
            if json {
                output.json(&as_json(&path, &settings, found.as_deref()))?;
            } else {
                print(&path, &settings, found.as_deref(), output)?;
            }
            Ok(exit_code(found.as_deref().unwrap_or_default()))
        }
    }
}

/// What each node, in order, says it was installed as.
type Found = Result<Option<LocalNode>>;

async fn connect_all(settings: &Settings) -> Vec<Found> {
    join_all(settings.nodes.iter().map(|node| check_installed(node, settings.mesh.stride))).await
}

/// Settings that do not fit a node weigh more than a node that does not answer.
fn exit_code(found: &[Found]) -> u8 {
    let errors: Vec<_> = found.iter().filter_map(|found| found.as_ref().err()).collect();
    let usage = errors.iter().find(|error| error.kind() == Kind::Usage);
    usage.or(errors.first()).map_or(OK, |error| error.exit_code())
}

fn print(path: &str, settings: &Settings, found: Option<&[Found]>, output: &mut Output) -> Result<()> {
    let sections = sections(settings);
    output.print(&format!("{path}: ok\n"))?;
    for (section, values) in &sections {
        let values: Vec<_> = values.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        output.print(&format!("[{section}] {}", values.join(", ")))?;
    }
    output.print("")?;
    let rows = settings.nodes.iter().enumerate().map(|(at, node)| {
        let state = found.map_or("", |found| state(&found[at]).0).to_owned();
        let [id, address, password] = [node.id.to_string(), node.address.clone(), password(settings, at).to_owned()];
        [node.name.to_string(), id, address, protection(node).to_owned(), password, state]
    });
    let state = if found.is_some() { "STATE" } else { "" };
    output.table(["NODE", "ID", "ADDRESS", "TLS", "PASSWORD", state], rows.collect())?;
    for node in settings.nodes.iter().filter(|node| node.is_open()) {
        let name = &node.name;
        output.print(&format!("\nnode {name}: mail and password go to it in clear text, as sslmode=disable says"))?;
    }
    for error in found.unwrap_or_default().iter().filter_map(|found| found.as_ref().err()) {
        output.print(&format!("\n{error}"))?;
    }
    Ok(())
}

fn state(found: &Found) -> (&'static str, Option<String>) {
    match found {
        Ok(Some(_)) => ("installed", None),
        Ok(None) => ("not installed", None),
        Err(error) if error.kind() == Kind::Usage => ("differs", Some(error.to_string())),
        Err(error) if error.kind() == Kind::Refused => ("refused", Some(error.to_string())),
        Err(error) => ("unreachable", Some(error.to_string())),
    }
}

/// How the connection is protected.
fn protection(node: &NodeSettings) -> &'static str {
    if node.reach == Reach::Socket { "socket" } else { node.tls.mode().as_str() }
}

fn password(settings: &Settings, at: usize) -> &'static str {
    if settings.nodes[at].connection.get_password().is_some() { "given" } else { "none" }
}

type Section = (&'static str, Vec<(&'static str, Value)>);

/// The values by section, durations and sizes as people write them.
fn sections(settings: &Settings) -> [Section; 5] {
    let Settings { mesh, worker, session, log, health, .. } = settings;
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    [
        (
            "mesh",
            vec![
                ("stride", json!(mesh.stride.0)),
                ("settle_after", json!(show_duration(mesh.settle_after))),
                ("lock_bound", json!(show_duration(mesh.lock_bound))),
                ("patience", json!(show_duration(mesh.patience))),
                ("presence", json!(mesh.presence.window().map_or_else(|| "always".to_owned(), show_duration))),
            ],
        ),
        (
            "worker",
            vec![
                ("batch_messages", json!(worker.batch_messages)),
                ("batch_bytes", json!(show_size(worker.batch_bytes))),
                ("poll_min", json!(show_duration(worker.poll_min))),
                ("poll_max", json!(show_duration(worker.poll_max))),
                ("retry_max", json!(show_duration(worker.retry_max))),
                ("relay_after", json!(show_duration(worker.relay_after))),
                ("lease", json!(show_duration(worker.lease))),
                ("sessions", json!(worker.sessions)),
                ("outbox_keep", json!(show_duration(worker.outbox_keep))),
                ("outbox_rows_max", json!(worker.outbox_rows_max)),
            ],
        ),
        (
            "session",
            vec![
                ("connect_timeout", json!(show_duration(session.connect_timeout))),
                ("statement_timeout", json!(show_duration(session.statement_timeout))),
                ("lock_timeout", json!(show_duration(session.lock_timeout))),
                ("idle_in_transaction_timeout", json!(show_duration(session.idle_in_transaction_timeout))),
            ],
        ),
        ("log", vec![("format", json!(format)), ("level", json!(log.level))]),
        (
            "health",
            vec![
                ("listen", json!(health.listen.map_or_else(String::new, |address| address.to_string()))),
                ("refresh", json!(show_duration(health.refresh))),
                ("ready_lag", json!(show_duration(health.ready_lag))),
            ],
        ),
    ]
}

fn as_json(path: &str, settings: &Settings, found: Option<&[Found]>) -> Value {
    let mut whole = serde_json::Map::new();
    whole.insert("file".into(), json!(path));
    for (section, values) in sections(settings) {
        let values = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        whole.insert(section.into(), Value::Object(values));
    }
    let node = |(at, node): (usize, &NodeSettings)| {
        let (state, error) = found.map(|found| state(&found[at])).unzip();
        json!({
            "name": node.name.as_str(),
            "id": node.id.0,
            "address": node.address,
            "tls": protection(node),
            "password": password(settings, at),
            "state": state,
            "error": error.flatten(),
        })
    };
    whole.insert("node".into(), settings.nodes.iter().enumerate().map(node).collect());
    Value::Object(whole)
}
