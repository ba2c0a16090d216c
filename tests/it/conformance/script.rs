//! Scripts, and what comes of each step.

use std::fmt;

use dbmail_mesh::domain::ids::Uid;

use super::NODES;
use super::store::{Folder, Store, Tear, Told};

/// A step of a script. What is to be done with a message that the node does not show is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Deliver(i16, Folder, String),
    Login(i16),
    Expunge(i16, String),
    Move(i16, String, Folder),
    Seen(i16, String, bool),
    Link(i16, i16),
    Replay(i16, i16),
    Settle(Vec<i16>),
    Torn(Vec<i16>, Tear),
    /// All links and settlements, until nothing is new any more.
    Converge,
    /// The node shows these UIDs.
    Shows(i16, Folder, Vec<i64>),
}

/// What the nodes tell after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome(Vec<Told>);

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().zip(1..).try_for_each(|(told, node)| writeln!(f, "  node {node}:{told}"))
    }
}

/// Plays a script.
pub(crate) async fn play(store: &mut impl Store, steps: &[Step]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for step in steps {
        perform(store, step).await;
        outcomes.push(outcome(store).await);
    }
    outcomes
}

async fn outcome(store: &mut impl Store) -> Outcome {
    let mut told = Vec::new();
    for node in 1..=NODES {
        told.push(store.tell(node).await);
    }
    Outcome(told)
}

async fn perform(store: &mut impl Store, step: &Step) {
    match step {
        Step::Deliver(node, folder, name) => store.deliver(*node, *folder, name).await,
        Step::Login(node) => store.login(*node).await,
        Step::Expunge(node, name) => {
            if let Some((folder, uid)) = store.find(*node, name).await {
                store.expunge(*node, folder, uid).await;
            }
        }
        Step::Move(node, name, to) => {
            if let Some((from, uid)) = store.find(*node, name).await.filter(|(from, _)| from != to) {
                store.move_to(*node, from, uid, *to).await;
            }
        }
        Step::Seen(node, name, seen) => {
            if let Some((folder, uid)) = store.find(*node, name).await {
                store.set_seen(*node, folder, uid, *seen).await;
            }
        }
        Step::Link(source, target) => store.link(*source, *target).await,
        Step::Replay(source, target) => store.replay(*source, *target).await,
        Step::Settle(nodes) => settle(store, nodes, None).await,
        Step::Torn(nodes, tear) => settle(store, nodes, Some(*tear)).await,
        Step::Converge => converge(store).await,
        Step::Shows(node, folder, expected) => {
            let told = store.tell(*node).await;
            let shown: Vec<Uid> = told.shown[folder].iter().map(|(uid, ..)| *uid).collect();
            assert_eq!(shown, expected.iter().copied().map(Uid).collect::<Vec<_>>(), "node {node}, {folder:?}");
        }
    }
}

async fn settle(store: &mut impl Store, nodes: &[i16], tear: Option<Tear>) {
    for folder in Folder::ALL {
        store.settle(nodes, folder, tear).await;
    }
}

/// Rounds until nothing changes. All nodes must show the same then.
async fn converge(store: &mut impl Store) {
    let all: Vec<i16> = (1..=NODES).collect();
    let mut before = None;
    for _ in 0..20 {
        for source in 1..=NODES {
            for target in (1..=NODES).filter(|target| *target != source) {
                store.link(source, target).await;
            }
        }
        settle(store, &all, None).await;
        let now = outcome(store).await;
        if before.as_ref() == Some(&now) {
            let same =
                now.0.iter().all(|told| told.shown == now.0[0].shown && told.late.values().all(|late| late.is_empty()));
            assert!(same, "at rest and not equal:\n{now}");
            return;
        }
        before = Some(now);
    }
    panic!("no rest");
}
