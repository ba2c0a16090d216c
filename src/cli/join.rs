//! `dbmail-mesh join`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::membership::{self, LOOK_INTERVAL};
use super::output::Output;
use super::{Common, OK};
use crate::config::Settings;
use crate::domain::ids::NodeId;
use crate::domain::membership::Standing;
use crate::error::{Error, Kind, Result};
use crate::node::membership::{
    Joined, LinkProgress, Member, clock, committed, has_given_all, messages_to_copy, prepare, progress,
};

/// Makes a node a member of the mesh, or brings one back, while the others take mail; ends when it is caught up.
///
/// For a new, empty node (run migrate up there first); for a copy of a member; for a node that was restored from a backup, was away for
/// longer than changes were kept, or had left. It finds out which. Nothing of its mail is overwritten: what it has and what the others have
/// is joined, and what was expunged stays expunged. Ctrl-C breaks it off; call it again and it goes on where it was. All other nodes have
/// to be reachable.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node that joins.
    #[arg(long, value_name = "NAME")]
    node: String,
    /// Does not wait until the node is caught up: a worker does the rest.
    #[arg(long)]
    no_wait: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Whole<'a> {
    node: &'a str,
    was: &'static str,
    why: Option<&'a str>,
    uids_changed: Vec<UidChange>,
    mailbox_ids_changed: Vec<IdChange>,
    contents_readdressed: usize,
    messages_brought: Option<i64>,
    seconds: f64,
}

#[derive(Serialize)]
struct IdChange {
    old_id: i64,
    new_id: i64,
}

#[derive(Serialize)]
struct UidChange {
    old_uid: i64,
    new_uid: i64,
}

pub(super) async fn run(args: Args, common: &Common, output: &mut Output) -> Result<u8> {
    let settings = common.settings()?;
    let begun = Instant::now();
    let endpoint = membership::endpoint(&settings, &args.node)?;
    let others = membership::others(&settings, &endpoint).await?;
    let mut node = Member::connect(endpoint, settings.mesh.stride).await?;
    let joined = prepare(&mut node, &others).await?;
    if !args.json {
        tell(&args.node, &joined, output)?;
    }
    let brought = if args.no_wait { None } else { Some(catch_up(&settings, &node, &others).await?) };
    if args.json {
        let change = |(old_uid, new_uid): &(i64, i64)| UidChange { old_uid: *old_uid, new_uid: *new_uid };
        let found = |(old_id, new_id): &(i64, i64)| IdChange { old_id: *old_id, new_id: *new_id };
        let (was, why) = word(&joined.standing);
        return output
            .json(&Whole {
                node: &args.node,
                was,
                why,
                uids_changed: joined.born_again.iter().map(change).collect(),
                mailbox_ids_changed: joined.found_again.iter().map(found).collect(),
                contents_readdressed: joined.readdressed,
                messages_brought: brought,
                seconds: begun.elapsed().as_secs_f64(),
            })
            .map(|()| OK);
    }
    let names: Vec<_> = others.iter().map(|other| other.endpoint.name.as_str()).collect();
    match brought {
        Some(brought) => output.print(&format!(
            "{} is caught up with {}: {brought} messages in {:.1} s",
            args.node,
            names.join(", "),
            begun.elapsed().as_secs_f64()
        ))?,
        None => output.print("a worker does the rest (dbmail-mesh run, with this node in its settings)")?,
    }
    Ok(OK)
}

/// A word for programs, and the reason where there is one.
fn word(standing: &Standing) -> (&'static str, Option<&str>) {
    match standing {
        Standing::Copy { .. } => ("copy", None),
        Standing::Restored { why } => ("restored", Some(why)),
        Standing::Anew => ("installed_anew", None),
        Standing::Renewed => ("joined_in_part", None),
        Standing::Left => ("left", None),
        Standing::TooLongAway => ("too_long_away", None),
        Standing::New => ("new", None),
        Standing::Member => ("member", None),
    }
}

fn tell(name: &str, joined: &Joined, output: &mut Output) -> Result<()> {
    let was = match &joined.standing {
        Standing::Copy { of } => format!("is a copy of node {of} and becomes a node of its own"),
        Standing::Restored { why } => {
            format!("has gone back in time ({why}) and joins anew, above all numbers that are known")
        }
        Standing::Anew => {
            "was installed anew under a number that was in use, and joins above all numbers that are known".into()
        }
        Standing::Renewed => "has joined anew; now all peers know".into(),
        Standing::Left => "had left and comes back".into(),
        Standing::TooLongAway => "was away for longer than changes were kept; all is compared".into(),
        Standing::New => "is new".into(),
        Standing::Member => "is a member".into(),
    };
    output.print(&format!("{name} {was}"))?;
    for (old, new) in &joined.found_again {
        output.print(&format!("mailbox id {old} belongs to another mailbox; here it is {new} now"))?;
    }
    for (old, new) in &joined.born_again {
        output.print(&format!("UID {old} belongs to another message; here it is {new} now"))?;
    }
    Ok(())
}

/// Waits until the node has all that the others have now. Returns how many messages its links have brought.
async fn catch_up(settings: &Settings, node: &Member, others: &[Member]) -> Result<i64> {
    let worker = membership::worker(settings)?;
    let brought = tokio::select! {
        brought = watch(node, others) => brought,
        _ = tokio::signal::ctrl_c() => Err(Error::new(
            Kind::Transient,
            "broken off; the node is not caught up yet",
        ).remedy("call it again, or let a worker do the rest")),
    };
    worker.stop().await;
    brought
}

async fn watch(node: &Member, others: &[Member]) -> Result<i64> {
    let since = clock(node).await?;
    let before = total(&progress(node, since).await?);
    let mut expected = 0;
    for other in others {
        expected += messages_to_copy(other).await?;
    }
    let bar = bar(expected);
    loop {
        let links = progress(node, since).await?;
        for other in others {
            let Some(link) = links.get(&other.endpoint.id) else { continue };
            if let Some(why) = &link.refused {
                let what = format!("the link from {} into {} is refused: {why}", other.endpoint, node.endpoint);
                return Err(Error::new(Kind::Refused, what));
            }
        }
        bar.set_position(u64::try_from(total(&links)).unwrap_or_default());
        if others.iter().all(|other| links.get(&other.endpoint.id).is_some_and(|link| link.is_copied)) {
            break;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    bar.finish_and_clear();
    for other in others {
        let snapshot = committed(other).await?;
        while !has_given_all(other, node, &snapshot).await? {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
    Ok(total(&progress(node, since).await?) - before)
}

fn total(links: &BTreeMap<NodeId, LinkProgress>) -> i64 {
    links.values().map(|link| link.messages).sum()
}

/// On a terminal only, and to standard error.
fn bar(expected: i64) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(expected).unwrap_or_default());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} messages, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
