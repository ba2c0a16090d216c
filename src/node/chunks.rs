//! Rows of a source that may be many, or large: never more in memory than a chunk of them.

use std::pin::Pin;

use deadpool_postgres::{GenericClient as _, Transaction};
use futures_util::TryStreamExt as _;
use tokio_postgres::{Row, RowStream};

use super::ask::Params;
use crate::error::Result;

/// What a row takes up besides its values: the program's own description of it, and what is sent on for it.
const ROW_BYTES: usize = 300;

/// The rows of a statement, a chunk at a time. The server is asked for more only as fast as they are taken.
pub(super) struct Chunks {
    /// None once all have come: whoever asks on is told that the connection is closed.
    rows: Option<Pin<Box<RowStream>>>,
    chunk_bytes: usize,
}

impl Chunks {
    /// Asks.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub(super) async fn of(
        source: &Transaction<'_>,
        sql: &str,
        params: Params<'_>,
        chunk_bytes: usize,
    ) -> Result<Self> {
        let statement = source.prepare_cached(sql).await?;
        let rows = Some(Box::pin(source.query_raw(&statement, params.iter().copied()).await?));
        Ok(Self { rows, chunk_bytes })
    }

    /// The next rows: at least one, and no more than it takes to fill a chunk; none at the end.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub(super) async fn next(&mut self) -> Result<Vec<Row>> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while let Some(rows) = self.rows.as_mut().filter(|_| bytes < self.chunk_bytes) {
            let Some(row) = rows.try_next().await? else {
                self.rows = None;
                break;
            };
            bytes += row.raw_size_bytes() + ROW_BYTES;
            chunk.push(row);
        }
        Ok(chunk)
    }
}
