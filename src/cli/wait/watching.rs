//! Looks again and again whether all is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;

use super::progress::Progress;
use crate::cli::sessions::Sessions;
use crate::config::{NodeSettings, Settings};
use crate::domain::ids::NodeId;
use crate::error::{Error, Result};
use crate::node::wait::{Goals, Hidden, Tides, behind, hidden, mark, note_tides, position, tides};

/// How often it is looked at first, and later.
const LOOK_MIN: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_millis(200);

/// After this, links are asked to look once more at HIGHESTMODSEQs.
const TIDES_PATIENCE: Duration = Duration::from_secs(3);

/// What a node does not show yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// The sources of links that have not brought everything.
    pub(super) links: Vec<NodeId>,
    /// What has come, but is not to be seen.
    pub(super) hidden: Hidden,
    /// Mailboxes whose HIGHESTMODSEQ is lower than on a source.
    pub(super) tides: BTreeMap<NodeId, Vec<i64>>,
}

impl Lacks {
    fn is_nothing(&self) -> bool {
        self.links.is_empty() && self.hidden.is_nothing() && self.tides.is_empty()
    }
}

/// By node; those that show everything are not in it.
pub(super) type Missing = BTreeMap<NodeId, Lacks>;

/// Who looks at what, and until when.
pub(super) struct Watch<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) settings: &'a Settings,
    pub(super) deadline: Instant,
}

impl Watch<'_> {
    /// Waits until everything that is committed now on any node is visible on `targets`; with `settled`, and will not get another UID.
    /// Returns what is missing at the deadline.
    pub(super) async fn until_visible(
        &self,
        targets: &[&NodeSettings],
        settled: bool,
        progress: &mut Progress,
    ) -> Result<Missing> {
        let goals = self.goals().await?;
        let tides = if settled { self.tides().await? } else { BTreeMap::new() };
        let mut complete: BTreeMap<NodeId, Timestamp> = BTreeMap::new();
        let (mut marked, mut noted, mut interval) = (false, false, LOOK_MIN);
        let begun = Instant::now();
        loop {
            let looks = targets
                .iter()
                .map(|target| self.look(target, &goals, complete.get(&target.id), settled.then_some(&tides)));
            let mut missing = Missing::new();
            for (target, looked) in targets.iter().zip(join_all(looks).await) {
                let (at, lacks) = looked.map_err(|error| error.context(format!("node {}", target.name)))?;
                complete.extend(at.map(|at| (target.id, at)));
                missing.extend(lacks.map(|lacks| (target.id, lacks)));
            }
            if missing.is_empty() || Instant::now() >= self.deadline {
                return Ok(missing);
            }
            if !std::mem::replace(&mut marked, true) {
                self.mark(&missing).await?;
            }
            if begun.elapsed() > TIDES_PATIENCE && !std::mem::replace(&mut noted, true) {
                self.note_tides(&missing).await?;
            }
            progress.show(|| self.text(&missing));
            tokio::time::sleep(interval.min(self.deadline.saturating_duration_since(Instant::now()))).await;
            interval = (interval * 5 / 4).min(LOOK_MAX);
        }
    }

    async fn goals(&self) -> Result<Goals> {
        let ask = async |(id, client)| Ok::<_, Error>((id, position(client).await?));
        let positions = try_join_all(self.sessions.all().map(ask)).await?.into_iter().collect();
        let known: BTreeSet<NodeId> = self.settings.nodes.iter().map(|node| node.id).collect();
        Ok(Goals::of(&positions, &known))
    }

    /// What a node lacks. Once everything has come, by the moment that is told, it is only looked what of it cannot be seen.
    async fn look(
        &self,
        target: &NodeSettings,
        goals: &Goals,
        complete: Option<&Timestamp>,
        settled: Option<&BTreeMap<NodeId, Tides>>,
    ) -> Result<(Option<Timestamp>, Option<Lacks>)> {
        let client = self.sessions.with(target)?;
        let at = match complete {
            Some(at) => *at,
            None => {
                let position = position(client).await?;
                let links = goals.lacking(target.id, &position);
                if !links.is_empty() {
                    return Ok((None, Some(Lacks { links, ..Lacks::default() })));
                }
                position.at
            }
        };
        let mut lacks = Lacks { hidden: hidden(client, at, settled.is_some()).await?, ..Lacks::default() };
        for (source, there) in settled.into_iter().flatten().filter(|(source, _)| **source != target.id) {
            let behind = behind(client, there).await?;
            lacks.tides.extend((!behind.is_empty()).then_some((*source, behind)));
        }
        Ok((Some(at), (!lacks.is_nothing()).then_some(lacks)))
    }

    async fn tides(&self) -> Result<BTreeMap<NodeId, Tides>> {
        let ask = async |(id, client)| Ok::<_, Error>((id, tides(client).await?));
        Ok(try_join_all(self.sessions.all().map(ask)).await?.into_iter().collect())
    }

    /// What a worker that was killed had in mind about HIGHESTMODSEQs, it has forgotten.
    async fn note_tides(&self, missing: &Missing) -> Result<()> {
        let of = |id: NodeId| missing.values().filter_map(move |lacks| lacks.tides.get(&id)).flatten().copied();
        for (id, client) in self.sessions.all() {
            let mailboxes: BTreeSet<i64> = of(id).collect();
            if !mailboxes.is_empty() {
                note_tides(client, &mailboxes.into_iter().collect::<Vec<_>>()).await?;
            }
        }
        Ok(())
    }

    /// Links that have nothing to do store now how far they are.
    async fn mark(&self, missing: &Missing) -> Result<()> {
        let sources: BTreeSet<NodeId> = missing.values().flat_map(|lacks| lacks.links.iter().copied()).collect();
        let marks = self.sessions.all().filter(|(id, _)| sources.contains(id)).map(|(_, client)| mark(client));
        try_join_all(marks).await?;
        Ok(())
    }

    fn text(&self, missing: &Missing) -> String {
        let name =
            |id: &NodeId| self.settings.nodes.iter().find(|node| node.id == *id).map_or("?", |node| node.name.as_str());
        let of_node = |(id, lacks): (&NodeId, &Lacks)| {
            if lacks.links.is_empty() {
                format!("{}: {} late, {} ending", name(id), lacks.hidden.late, lacks.hidden.ending)
            } else {
                format!(
                    "{} lacks something of {}",
                    name(id),
                    lacks.links.iter().map(name).collect::<Vec<_>>().join(", ")
                )
            }
        };
        missing.iter().map(of_node).collect::<Vec<_>>().join("; ")
    }
}
