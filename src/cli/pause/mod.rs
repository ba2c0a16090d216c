//! `dbmail-mesh pause` and `dbmail-mesh resume`.

mod halt;

use std::time::Duration;

use serde::Serialize;

use super::output::Output;
use super::sessions::Sessions;
use super::{Common, FOUND, OK};
use crate::config::{NodeSettings, Settings, duration};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::pause::{self, Pause, WHOLE_NODE};
use crate::node::status::check::paused;
use halt::{Halting, Link, Standing};

/// Has a link, or all links into a node and out of it, stand still until `resume`.
///
/// dbmail goes on as before, and what changes waits in the outboxes. Every worker obeys, also one that is started later. A node that is
/// paused takes no part in settlements. Returns when the links stand still: a batch that is under way ends first. Exit code 1 if one does
/// not end in time.
#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    #[command(flatten)]
    what: What,
    /// Why; `status` shows it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How long to wait for links to stand still.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Of a node: for how long messages that are late there get their new UIDs before it takes no part in settlements. The rest stays hidden.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    settle: Duration,
}

/// Ends a pause; links take up where they stood. What is not paused is told, and no error.
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Named {
    /// A node, with all links into it and out of it; can be given several times.
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// A link, by its source and its target; can be given several times.
    #[arg(long = "link", value_name = "SOURCE:TARGET")]
    links: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct What {
    #[command(flatten)]
    named: Named,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What is paused or resumed: the node that it is told to, and the source of the link or [`WHOLE_NODE`].
#[derive(Clone, Copy)]
struct Subject<'a> {
    keeper: &'a NodeSettings,
    source: Option<&'a NodeSettings>,
}

impl Subject<'_> {
    fn key(&self) -> NodeId {
        self.source.map_or(WHOLE_NODE, |source| source.id)
    }

    fn name(&self) -> String {
        match self.source {
            Some(source) => format!("link {} -> {}", source.name, self.keeper.name),
            None => format!("node {}", self.keeper.name),
        }
    }
}

/// One subject in `--json`.
#[derive(Serialize)]
struct Told {
    node: String,
    source: Option<String>,
    changed: bool,
    paused: Option<Pause>,
}

impl Told {
    fn of(subject: &Subject<'_>, changed: bool, paused: Option<Pause>) -> Self {
        let source = subject.source.map(|source| source.name.to_string());
        Self { node: subject.keeper.name.to_string(), source, changed, paused }
    }
}

/// What `pause --json` prints.
#[derive(Serialize)]
struct Whole {
    pauses: Vec<Told>,
    links: Vec<Link>,
    late_messages: i64,
}

fn subjects<'a>(settings: &'a Settings, named: &Named) -> Result<Vec<Subject<'a>>> {
    let one = |name: &str| {
        let found = settings.select(&[name.to_owned()])?;
        found.first().copied().ok_or_else(|| Error::new(Kind::Usage, format!("{name}: no such node in the settings")))
    };
    let mut subjects = Vec::new();
    for name in &named.nodes {
        subjects.push(Subject { keeper: one(name)?, source: None });
    }
    for link in &named.links {
        let usage = || Error::new(Kind::Usage, format!("--link {link}: write it as SOURCE:TARGET, two nodes"));
        let (source, target) = link.split_once(':').filter(|(source, target)| source != target).ok_or_else(usage)?;
        subjects.push(Subject { keeper: one(target)?, source: Some(one(source)?) });
    }
    Ok(subjects)
}

pub(super) async fn run_pause(args: PauseArgs, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let subjects = subjects(&settings, &args.what.named)?;
    let sessions = Sessions::open(&settings.nodes, "pause").await;
    // All or none: nobody wants to find out which of two links stands still.
    for subject in &subjects {
        sessions.with(subject.keeper)?;
    }
    let who = who();
    let mut halting = Halting { sessions: &sessions, settings: &settings, settle: args.settle, pauses: Vec::new() };
    let mut told = Vec::new();
    for subject in &subjects {
        let client = sessions.with(subject.keeper)?;
        let settles_s = args.timeout.as_secs_f64() + args.settle.as_secs_f64();
        let (pause, is_new) = pause::pause(client, subject.key(), &who, args.reason.as_deref(), settles_s).await?;
        if !args.what.json {
            let already = if is_new { "" } else { "already " };
            output.print(&format!("{}: {already}{}", subject.name(), paused(&pause)))?;
        }
        halting.pauses.push((subject.keeper, subject.source, pause.token.clone()));
        told.push(Told::of(subject, is_new, Some(pause)));
    }
    wake(&sessions).await;
    let (links, late) = halting.wait(args.timeout).await?;
    let all_stand = links.iter().all(|link| link.state != Standing::Busy);
    if args.what.json {
        output.json(&Whole { pauses: told, links, late_messages: late })?;
    } else {
        for link in &links {
            output.print(&format!("{} -> {}: {}", link.source, link.target, link.state.as_str()))?;
        }
        if late > 0 {
            output.print(&format!("late messages that wait until the node is resumed: {late}"))?;
        }
    }
    Ok(if all_stand { OK } else { FOUND })
}

pub(super) async fn run_resume(args: ResumeArgs, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let subjects = subjects(&settings, &args.what.named)?;
    let sessions = Sessions::open(&settings.nodes, "resume").await;
    for subject in &subjects {
        sessions.with(subject.keeper)?;
    }
    let mut told = Vec::new();
    for subject in &subjects {
        let was = pause::resume(sessions.with(subject.keeper)?, subject.key()).await?;
        if !args.what.json {
            let text = match &was {
                Some(pause) => format!("{}: resumed, was {}", subject.name(), paused(pause)),
                None => format!("{}: was not paused", subject.name()),
            };
            output.print(&text)?;
        }
        told.push(Told::of(subject, was.is_some(), was));
    }
    wake(&sessions).await;
    if args.what.json {
        output.json(&serde_json::json!({ "pauses": told }))?;
    }
    Ok(OK)
}

/// Links that sleep look sooner; those on a node that cannot be told look all the same.
async fn wake(sessions: &Sessions) {
    for (node, client) in sessions.all() {
        if let Err(error) = pause::wake(client).await {
            tracing::debug!(%node, %error, "links are not woken");
        }
    }
}

/// User and host, for whoever finds the pause later.
fn who() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", user.as_deref().unwrap_or("?"), host.trim())
}
