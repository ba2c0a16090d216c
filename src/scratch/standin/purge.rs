//! `dbmail-util -dp`: what was expunged leaves in two steps, and its content after it.

use super::session::Session;
use super::sql::{self, Sql};
use crate::error::Result;

/// How many rows a purge touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages that were marked by the purge before: deleted.
    pub deleted: u64,
    /// Messages expunged since: to be deleted by the next purge.
    pub marked: u64,
    /// Content that no message refers to: deleted.
    pub physmessages: u64,
    /// Parts that no content refers to: deleted.
    pub mimeparts: u64,
}

impl Session {
    /// Purges once. A message is gone after the second purge that follows its EXPUNGE.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn purge(&mut self) -> Result<Purged> {
        let deleted = self.execute(sql::PURGE_DELETED, &[]).await?;
        let marked = self.execute(sql::PURGE_EXPUNGED, &[]).await?;
        let physmessages = self.purge_unused(sql::LOCK_UNUSED_PHYSMESSAGES, sql::DELETE_UNUSED_PHYSMESSAGES).await?;
        self.execute(sql::PURGE_PARTLISTS, &[]).await?;
        let mimeparts = self.purge_unused(sql::LOCK_UNUSED_MIMEPARTS, sql::DELETE_UNUSED_MIMEPARTS).await?;
        self.purge_unused(sql::LOCK_UNUSED_HEADERNAMES, sql::DELETE_UNUSED_HEADERNAMES).await?;
        self.purge_unused(sql::LOCK_UNUSED_HEADERVALUES, sql::DELETE_UNUSED_HEADERVALUES).await?;
        Ok(Purged { deleted, marked, physmessages, mimeparts })
    }

    /// Locks what seems unused, and then deletes what a second look still finds unused.
    ///
    /// A single DELETE would do for a quiet database. Beside deliveries it waits for one that has just referred to such
    /// a row, deletes the row all the same (its snapshot is older), and the cascade takes the reference along: a
    /// message loses a header or a part. That would not be the mesh's doing, but an audit could not tell.
    async fn purge_unused(&mut self, lock: Sql, delete: Sql) -> Result<u64> {
        let mut work = self.begin().await?;
        let unused: Vec<i64> = work.query(lock, &[]).await?.iter().map(|row| row.get(0)).collect();
        let deleted = work.execute(delete, &[&unused]).await?;
        work.commit().await?;
        Ok(deleted)
    }
}
