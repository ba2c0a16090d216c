//! What is measured: a file a row.

mod catch_up;
mod deliveries;
mod idle;
mod join;
mod latency;
mod login;
mod nodes;
mod settlement;
mod size;
mod steady;

use std::pin::Pin;

use anyhow::Result;

use crate::Options;
use crate::figures::Figure;

/// How a row is measured.
type Measured<'a> = Pin<Box<dyn Future<Output = Result<Vec<Figure>>> + 'a>>;

/// A row of the table, or several that are measured together.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    pub measure: for<'a> fn(&'a Options) -> Measured<'a>,
}

/// All of them, in the order in which they are measured.
pub const ALL: &[Row] = &[
    Row {
        name: catch_up::NAME,
        what: "a backlog over one link, and the worker's memory meanwhile",
        measure: |options| Box::pin(catch_up::measure(options)),
    },
    Row {
        name: join::NAME,
        what: "a new node that is filled with all that a member has",
        measure: |options| Box::pin(join::measure(options)),
    },
    Row {
        name: deliveries::NAME,
        what: "what dbmail feels of the triggers when it delivers",
        measure: |options| Box::pin(deliveries::measure(options)),
    },
    Row {
        name: login::NAME,
        what: "what a login costs a user with many mailboxes",
        measure: |options| Box::pin(login::measure(options)),
    },
    Row {
        name: latency::NAME,
        what: "from a commit to visible on another node, while little else goes on",
        measure: |options| Box::pin(latency::measure(options)),
    },
    Row {
        name: steady::NAME,
        what: "three nodes that deliver at half of what they can",
        measure: |options| Box::pin(steady::measure(options)),
    },
    Row {
        name: settlement::NAME,
        what: "conflicts in one mailbox that get new UIDs on two nodes",
        measure: |options| Box::pin(settlement::measure(options)),
    },
    Row {
        name: idle::NAME,
        what: "what a mesh costs in which nothing happens",
        measure: |options| Box::pin(idle::measure(options)),
    },
    Row {
        name: size::NAME,
        what: "what a change costs on nodes that hold little, and much",
        measure: |options| Box::pin(size::measure(options)),
    },
    Row {
        name: nodes::NAME,
        what: "what a message costs on a target in a mesh of sixteen nodes, and of four",
        measure: |options| Box::pin(nodes::measure(options)),
    },
];
