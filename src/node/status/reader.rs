//! Asks the nodes again and again, over sessions that are kept.

use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::reading::{self, Answer, Patience};
use super::{Asked, NodeStatus, Status, clocks};
use crate::domain::ids::Stride;
use crate::error::Result;

/// A person waits so long for a node.
const FOR_PEOPLE: Patience = Patience { connect: Duration::from_secs(5), answer: Duration::from_secs(10) };

/// The nodes, and a session with each that is kept from one reading to the next.
pub struct Reader {
    nodes: Vec<(Asked, Result<Pool>)>,
    stride: Stride,
    schema_version_expected: i32,
    patience: Patience,
}

impl Reader {
    /// For nodes of a mesh of this stride, and this schema. Connects on use.
    pub fn new(nodes: Vec<Asked>, stride: Stride, schema_version_expected: i32) -> Self {
        let with_pool = |asked: Asked| {
            let pool = asked.endpoint.pool("status");
            (asked, pool)
        };
        let nodes = nodes.into_iter().map(with_pool).collect();
        Self { nodes, stride, schema_version_expected, patience: FOR_PEOPLE }
    }

    /// One that takes about `interval` for a reading, however many nodes do not answer.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.patience = Patience { connect: interval / 2, answer: interval };
        self
    }

    /// Everything.
    pub async fn read(&self) -> Status {
        let read_at = Timestamp::now();
        let mut answers = self.answers().await;
        join_all(answers.iter_mut().map(|answer| answer.ask_totals(self.patience))).await;
        self.status(read_at, answers).await
    }

    /// What changes from second to second: cheap, and the totals are missing (see [`NodeStatus::take_totals`]).
    pub async fn read_quickly(&self) -> Status {
        let read_at = Timestamp::now();
        self.status(read_at, self.answers().await).await
    }

    /// The selected nodes with their totals; without the links.
    pub async fn read_totals(&self) -> Vec<NodeStatus> {
        let mut answers = self.answers().await;
        join_all(answers.iter_mut().map(|answer| answer.ask_totals(FOR_PEOPLE))).await;
        answers.into_iter().filter(|answer| answer.asked.selected).map(|answer| answer.status).collect()
    }

    async fn answers(&self) -> Vec<Answer<'_>> {
        let nodes = self.nodes.iter().map(|(asked, pool)| (asked, pool.as_ref()));
        reading::answers(nodes, self.schema_version_expected, self.patience).await
    }

    async fn status(&self, read_at: Timestamp, answers: Vec<Answer<'_>>) -> Status {
        let lags = reading::lags(&answers, self.patience).await;
        let links = reading::links(&answers, &lags);
        let all: Vec<&NodeStatus> = answers.iter().map(|answer| &answer.status).collect();
        let clock_skew_seconds = clocks::skew(&all);
        let nodes = answers.into_iter().filter(|answer| answer.asked.selected).map(|answer| answer.status).collect();
        let schema_version_expected = self.schema_version_expected;
        Status { read_at, clock_skew_seconds, stride: self.stride.0, schema_version_expected, nodes, links }
    }
}
