//! STORE and EXPUNGE.

use tokio_postgres::error::SqlState;

use super::deliver::flag_parameters;
use super::mail::Flags;
use super::session::{Session, Work, is_sqlstate};
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
    /// UNCHANGEDSINCE (RFC 7162, 3.1.3): flags are written only where the message's MODSEQ is not higher.
    pub unchanged_since: Option<i64>,
}

impl StoreFlags {
    /// `+FLAGS`
    pub fn add(flags: Flags) -> Self {
        Self::new(StoreMode::Add, flags)
    }

    /// `-FLAGS`
    pub fn remove(flags: Flags) -> Self {
        Self::new(StoreMode::Remove, flags)
    }

    /// `FLAGS`
    pub fn replace(flags: Flags) -> Self {
        Self::new(StoreMode::Replace, flags)
    }

    fn new(mode: StoreMode, flags: Flags) -> Self {
        Self { mode, flags, keywords: Vec::new(), unchanged_since: None }
    }

    /// The same with keywords.
    #[must_use]
    pub fn keywords(mut self, keywords: &[&str]) -> Self {
        self.keywords = keywords.iter().map(ToString::to_string).collect();
        self
    }

    /// The same with UNCHANGEDSINCE.
    #[must_use]
    pub fn unchanged_since(mut self, seq: i64) -> Self {
        self.unchanged_since = Some(seq);
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
    /// Stores flags and keywords of messages in `mailbox`. Returns how many messages it changed; the client hears OK
    /// for the others, too.
    ///
    /// As in dbmail, the mailbox's sequence goes up first (twice where a keyword is new to the mailbox), then each
    /// message has a transaction for flags and keywords and one for its sequence. So a client that looks in between
    /// has the new HIGHESTMODSEQ and the old flags, and is never told of the change: dbmail's own fault.
    ///
    /// The session is one that does not know which keywords a message has: it deletes and inserts those that are there.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn store(&mut self, mailbox: MailboxId, uids: &[Uid], change: &StoreFlags) -> Result<u64> {
        if !change.keywords.is_empty() {
            let rows = self.query(sql::MAILBOX_KEYWORDS, &[&mailbox.0]).await?;
            let known: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            if change.keywords.iter().any(|keyword| !known.contains(keyword)) {
                self.bump(mailbox, None).await?;
            }
        }
        let seq = self.bump(mailbox, None).await?;
        let mut changed = 0;
        for uid in uids {
            if self.write_flags(*uid, change).await? {
                changed += 1;
                self.execute(sql::STAMP_MESSAGE, &[&uid.0, &seq]).await?;
            }
        }
        Ok(changed)
    }

    /// One transaction: the flag columns, if any is named, then the keywords. Returns whether dbmail calls it a change:
    /// a row was found for the flags, or there were keywords.
    ///
    /// Two oddities are dbmail's: to replace the flags by none but system flags leaves the keywords alone, and
    /// UNCHANGEDSINCE does not keep keywords from being written.
    pub(super) async fn write_flags(&mut self, uid: Uid, change: &StoreFlags) -> Result<bool> {
        match self.flags_and_keywords(uid, change).await {
            // The message was purged or renumbered in this moment.
            Err(error) if is_sqlstate(&error, &SqlState::FOREIGN_KEY_VIOLATION) => {
                tracing::debug!(uid = uid.0, %error, "keywords dropped");
                Ok(false)
            }
            outcome => outcome,
        }
    }

    async fn flags_and_keywords(&mut self, uid: Uid, change: &StoreFlags) -> Result<bool> {
        let columns = change.columns();
        // To dbmail, 0 means that the client named none.
        let unchanged_since = change.unchanged_since.filter(|seq| *seq != 0);
        let mut work = self.begin().await?;
        let mut found = false;
        if columns.iter().any(Option::is_some) {
            let parameters = flag_parameters(&uid.0, &columns, &unchanged_since);
            found = work.execute(sql::STORE_FLAGS, &parameters).await? > 0;
        }
        if !change.keywords.is_empty() {
            // dbmail does not ask; but keywords of a dead message can fail, or deadlock with a purge.
            if !found && work.query_opt(sql::IS_SHOWN, &[&uid.0]).await?.is_none() {
                return Ok(false);
            }
            write_keywords(&mut work, uid, change).await?;
            found = true;
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
        self.bump(mailbox, None).await?;
        if let Some(owner) = owner {
            self.execute(sql::ADD_QUOTA, &[&owner, &-freed]).await?;
        }
        Ok(gone)
    }
}

async fn write_keywords(work: &mut Work<'_>, uid: Uid, change: &StoreFlags) -> Result<()> {
    if change.mode == StoreMode::Replace {
        work.execute(sql::DELETE_KEYWORDS, &[&uid.0]).await?;
    }
    for keyword in &change.keywords {
        if change.mode != StoreMode::Replace {
            work.execute(sql::DELETE_KEYWORD, &[&uid.0, keyword]).await?;
        }
        if change.mode != StoreMode::Remove {
            work.execute(sql::INSERT_KEYWORD, &[&uid.0, keyword]).await?;
        }
    }
    Ok(())
}
