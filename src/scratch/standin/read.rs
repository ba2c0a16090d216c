//! SELECT, an incremental client's search, and FETCH.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::mail::{Flags, hex};
use super::mailboxes::no_mailbox;
use super::session::Session;
use super::sql;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;

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

/// What SELECT knows of a mailbox that CONDSTORE is used with (RFC 7162).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// HIGHESTMODSEQ.
    pub seq: i64,
    /// The visible messages.
    pub messages: BTreeMap<Uid, State>,
}

/// What can change of a message, and when it last did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its content's name.
    pub unique_id: String,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords.
    pub keywords: BTreeSet<String>,
    /// MODSEQ.
    pub seq: i64,
}

impl View {
    /// The UIDs alone.
    pub fn uids(&self) -> Vec<Uid> {
        self.messages.iter().map(|message| message.uid).collect()
    }
}

impl State {
    fn read(row: &Row) -> Self {
        let flags = Flags::from_columns([2, 3, 4, 5, 6].map(|column| row.get(column)));
        Self { unique_id: row.get(1), flags, keywords: BTreeSet::new(), seq: row.get(7) }
    }
}

impl Listed {
    fn read(row: &Row) -> Self {
        let flags = Flags::from_columns([2, 3, 4, 5, 6].map(|column| row.get(column)));
        Self { uid: Uid(row.get(0)), unique_id: row.get(1), flags, recent: row.get::<_, i16>(7) != 0 }
    }
}

impl Session {
    /// Selects a mailbox: reads it in one transaction, then clears \Recent, and where there was any raises the sequence.
    /// As in dbmail, what loses \Recent gets the sequence that the mailbox will have.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such mailbox.
    pub async fn select(&mut self, mailbox: MailboxId) -> Result<View> {
        let mut work = self.begin().await?;
        let row = work.query_opt(sql::READ_SEQ, &[&mailbox.0]).await?;
        let row = row.ok_or_else(|| no_mailbox("select", mailbox))?;
        work.query(sql::COUNT_MESSAGES, &[&mailbox.0]).await?;
        let messages = work.query(sql::LIST_MESSAGES, &[&mailbox.0, &0_i64]).await?.iter().map(Listed::read).collect();
        work.commit().await?;
        let seq: i64 = row.get(0);
        if self.execute(sql::CLEAR_RECENT, &[&mailbox.0, &(seq + 1)]).await? > 0 {
            self.bump(mailbox, None).await?;
        }
        Ok(View { uidvalidity: mailbox, seq, messages })
    }

    /// What a session reads at SELECT, and again once it finds another HIGHESTMODSEQ, without the rest that SELECT does:
    /// in one transaction, but each statement with its own snapshot, first the sequence, then messages, then keywords.
    /// So messages may be newer than the sequence, not older.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such mailbox.
    pub async fn states(&mut self, mailbox: MailboxId) -> Result<States> {
        let mut work = self.begin().await?;
        let row = work.query_opt(sql::READ_SEQ, &[&mailbox.0]).await?;
        let seq = row.ok_or_else(|| no_mailbox("states", mailbox))?.get(0);
        let rows = work.query(sql::LIST_STATES, &[&mailbox.0]).await?;
        let mut messages: BTreeMap<Uid, State> = rows.iter().map(|row| (Uid(row.get(0)), State::read(row))).collect();
        for row in work.query(sql::LIST_STATES_KEYWORDS, &[&mailbox.0]).await? {
            if let Some(state) = messages.get_mut(&Uid(row.get(0))) {
                state.keywords.insert(row.get(1));
            }
        }
        work.commit().await?;
        Ok(States { seq, messages })
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
