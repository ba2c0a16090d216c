//! A link that stands still because somebody has paused it, or one of its nodes. The pause is a row on a node, so that every worker obeys
//! it; a batch that is under way ends first.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::join;

use super::hub::Node;
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::pause::{self, Pause, WHOLE_NODE};

/// How often a link that is at work looks whether it is paused, and one that is paused whether it may go on.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a node may take to say whether it is paused: longer than a session of a pool is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long a source may, where the target says so already.
const ANSWER_SOON: Duration = Duration::from_secs(2);

/// What a link knows of pauses.
#[derive(Debug, Default)]
pub(super) struct Halt {
    looked: Option<Instant>,
    /// The pauses that it has said it obeys; none: it goes.
    obeyed: Vec<String>,
}

impl Halt {
    /// Whether the link is paused. A link that goes is asked about that now and then only. One that is paused has said so on its target
    /// by the time that this returns. One that is at ease goes by what its nodes have said last.
    pub(super) async fn is_on(&mut self, source: &Node, target: &Node, at_ease: bool) -> Result<bool> {
        if self.obeyed.is_empty()
            && at_ease
            && target.outlook.goes(&[source.endpoint.id, WHOLE_NODE])
            && source.outlook.goes(&[WHOLE_NODE])
        {
            return Ok(false);
        }
        if self.obeyed.is_empty() && self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return Ok(false);
        }
        let of_target = async { pause::pauses(&target.reader().await?, &[source.endpoint.id, WHOLE_NODE]).await };
        let of_source = async { pause::pauses(&source.reader().await?, &[WHOLE_NODE]).await };
        // Both are asked at once: a batch waits for the answers.
        let mut of_source = pin!(told(ANSWER_MAX, of_source));
        let (pauses, early) =
            join(told(ANSWER_MAX, of_target), tokio::time::timeout(ANSWER_SOON, of_source.as_mut())).await;
        let mut pauses = pauses?;
        // The target's word is enough to stand still, not to go.
        let more = match early {
            Ok(answer) => answer,
            Err(_) if !pauses.is_empty() => Ok(Vec::new()),
            Err(_) => of_source.await,
        };
        match more {
            Ok(more) => pauses.extend(more),
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

/// What a node says. One on which nothing can be looked up, because dbmail-mesh is not installed there, or too old, has no pauses:
/// admission says the rest in better words.
async fn told(
    patience: Duration,
    asking: impl Future<Output = Result<Vec<(NodeId, Pause)>>>,
) -> Result<Vec<(NodeId, Pause)>> {
    let answer = tokio::time::timeout(patience, asking)
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, "it does not say whether it is paused")));
    answer.or_else(|error| if error.kind() == Kind::Refused { Ok(Vec::new()) } else { Err(error) })
}
