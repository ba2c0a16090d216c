//! Settings in layers: a TOML file, over it the environment, over it the flags.
//!
//! Reading is dumb: the layers become one tree of untyped values (`source`). A second step takes the tree apart key
//! by key and builds [`Settings`]; it does not stop at what is wrong but collects it, so that a person sees everything
//! at once ([`Problems`]). Every problem names the field, its value unless that may be a secret, and the reason.

mod node;
mod problems;
mod protection;
mod secret;
mod section;
mod session;
mod source;
mod units;
mod url;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::config::{Value, ValueKind};
use tracing_subscriber::EnvFilter;

pub use node::{NAME_BYTES_MAX, NodeName, NodeSettings};
pub use problems::{Problem, Problems};
pub(crate) use secret::read as read_password;
pub use session::SessionSettings;
pub use units::{duration, show_duration, show_size};
pub use url::Reach;

use crate::domain::ids::Stride;
use crate::error::{Error, Kind, Result};
use node::Draft;
use section::Section;

/// Where the settings are when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/dbmail-mesh/mesh.toml";

/// The largest stride: with it a node still has four million UIDs of its own in a 32-bit space.
pub const STRIDE_MAX: i16 = 1024;

/// A quarter of PostgreSQL's default `deadlock_timeout`: waiting and holding, each this long, on two sides, stay below
/// it, so that PostgreSQL never looks for a deadlock's victim among dbmail's sessions.
pub const LOCK_BOUND_MAX: Duration = Duration::from_millis(250);

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// All that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all nodes must agree on.
    pub mesh: MeshSettings,
    /// How the worker works.
    pub worker: WorkerSettings,
    /// What bounds each session with a node.
    pub session: SessionSettings,
    /// How it logs.
    pub log: LogSettings,
    /// Where it tells how it and the nodes are.
    pub health: HealthSettings,
    /// The nodes in the file's order; at least one, names and ids all different.
    pub nodes: Vec<NodeSettings>,
}

/// `[mesh]`
#[derive(Clone, Debug)]
pub struct MeshSettings {
    /// The most nodes this mesh may ever have, `1..=1024`.
    pub stride: Stride,
    /// Nothing is renumbered on a node before it has been there this long.
    pub settle_after: Duration,
    /// How long a worker may wait for, and how long it may hold, what a delivery waits for.
    pub lock_bound: Duration,
    /// How long a settlement waits for a node that is behind before it goes on without it.
    pub patience: Duration,
    /// For how long a mailbox counts as read after its owner has logged in.
    pub presence: Presence,
}

/// For how long after a login, or another sign of a reader, a mailbox counts as read on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// For so long.
    For(Duration),
    /// Every mailbox always counts as read, whoever has logged in.
    Always,
}

impl Presence {
    /// The time; `None` when every mailbox always counts as read.
    pub fn window(self) -> Option<Duration> {
        match self {
            Self::For(window) => Some(window),
            Self::Always => None,
        }
    }
}

impl MeshSettings {
    /// The defaults under `stride`.
    pub fn new(stride: Stride) -> Self {
        Self {
            stride,
            settle_after: Duration::from_secs(2),
            lock_bound: LOCK_BOUND_MAX,
            patience: Duration::from_secs(3),
            presence: Presence::For(30 * DAY),
        }
    }
}

/// `[worker]`
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The most messages in a batch.
    pub batch_messages: usize,
    /// The most bytes of content in a batch, except that one message always fits.
    pub batch_bytes: u64,
    /// The first pause of a link that found nothing to do; it doubles from here.
    pub poll_min: Duration,
    /// The longest such pause.
    pub poll_max: Duration,
    /// The longest pause before a node that cannot be reached is tried again.
    pub retry_max: Duration,
    /// For how long nothing is heard of a node before what it gave to others is taken over from these.
    pub relay_after: Duration,
    /// A worker that has been silent for longer is no longer the active one: another takes over.
    pub lease: Duration,
    /// The most sessions for reading from a node, and the most for writing to it.
    pub sessions: usize,
    /// How long changes that every peer has applied stay in the outbox.
    pub outbox_keep: Duration,
    /// The most rows of an outbox. Past it the oldest go, and whoever has not applied them has to join again.
    pub outbox_rows_max: i64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            batch_messages: 400,
            batch_bytes: 8 << 20,
            poll_min: Duration::from_millis(20),
            poll_max: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            relay_after: Duration::from_secs(10),
            lease: Duration::from_secs(5),
            sessions: 8,
            outbox_keep: MINUTE,
            outbox_rows_max: 20_000_000,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// A level or a filter in the syntax of `tracing_subscriber::EnvFilter`; known to be valid.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// `[health]`
#[derive(Clone, Debug)]
pub struct HealthSettings {
    /// Where metrics and checks are answered; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// How often the nodes are asked for what is told there.
    pub refresh: Duration,
    /// For how long a change may wait where a node is ready.
    pub ready_lag: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 17_143)));
        Self { listen, refresh: Duration::from_secs(5), ready_lag: Duration::from_secs(10) }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Reads the settings from `path` (default [`DEFAULT_PATH`]), `env`, and `flags`, pairs of `section.key` or
    /// `node.<name>.<key>` with a value; the later the stronger.
    ///
    /// # Errors
    /// [`Kind::Usage`] with all [`Problems`] in its text.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self> {
        let path = path.unwrap_or(Path::new(DEFAULT_PATH));
        let unusable = |reason| Error::new(Kind::Usage, format!("{}: {reason}", path.display()));
        let text = source::read(path).map_err(unusable)?;
        let mut problems = Problems::new(path.display().to_string());
        let tree = source::layers(&text, env, flags, &mut problems).map_err(unusable)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        match build(tree, folder, &mut problems) {
            Some(settings) if problems.is_empty() => Ok(settings),
            _ => Err(problems.into()),
        }
    }

    /// An annotated settings file that can be loaded as it is.
    pub fn example() -> &'static str {
        include_str!("example.toml")
    }

    /// The nodes called `names`, in the file's order; all of them where there are no names.
    ///
    /// # Errors
    /// [`Kind::Usage`] when a name is not in the settings.
    pub fn select(&self, names: &[String]) -> Result<Vec<&NodeSettings>> {
        let known = |name: &&String| self.nodes.iter().any(|node| node.name.as_str() == name.as_str());
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            let all: Vec<_> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            let what = format!("--node {unknown}: no such node in the settings");
            return Err(Error::new(Kind::Usage, what).remedy(format!("the nodes are {}", all.join(", "))));
        }
        let chosen = |node: &&NodeSettings| names.is_empty() || names.iter().any(|name| name == node.name.as_str());
        Ok(self.nodes.iter().filter(chosen).collect())
    }
}

const SECTIONS: [&str; 6] = ["[mesh]", "[worker]", "[session]", "[log]", "[health]", "[[node]]"];

/// Builds the settings from the tree. `None` when too little is usable; `problems` then says why.
fn build(mut tree: HashMap<String, Value>, folder: &Path, problems: &mut Problems) -> Option<Settings> {
    let mesh = mesh(tree.remove("mesh"), problems);
    let worker = worker(tree.remove("worker"), problems);
    let session = session::read(tree.remove("session"), problems);
    let log = log(tree.remove("log"), problems);
    let health = health(tree.remove("health"), problems);
    let mut nodes = nodes(tree.remove("node"), mesh.as_ref().map(|mesh| mesh.stride), folder, problems);
    nodes.iter_mut().for_each(|node| node.bound(&session));
    let rest = Value::new(None, ValueKind::Table(tree));
    Section::new("", Some(rest), &SECTIONS, problems).done();
    Some(Settings { mesh: mesh?, worker, session, log, health, nodes })
}

fn mesh(value: Option<Value>, problems: &mut Problems) -> Option<MeshSettings> {
    let known = ["stride", "settle_after", "lock_bound", "patience", "presence"];
    let mut section = Section::new("mesh", value, &known, problems);
    let stride = section.required_number("stride", 1..=i64::from(STRIDE_MAX)).and_then(|n| i16::try_from(n).ok());
    let default = MeshSettings::new(Stride(STRIDE_MAX));
    let settle_after = section.duration("settle_after", default.settle_after, Duration::ZERO..=HOUR);
    let lock_bound = section.duration("lock_bound", default.lock_bound, 10 * MILLISECOND..=LOCK_BOUND_MAX);
    let patience = section.duration("patience", default.patience, 100 * MILLISECOND..=HOUR);
    let presence = presence(&mut section, default.presence);
    section.done();
    stride.map(|stride| MeshSettings { stride: Stride(stride), settle_after, lock_bound, patience, presence })
}

fn presence(section: &mut Section<'_>, default: Presence) -> Presence {
    let Some(text) = section.text("presence") else { return default };
    if text == "always" {
        return Presence::Always;
    }
    match units::duration(&text) {
        Ok(window) if (MINUTE..=3650 * DAY).contains(&window) => return Presence::For(window),
        Ok(_) => section.problem("presence", format!("{text:?}"), "must be \"1min\" to \"3650d\", or \"always\""),
        Err(reason) => section.problem("presence", format!("{text:?}"), format!("{reason}, or \"always\"")),
    }
    default
}

fn worker(value: Option<Value>, problems: &mut Problems) -> WorkerSettings {
    let known = [
        "batch_messages",
        "batch_bytes",
        "poll_min",
        "poll_max",
        "retry_max",
        "relay_after",
        "lease",
        "sessions",
        "outbox_keep",
        "outbox_rows_max",
    ];
    let mut section = Section::new("worker", value, &known, problems);
    let mut worker = WorkerSettings::default();
    let messages = section.number("batch_messages", 1..=10_000).and_then(|n| usize::try_from(n).ok());
    worker.batch_messages = messages.unwrap_or(worker.batch_messages);
    worker.batch_bytes = section.size("batch_bytes", worker.batch_bytes, 64 << 10..=1 << 30);
    worker.poll_max = section.duration("poll_max", worker.poll_max, MILLISECOND..=MINUTE);
    let first = worker.poll_min.min(worker.poll_max);
    worker.poll_min = section.duration("poll_min", first, MILLISECOND..=worker.poll_max);
    worker.retry_max = section.duration("retry_max", worker.retry_max, 100 * MILLISECOND..=HOUR);
    worker.relay_after = section.duration("relay_after", worker.relay_after, SECOND..=HOUR);
    worker.lease = section.duration("lease", worker.lease, 2 * SECOND..=5 * MINUTE);
    let sessions = section.number("sessions", 5..=64).and_then(|n| usize::try_from(n).ok());
    worker.sessions = sessions.unwrap_or(worker.sessions);
    worker.outbox_keep = section.duration("outbox_keep", worker.outbox_keep, Duration::ZERO..=30 * DAY);
    let rows = section.number("outbox_rows_max", 10_000..=1_000_000_000_000);
    worker.outbox_rows_max = rows.unwrap_or(worker.outbox_rows_max);
    section.done();
    worker
}

fn log(value: Option<Value>, problems: &mut Problems) -> LogSettings {
    let mut section = Section::new("log", value, &["format", "level"], problems);
    let mut log = LogSettings::default();
    match section.text("format").as_deref() {
        None | Some("text") => {}
        Some("json") => log.format = LogFormat::Json,
        Some(other) => section.problem("format", format!("{other:?}"), "must be \"text\" or \"json\""),
    }
    if let Some(level) = section.text("level") {
        match EnvFilter::try_new(&level) {
            Ok(_) => log.level = level,
            Err(error) => section.problem("level", format!("{level:?}"), format!("not a filter: {error}")),
        }
    }
    section.done();
    log
}

fn health(value: Option<Value>, problems: &mut Problems) -> HealthSettings {
    let mut section = Section::new("health", value, &["listen", "refresh", "ready_lag"], problems);
    let mut health = HealthSettings::default();
    if let Some(text) = section.text("listen") {
        match text.parse() {
            Ok(address) => health.listen = Some(address),
            Err(_) if text.is_empty() => health.listen = None,
            Err(_) => {
                let reason = "not an address with a port: write \"127.0.0.1:17143\", or \"\" for none";
                section.problem("listen", format!("{text:?}"), reason);
            }
        }
    }
    health.refresh = section.duration("refresh", health.refresh, SECOND..=MINUTE);
    health.ready_lag = section.duration("ready_lag", health.ready_lag, SECOND..=HOUR);
    section.done();
    health
}

fn nodes(value: Option<Value>, stride: Option<Stride>, folder: &Path, problems: &mut Problems) -> Vec<NodeSettings> {
    let values = match value.map(|value| value.kind) {
        Some(ValueKind::Array(values)) => values,
        None => Vec::new(),
        Some(other) => {
            problems.add("node", section::show(&other), "must be tables: write [[node]], with two brackets");
            return Vec::new();
        }
    };
    if values.is_empty() {
        problems.add("node", None, "no nodes: the file needs a [[node]] table for each");
    }
    let read = |(at, value)| node::read(at + 1, value, stride, folder, &mut *problems);
    let drafts: Vec<Draft> = values.into_iter().enumerate().map(read).collect();
    for (at, draft) in drafts.iter().enumerate() {
        same_as_before(&drafts[..at], draft, problems);
    }
    drafts.into_iter().filter_map(Draft::finish).collect()
}

/// Notes what two nodes must not share.
fn same_as_before(before: &[Draft], node: &Draft, problems: &mut Problems) {
    let Some(name) = &node.name else { return };
    let shown = |other: &Draft| other.name.as_ref().map_or("without a name".into(), ToString::to_string);
    if before.iter().any(|other| other.name == node.name) {
        problems.add(format!("node.{name}.name"), format!("{:?}", name.as_str()), "another node has this name");
    }
    if let Some((id, other)) = node.id.and_then(|id| Some((id, before.iter().find(|other| other.id == Some(id))?))) {
        problems.add(format!("node.{name}.id"), id.to_string(), format!("node {} has this id", shown(other)));
    }
    let address = &node.address;
    if let Some(other) = before.iter().find(|other| address.is_some() && other.address == *address) {
        let reason = format!("node {} has this database: a node is one database", shown(other));
        problems.add(format!("node.{name}.url"), address.clone(), reason);
    }
}
