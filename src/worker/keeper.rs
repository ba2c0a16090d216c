//! Housekeeping of a node: looks who was overtaken while a line was locked for too long, takes out mailboxes and users that are to go,
//! empties the outbox of what all peers hold, and notes how far numbers are used up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Client;

use super::guard::Guard;
use super::hub::Hub;
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::ask;
use crate::node::fates::{self, Outcome};
use crate::node::locks::{self, LockPatience};

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often that is done which has time: noting how far numbers are used up (at most once an hour), and tidying.
const RARE_INTERVAL: Duration = Duration::from_secs(300);
/// How often the outbox is emptied, and what is dead forgotten, where nothing else is to be done.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);
/// The most signs of readers removed at once.
const SIGNS_AT_ONCE: i64 = 10_000;

/// The most mailboxes, and the most users, that are taken out in one round, and the most transactions for each of them.
const FATES_AT_ONCE: i64 = 50;
const STEPS_AT_ONCE: usize = 20;

/// The most mailboxes swept at a time.
const MAILBOXES_AT_ONCE: i64 = 100;

/// Keeps house on a node, for ever.
pub(crate) async fn run(hub: Arc<Hub>, id: NodeId, mut guard: Guard) {
    let (mut done, mut tidied): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        guard.active().await;
        let failed = |error: Error| {
            guard.heed(&error);
            tracing::debug!(node = %id, %error, "housekeeping failed; it is tried again");
        };
        let is_due = done.is_none_or(|at| at.elapsed() >= RARE_INTERVAL);
        let round = async {
            if is_due {
                rarely(&hub, id).await.map(|()| done = Some(Instant::now())).unwrap_or_else(failed);
            }
            let is_tidy = tidied.is_some_and(|at| at.elapsed() < TIDY_INTERVAL);
            let has_work = !hub.node(id).is_ok_and(|node| node.outlook.has_no_housework());
            if is_tidy && !has_work {
                return false;
            }
            let more = once(&hub, id, has_work).await;
            tidied = matches!(more, Ok(false)).then(Instant::now);
            more.map_err(failed).unwrap_or(false)
        };
        let more = guard.while_active(round).await.unwrap_or(false);
        if !more {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// What has time: notes how far numbers are used up, and removes what says no more than something later does.
async fn rarely(hub: &Hub, id: NodeId) -> Result<()> {
    let client = hub.node(id)?.writer().await?;
    ask::row(&client, include_str!("../../sql/node/sample_numbers.sql"), &[]).await?;
    ask::row(&client, include_str!("../../sql/node/forget_signs.sql"), &[&SIGNS_AT_ONCE]).await?;
    Ok(())
}

/// One round. `has_work`: there is, or may be, more to do than to tidy. Returns whether there is more to do at once.
async fn once(hub: &Hub, id: NodeId, has_work: bool) -> Result<bool> {
    let mut client = hub.node(id)?.writer().await?;
    let mut more = false;
    if has_work {
        let overtaken = sweep(hub, &mut client).await?;
        if overtaken > 0 {
            tracing::info!(node = %id, overtaken, "messages were overtaken while a mailbox was locked; they will be renumbered");
            hub.late.notify_one();
        }
        more = carry_out_fates(hub, id, &mut client).await?;
    }
    ask::run(&client, include_str!("../../sql/node/forget_dead.sql"), &[]).await?;
    let keep_s = hub.worker.outbox_keep.as_secs_f64();
    ask::row(&client, include_str!("../../sql/node/purge_outbox.sql"), &[&keep_s, &hub.worker.outbox_rows_max]).await?;
    Ok(more)
}

/// Takes out what is to go, as far as that is possible now. What is in somebody's way does not keep the rest waiting. Returns whether
/// some has gone and more may be waiting.
async fn carry_out_fates(hub: &Hub, id: NodeId, client: &mut Client) -> Result<bool> {
    let all = fates::doomed(client, FATES_AT_ONCE).await?;
    let is_full = i64::try_from(all.len()).unwrap_or(i64::MAX) >= FATES_AT_ONCE;
    let mut gone = 0;
    for doomed in all {
        for _ in 0..STEPS_AT_ONCE {
            match fates::carry_out(client, id, doomed, hub.lock_ms()).await {
                // Messages may wait for a UID in their new mailbox from now on.
                Ok(Outcome::More) => hub.late.notify_one(),
                Ok(Outcome::Waits) => break,
                Ok(Outcome::Gone) => {
                    gone += 1;
                    tracing::info!(node = %id, ?doomed, "taken out: it was deleted or merged");
                    break;
                }
                Err(error) if error.kind() == Kind::Transient => {
                    tracing::debug!(node = %id, ?doomed, %error, "not taken out yet; it is tried again");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(is_full && gone > 0)
}

/// Looks who was overtaken, a short transaction a mailbox: it holds the lock that deliveries wait for.
async fn sweep(hub: &Hub, client: &mut Client) -> Result<i64> {
    let mailboxes =
        ask::rows(client, include_str!("../../sql/node/overtaken_mailboxes.sql"), &[&MAILBOXES_AT_ONCE]).await?;
    let mut overtaken = 0;
    for mailbox in &mailboxes {
        let mailbox: i64 = mailbox.get(0);
        match sweep_one(hub, client, mailbox).await {
            Ok(found) => overtaken += found,
            // A line that is held is just where marks are left; the other mailboxes do not wait for it.
            Err(error) if error.kind() == Kind::Transient => {
                tracing::debug!(mailbox, %error, "the line is held; its mailbox is looked at again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(overtaken)
}

async fn sweep_one(hub: &Hub, client: &mut Client, mailbox: i64) -> Result<i64> {
    let transaction = client.transaction().await?;
    locks::guard(&transaction, LockPatience::of(hub.lock_ms())).await?;
    let row = ask::row(&transaction, include_str!("../../sql/node/sweep_overtaking.sql"), &[&mailbox]).await?;
    transaction.commit().await?;
    Ok(row.get(0))
}
