//! What the mesh of the settings uses up, by its own numbers.

use super::{Line, Measured, Plan};
use crate::cli::status::asked;
use crate::config::Settings;
use crate::domain::budget::{Burn, History, Millionths, Space, burn_over};
use crate::error::{Error, Kind, Result};
use crate::migrate::MigrationSet;
use crate::node::status::check::one_line;
use crate::node::status::numbers::SpaceStatus;
use crate::node::status::{NodeStatus, read};

pub(super) async fn plan(settings: &Settings) -> Result<Plan> {
    let asked = asked(settings, &[])?;
    let status = read(&asked, settings.mesh.stride, MigrationSet::embedded()?.latest()).await;
    let known: Vec<(&NodeStatus, &History)> =
        status.nodes.iter().filter_map(|node| Some((node, node.history.as_ref()?))).collect();
    let errors: Vec<String> = status.nodes.iter().filter_map(why_not).collect();
    if known.is_empty() {
        return Err(Error::new(Kind::Unreachable, errors.join("; ")));
    }
    let nodes: Vec<&History> = known.iter().map(|(_, history)| *history).collect();
    let mesh = History::of_mesh(nodes.iter().copied());
    let burn = mesh.best_rate(Space::Uids).and_then(|(window, _)| burn_over(&mesh, &nodes, window));
    let mut lines = vec![line(None, &mesh, Space::Uids, burn)];
    let one = Burn::designed(1, Millionths::ONE, Millionths(0));
    for (node, history) in &known {
        lines.push(line(Some(node.name.clone()), history, Space::PhysmessageIds, Some(one)));
    }
    lines.push(line(None, &mesh, Space::MailboxIds, None));
    let stride = u16::try_from(settings.mesh.stride.0).unwrap_or_default();
    Ok(Plan { imagined: false, nodes: settings.nodes.len(), stride, lines, errors })
}

/// Why a node's numbers are not known.
fn why_not(node: &NodeStatus) -> Option<String> {
    if node.history.is_some() {
        return None;
    }
    let why = match (&node.error, node.installed) {
        (Some(error), _) => one_line(error),
        (None, Some(false)) => "dbmail-mesh is not installed (run dbmail-mesh migrate up)".into(),
        (None, _) => "its schema is at a version that this program does not work with (see dbmail-mesh status)".into(),
    };
    Some(format!("node {}: {why}", node.name))
}

fn line(node: Option<String>, history: &History, space: Space, burn: Option<Burn>) -> Line {
    let outlook = history.outlook(space);
    let rates = history.earlier.keys().filter_map(|&window| {
        Some(Measured { measured_over: window, per_day: history.rate(space, window)?.per_day() })
    });
    Line {
        node,
        load: None,
        space: SpaceStatus::of(history, space),
        numbers_left: outlook.left,
        numbers_per_message: burn.map(Burn::per_message),
        messages_left: burn.and_then(|burn| burn.messages_for(outlook.left)),
        rates: rates.collect(),
    }
}
