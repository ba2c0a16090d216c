//! What has to be here before messages are: accounts and mailboxes, joined in a short transaction of their own. It is idempotent, so a
//! batch that breaks off later leaves no harm.
//!
//! One that the target refuses is set aside by itself, and what belongs to it waits: it is not asked for again with every message.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Client;

use super::mailboxes::Gathered;
use super::scan::{Keys, SourceRead};
use super::state::{EntryState, MailboxState, MessageState, UserState};
use super::store::{self, Aside};
use super::{accounts, entries as small, locks, mailboxes, moved};
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::sound::Limits;
use crate::error::{Kind, Result};

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
    /// What is believed.
    pub limits: Limits,
}

/// What has come of a batch's accounts and mailboxes.
#[derive(Debug, Default)]
pub struct Parents {
    /// The mailboxes as the source has them.
    pub mailboxes: BTreeMap<MailboxId, MailboxState>,
    /// Those, and accounts, that could not be joined.
    pub aside: Vec<Aside>,
}

impl Parents {
    /// Whether any were asked for, and may be here now.
    pub fn have_come(&self) -> bool {
        !(self.mailboxes.is_empty() && self.aside.is_empty())
    }
}

/// Joins the accounts and mailboxes that a batch names, and those that it needs and that are not here.
///
/// # Errors
/// `Unreachable`, `Transient`: nothing was written, or some of it, which is no harm.
pub async fn join(
    read: &SourceRead<'_>,
    target: &mut Client,
    joining: Joining,
    keys: &Keys,
    (states, entries): (&[MessageState], &[EntryState]),
) -> Result<Parents> {
    let referred = states.iter().filter(|state| !state.incoming.dead).map(|state| state.place.value);
    let referred: BTreeSet<MailboxId> = referred.chain(entries.iter().filter_map(|entry| entry.mailbox)).collect();
    let mut missing = mailboxes::missing(target, &referred.into_iter().collect::<Vec<_>>()).await?;
    let mut owners: BTreeSet<i64> = small::missing_accounts(target, entries).await?.into_iter().collect();
    leave_refused(target, joining, &mut owners, &mut missing).await?;
    let named = keys.mailboxes.iter().copied().map(MailboxId);
    let wanted: BTreeSet<MailboxId> = missing.into_iter().chain(named).collect();
    // The source may be far away: other links into this node do not wait for it.
    let mut gathered = mailboxes::gather(read, target, wanted.into_iter().collect(), &joining.limits).await?;
    let mut owned: BTreeSet<i64> = gathered.owner_ids().collect();
    leave_refused(target, joining, &mut owned, &mut Vec::new()).await?;
    owners.extend(owned);
    owners.extend(&keys.users);
    let users = read.users(&owners, &joining.limits).await?;
    let mut aside = users.aside;
    let mut users = users.states;
    if !(users.is_empty() && gathered.states.is_empty()) {
        let has_come = match join_all(read, target, joining, (&mut gathered, &mut users), &owners).await {
            Err(error) if error.kind() == Kind::Data => {
                let (has_come, refused) = join_each(read, target, joining, (&gathered, &users)).await?;
                aside.extend(refused);
                has_come
            }
            other => other?,
        };
        if has_come {
            store::wake_aside(target).await?;
        }
    }
    aside.append(&mut gathered.aside);
    Ok(Parents { mailboxes: gathered.states, aside })
}

/// Those that were refused before are tried again when their time has come, and not with everything that belongs to them.
async fn leave_refused(
    target: &Client,
    joining: Joining,
    users: &mut BTreeSet<i64>,
    mailboxes: &mut Vec<MailboxId>,
) -> Result<()> {
    if users.is_empty() && mailboxes.is_empty() {
        return Ok(());
    }
    let refused = store::set_aside_among(target, joining.source, users, mailboxes).await?;
    users.retain(|id| !refused.users.contains(id));
    mailboxes.retain(|id| !refused.mailboxes.contains(&id.0));
    Ok(())
}

async fn join_all(
    read: &SourceRead<'_>,
    target: &mut Client,
    joining: Joining,
    (gathered, users): (&mut Gathered, &mut Vec<UserState>),
    owners: &BTreeSet<i64>,
) -> Result<bool> {
    let transaction = target.transaction().await?;
    locks::begin_apply_alone(&transaction, joining.lock_ms).await?;
    // What they have brought meanwhile counts.
    if gathered.refresh(read, &transaction, &joining.limits).await? {
        let owners: BTreeSet<i64> = gathered.owner_ids().chain(owners.iter().copied()).collect();
        *users = read.users(&owners, &joining.limits).await?.states;
    }
    let new_users = accounts::join(&transaction, joining, users).await?;
    moved::note_readers(&transaction, joining.source, users).await?;
    let new_mailboxes = mailboxes::join(&transaction, joining, gathered).await?;
    transaction.commit().await?;
    Ok(new_users || new_mailboxes)
}

/// Each by itself: the accounts, then the mailboxes. Returns whether any was written, and those that the target refuses.
async fn join_each(
    read: &SourceRead<'_>,
    target: &mut Client,
    joining: Joining,
    (gathered, users): (&Gathered, &[UserState]),
) -> Result<(bool, Vec<Aside>)> {
    let (mut has_come, mut aside) = (false, Vec::new());
    let mut note = |kind: char, key: i64, joined: Result<bool>| -> Result<()> {
        match joined {
            Ok(written) => has_come |= written,
            Err(error) if error.kind() == Kind::Data => aside.push(Aside::refused(kind, key, &error)),
            Err(error) => return Err(error),
        }
        Ok(())
    };
    for state in users {
        let user = std::slice::from_ref(state);
        let joined = async {
            let transaction = target.transaction().await?;
            locks::begin_apply_alone(&transaction, joining.lock_ms).await?;
            let written = accounts::join(&transaction, joining, user).await?;
            moved::note_readers(&transaction, joining.source, user).await?;
            transaction.commit().await?;
            Ok(written)
        };
        note('u', state.id, joined.await)?;
    }
    for &id in gathered.states.keys() {
        let joined = async {
            let one = mailboxes::gather(read, target, vec![id], &joining.limits).await?;
            let transaction = target.transaction().await?;
            locks::begin_apply_alone(&transaction, joining.lock_ms).await?;
            let written = mailboxes::join(&transaction, joining, &one).await?;
            transaction.commit().await?;
            Ok(written)
        };
        note('b', id.0, joined.await)?;
    }
    Ok((has_come, aside))
}
