//! LMTP delivery, APPEND and COPY.

use std::time::Instant;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::flags::StoreFlags;
use super::mail::{Flags, Mail, hash};
use super::mailboxes::nothing_returned;
use super::session::{Parameters, Session, is_sqlstate};
use super::sql;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::{Error, Kind, Result};

/// A message that is complete but that nobody sees yet.
struct Staged {
    row: i64,
    physmessage: i64,
}

/// A row of `dbmail_messages` that is copied to another.
struct Source {
    row: i64,
    physmessage: i64,
    flags: [i16; 5],
}

impl Session {
    /// Delivers a message as LMTP does and returns its UID. Flags and keywords are there before it becomes visible
    /// (flags) or a transaction later (keywords).
    ///
    /// # Errors
    /// What PostgreSQL says. When the error is that of `insert_message`, dbmail would have answered OK, and the mail
    /// would be lost.
    pub async fn deliver(&mut self, mailbox: MailboxId, mail: &Mail) -> Result<Uid> {
        let staged = self.stage(mail).await?;
        let delivered = async {
            if mail.flags != Flags::NONE {
                self.execute(sql::STORE_FLAGS, &flag_parameters(&staged.row, &mail.flags.columns().map(Some), &None))
                    .await?;
            }
            for keyword in &mail.keywords {
                self.execute(sql::INSERT_KEYWORD, &[&staged.row, keyword]).await?;
            }
            let uid = self.publish(&staged, mailbox, mail).await?;
            self.bump(mailbox, Some(uid.0)).await?;
            Ok(uid)
        };
        let delivered = delivered.await;
        self.finish(staged, mailbox, mail, delivered).await
    }

    /// Appends a message as IMAP's APPEND does and returns its UID. As in dbmail it is visible before its flags and
    /// keywords are written, in a later transaction, under the UID that the INSERT returned.
    ///
    /// # Errors
    /// As for [`deliver`](Self::deliver). That the flags found no row to write to is no error, as in dbmail.
    pub async fn append(&mut self, mailbox: MailboxId, mail: &Mail) -> Result<Uid> {
        let staged = self.stage(mail).await?;
        let appended = async {
            let uid = self.publish(&staged, mailbox, mail).await?;
            self.bump(mailbox, Some(uid.0)).await?;
            Ok(uid)
        };
        let appended = appended.await;
        let uid = self.finish(staged, mailbox, mail, appended).await?;
        if mail.flags != Flags::NONE || !mail.keywords.is_empty() {
            let keywords: Vec<&str> = mail.keywords.iter().map(String::as_str).collect();
            self.write_flags(uid, &StoreFlags::add(mail.flags).keywords(&keywords)).await?;
            self.bump(mailbox, Some(uid.0)).await?;
        }
        Ok(uid)
    }

    /// Copies a message to another mailbox and returns the copy's UID. The copy shares the content and has a
    /// `unique_id` of its own.
    ///
    /// # Errors
    /// `Kind::Data` when no row has this UID, otherwise what PostgreSQL says.
    pub async fn copy(&mut self, uid: Uid, to: MailboxId) -> Result<Uid> {
        let copy = self.copy_if_there(uid, to).await?;
        copy.ok_or_else(|| Error::new(Kind::Data, format!("copy to mailbox {to}: no message has UID {uid}")))
    }

    /// The same, `None` when no row has this UID: expunged and purged, or renumbered.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn copy_if_there(&mut self, uid: Uid, to: MailboxId) -> Result<Option<Uid>> {
        let owner = self.owner(to).await?;
        let unique_id = format!("{:032x}", fastrand::u128(..));
        let seq = self.bump(to, None).await?;
        let Some(copy) = self.insert_copy(uid.0, to, &unique_id).await? else { return Ok(None) };
        self.copy_keywords(uid.0, copy).await?;
        self.bump(to, Some(copy.0)).await?;
        if let (Some(owner), Some(row)) = (owner, self.query_opt(sql::MESSAGE_SIZE, &[&copy.0]).await?) {
            self.execute(sql::ADD_QUOTA, &[&owner, &row.get::<_, i64>(0)]).await?;
        }
        // Not a slip: dbmail stamps the message that was copied as well, with the sequence of the copy's mailbox.
        self.execute(sql::STAMP_MESSAGE, &[&uid.0, &seq]).await?;
        Ok(Some(copy))
    }

    /// Steps 1 to 3: a row in the staging area, its sizes, its content.
    async fn stage(&mut self, mail: &Mail) -> Result<Staged> {
        let staging = self.staging().await?;
        let mut work = self.begin().await?;
        let row = work.query_opt(sql::INSERT_PHYSMESSAGE, &[]).await?;
        let physmessage: i64 = row.map(|row| row.get(0)).ok_or_else(|| nothing_returned("dbmail_physmessage"))?;
        let unique_id = &hash(format!("staged {}", mail.unique_id).as_bytes())[..32];
        let row = work.query_opt(sql::INSERT_STAGING, &[&staging.0, &physmessage, &unique_id]).await?;
        let row: i64 = row.map(|row| row.get(0)).ok_or_else(|| nothing_returned("dbmail_messages"))?;
        work.commit().await?;
        self.execute(sql::SET_SIZES, &[&physmessage, &mail.size(), &mail.size()]).await?;
        self.execute(sql::SET_STAGED, &[&row]).await?;
        self.store_content(physmessage, mail).await?;
        Ok(Staged { row, physmessage })
    }

    /// Steps 4 and 5: the real row, and its keywords.
    async fn publish(&mut self, staged: &Staged, mailbox: MailboxId, mail: &Mail) -> Result<Uid> {
        let uid = self.insert_copy(staged.row, mailbox, &mail.unique_id).await?.ok_or_else(|| {
            let what = format!("staging row {} of physmessage {} vanished", staged.row, staged.physmessage);
            Error::new(Kind::Data, what)
        })?;
        self.copy_keywords(staged.row, uid).await?;
        Ok(uid)
    }

    /// Steps 7 and 8, quota and staging row; the latter also when the delivery failed.
    async fn finish(&mut self, staged: Staged, mailbox: MailboxId, mail: &Mail, uid: Result<Uid>) -> Result<Uid> {
        let mut quota = Ok(0);
        if uid.is_ok()
            && let Some(owner) = self.owner(mailbox).await?
        {
            quota = self.execute(sql::ADD_QUOTA, &[&owner, &mail.size()]).await;
        }
        let deleted = self.execute(sql::DELETE_STAGING, &[&staged.row]).await;
        let uid = uid?;
        quota.and(deleted)?;
        Ok(uid)
    }

    /// One transaction: read a row, insert one like it. The database chooses the UID.
    async fn insert_copy(&mut self, row: i64, mailbox: MailboxId, unique_id: &str) -> Result<Option<Uid>> {
        let mut work = self.begin().await?;
        let Some(source) = work.query_opt(sql::READ_ROW, &[&row]).await?.map(|found| Source::read(row, &found)) else {
            return Ok(None);
        };
        let [seen, answered, deleted, flagged, draft] = &source.flags;
        let values: Parameters<'_> =
            &[&mailbox.0, &source.physmessage, seen, answered, deleted, flagged, draft, &unique_id];
        let begun = Instant::now();
        let inserted = work.query_opt(sql::INSERT_MESSAGE, values).await;
        let took = begun.elapsed();
        let inserted =
            inserted.map_err(|error| error.context(format!("copy of row {} to mailbox {mailbox}", source.row)))?;
        let uid = Uid(inserted.map(|row| row.get(0)).ok_or_else(|| nothing_returned("dbmail_messages"))?);
        work.commit().await?;
        (self.insert_took, self.published_at) = (took, Some(Instant::now()));
        Ok(Some(uid))
    }

    /// Keywords for a message that is gone already, as after a DELETE of its mailbox, are dropped; so does dbmail.
    async fn copy_keywords(&mut self, from: i64, to: Uid) -> Result<()> {
        match self.execute(sql::COPY_KEYWORDS, &[&from, &to.0]).await {
            Err(error) if is_sqlstate(&error, &SqlState::FOREIGN_KEY_VIOLATION) => {
                tracing::debug!(uid = to.0, %error, "keywords dropped");
                Ok(())
            }
            outcome => outcome.map(|_| ()),
        }
    }

    /// One transaction: the mailbox's sequence goes up, is read, and a message gets it, unless it has a higher one
    /// already. Returns the sequence, 0 for a mailbox that is gone, as dbmail does.
    pub(super) async fn bump(&mut self, mailbox: MailboxId, row: Option<i64>) -> Result<i64> {
        let mut work = self.begin().await?;
        work.execute(sql::BUMP_SEQ, &[&mailbox.0]).await?;
        let seq = work.query_opt(sql::READ_SEQ, &[&mailbox.0]).await?.map_or(0, |row| row.get::<_, i64>(0));
        if let Some(row) = row {
            work.execute(sql::STAMP_MESSAGE, &[&row, &seq]).await?;
        }
        work.commit().await?;
        Ok(seq)
    }
}

impl Source {
    fn read(row: i64, found: &Row) -> Self {
        Self { row, physmessage: found.get(0), flags: [1, 2, 3, 4, 5].map(|column| found.get(column)) }
    }
}

/// The parameters of `store_flags`: a row, the value of each flag, `None` to leave it, and the highest sequence that the
/// row may have.
pub(super) fn flag_parameters<'a>(
    row: &'a i64,
    [seen, answered, deleted, flagged, draft]: &'a [Option<i16>; 5],
    unchanged_since: &'a Option<i64>,
) -> [&'a (dyn tokio_postgres::types::ToSql + Sync); 7] {
    [row, seen, answered, deleted, flagged, draft, unchanged_since]
}
