//! Rows that were set aside are tried again: beside the link's own batches, so that one which is still refused holds nothing up.

use std::future::ready;
use std::time::Duration;

use tokio::time::Instant;

use super::hub::{Node, Pulse};
use super::link::Link;
use super::portion::Portion;
use crate::error::{Kind, Result};
use crate::node::apply::{Batch, Route};
use crate::node::cursor::Cursor;
use crate::node::scan::SourceRead;
use crate::node::store;

/// How often it is looked whether any is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Retries take no more than this part of a link's time.
const SHARE: u32 = 4;

/// What a link knows of its retries.
#[derive(Debug)]
pub(crate) struct Retry {
    portion: Portion,
    at: Instant,
    /// Whether there is more to try.
    pub(crate) is_busy: bool,
}

impl Retry {
    /// None yet.
    pub(crate) fn new(most: i64) -> Self {
        Self { portion: Portion::new(most), at: Instant::now(), is_busy: false }
    }
}

impl Link {
    /// Tries rows again whose time has come: one batch at the most. The cursor stays where it is.
    pub(super) async fn retry(&mut self, source: &Node, target: &Node, stored: &Cursor) -> Result<()> {
        if self.retry.at > Instant::now() {
            return Ok(());
        }
        if !self.retry.is_busy && target.outlook.has_none_due(source.endpoint.id) {
            self.retry.at = Instant::now() + LOOK_INTERVAL;
            return Ok(());
        }
        let _permit = target.batches.acquire().await;
        let mut of_target = target.writer().await?;
        let keys = store::set_aside_due(&of_target, source.endpoint.id, self.retry.portion.keys()).await?;
        self.retry.is_busy = !keys.is_empty();
        self.retry.at = Instant::now() + LOOK_INTERVAL;
        if keys.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let beside = target.writer().await?;
        let mut of_source = source.reader().await?;
        let read = SourceRead::begin(&mut of_source).await?;
        let unheard = Pulse::default();
        let route =
            Route { source: &source.endpoint, here: target.endpoint.id, bounds: self.bounds(), pulse: &unheard.beats };
        let batch = Batch { keys: &keys, again: &keys, cursor: stored, next: stored, waiting: None, is_relayed: false };
        let most = self.hub.worker.batch_bytes;
        let applied = match route.ask_and_read(&read, &beside, batch).await {
            Ok(reading) if self.retry.portion.is_too_heavy(keys.len(), reading.messages(), reading.bytes, most) => {
                self.retry.at = Instant::now();
                return read.end().await;
            }
            Ok(reading) => route.apply(&read, &mut of_target, &beside, batch, reading, ready(Ok(()))).await,
            Err(error) => Err(error),
        };
        match applied {
            Ok(applied) => {
                self.retry.portion.went();
                self.following.hold_again(&keys.seqs);
                self.told_of_retry(&source.endpoint.name, &target.endpoint.name, keys.len(), applied.aside);
                if applied.late > 0 {
                    self.hub.late.notify_one();
                }
            }
            Err(error) if error.kind() == Kind::Data && keys.len() > 1 => drop(self.retry.portion.failed(true)),
            Err(error) if error.kind() == Kind::Data => {
                self.retry.portion.found();
                route.put_aside(&mut of_target, batch, &error).await?;
                self.told_of_retry(&source.endpoint.name, &target.endpoint.name, 1, 1);
            }
            // As a rule the link's own batches meet the same, and say so. Where it is about one of these, the others have their turn.
            Err(error) => {
                self.retry.portion.failed(false);
                if !matches!(error.kind(), Kind::Unreachable | Kind::Superseded) {
                    store::set_aside_put_off(&of_target, source.endpoint.id, &keys.rows()).await?;
                }
                tracing::debug!(source = source.endpoint.name, target = target.endpoint.name, %error, "retry put off");
                return Ok(());
            }
        }
        // The source's transaction may have failed with the batch.
        drop(read.end().await);
        self.retry.at = Instant::now() + begun.elapsed() * (SHARE - 1);
        Ok(())
    }

    fn told_of_retry(&self, source: &str, target: &str, tried: usize, aside: usize) {
        tracing::debug!(source, target, tried, aside, "rows that were set aside were tried again");
    }
}
