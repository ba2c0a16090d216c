//! A link that stands still because somebody has paused it, or one of its nodes. The pause is a row on a node, so that every worker obeys
//! it; a batch that is under way ends first.

use std::time::{Duration, Instant};

use futures_util::future::join;

use super::hub::Node;
use crate::error::Result;
use crate::node::pause::{self, WHOLE_NODE};

/// How often a link that is at work looks whether it is paused, and one that is paused whether it may go on.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What a link knows of pauses.
#[derive(Debug, Default)]
pub(super) struct Halt {
    looked: Option<Instant>,
    /// The pauses that it has said it obeys; none: it goes.
    obeyed: Vec<String>,
}

impl Halt {
    /// Whether the link is paused. A link that goes is asked about that now and then only. One that is paused has said so on its target
    /// by the time that this returns.
    pub(super) async fn is_on(&mut self, source: &Node, target: &Node) -> Result<bool> {
        if self.obeyed.is_empty() && self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return Ok(false);
        }
        let (on_target, on_source) =
            join(async { pause::pauses(&target.reader().await?, &[source.endpoint.id, WHOLE_NODE]).await }, async {
                pause::pauses(&source.reader().await?, &[WHOLE_NODE]).await
            })
            .await;
        let mut pauses = on_target?;
        match on_source {
            Ok(more) => pauses.extend(more),
            // The target's word is enough to stand still, not to go.
            Err(error) if pauses.is_empty() => return Err(error),
            Err(_) => {}
        }
        let mut tokens: Vec<String> = pauses.into_iter().map(|(_, pause)| pause.token).collect();
        tokens.sort();
        self.looked = Some(Instant::now());
        if tokens != self.obeyed && !tokens.is_empty() {
            pause::obey(&target.writer().await?, source.endpoint.id, &tokens).await?;
            let (source, target) = (&source.endpoint.name, &target.endpoint.name);
            tracing::info!(source, target, "link is paused; it stands still");
        }
        self.obeyed = tokens;
        Ok(!self.obeyed.is_empty())
    }

    /// What it said of pauses no longer holds: an error was reported in its place.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
