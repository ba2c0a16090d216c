//! A history for people.

use dbmail_mesh::domain::ids::Uid;
use dbmail_mesh::domain::rule::Held;
use dbmail_mesh::model::Node;

use super::watch::{Nodes, members};
use super::world::{INBOX, Stage, Step, WORK, World};

/// A node's name.
pub fn name(index: usize) -> char {
    char::from(b'A' + index as u8)
}

fn names(nodes: Nodes) -> String {
    members(nodes).map(name).collect()
}

/// What a step did, and what the nodes have then.
pub fn tell(step: Step, after: &World) -> String {
    let nodes: Vec<String> = (0..after.nodes.len())
        .map(|index| match after.lost & (1 << index) {
            0 => format!("{} {}", name(index), node(&after.nodes[index], &after.watch.seen[index].told.get(&INBOX))),
            _ => format!("{} lost", name(index)),
        })
        .collect();
    format!("{:<44} {}", what(step, after), nodes.join(" | "))
}

fn node(node: &Node, told: &Option<&Uid>) -> String {
    let mut text = Vec::new();
    for (name, id) in [("", INBOX), ("work:", WORK)] {
        let mailbox = &node.mailboxes[&id];
        for (uid, birth) in &mailbox.visible {
            let was = if birth.0 == uid.0 { String::new() } else { format!("({birth})") };
            let waits = if matches!(node.messages[birth].held, Held::Waiting { .. }) { "w" } else { "" };
            text.push(format!("{name}{uid}{was}{waits}"));
        }
        for birth in mailbox.late.keys().filter(|birth| matches!(node.messages[birth].held, Held::Hidden { .. })) {
            text.push(format!("{name}hidden({birth})"));
        }
    }
    let told = told.map_or(String::new(), |told| format!(" told {told}"));
    format!("[{}]{told}", text.join(" "))
}

/// What a step does.
pub fn what(step: Step, after: &World) -> String {
    match step {
        Step::Deliver(at, mailbox) => format!("{}: mail for mailbox {mailbox}", name(at)),
        Step::Login(at) => format!("{}: the owner logs in", name(at)),
        Step::Share(at, true) => format!("{}: shared", name(at)),
        Step::Share(at, false) => format!("{}: not shared any more", name(at)),
        Step::Expunge(at, uid) => format!("{}: {uid} is expunged", name(at)),
        Step::Seen(at, uid) => format!("{}: \\Seen of {uid} changes", name(at)),
        Step::Move(at, uid, to) => format!("{}: {uid} is moved to mailbox {to}", name(at)),
        Step::Wait => "a long time passes".into(),
        Step::Lose(at) => format!("{} is lost", name(at)),
        Step::Link(from, to, birth) => format!("{} to {}: {birth}", name(from), name(to)),
        Step::LinkLook(from, to, birth) => format!("{} to {}: {birth}, decided", name(from), name(to)),
        Step::LinkWrite => "  written".into(),
        Step::Reserve(nodes, mailbox) => {
            let numbers: Vec<String> =
                after.settlement.iter().flat_map(|at| &at.reserved).map(ToString::to_string).collect();
            format!("settlement of {mailbox} by {}: reserves {}", names(nodes), numbers.join(" "))
        }
        Step::Lock => match &after.settlement {
            Some(at) if at.stage == Stage::Locked => "  all locks, decided".into(),
            _ => "  the numbers are too low: others are reserved".into(),
        },
        Step::Write => "  written".into(),
        Step::Commit(at) => format!("  {} commits", name(at)),
        Step::Crash => "  it breaks off".into(),
    }
}
