//! RENAME, and what else moves messages by UPDATE: they keep their UIDs unless the database says otherwise.

use super::mailboxes::no_mailbox;
use super::session::Session;
use super::sql;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;

impl Session {
    /// Renames a mailbox, and its children before it, each in a transaction of its own. Returns how many rows were
    /// renamed. No sequence is raised. INBOX is not renamed like this: see [`rename_inbox`](Self::rename_inbox).
    ///
    /// # Errors
    /// `Kind::Data` when there is no such mailbox; otherwise what PostgreSQL says, such as that a name is taken. As in
    /// dbmail, those that were renamed before keep their new names then.
    pub async fn rename_mailbox(&mut self, mailbox: MailboxId, to: &str) -> Result<u64> {
        let row = self.query_opt(sql::MAILBOX_NAME, &[&mailbox.0]).await?;
        let old: String = row.ok_or_else(|| no_mailbox("rename", mailbox))?.get(1);
        let mut renamed = 0;
        for child in self.query(sql::LIST_CHILDREN, &[&mailbox.0]).await? {
            let (id, name): (i64, &str) = (child.get(0), child.get(1));
            let below = name.get(old.len()..).unwrap_or_default();
            renamed += self.execute(sql::RENAME_MAILBOX, &[&id, &format!("{to}{below}")]).await?;
        }
        renamed += self.execute(sql::RENAME_MAILBOX, &[&mailbox.0, &to]).await?;
        Ok(renamed)
    }

    /// Renames the account's INBOX: makes a mailbox of the new name, moves all rows of INBOX to it in one UPDATE, dead
    /// ones too, and raises the sequences of the new one and of INBOX, if there were any. INBOX stays, empty, and so do
    /// its children. Returns the new mailbox.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account, or no INBOX; otherwise what PostgreSQL says.
    pub async fn rename_inbox(&mut self, userid: &str, to: &str) -> Result<MailboxId> {
        let inbox = self.find_mailbox(userid, "INBOX").await?;
        let inbox = inbox.ok_or_else(|| no_mailbox("rename of INBOX", format!("{userid}/INBOX")))?;
        let renamed = self.create_mailbox(userid, to).await?;
        if self.execute(sql::MOVE_ALL, &[&inbox.0, &renamed.0]).await? > 0 {
            self.bump(renamed, None).await?;
            self.bump(inbox, None).await?;
        }
        Ok(renamed)
    }

    /// Moves messages as `dbmail-util --move` does: for each an UPDATE by its UID, whatever mailbox and status it has,
    /// then the sequences of both mailboxes. Returns how many rows it found. Their UIDs may differ afterwards, which
    /// dbmail does not learn.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn move_messages(&mut self, from: MailboxId, uids: &[Uid], to: MailboxId) -> Result<u64> {
        let mut moved = 0;
        for uid in uids {
            moved += self.execute(sql::MOVE_MESSAGE, &[&uid.0, &to.0]).await?;
            self.bump(to, None).await?;
            self.bump(from, None).await?;
        }
        Ok(moved)
    }
}
