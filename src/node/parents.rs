//! What has to be here before messages are: accounts and mailboxes, joined in a short transaction of their own. It is idempotent, so a
//! batch that breaks off later leaves no harm.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Client;

use super::scan::{Keys, SourceRead};
use super::state::{EntryState, MailboxState, MessageState};
use super::{accounts, entries as small, locks, mailboxes, moved};
use crate::domain::ids::{MailboxId, NodeId};
use crate::error::Result;

/// Between whom, and how long dbmail may be kept waiting for it.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    /// The node from which it comes.
    pub source: NodeId,
    /// The node into which it is joined: what that decides by itself carries its number.
    pub here: NodeId,
    /// How long each lock that dbmail may want is waited for, and held, at the most: milliseconds.
    pub lock_ms: i32,
    /// Whether what changes is noted as the node's own change: see [`super::apply::Batch::is_relayed`].
    pub is_own: bool,
}

/// Joins the accounts and mailboxes that a batch names, and those that it needs and that are not here. Returns the mailboxes as the
/// source has them.
///
/// # Errors
/// `Unreachable`, `Transient`: nothing was written; `Data` when the target refuses a row.
pub async fn join(
    read: &SourceRead<'_>,
    target: &mut Client,
    joining: Joining,
    keys: &Keys,
    (states, entries): (&[MessageState], &[EntryState]),
) -> Result<BTreeMap<MailboxId, MailboxState>> {
    let referred = states.iter().filter(|state| !state.incoming.dead).map(|state| state.place.value);
    let referred: BTreeSet<MailboxId> = referred.chain(entries.iter().filter_map(|entry| entry.mailbox)).collect();
    let mut wanted = mailboxes::missing(target, &referred.into_iter().collect::<Vec<_>>()).await?;
    wanted.extend(keys.mailboxes.iter().copied().map(MailboxId));
    wanted.sort_unstable();
    wanted.dedup();
    // The source may be far away: other links into this node do not wait for it.
    let mut gathered = mailboxes::gather(read, target, wanted).await?;
    let mut owners: BTreeSet<i64> = keys.users.clone();
    owners.extend(small::missing_accounts(target, entries).await?);
    owners.extend(gathered.owner_ids());
    let mut users = read.users(&owners).await?;
    if users.is_empty() && gathered.states.is_empty() {
        return Ok(gathered.states);
    }
    let transaction = target.transaction().await?;
    locks::begin_apply_alone(&transaction, joining.lock_ms).await?;
    // What they have brought meanwhile counts.
    if gathered.refresh(read, &transaction).await? {
        owners.extend(gathered.owner_ids());
        users = read.users(&owners).await?;
    }
    accounts::join(&transaction, joining, &users).await?;
    moved::note_readers(&transaction, joining.source, &users).await?;
    mailboxes::join(&transaction, joining, &gathered).await?;
    transaction.commit().await?;
    Ok(gathered.states)
}
