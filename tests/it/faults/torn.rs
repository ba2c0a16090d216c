//! A settlement of the real worker that is torn between the commits of its nodes.
//!
//! The relays keep the COMMIT of some nodes from coming through, those of the others come. Then the worker is killed, or the network is
//! cut, or the nodes crash that have not committed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::Mail;

use super::ground::Ground;
use super::relay::{Relay, Trap};
use crate::mesh::DEADLINE;

/// The nodes that do not commit, in turn.
const LOST: [&[i16]; 7] = [&[1], &[2], &[3], &[1, 2], &[1, 3], &[2, 3], &[1, 2, 3]];
/// Tries until it was the settlement's commit that was caught, and not one of a link's.
const TRIES: usize = 6;

#[derive(Clone, Copy, Debug)]
enum Ending {
    WorkerKilled,
    NetworkCut,
    NodesCrash,
}

const ENDINGS: [Ending; 3] = [Ending::WorkerKilled, Ending::NetworkCut, Ending::NodesCrash];

/// The numbers that a node knows: which message has which.
async fn numbers(ground: &Ground, id: i16) -> BTreeSet<(i64, i64)> {
    let client = ground.mesh.psql(id).await;
    let rows = client.query("select uid, birth_uid from dbmail_mesh.number", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Three messages in an order in which something is late, on all nodes, and not settled yet. The relays are cut when it returns.
async fn something_late(ground: &mut Ground, inbox: MailboxId, round: &str) {
    ground.relays.iter().for_each(Relay::cut);
    for id in [2, 3, 1] {
        ground.session(id).await.unwrap().deliver(inbox, &Mail::named(&format!("{round}-{id}"))).await.unwrap();
    }
}

/// Waits until each node has all messages, be it in hiding. They are settled a second later.
async fn await_all_there(ground: &Ground, delivered: i64) {
    let held = "select (select count(*) from dbmail_mesh.late where row_idnr >= 281474976710656)
                     + (select count(*) from dbmail_messages where status < 2)";
    for id in ground.ids() {
        ground.mesh.await_count(id, held, delivered).await;
    }
}

/// Waits until all nodes know the same numbers: they are told to those that took no part in a settlement as ordinary changes.
async fn await_same_numbers(ground: &Ground) -> BTreeSet<(i64, i64)> {
    let begun = Instant::now();
    loop {
        let mut known = Vec::new();
        for id in ground.ids() {
            known.push(numbers(ground, id).await);
        }
        if known.iter().all(|numbers| *numbers == known[0]) {
            return known.swap_remove(0);
        }
        assert!(begun.elapsed() < DEADLINE, "nodes know other numbers: {known:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Has the settlement of three messages torn; whether it was one.
async fn tear(ground: &mut Ground, inbox: MailboxId, round: &str, lost: &[i16], ending: Ending) -> bool {
    let before = await_same_numbers(ground).await;
    something_late(ground, inbox, round).await;
    // The traps are there before anything flows: however slow the machine, no settlement comes before them.
    ground.relays.iter().for_each(Relay::heal);
    lost.iter().for_each(|id| ground.relay(*id).set(Trap::KeepsCommit));
    let caught = async {
        for id in lost {
            ground.relay(*id).sprung().await;
        }
    };
    tokio::time::timeout(DEADLINE, caught).await.expect("nobody commits");
    // Those that do commit have what was sent at the same time.
    let committed = |id: &i16| !lost.contains(id);
    let begun = Instant::now();
    let mut is_torn = lost.len() == 3;
    for id in ground.ids().into_iter().filter(committed) {
        while numbers(ground, id).await == before && begun.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        is_torn |= numbers(ground, id).await != before;
    }
    match ending {
        Ending::WorkerKilled => ground.worker.take().unwrap().kill().await,
        Ending::NetworkCut => ground.relays.iter().for_each(Relay::cut),
        Ending::NodesCrash => {
            for id in lost {
                ground.cluster(*id).stop_immediate().await.unwrap();
            }
        }
    }
    // What was kept must never arrive: the server must not commit when it flows again.
    ground.relays.iter().for_each(Relay::cut);
    for id in lost {
        if matches!(ending, Ending::NodesCrash) {
            ground.cluster(*id).start_again().await.unwrap();
        }
        assert_eq!(numbers(ground, *id).await, before, "node {id} has committed what it was not told to");
    }
    ground.relays.iter().for_each(Relay::heal);
    if ground.worker.is_none() {
        ground.start_worker();
    }
    is_torn
}

/// Each set of nodes whose commit is lost, each ending in turn (`FAULTS` set: each with each). The mesh ends equal, no number stands for two
/// messages, and nobody helps.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_torn_between_any_two_commits_ends_equal() {
    let mut ground = Ground::plain(3).await;
    let (inbox, _, _) = ground.create_mailboxes().await[0];
    ground.worker.take().unwrap().kill().await;
    ground.mesh.mesh.settle_after = Duration::from_millis(1_200);
    ground.start_worker();
    let every = std::env::var_os("FAULTS").is_some();
    let (mut delivered, mut torn) = (0, 0);
    for (round, lost) in LOST.iter().enumerate() {
        let endings = if every { ENDINGS.to_vec() } else { vec![ENDINGS[round % ENDINGS.len()]] };
        for ending in endings {
            let mut is_torn = false;
            for attempt in 0..TRIES {
                let name = format!("{round}-{ending:?}-{attempt}");
                is_torn = tear(&mut ground, inbox, &name, lost, ending).await;
                delivered += 3;
                ground.mesh.await_equal(inbox, delivered as usize).await;
                if is_torn {
                    break;
                }
            }
            assert!(is_torn, "no settlement was torn: {lost:?}, {ending:?}");
            torn += 1;
        }
    }
    println!("{torn} settlements torn, {delivered} messages");
    let known = await_same_numbers(&ground).await;
    for id in ground.ids() {
        let reused = "select count(*) from dbmail_mesh.number n join dbmail_mesh.number m on m.birth_uid = n.uid";
        assert_eq!(ground.mesh.count(id, reused).await, 0);
    }
    assert!(known.len() >= torn, "too few numbers to prove anything");
}

/// A node that took a commit and then said nothing more, to anybody, kept all settlements of all nodes waiting, for ever.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and more: make soak"]
async fn a_node_that_falls_silent_in_a_settlement_holds_the_others_up_for_half_a_minute() {
    let mut ground = Ground::plain(3).await;
    let places = ground.create_mailboxes().await;
    let (inbox, other) = (places[0].0, places[1].0);
    ground.worker.take().unwrap().kill().await;
    ground.mesh.mesh.settle_after = Duration::from_millis(1_200);
    ground.start_worker();
    something_late(&mut ground, inbox, "first").await;
    ground.relays.iter().for_each(Relay::heal);
    await_all_there(&ground, 3).await;
    ground.relay(3).set(Trap::KeepsAnswer);
    tokio::time::timeout(DEADLINE, ground.relay(3).sprung()).await.expect("nobody commits");
    let near = [ground.relay(1), ground.relay(2)];
    near.iter().for_each(|relay| relay.cut());
    for (id, name) in [(2, "b"), (1, "a"), (2, "b2")] {
        ground.session(id).await.unwrap().deliver(other, &Mail::named(name)).await.unwrap();
    }
    near.iter().for_each(|relay| relay.heal());
    let begun = Instant::now();
    for id in [1, 2] {
        while ground.mesh.uids(id, other).await.len() != 3 {
            assert!(begun.elapsed() < Duration::from_secs(120), "the others are held up{}", ground.links().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("the others went on after {:?}", begun.elapsed());
    assert!(
        ground.mesh.count(1, "select count(*) from dbmail_mesh.number").await > 0,
        "nothing was late: the test tests nothing"
    );
    ground.relay(3).heal();
    ground.mesh.await_equal(inbox, 3).await;
    ground.mesh.await_equal(other, 3).await;
}
