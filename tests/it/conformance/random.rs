//! Scripts from a seed.

use fastrand::Rng;

use super::script::Step;
use super::store::{Folder, Tear};
use super::{LOGINS, NODES};

/// A script of so many steps, the same for the same seed, at the end of which all meet. Without flags: for the sake of MODSEQ, of which the
/// nodes in memory know nothing, a node that hears of a flag tells the others, which may so learn of the message before its node tells
/// them.
pub(crate) fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Rng::with_seed(seed);
    let mut delivered = 0;
    let mut steps: Vec<Step> = (0..count).map(|_| step(&mut random, &mut delivered)).collect();
    steps.push(Step::Converge);
    steps
}

fn step(random: &mut Rng, delivered: &mut usize) -> Step {
    let node = random.i16(1..=NODES);
    let other = 1 + (node - 1 + random.i16(1..NODES)) % NODES;
    let folder = if random.u8(..4) == 0 { Folder::Work } else { Folder::Inbox };
    let message = format!("m{}", random.usize(..(*delivered).max(1)));
    match random.u8(..100) {
        0..30 => {
            *delivered += 1;
            Step::Deliver(node, folder, format!("m{}", *delivered - 1))
        }
        30..58 => Step::Link(node, other),
        58..62 => Step::Replay(node, other),
        62..74 => Step::Settle(some_nodes(random)),
        74..79 => Step::Torn(some_nodes(random), tear(random)),
        79..86 => Step::Expunge(node, message),
        86..95 => Step::Move(node, message, folder),
        _ if LOGINS => Step::Login(node),
        _ => Step::Link(node, other),
    }
}

fn some_nodes(random: &mut Rng) -> Vec<i16> {
    let left_out = random.i16(0..=NODES);
    (1..=NODES).filter(|node| *node != left_out).collect()
}

fn tear(random: &mut Rng) -> Tear {
    match random.usize(..5) {
        0 => Tear::Reserved,
        1 => Tear::Locked,
        count => Tear::Committed(count - 1),
    }
}
