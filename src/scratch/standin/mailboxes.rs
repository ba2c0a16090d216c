//! Accounts and mailboxes.

use std::fmt::Display;

use tokio_postgres::error::SqlState;

use super::session::{INTERNAL_USER, Session, is_sqlstate};
use super::sql;
use crate::domain::ids::MailboxId;
use crate::error::{Error, Kind, Result};

impl Session {
    /// Makes an account and returns its `user_idnr`. It has no mailbox yet: the first delivery makes INBOX.
    ///
    /// # Errors
    /// What PostgreSQL says, such as that the userid is taken.
    pub async fn create_user(&mut self, userid: &str) -> Result<i64> {
        let row = self.query_opt(sql::CREATE_USER, &[&userid]).await?;
        row.map(|row| row.get(0)).ok_or_else(|| nothing_returned("dbmail_users"))
    }

    /// Records a login, as IMAP, POP3 and sieve do. Returns the account's `user_idnr`.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn login(&mut self, userid: &str) -> Result<i64> {
        let user = self.user(userid).await?;
        self.execute(sql::RECORD_LOGIN, &[&user]).await?;
        Ok(user)
    }

    /// Makes a mailbox of that account.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account, or when it has a mailbox of that name.
    pub async fn create_mailbox(&mut self, userid: &str, name: &str) -> Result<MailboxId> {
        let owner = self.user(userid).await?;
        let row = self.query_opt(sql::CREATE_MAILBOX, &[&owner, &name]).await?;
        let mailbox = MailboxId(row.map(|row| row.get(0)).ok_or_else(|| nothing_returned("dbmail_mailboxes"))?);
        self.owners.insert(mailbox, owner);
        Ok(mailbox)
    }

    /// The account's mailbox of that name, if it has one.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn find_mailbox(&mut self, userid: &str, name: &str) -> Result<Option<MailboxId>> {
        let owner = self.user(userid).await?;
        let row = self.query_opt(sql::FIND_MAILBOX, &[&owner, &name]).await?;
        let mailbox = row.map(|row| MailboxId(row.get(0)));
        if let Some(mailbox) = mailbox {
            self.owners.insert(mailbox, owner);
        }
        Ok(mailbox)
    }

    /// The account's mailbox of that name, made when it is missing, as a first delivery does. Two sessions that make
    /// it at once get the same one.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn find_or_create_mailbox(&mut self, userid: &str, name: &str) -> Result<MailboxId> {
        if let Some(mailbox) = self.find_mailbox(userid, name).await? {
            return Ok(mailbox);
        }
        match self.create_mailbox(userid, name).await {
            Err(error) if is_sqlstate(&error, &SqlState::UNIQUE_VIOLATION) => {
                self.find_mailbox(userid, name).await?.ok_or(error)
            }
            outcome => outcome,
        }
    }

    /// Deletes a mailbox: its row and by cascade its messages. Where it has children, its messages get status 3 and it
    /// can no longer be selected. False when it was gone already, or is such a mere name.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn delete_mailbox(&mut self, mailbox: MailboxId) -> Result<bool> {
        let Some(owner) = self.owner(mailbox).await? else { return Ok(false) };
        let size = self.query_opt(sql::MAILBOX_SIZE, &[&mailbox.0]).await?.map_or(0, |row| row.get::<_, i64>(0));
        let children = self.query_opt(sql::MAILBOX_HAS_CHILDREN, &[&mailbox.0]).await?;
        let deleted = if children.is_some_and(|row| row.get(0)) {
            if !self.query_opt(sql::IS_SELECTABLE, &[&mailbox.0]).await?.is_some_and(|row| row.get(0)) {
                return Ok(false);
            }
            let mut work = self.begin().await?;
            work.execute(sql::EMPTY_MAILBOX, &[&mailbox.0]).await?;
            let found = work.execute(sql::SET_NO_SELECT, &[&mailbox.0, &1_i16]).await?;
            work.commit().await?;
            self.bump(mailbox, None).await?;
            found
        } else {
            self.execute(sql::DELETE_MAILBOX, &[&mailbox.0]).await?
        };
        self.execute(sql::ADD_QUOTA, &[&owner, &-size]).await?;
        Ok(deleted > 0)
    }

    /// Makes a mailbox read-only (1) or writable (2), as an admin does. False when there is none.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn set_permission(&mut self, mailbox: MailboxId, permission: i16) -> Result<bool> {
        Ok(self.execute(sql::SET_PERMISSION, &[&mailbox.0, &permission]).await? > 0)
    }

    /// Makes a mailbox a mere name, or one that can be selected again, as an admin does. False when there is none.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn set_no_select(&mut self, mailbox: MailboxId, no_select: bool) -> Result<bool> {
        Ok(self.execute(sql::SET_NO_SELECT, &[&mailbox.0, &i16::from(no_select)]).await? > 0)
    }

    /// INBOX of the internal delivery user, made when it is missing.
    pub(super) async fn staging(&mut self) -> Result<MailboxId> {
        self.find_or_create_mailbox(INTERNAL_USER, "INBOX").await
    }

    /// The owner of a mailbox, also of one that this session has used and that is gone meanwhile.
    pub(super) async fn owner(&mut self, mailbox: MailboxId) -> Result<Option<i64>> {
        if let Some(owner) = self.owners.get(&mailbox) {
            return Ok(Some(*owner));
        }
        let owner = self.query_opt(sql::MAILBOX_OWNER, &[&mailbox.0]).await?.and_then(|row| row.get(0));
        if let Some(owner) = owner {
            self.owners.insert(mailbox, owner);
        }
        Ok(owner)
    }

    /// The `user_idnr` of an account. As in dbmail, letter case is ignored.
    pub(super) async fn user(&mut self, userid: &str) -> Result<i64> {
        let row = self.query_opt(sql::FIND_USER, &[&userid]).await?;
        row.map(|row| row.get(0)).ok_or_else(|| Error::new(Kind::Data, format!("no account {userid} in this database")))
    }
}

/// Nothing has that id or name.
pub(super) fn no_mailbox(what: &str, mailbox: impl Display) -> Error {
    Error::new(Kind::Data, format!("{what}: no mailbox is {mailbox}"))
}

/// A BEFORE INSERT trigger that returns null makes RETURNING come back empty; dbmail cannot go on then.
pub(super) fn nothing_returned(table: &str) -> Error {
    Error::new(Kind::Data, format!("an insert into {table} was accepted but returned no row"))
}
