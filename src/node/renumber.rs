//! What a settlement writes on a node: as a rule new numbers for messages of one mailbox, and nothing else.

use deadpool_postgres::GenericClient;

use super::ask;
use super::participant::Number;
use crate::domain::ids::{BirthUid, MailboxId};
use crate::domain::rule::{Action, FIRST_HIDDEN_ROW};
use crate::error::Result;

/// New numbers for messages of a mailbox, a column each in the form that `dbmail_mesh.settle` takes.
#[derive(Debug)]
pub struct Renumbering {
    mailbox: MailboxId,
    births: Vec<i64>,
    rows: Vec<i64>,
    old_uids: Vec<i64>,
    new_uids: Vec<i64>,
}

impl Renumbering {
    /// Of messages of `mailbox`, each with the mailbox in which its row is. `None` where there is nothing to write, or more than this: that
    /// is for a [`super::plan::PlanWriter`].
    pub fn of(mailbox: MailboxId, actions: impl Iterator<Item = (BirthUid, MailboxId, Action)>) -> Option<Self> {
        let mut all =
            Self { mailbox, births: Vec::new(), rows: Vec::new(), old_uids: Vec::new(), new_uids: Vec::new() };
        for (birth, row_mailbox, action) in actions {
            let Action::Move { row, from, to } = action else { return None };
            if row_mailbox != mailbox && row.0 < FIRST_HIDDEN_ROW {
                return None;
            }
            all.births.push(birth.0);
            all.rows.push(row.0);
            all.old_uids.push(from.0);
            all.new_uids.push(to.0);
        }
        (!all.births.is_empty()).then_some(all)
    }

    /// Writes it, under the lock of the mailbox, with what is known of `numbers`. `insists`: even if a session of dbmail waits for one of
    /// the messages.
    ///
    /// # Errors
    /// As for [`super::plan::PlanWriter::write`].
    pub async fn write(&self, client: &impl GenericClient, numbers: &[Number], insists: bool) -> Result<()> {
        let uids: Vec<i64> = numbers.iter().map(|number| number.uid.0).collect();
        let births: Vec<i64> = numbers.iter().map(|number| number.birth.0).collect();
        let by: Vec<i16> = numbers.iter().map(|number| number.decided_by.0).collect();
        let at: Vec<&str> = numbers.iter().map(|number| number.decided_at.as_str()).collect();
        let sql = include_str!("../../sql/target/settle.sql");
        let Self { mailbox, births: of, rows, old_uids, new_uids } = self;
        ask::row(client, sql, &[&mailbox.0, of, rows, old_uids, new_uids, &uids, &births, &by, &at, &insists]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Uid;
    use crate::domain::rule::RowId;

    const HERE: MailboxId = MailboxId(7);

    fn moved(row: i64) -> Action {
        Action::Move { row: RowId(row), from: Uid(5), to: Uid(9) }
    }

    #[test]
    fn what_is_more_than_new_numbers_is_left_to_the_plan() {
        let of = |actions: &[(MailboxId, Action)]| {
            Renumbering::of(HERE, actions.iter().map(|&(mailbox, action)| (BirthUid(5), mailbox, action)))
        };
        let (staging, elsewhere) = (MailboxId(1), MailboxId(8));
        let all = of(&[(HERE, moved(5)), (staging, moved(FIRST_HIDDEN_ROW))]).unwrap();
        assert_eq!((all.rows, all.old_uids, all.new_uids), (vec![5, FIRST_HIDDEN_ROW], vec![5, 5], vec![9, 9]));
        assert!(of(&[]).is_none());
        assert!(of(&[(HERE, moved(5)), (elsewhere, moved(6))]).is_none(), "it comes out of another mailbox");
        assert!(of(&[(HERE, moved(5)), (HERE, Action::Kill { row: None, uid: Uid(5) })]).is_none());
    }
}
