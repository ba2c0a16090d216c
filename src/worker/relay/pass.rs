//! A pass through a source's outbox for what came to it from third nodes, a batch at a time.

use std::future::ready;
use std::sync::atomic::AtomicI64;

use super::{Relay, Step, Way};
use crate::error::{Kind, Result};
use crate::node::apply::{Applied, Batch, Route};
use crate::node::cursor::Cursor;
use crate::node::relay::{Lacked, Range};
use crate::node::scan::{Keys, SourceRead};

/// How far a pass is.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// What came from these is looked for.
    pub(super) of: Vec<Lacked>,
    /// The last row that is done.
    after: i64,
    /// Whether messages are looked for; all else afterwards.
    messages: bool,
}

impl Pass {
    /// At its beginning.
    pub(super) fn through(of: Vec<Lacked>) -> Self {
        Self { of, after: 0, messages: true }
    }

    /// Behind what was looked for; `None`: it is done.
    fn next(self) -> Option<Self> {
        self.messages.then_some(Self { after: 0, messages: false, ..self })
    }
}

impl Relay {
    /// Takes over the next keys of the pass that is under way. What fails is tried again from where it stands.
    pub(super) async fn go_on(&mut self, way: &Way<'_>, stored: &Cursor, pass: Pass) -> Result<Step> {
        let Some(candidate) = &mut self.candidate else { return Ok(Step::Nothing) };
        let _permit = way.target.batches.acquire().await;
        let (mut of_target, beside) = (way.target.writer().await?, way.target.writer().await?);
        let mut of_source = way.source.reader().await?;
        let read = SourceRead::begin(&mut of_source).await?;
        let range = Range {
            since: candidate.since.as_deref(),
            to: candidate.held.snapshot.as_str(),
            after: pass.after,
            limit: self.portion.keys(),
            messages: pass.messages,
        };
        let keys = read.relayed(&pass.of, range).await?;
        let Some(last) = keys.last else {
            read.end().await?;
            let of: Vec<_> = pass.of.iter().map(|lacked| lacked.node).collect();
            candidate.pass = pass.next();
            if candidate.pass.is_none() {
                candidate.done.extend(of);
                self.looked_at = None;
            }
            return Ok(Step::More);
        };
        let (from, to) = (&way.source.endpoint, &way.target.endpoint);
        let route = Route { source: from, here: to.id, bounds: way.bounds, pulse: &AtomicI64::new(0) };
        let again = Keys::default();
        let batch = Batch { keys: &keys, again: &again, cursor: stored, next: stored, waiting: None, is_relayed: true };
        let reading = route.ask_and_read(&read, &beside, batch).await;
        let (weighs, most) = (reading.as_ref().map_or(0, |reading| reading.bytes), way.bounds.batch_bytes);
        if reading.as_ref().is_ok_and(|reading| self.portion.is_too_heavy(keys.len(), reading.messages(), weighs, most))
        {
            read.end().await?;
            return Ok(Step::More);
        }
        let applied = match reading {
            Ok(reading) => route.apply(&read, &mut of_target, &beside, batch, reading, ready(Ok(()))).await,
            Err(error) => Err(error),
        };
        let applied = match applied {
            Ok(applied) => {
                self.portion.went_with(weighs, most);
                applied
            }
            // What is at fault stands alone in the end.
            Err(error) if error.kind() == Kind::Data && keys.len() == 1 => {
                self.portion.found();
                tracing::warn!(source = from.name, target = to.name, %error, "row set aside");
                route.put_aside(&mut of_target, batch, &error).await?
            }
            Err(error) if self.portion.failed(error.kind() == Kind::Data) => {
                tracing::debug!(source = from.name, target = to.name, %error, "a row is looked for that is refused");
                return Ok(Step::More);
            }
            Err(error) => return Err(error),
        };
        candidate.pass = Some(Pass { after: last.id, ..pass });
        // The source's transaction may have failed with a row that was set aside.
        drop(read.end().await);
        note(way, &keys, &applied);
        Ok(Step::More)
    }
}

fn note(way: &Way<'_>, keys: &Keys, applied: &Applied) {
    let (source, target) = (&way.source.endpoint.name, &way.target.endpoint.name);
    tracing::debug!(source, target, keys = keys.len(), messages = applied.messages, "relayed changes applied");
    way.hub.telemetry.counters.relayed(source, target, applied.messages);
    if applied.late > 0 {
        way.hub.late.notify_one();
    }
}
