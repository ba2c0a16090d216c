//! The highest numbers in use: what a node hands out must lie above those of all nodes.

use futures_util::future::join_all;

use super::report::together;
use super::session::Session;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;

/// The highest numbers in use, on one node or on several; 0 where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Floors {
    /// The highest UID, of `dbmail_messages.message_idnr` and its sequence.
    pub uid: Uid,
    /// The highest mailbox id, of `dbmail_mailboxes.mailbox_idnr` and its sequence.
    pub mailbox: MailboxId,
}

impl Floors {
    /// Nothing in use.
    pub const NONE: Self = Self { uid: Uid(0), mailbox: MailboxId(0) };

    /// Above both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { uid: self.uid.max(other.uid), mailbox: self.mailbox.max(other.mailbox) }
    }
}

/// The highest numbers in use on one node.
pub(super) async fn used(session: &Session<'_>) -> Result<Floors> {
    let row = session.client.query_one(include_str!("../../sql/migrate/used_numbers.sql"), &[]).await;
    let row = row.map_err(|error| session.error(error).context("cannot read which numbers are in use"))?;
    Ok(Floors { uid: Uid(row.get("uid")), mailbox: MailboxId(row.get("mailbox")) })
}

/// The highest numbers in use on each of `sessions`, in their order.
pub(super) async fn used_on_each(sessions: &[&Session<'_>]) -> Result<Vec<Floors>> {
    let asked = join_all(sessions.iter().map(|session| used(session))).await;
    let mut floors = Vec::new();
    let mut errors = Vec::new();
    for answer in asked {
        answer.map_or_else(|error| errors.push(error), |used| floors.push(used));
    }
    together("the numbers in use are not known", errors)?;
    Ok(floors)
}
