//! Two workers for the same nodes: one is at work, the other stands by, and takes over by itself.

use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Mail;

use super::ground::Ground;
use super::relay::{Flow, Relay};

/// How long it may take until the second one has brought a message: a server waits for five seconds for the first, the second looks
/// each second, and connects. The rest is for a busy machine.
const TAKEOVER_MAX: Duration = Duration::from_secs(20);

async fn delivered(ground: &Ground, inbox: MailboxId, name: &str) {
    ground.session(1).await.unwrap().deliver(inbox, &Mail::named(name)).await.unwrap();
}

/// Waits until node 2 shows so many messages; how long that took.
async fn shown(ground: &Ground, inbox: MailboxId, count: usize) -> Duration {
    let begun = Instant::now();
    while ground.mesh.uids(2, inbox).await.len() != count {
        assert!(begun.elapsed() < TAKEOVER_MAX, "nobody took over{}", ground.links().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

fn stall(relays: &[Relay]) {
    relays.iter().for_each(|relay| relay.flow(Flow::Stalled, Flow::Stalled));
}

/// A worker whose machine was gone, or cut off, kept its lock on each node for as long as TCP takes to notice, two hours as a rule: the
/// other stood by, and nothing was replicated.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_worker_takes_over_when_the_first_is_killed_or_cut_off() {
    let mut ground = Ground::plain(2).await;
    let (inbox, _, _) = ground.create_mailboxes().await[0];
    // The first is at work already.
    let others = ground.more_relays().await;
    let second = ground.worker_through(&others);
    delivered(&ground, inbox, "first").await;
    shown(&ground, inbox, 1).await;
    ground.worker.take().unwrap().kill().await;
    delivered(&ground, inbox, "killed").await;
    let after_kill = shown(&ground, inbox, 2).await;

    // Now the second is at work, and the first stands by.
    ground.start_worker();
    let active =
        "select count(*) from pg_locks where locktype = 'advisory' and objid = 0 and classid = 1684169070 and granted";
    ground.mesh.await_count(1, active, 1).await;
    delivered(&ground, inbox, "two").await;
    shown(&ground, inbox, 3).await;
    stall(&others);
    delivered(&ground, inbox, "cut off").await;
    let after_cut = shown(&ground, inbox, 4).await;
    println!("taken over {after_kill:?} after a SIGKILL, {after_cut:?} after a silent network");

    // The one that was cut off comes back, and does no harm.
    others.iter().for_each(Relay::heal);
    delivered(&ground, inbox, "back").await;
    ground.mesh.await_equal(inbox, 5).await;
    // What it says of links that it does not drive any more is not the last word.
    ground.await_current(Duration::from_secs(60)).await;
    drop(second);
}
