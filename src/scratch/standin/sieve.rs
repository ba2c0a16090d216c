//! Sieve scripts, as `dbmail-timsieved` and `dbmail-sievecmd` keep them.

use super::session::Session;
use super::sql;
use crate::error::Result;

/// Under this name a script is checked before it gets its own. It is active meanwhile: so dbmail inserts every script.
pub const TEMPORARY_SCRIPT: &str = "@!temp-script!@";

impl Session {
    /// PUTSCRIPT: the script comes in under a temporary name (a transaction: DELETE, INSERT as active), is checked, and
    /// takes its own name (see [`rename_script`](Self::rename_script)). A script of that name is replaced, and the new
    /// one is active if that was. A client that vanishes in between leaves the temporary script behind, active.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn put_script(&mut self, userid: &str, name: &str, script: &str) -> Result<()> {
        let owner = self.user(userid).await?;
        let mut work = self.begin().await?;
        work.execute(sql::DELETE_SCRIPT, &[&owner, &TEMPORARY_SCRIPT]).await?;
        work.execute(sql::INSERT_SCRIPT, &[&owner, &TEMPORARY_SCRIPT, &script]).await?;
        work.commit().await?;
        self.rename_script(userid, TEMPORARY_SCRIPT, name).await
    }

    /// Renames a script in one transaction: one that has the name already is deleted, and the renamed one is active if
    /// that was, otherwise not, whatever it was itself.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn rename_script(&mut self, userid: &str, name: &str, to: &str) -> Result<()> {
        let owner = self.user(userid).await?;
        let mut work = self.begin().await?;
        let mut active = 0;
        if let Some(row) = work.query_opt(sql::FIND_SCRIPT, &[&owner, &to]).await? {
            active = row.get::<_, i16>(0);
            work.execute(sql::DELETE_SCRIPT, &[&owner, &to]).await?;
        }
        work.execute(sql::RENAME_SCRIPT, &[&owner, &name, &to, &active]).await?;
        work.commit().await
    }

    /// SETACTIVE: in one transaction all of the account's scripts become inactive, then this one active. As in dbmail,
    /// the name of no script leaves none active.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn activate_script(&mut self, userid: &str, name: &str) -> Result<()> {
        let owner = self.user(userid).await?;
        let mut work = self.begin().await?;
        work.execute(sql::DEACTIVATE_SCRIPTS, &[&owner]).await?;
        work.execute(sql::SET_SCRIPT_ACTIVE, &[&owner, &name, &1_i16]).await?;
        work.commit().await
    }

    /// SETACTIVE without a name, for the script that is active. False when there is no such script.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn deactivate_script(&mut self, userid: &str, name: &str) -> Result<bool> {
        let owner = self.user(userid).await?;
        Ok(self.execute(sql::SET_SCRIPT_ACTIVE, &[&owner, &name, &0_i16]).await? > 0)
    }

    /// DELETESCRIPT, also of an active one. False when there is no such script.
    ///
    /// # Errors
    /// `Kind::Data` when there is no such account; otherwise what PostgreSQL says.
    pub async fn delete_script(&mut self, userid: &str, name: &str) -> Result<bool> {
        let owner = self.user(userid).await?;
        Ok(self.execute(sql::DELETE_SCRIPT, &[&owner, &name]).await? > 0)
    }
}
