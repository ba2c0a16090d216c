//! `dbmail-util -dp`: what was expunged leaves in two steps, and its content after it.

use super::session::Session;
use super::sql;
use crate::error::Result;

/// How many rows a purge touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages that were expunged before the last purge: deleted.
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
        let physmessages = self.execute(sql::PURGE_PHYSMESSAGES, &[]).await?;
        self.execute(sql::PURGE_PARTLISTS, &[]).await?;
        let mimeparts = self.execute(sql::PURGE_MIMEPARTS, &[]).await?;
        self.execute(sql::PURGE_HEADERNAMES, &[]).await?;
        self.execute(sql::PURGE_HEADERVALUES, &[]).await?;
        Ok(Purged { deleted, marked, physmessages, mimeparts })
    }
}
