//! What no program of dbmail's writes, but an admin in plain SQL, or a web interface.

use jiff::civil::DateTime;

use super::session::Session;
use super::sql;
use crate::error::Result;

impl Session {
    /// Lets a login from some sockets (`allow`, `deny`: patterns, empty for none) be that of an account.
    ///
    /// # Errors
    /// What PostgreSQL says, such as that there is such a row.
    pub async fn add_usermap(&mut self, login: &str, allow: &str, deny: &str, userid: &str) -> Result<()> {
        self.execute(sql::INSERT_USERMAP, &[&login, &allow, &deny, &userid]).await?;
        Ok(())
    }

    /// Removes what maps a login to an account; the number of rows.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn remove_usermap(&mut self, login: &str, userid: &str) -> Result<u64> {
        self.execute(sql::DELETE_USERMAP, &[&login, &userid]).await
    }

    /// Adds a filter: mail with that header goes to that mailbox.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn add_filter(&mut self, userid: &str, header: &str, value: &str, mailbox: &str) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::INSERT_FILTER, &[&user, &header, &value, &mailbox]).await?;
        Ok(())
    }

    /// Removes the filters for a header; the number of rows.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn remove_filter(&mut self, userid: &str, header: &str, value: &str) -> Result<u64> {
        let user = self.user(userid).await?;
        self.execute(sql::DELETE_FILTER, &[&user, &header, &value]).await
    }

    /// Sets what is answered to mail between two dates.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn set_auto_reply(
        &mut self,
        userid: &str,
        (start, stop): (DateTime, DateTime),
        body: &str,
    ) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::SET_AUTO_REPLY, &[&user, &start, &stop, &body]).await?;
        Ok(())
    }

    /// Ends that. False when there was none.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn remove_auto_reply(&mut self, userid: &str) -> Result<bool> {
        let user = self.user(userid).await?;
        Ok(self.execute(sql::DELETE_AUTO_REPLY, &[&user]).await? > 0)
    }

    /// Sets whom to tell of new mail.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn set_notification(&mut self, userid: &str, address: &str) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::SET_NOTIFICATION, &[&user, &address]).await?;
        Ok(())
    }

    /// Ends that. False when nobody was told.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn remove_notification(&mut self, userid: &str) -> Result<bool> {
        let user = self.user(userid).await?;
        Ok(self.execute(sql::DELETE_NOTIFICATION, &[&user]).await? > 0)
    }
}
