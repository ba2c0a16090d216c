//! `dbmail-users`: what an admin does to accounts and their aliases.

use super::session::{Parameters, Session};
use super::sql::{self, Sql};
use crate::error::Result;

impl Session {
    /// Gives an account a password and says how it is encrypted (`md5`, or empty for plain).
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn change_password(&mut self, userid: &str, password: &str, encryption: &str) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::CHANGE_PASSWORD, &[&user, &password, &encryption]).await?;
        Ok(())
    }

    /// Sets how many bytes of mail the account may have, 0 for any number.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn change_quota(&mut self, userid: &str, bytes: i64) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::CHANGE_QUOTA, &[&user, &bytes]).await?;
        Ok(())
    }

    /// Sets the group that an account belongs to.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn change_client(&mut self, userid: &str, client: i64) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::CHANGE_CLIENT, &[&user, &client]).await?;
        Ok(())
    }

    /// Lets an account log in, or not.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn change_active(&mut self, userid: &str, active: bool) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::CHANGE_ACTIVE, &[&user, &i16::from(active)]).await?;
        Ok(())
    }

    /// Sets the second password, and what a login with it does to the mail; each in a transaction of its own.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn change_security(&mut self, userid: &str, password: &str, action: i16) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::CHANGE_SECURITY_PASSWORD, &[&user, &password]).await?;
        self.execute(sql::CHANGE_SECURITY_ACTION, &[&user, &action]).await?;
        Ok(())
    }

    /// Gives an account another name.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says, such as that the name is taken.
    pub async fn rename_user(&mut self, userid: &str, to: &str) -> Result<()> {
        let user = self.user(userid).await?;
        self.execute(sql::RENAME_USER, &[&user, &to]).await?;
        Ok(())
    }

    /// Deletes an account: first the addresses that its aliases forward to as well, then the aliases, each in a
    /// transaction of its own, then the row, and with it by cascade mailboxes, messages, and all that it has set up.
    /// False when it was gone already.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn delete_user(&mut self, userid: &str) -> Result<bool> {
        let user = self.user(userid).await?;
        let aliases: Vec<String> = self.strings(sql::LIST_USER_ALIASES, &[&user]).await?;
        for alias in &aliases {
            for deliver_to in self.strings(sql::LIST_DELIVER_TO, &[alias]).await? {
                if !is_number(&deliver_to) {
                    self.remove_forward(alias, &deliver_to).await?;
                }
            }
        }
        for alias in &aliases {
            self.execute(sql::DELETE_ALIAS, &[alias, &user.to_string()]).await?;
        }
        Ok(self.execute(sql::DELETE_USER, &[&userid]).await? > 0)
    }

    /// Delivers mail for `alias` to an account; `deliver_to` holds its `user_idnr` in digits. False when it did before.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn add_alias(&mut self, alias: &str, userid: &str) -> Result<bool> {
        let user = self.user(userid).await?;
        let client: i64 = self.query_opt(sql::USER_CLIENT, &[&user]).await?.map_or(0, |row| row.get(0));
        let alias: Parameters<'_> = &[&alias, &user.to_string(), &client];
        if self.query_opt(sql::FIND_ALIAS, alias).await?.is_some() {
            return Ok(false);
        }
        Ok(self.execute(sql::INSERT_ALIAS, alias).await? > 0)
    }

    /// Ends that. False when there was no such alias.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account.
    pub async fn remove_alias(&mut self, alias: &str, userid: &str) -> Result<bool> {
        let user = self.user(userid).await?;
        Ok(self.execute(sql::DELETE_ALIAS, &[&alias, &user.to_string()]).await? > 0)
    }

    /// Forwards mail for `alias` to an address. False when it was before.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn add_forward(&mut self, alias: &str, address: &str) -> Result<bool> {
        if self.query_opt(sql::FIND_FORWARD, &[&alias, &address]).await?.is_some() {
            return Ok(false);
        }
        Ok(self.execute(sql::INSERT_ALIAS, &[&alias, &address, &0_i64]).await? > 0)
    }

    /// Ends that. False when there was no such forward.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn remove_forward(&mut self, alias: &str, address: &str) -> Result<bool> {
        Ok(self.execute(sql::DELETE_ALIAS, &[&alias, &address]).await? > 0)
    }

    /// The first column.
    async fn strings(&mut self, sql: Sql, parameters: Parameters<'_>) -> Result<Vec<String>> {
        Ok(self.query(sql, parameters).await?.iter().map(|row| row.get(0)).collect())
    }
}

/// As dbmail tells an account from an address: by whether it begins with a number.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}
