//! What documents take for granted.
//!
//! | `<!-- before: … -->` | |
//! |---|---|
//! | `bare` | at the first block: dbmail only; nothing is installed and no worker runs |
//! | `mesh` | what every other document begins with: installed, a worker at work, mail of alice and bob |
//! | `without NODE` | at the first block: the same, but this node is empty, and nothing is installed on it |
//! | `worker stopped`, `worker running` | |
//! | `mail NODE` | a message for alice |
//! | `cut off NODE` | its URL leads nowhere, for the worker too |
//! | `renumbered` | messages that crossed while the worker was stopped have new UIDs |
//! | `late` | a message waits for a new UID: the worker was stopped before it could be settled |
//! | `conflict` | `fra` and `ams` have both created alice's mailbox Plans, which was merged |
//! | `kept` | carol was deleted while there was mail for her elsewhere |
//! | `lapsed` | carol has not come to `ams` for longer than `mesh.presence` |
//! | `run COMMAND` | a command that ends with exit code 0 |
//! | `sql NODE: …` | statements on a node |

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};

use dbmail_mesh::scratch::standin::Mail;

use super::stage::Stage;

/// Names the messages of all documents.
static MAILS: AtomicU32 = AtomicU32::new(1);

/// What clients see.
const SHOWN: &str = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";

const RENUMBERED: &str = "select count(*) from dbmail_mesh.renumbers";

/// Prepares one of the scenes.
pub async fn play(scene: &str, stage: &mut Stage) -> Result<(), String> {
    let (first, rest) = scene.split_once(' ').unwrap_or((scene, ""));
    match (first, rest) {
        ("mesh", "") => mesh(stage).await,
        ("without", node) => {
            stage.leave_out(node);
            mesh(stage).await
        }
        ("worker", "stopped") => {
            stage.rest().await;
            Ok(())
        }
        ("worker", "running") => {
            stage.work(&[]).await;
            Ok(())
        }
        ("mail", node) => deliver(stage, node, "alice", "INBOX").await,
        ("cut", rest) => {
            stage.cut_off(rest.trim_start_matches("off "));
            stage.work(&[]).await;
            Ok(())
        }
        ("renumbered", "") => renumbered(stage).await,
        ("late", "") => late(stage).await,
        ("conflict", "") => conflict(stage).await,
        ("kept", "") => kept(stage).await,
        ("lapsed", "") => lapsed(stage).await,
        ("run", command) => succeed(stage, command).await,
        ("sql", rest) => {
            let (node, sql) = rest.split_once(": ").ok_or("write it as sql NODE: …")?;
            stage.sql(node, sql).await
        }
        _ => Err(format!("no such preparation: {scene}")),
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

async fn succeed(stage: &Stage, command: &str) -> Result<(), String> {
    match stage.shell(command).await? {
        (Some(0), _) => Ok(()),
        (code, printed) => Err(format!("$ {command}\nexit code {code:?}\n{printed}")),
    }
}

async fn deliver(stage: &Stage, node: &str, owner: &str, mailbox: &str) -> Result<(), String> {
    let mailbox = stage.mailbox(node, owner, mailbox).await?;
    let name = format!("m{}", MAILS.fetch_add(1, Ordering::Relaxed));
    stage.dbmail(node).await?.deliver(mailbox, &Mail::named(&name)).await.map_err(said).map(drop)
}

/// alice reads on `ams` and `fra`; bob has never come.
async fn mesh(stage: &mut Stage) -> Result<(), String> {
    let nodes: String = stage.taking_part().map(|node| format!(" --node {}", node.name)).collect();
    succeed(stage, &format!("dbmail-mesh migrate up --user dbmail_mesh_owner{nodes}")).await?;
    let mut ams = stage.dbmail("ams").await?;
    for owner in ["alice", "bob"] {
        ams.create_user(owner).await.map_err(said)?;
        ams.create_mailbox(owner, "INBOX").await.map_err(said)?;
    }
    ams.create_mailbox("alice", "Sent").await.map_err(said)?;
    stage.work(&[]).await;
    // One after the other, so that UIDs are the same each time.
    for (count, (node, owner)) in
        (1..).zip([("ams", "alice"), ("fra", "alice"), ("ams", "bob"), ("fra", "bob"), ("fra", "alice")])
    {
        deliver(stage, node, owner, "INBOX").await?;
        stage.until(SHOWN, count).await?;
    }
    for node in ["ams", "fra"] {
        stage.dbmail(node).await?.login("alice").await.map_err(said)?;
    }
    stage.until("select count(*) from dbmail_mailboxes where name = 'Sent'", 1).await?;
    stage.until("select count(*) from dbmail_mesh.late", 0).await
}

/// While the worker is stopped `ams` delivers twice and `fra` once, each to a mailbox that is being read; then the link from `fra` to
/// `ams` comes back, and after that all.
async fn renumbered(stage: &mut Stage) -> Result<(), String> {
    stage.rest().await;
    for node in ["ams", "fra", "ams"] {
        deliver(stage, node, "alice", "INBOX").await?;
    }
    stage.work(&["--node", "ams"]).await;
    stage.until_on("ams", RENUMBERED, 1).await?;
    stage.work(&[]).await;
    stage.until(RENUMBERED, 2).await?;
    stage.until("select count(*) from dbmail_mesh.late", 0).await
}

/// A link brings it, and nothing may be renumbered before it has been there for an hour.
async fn late(stage: &mut Stage) -> Result<(), String> {
    stage.rest().await;
    for node in ["ams", "fra", "ams"] {
        deliver(stage, node, "alice", "INBOX").await?;
    }
    stage.work(&["--set", "mesh.settle_after=1h"]).await;
    stage.until_on("ams", "select least(count(*), 1) from dbmail_mesh.late_messages", 1).await
}

async fn conflict(stage: &mut Stage) -> Result<(), String> {
    stage.rest().await;
    for node in ["ams", "fra"] {
        stage.dbmail(node).await?.create_mailbox("alice", "Plans").await.map_err(said)?;
    }
    stage.work(&[]).await;
    stage.until("select count(*) from dbmail_mailboxes where name like 'Plans%'", 1).await?;
    stage.until_on("ams", "select least(count(*), 1) from dbmail_mesh.mailbox_conflicts", 1).await
}

async fn kept(stage: &mut Stage) -> Result<(), String> {
    let mut ams = stage.dbmail("ams").await?;
    ams.create_user("carol").await.map_err(said)?;
    ams.create_mailbox("carol", "INBOX").await.map_err(said)?;
    stage.mailbox("fra", "carol", "INBOX").await?;
    stage.rest().await;
    deliver(stage, "fra", "carol", "INBOX").await?;
    ams.delete_user("carol").await.map_err(said)?;
    stage.work(&[]).await;
    stage.until("select count(*) from dbmail_mesh.kept_messages", 1).await
}

async fn lapsed(stage: &mut Stage) -> Result<(), String> {
    let mut ams = stage.dbmail("ams").await?;
    ams.create_user("carol").await.map_err(said)?;
    ams.create_mailbox("carol", "INBOX").await.map_err(said)?;
    deliver(stage, "ams", "carol", "INBOX").await?;
    ams.login("carol").await.map_err(said)?;
    let long_ago = "update dbmail_mesh.presence set seen_at = now() - interval '82 days'
                    where user_idnr = (select user_idnr from dbmail_users where userid = 'carol')";
    stage.sql("ams", long_ago).await?;
    deliver(stage, "ams", "carol", "INBOX").await
}
