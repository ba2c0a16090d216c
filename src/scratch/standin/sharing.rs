//! Subscriptions, access rights, and the public mailboxes that have them from the start.

use super::session::Session;
use super::sql;
use crate::domain::ids::MailboxId;
use crate::error::{Error, Kind, Result};

/// The user who owns all public mailboxes.
pub const PUBLIC_USER: &str = "__public__";

/// The user whose rights everybody has.
pub const ANYONE: &str = "anyone";

/// The rights that dbmail keeps (RFC 4314, 2.1), in the order in which it writes them.
const RIGHTS: &str = "lrswipkxtea";

impl Session {
    /// Subscribes an account to a mailbox. False when it was already.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn subscribe(&mut self, userid: &str, mailbox: MailboxId) -> Result<bool> {
        let user = self.user(userid).await?;
        let mut work = self.begin().await?;
        let missing = work.query_opt(sql::FIND_SUBSCRIPTION, &[&user, &mailbox.0]).await?.is_none();
        if missing {
            work.execute(sql::INSERT_SUBSCRIPTION, &[&user, &mailbox.0]).await?;
        }
        work.commit().await?;
        Ok(missing)
    }

    /// Ends a subscription. False when there was none.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn unsubscribe(&mut self, userid: &str, mailbox: MailboxId) -> Result<bool> {
        let user = self.user(userid).await?;
        Ok(self.execute(sql::DELETE_SUBSCRIPTION, &[&user, &mailbox.0]).await? > 0)
    }

    /// SETACL: `rights` replaces the rights that the account has on the mailbox, or adds to them after a `+`, or takes
    /// from them after a `-`. The row is made where it is missing, in a transaction of its own, and each right is
    /// written in one more: others see what is half done. The owner needs no rights, and gets no row.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account, or no such right; otherwise what PostgreSQL says.
    pub async fn set_acl(&mut self, userid: &str, mailbox: MailboxId, rights: &str) -> Result<()> {
        let user = self.user(userid).await?;
        for (right, given) in changes(rights)? {
            let owner = self.query_opt(sql::MAILBOX_OWNER, &[&mailbox.0]).await?;
            if owner.and_then(|row| row.get::<_, Option<i64>>(0)) == Some(user) {
                continue;
            }
            if self.query_opt(sql::FIND_ACL, &[&user, &mailbox.0]).await?.is_none() {
                self.execute(sql::INSERT_ACL, &[&user, &mailbox.0]).await?;
            }
            let right = right.to_string();
            self.execute(sql::SET_RIGHT, &[&user, &mailbox.0, &right, &i16::from(given)]).await?;
        }
        Ok(())
    }

    /// DELETEACL. False when there was none.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn delete_acl(&mut self, userid: &str, mailbox: MailboxId) -> Result<bool> {
        let user = self.user(userid).await?;
        Ok(self.execute(sql::DELETE_ACL, &[&user, &mailbox.0]).await? > 0)
    }

    /// CREATE of a mailbox below `#Public`, by an account: the public user owns it, and the account gets all rights.
    /// `name` is without `#Public/`. The mailbox above must be there; dbmail also asks whether the account may create
    /// in it. (In another account's namespace, `#Users`, dbmail lets nobody create a mailbox.)
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn create_public_mailbox(&mut self, userid: &str, name: &str) -> Result<MailboxId> {
        let mailbox = self.create_mailbox(PUBLIC_USER, name).await?;
        self.set_acl(userid, mailbox, RIGHTS).await?;
        Ok(mailbox)
    }
}

/// Which rights are to be given and taken, in dbmail's order.
fn changes(rights: &str) -> Result<Vec<(char, bool)>> {
    let named = rights.trim_start_matches(['+', '-']);
    if let Some(unknown) = named.chars().find(|right| !RIGHTS.contains(*right)) {
        return Err(Error::new(Kind::Data, format!("rights {rights}: there is no right {unknown}")));
    }
    Ok(match rights.chars().next() {
        Some(sign @ ('+' | '-')) => named.chars().map(|right| (right, sign == '+')).collect(),
        _ => RIGHTS.chars().map(|right| (right, named.contains(right))).collect(),
    })
}
