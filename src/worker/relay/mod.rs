//! Relay: what a third node gave to the source, and cannot give to the target itself, because it is lost or cut off from it.
//!
//! For each link the target knows a snapshot of the source up to which it has *everything* that the source had, wherever it came from
//! (`cursor.relayed_snapshot`). To move it on, a later snapshot is taken, with how far the source had taken over what each third node has.
//! Once the target has as much of each from the node itself, all that the source had is there. While all nodes hear one another that is so
//! within seconds, and nothing is shipped. A third node that the target has not heard of for `worker.relay_after` is not waited for: the
//! keys that came from it to the source since are read and joined as any others are.
//!
//! What is joined thereby is noted as the target's own change, so that it goes to all others the usual way, also where the source is lost
//! next. Nothing new goes nowhere: a state that changes nothing is not noted, and so it ends.
//!
//! Of several sources that could relay a third node, one does at a time. Afterwards the target knows how far it has what that node did
//! (`dbmail_mesh.heard`), and takes from the others only what goes beyond.

mod pass;
mod silence;

use std::time::{Duration, Instant};

use deadpool_postgres::Client;

use super::hub::{Hub, Node, Turn};
use super::portion::Portion;
use crate::domain::ids::NodeId;
use crate::domain::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::node::apply::Bounds;
use crate::node::cursor::Cursor;
use crate::node::relay::{Held, Lacked};
use crate::node::scan::SourceRead;
use crate::node::store;
use pass::Pass;
use silence::Silence;

/// How often a later snapshot is taken, at the most.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked whether the target has all that the source had then.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a moment is kept at which the source had not said how far it had a third node, because it was copying from that.
const VAGUE_INTERVAL: Duration = Duration::from_secs(60);

/// What a link knows of what its source has from third nodes.
#[derive(Debug)]
pub(super) struct Relay {
    taken_at: Option<Instant>,
    looked_at: Option<Instant>,
    candidate: Option<Candidate>,
    silence: Silence,
    portion: Portion,
    /// What the target was told.
    told: Option<Vec<NodeId>>,
}

/// A moment of the source that the target is to reach.
#[derive(Debug)]
struct Candidate {
    /// The moment that the target has reached so far.
    since: Option<String>,
    held: Held,
    /// Third nodes of which everything was taken over from the source.
    done: Vec<NodeId>,
    pass: Option<Pass>,
    /// Keeps other links from relaying the same nodes, until it is noted how far the target has them.
    turns: Vec<Turn>,
}

impl Candidate {
    /// Whether it is this link's turn for all that a pass is about. After a session that ended it has to be taken again.
    fn have_turns(&mut self, way: &Way<'_>, pass: &Pass) -> bool {
        for lacked in &pass.of {
            if !self.turns.iter().any(|turn| turn.node == lacked.node) {
                match way.target.turns.take(lacked.node) {
                    Some(turn) => self.turns.push(turn),
                    None => return false,
                }
            }
        }
        true
    }
}

/// Between which nodes it is, and within which bounds.
pub(super) struct Way<'a> {
    pub(super) hub: &'a Hub,
    pub(super) source: &'a Node,
    pub(super) target: &'a Node,
    pub(super) bounds: Bounds,
}

/// What became of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, for now.
    Nothing,
    /// There is more to do at once.
    More,
    /// The target has all that the source had from third nodes up to this snapshot.
    Reached(String),
}

impl Relay {
    /// Nothing yet; `most` keys a batch.
    pub(super) fn new(most: i64) -> Self {
        Self {
            taken_at: None,
            looked_at: None,
            candidate: None,
            silence: Silence::default(),
            portion: Portion::new(most),
            told: None,
        }
    }

    /// A session of the link has ended. What is done stays done, or a long pass would never end on a busy node; others may have the turn.
    pub(super) fn lie_down(&mut self) {
        self.told = None;
        if let Some(candidate) = &mut self.candidate {
            candidate.turns.clear();
        }
    }

    /// A step, if one is due: at most one batch. `stored` is the cursor on the target, `seen` how far the link has looked.
    ///
    /// # Errors
    /// As for a batch; `Refused` when something cannot be relayed any more.
    pub(super) async fn step(&mut self, way: &Way<'_>, stored: &Cursor, seen: &Cursor) -> Result<Step> {
        if stored.copy.is_some() || !self.is_due(way.hub.worker.relay_after) {
            return Ok(Step::Nothing);
        }
        self.looked_at = Some(Instant::now());
        // The position may be another: the nodes have joined anew, or the worker was not the active one for a while.
        self.candidate.take_if(|candidate| candidate.since != seen.relayed);
        let candidate = match &mut self.candidate {
            Some(candidate) => candidate,
            None => {
                self.taken_at = Some(Instant::now());
                self.adopt_aside(way).await?;
                let held = take(way, seen).await?;
                if !held.has_some && !held.is_cut {
                    return Ok(Step::Reached(held.snapshot));
                }
                let since = seen.relayed.clone();
                self.candidate.insert(Candidate { since, held, done: Vec::new(), pass: None, turns: Vec::new() })
            }
        };
        if let Some(pass) = candidate.pass.clone() {
            return if candidate.have_turns(way, &pass) {
                self.go_on(way, stored, pass).await
            } else {
                Ok(Step::Nothing)
            };
        }
        let of_target = way.target.writer().await?;
        // It also has all that the source did by itself until then, once its link has looked so far.
        let looked = seen.from.parse::<Snapshot>()?.covers(&candidate.held.snapshot.parse()?);
        if looked && !candidate.turns.is_empty() {
            candidate.held.hear_of(&of_target, &candidate.done).await?;
            candidate.turns.clear();
        }
        let mut lacked = candidate.held.lacked_by(&of_target).await?;
        lacked.retain(|lacked| !candidate.done.contains(&lacked.node));
        if lacked.is_empty() {
            return if looked { self.reached(way, &of_target).await } else { Ok(Step::Nothing) };
        }
        let is_cut = candidate.held.is_cut;
        // While the source copies from a node it does not say how far it is: it is asked again later.
        let is_vague = lacked.iter().any(|lacked| !lacked.has_ended && candidate.held.is_vague_about(lacked.node));
        let now = Instant::now();
        lacked.retain(|lacked| lacked.has_ended || (!lacked.is_paused && self.silence.is_long(way, lacked.node, now)));
        if lacked.is_empty() {
            if is_vague && self.taken_at.is_none_or(|at| at.elapsed() >= VAGUE_INTERVAL) {
                self.candidate = None;
            }
            return Ok(Step::Nothing);
        }
        let turns: Vec<Turn> = lacked.iter().filter_map(|lacked| way.target.turns.take(lacked.node)).collect();
        if turns.is_empty() {
            return Ok(Step::Nothing);
        }
        candidate.turns.extend(turns);
        // Whoever had the turn before may have brought it.
        let mut of = candidate.held.lacked_by(&of_target).await?;
        let (turns, done) = (&candidate.turns, &candidate.done);
        of.retain(|lacked| turns.iter().any(|turn| turn.node == lacked.node) && !done.contains(&lacked.node));
        if is_cut && !of.is_empty() {
            return Err(cut_off(way, &of));
        }
        self.tell(way, &of_target, of.iter().map(|lacked| lacked.node).collect()).await?;
        drop(of_target);
        let pass = Pass::through(of);
        if let Some(candidate) = &mut self.candidate {
            candidate.pass = Some(pass.clone());
        }
        self.go_on(way, stored, pass).await
    }

    /// What could not be joined of a node that is not heard of any more is asked of this source, too.
    async fn adopt_aside(&mut self, way: &Way<'_>) -> Result<()> {
        let of_target = way.target.writer().await?;
        let source = way.source.endpoint.id;
        for node in store::aside_of_others(&of_target, source).await? {
            if self.silence.is_long(way, node, Instant::now()) {
                store::adopt_aside(&of_target, node, source).await?;
            }
        }
        Ok(())
    }

    /// Whether nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.candidate.is_none()
    }

    fn is_due(&self, relay_after: Duration) -> bool {
        let passed = |at: Option<Instant>, interval| at.is_none_or(|at| at.elapsed() >= interval);
        match &self.candidate {
            None => passed(self.taken_at, INTERVAL.min(relay_after)),
            Some(candidate) => candidate.pass.is_some() || passed(self.looked_at, LOOK_INTERVAL),
        }
    }

    /// The target has all that the source had from third nodes.
    async fn reached(&mut self, way: &Way<'_>, of_target: &Client) -> Result<Step> {
        let Some(candidate) = self.candidate.take() else { return Ok(Step::Nothing) };
        self.tell(way, of_target, Vec::new()).await?;
        Ok(Step::Reached(candidate.held.snapshot))
    }

    /// Tells the target which third nodes are relayed, when that has changed.
    async fn tell(&mut self, way: &Way<'_>, of_target: &Client, nodes: Vec<NodeId>) -> Result<()> {
        if self.told.as_ref() == Some(&nodes) {
            return Ok(());
        }
        if !nodes.is_empty() {
            let (source, target) = (&way.source.endpoint.name, &way.target.endpoint.name);
            let of: Vec<String> = nodes.iter().map(|node| way.hub.name(*node)).collect();
            tracing::info!(
                source,
                target,
                of = of.join(","),
                "not heard of; what they gave to the source is taken over from there"
            );
        }
        store::report_relays(of_target, way.source.endpoint.id, &nodes).await?;
        self.told = Some(nodes);
        Ok(())
    }
}

/// A later moment of the source.
async fn take(way: &Way<'_>, seen: &Cursor) -> Result<Held> {
    let mut of_source = way.source.reader().await?;
    let read = SourceRead::begin(&mut of_source).await?;
    let held = read.held(seen.relayed.as_deref(), way.target.endpoint.id).await?;
    read.end().await?;
    Ok(held)
}

fn cut_off(way: &Way<'_>, lacked: &[Lacked]) -> Error {
    let nodes: Vec<String> = lacked.iter().map(|lacked| way.hub.name(lacked.node)).collect();
    Error::refused(
        format!(
            "the source has cut off changes of node {} that the target had not taken over (worker.outbox_rows_max)",
            nodes.join(", ")
        ),
        format!("bring it up to date by dbmail-mesh join --node {}", way.target.endpoint.name),
    )
}
