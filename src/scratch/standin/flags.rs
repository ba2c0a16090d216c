//! STORE and EXPUNGE.

use super::deliver::flag_parameters;
use super::mail::Flags;
use super::session::Session;
use super::sql;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;

/// What STORE does with the flags it names (RFC 3501, 6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// One STORE: flags and keywords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFlags {
    /// What to do with them.
    pub mode: StoreMode,
    /// The flags.
    pub flags: Flags,
    /// The keywords.
    pub keywords: Vec<String>,
}

impl StoreFlags {
    /// `+FLAGS`
    pub fn add(flags: Flags) -> Self {
        Self { mode: StoreMode::Add, flags, keywords: Vec::new() }
    }

    /// `-FLAGS`
    pub fn remove(flags: Flags) -> Self {
        Self { mode: StoreMode::Remove, flags, keywords: Vec::new() }
    }

    /// `FLAGS`
    pub fn replace(flags: Flags) -> Self {
        Self { mode: StoreMode::Replace, flags, keywords: Vec::new() }
    }

    /// The same with keywords.
    #[must_use]
    pub fn keywords(mut self, keywords: &[&str]) -> Self {
        self.keywords = keywords.iter().map(ToString::to_string).collect();
        self
    }

    /// The value of each flag, `None` for those that stay as they are.
    fn columns(&self) -> [Option<i16>; 5] {
        self.flags.columns().map(|named| match self.mode {
            StoreMode::Replace => Some(named),
            StoreMode::Add => (named == 1).then_some(1),
            StoreMode::Remove => (named == 1).then_some(0),
        })
    }
}

/// A message that an EXPUNGE removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expunged {
    /// Its UID.
    pub uid: Uid,
    /// Its content's name.
    pub unique_id: String,
}

impl Session {
    /// Stores flags and keywords of messages in `mailbox`. Returns how many rows it found; the client hears OK for the
    /// others, too.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn store(&mut self, mailbox: MailboxId, uids: &[Uid], change: &StoreFlags) -> Result<u64> {
        self.execute(sql::BUMP_SEQ, &[&mailbox.0]).await?;
        let seq = self.query_opt(sql::READ_SEQ, &[&mailbox.0]).await?.map(|row| row.get::<_, i64>(0));
        let mut found = 0;
        for uid in uids {
            found += self.write_flags(*uid, change).await?;
            if let Some(seq) = seq {
                self.execute(sql::STAMP_MESSAGE, &[&uid.0, &seq]).await?;
            }
        }
        Ok(found)
    }

    /// One transaction: the flag columns, then the keywords. Returns 1 when there was such a row, else 0.
    pub(super) async fn write_flags(&mut self, uid: Uid, change: &StoreFlags) -> Result<u64> {
        let columns = change.columns();
        let mut work = self.begin().await?;
        let found = work.execute(sql::STORE_FLAGS, &flag_parameters(&uid.0, &columns)).await?;
        if found == 0 {
            // Without the message's row lock, keywords of a dead message can fail or deadlock with a purge.
            return Ok(0);
        }
        if change.mode == StoreMode::Replace {
            work.execute(sql::DELETE_KEYWORDS, &[&uid.0]).await?;
        }
        for keyword in &change.keywords {
            work.execute(sql::DELETE_KEYWORD, &[&uid.0, keyword]).await?;
            if change.mode != StoreMode::Remove {
                work.execute(sql::INSERT_KEYWORD, &[&uid.0, keyword]).await?;
            }
        }
        work.commit().await?;
        Ok(found)
    }

    /// Expunges the messages of `mailbox` that have \Deleted. Returns, highest first, the UIDs that this really
    /// removed; a row that was renumbered or expunged meanwhile is not among them.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn expunge(&mut self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        Ok(self.expunge_named(mailbox).await?.into_iter().map(|expunged| expunged.uid).collect())
    }

    /// The same, with the content's name for each UID.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn expunge_named(&mut self, mailbox: MailboxId) -> Result<Vec<Expunged>> {
        let owner = self.owner(mailbox).await?;
        let rows = self.query(sql::LIST_DELETED, &[&mailbox.0]).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (mut gone, mut freed) = (Vec::new(), 0);
        let mut work = self.begin().await?;
        for row in rows {
            let uid: i64 = row.get(0);
            if work.execute(sql::EXPUNGE_MESSAGE, &[&uid]).await? > 0 {
                gone.push(Expunged { uid: Uid(uid), unique_id: row.get(1) });
                freed += row.get::<_, i64>(2);
            }
        }
        work.commit().await?;
        self.execute(sql::BUMP_SEQ, &[&mailbox.0]).await?;
        if let Some(owner) = owner {
            self.execute(sql::ADD_QUOTA, &[&owner, &-freed]).await?;
        }
        Ok(gone)
    }
}
