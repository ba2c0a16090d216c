//! SELECT, an incremental client's search, and FETCH.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::mail::{Flags, hex};
use super::session::Session;
use super::sql;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::{Error, Kind, Result};

/// A mailbox as SELECT shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// UIDVALIDITY.
    pub uidvalidity: MailboxId,
    /// HIGHESTMODSEQ as it was before SELECT itself raised it.
    pub seq: i64,
    /// The visible messages in the order of their UIDs.
    pub messages: Vec<Listed>,
}

/// A visible message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its UID.
    pub uid: Uid,
    /// Its content's name.
    pub unique_id: String,
    /// Its flags.
    pub flags: Flags,
    /// \Recent
    pub recent: bool,
}

/// A message as FETCH of everything shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its UID, name and flags.
    pub listed: Listed,
    /// Its keywords.
    pub keywords: BTreeSet<String>,
    /// Its size in bytes as the database notes it.
    pub size: i64,
    /// SHA-256 in hex over header and parts: to be compared with [`Mail::digest`](super::Mail::digest).
    pub digest: String,
}

impl View {
    /// The UIDs alone.
    pub fn uids(&self) -> Vec<Uid> {
        self.messages.iter().map(|message| message.uid).collect()
    }
}

impl Listed {
    fn read(row: &Row) -> Self {
        let flags = Flags::from_columns([2, 3, 4, 5, 6].map(|column| row.get(column)));
        Self { uid: Uid(row.get(0)), unique_id: row.get(1), flags, recent: row.get::<_, i16>(7) != 0 }
    }
}

impl Session {
    /// Selects a mailbox: reads it in one transaction, then clears \Recent and raises the sequence.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such mailbox.
    pub async fn select(&mut self, mailbox: MailboxId) -> Result<View> {
        let mut work = self.begin().await?;
        let row = work.query_opt(sql::READ_SEQ, &[&mailbox.0]).await?;
        let row = row.ok_or_else(|| Error::new(Kind::Data, format!("select: no mailbox has the id {mailbox}")))?;
        work.query(sql::COUNT_MESSAGES, &[&mailbox.0]).await?;
        let messages = work.query(sql::LIST_MESSAGES, &[&mailbox.0, &0_i64]).await?.iter().map(Listed::read).collect();
        work.commit().await?;
        self.execute(sql::CLEAR_RECENT, &[&mailbox.0]).await?;
        self.execute(sql::BUMP_SEQ, &[&mailbox.0]).await?;
        Ok(View { uidvalidity: mailbox, seq: row.get(0), messages })
    }

    /// The visible messages above `uid`, in order: what a client asks for that trusts the promise of IMAP. Nothing is
    /// written.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn search_above(&mut self, mailbox: MailboxId, uid: Uid) -> Result<Vec<Listed>> {
        Ok(self.query(sql::LIST_MESSAGES, &[&mailbox.0, &uid.0]).await?.iter().map(Listed::read).collect())
    }

    /// Which of these UIDs the mailbox shows.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn shown(&mut self, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Uid>> {
        let uids: Vec<i64> = uids.iter().map(|uid| uid.0).collect();
        let rows = self.query(sql::LIST_SHOWN, &[&mailbox.0, &uids]).await?;
        Ok(rows.iter().map(|row| Uid(row.get(0))).collect())
    }

    /// The message with this UID, `None` when the mailbox shows none.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn fetch(&mut self, mailbox: MailboxId, uid: Uid) -> Result<Option<Fetched>> {
        let Some(row) = self.query_opt(sql::FETCH_MESSAGE, &[&mailbox.0, &uid.0]).await? else { return Ok(None) };
        let keywords = self.query(sql::LIST_KEYWORDS, &[&uid.0]).await?.iter().map(|row| row.get(0)).collect();
        let parts = self.query(sql::LIST_PARTS, &[&row.get::<_, i64>(8)]).await?;
        let mut hasher = Sha256::new();
        for part in &parts {
            hasher.update(part.get::<_, &[u8]>(0));
        }
        Ok(Some(Fetched { listed: Listed::read(&row), keywords, size: row.get(9), digest: hex(&hasher.finalize()) }))
    }
}
