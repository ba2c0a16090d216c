//! The target's side of mailboxes: what it has of them, what the source has, and the joining of the two.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;

use super::ask::{self, Columns as _};
use super::locks::{self, LockPatience};
use super::mailbox_plan;
use super::parents::Joining;
use super::scan::SourceRead;
use super::state::{self, MailboxState};
use super::store::Aside;
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::mailboxes::{self as domain, Held, Owners, State, View};
use crate::domain::sound::Limits;
use crate::error::Result;

/// Which of these mailboxes are not here and have not ended either.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn missing(target: &impl GenericClient, ids: &[MailboxId]) -> Result<Vec<MailboxId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = ask::rows(target, include_str!("../../sql/target/missing_mailboxes.sql"), &[&ids]).await?;
    Ok(rows.iter().map(|row| MailboxId(row.get(0))).collect())
}

/// A mailbox that has no row here.
#[derive(Clone, Debug)]
pub struct Absent {
    /// Why.
    pub reason: String,
    /// Whether it was deleted or merged: it will never come.
    pub has_ended: bool,
}

/// Which of these mailboxes are not here, each with what stands in the way.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn absent(
    target: &impl GenericClient,
    ids: &[MailboxId],
    known: &BTreeMap<MailboxId, MailboxState>,
    source: NodeId,
) -> Result<BTreeMap<MailboxId, Absent>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let numbers: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let owners: Vec<&str> = ids.iter().map(|id| known.get(id).map_or("", MailboxState::account)).collect();
    let rows =
        ask::rows(target, include_str!("../../sql/target/absent_mailboxes.sql"), &[&numbers, &owners, &source.0])
            .await?;
    let absent = |row: &tokio_postgres::Row| Absent { reason: row.get("reason"), has_ended: row.get("has_ended") };
    Ok(rows.iter().map(|row| (MailboxId(row.get("id")), absent(row))).collect())
}

/// What source and target have of the mailboxes of a batch.
pub struct Gathered {
    /// As the source has them.
    pub states: BTreeMap<MailboxId, MailboxState>,
    /// Those that it tells nothing of that can be joined.
    pub aside: Vec<Aside>,
    /// Those that the source was asked for.
    asked: BTreeSet<MailboxId>,
    /// What the target has of them, and of all others of their owners.
    view: View,
}

impl Gathered {
    /// `account.id` of the owners on the source.
    pub fn owner_ids(&self) -> impl Iterator<Item = i64> {
        self.states.values().filter_map(|mailbox| mailbox.owner.as_ref()).map(|(id, _)| *id)
    }

    fn incoming(&self) -> BTreeMap<MailboxId, State> {
        self.states.iter().map(|(id, mailbox)| (*id, mailbox.state.clone())).collect()
    }

    fn accounts(&self) -> Vec<&str> {
        let accounts: BTreeSet<&str> = self.states.values().map(MailboxState::account).collect();
        accounts.into_iter().filter(|account| !account.is_empty()).collect()
    }

    /// Looks at the target (again), and asks the source for what is in the way. Returns whether there was anything to ask for.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn refresh(
        &mut self,
        read: &SourceRead<'_>,
        target: &impl GenericClient,
        limits: &Limits,
    ) -> Result<bool> {
        let mut has_grown = false;
        loop {
            self.view = view(target, self).await?;
            let more = domain::contenders(&self.view, &self.incoming());
            let more: Vec<MailboxId> = more.difference(&self.asked).copied().collect();
            if more.is_empty() {
                return Ok(has_grown);
            }
            self.ask(read, more, limits).await?;
            has_grown = true;
        }
    }

    async fn ask(&mut self, read: &SourceRead<'_>, ids: Vec<MailboxId>, limits: &Limits) -> Result<()> {
        let told = read.mailboxes(&ids, limits).await?;
        self.states.extend(told.states.into_iter().map(|mailbox| (mailbox.id, mailbox)));
        self.aside.extend(told.aside);
        self.asked.extend(ids);
        Ok(())
    }
}

/// Reads the wanted mailboxes on the source, and what the target has of them. Of mailboxes that are in the way of theirs on the target
/// the source is asked too: it may know that they have another name by now, or have ended. So what comes in pieces, or in another order
/// than it happened, does not make twins of mailboxes that never were any.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn gather(
    read: &SourceRead<'_>,
    target: &impl GenericClient,
    wanted: Vec<MailboxId>,
    limits: &Limits,
) -> Result<Gathered> {
    let mut gathered =
        Gathered { states: BTreeMap::new(), aside: Vec::new(), asked: BTreeSet::new(), view: View::new() };
    if !wanted.is_empty() {
        gathered.ask(read, wanted, limits).await?;
        gathered.refresh(read, target, limits).await?;
    }
    Ok(gathered)
}

/// Joins mailboxes; returns whether anything was written. Idempotent.
///
/// # Errors
/// `Unreachable`; `Transient`, also when dbmail has changed one of them, or taken a name, at that moment; `Data`.
pub async fn join(target: &impl GenericClient, joining: Joining, gathered: &Gathered) -> Result<bool> {
    if gathered.states.is_empty() {
        return Ok(false);
    }
    let rows = ask::rows(target, include_str!("../../sql/target/view_owners.sql"), &[&gathered.accounts()]).await?;
    let owners: Owners = rows.iter().map(|row| (row.get("account"), row.get("is_here"))).collect();
    let node = joining.here;
    let outcome = domain::join(node, &gathered.view, &owners, &gathered.incoming());
    if outcome.changes.is_empty() {
        return Ok(false);
    }
    for conflict in &outcome.conflicts {
        let (mailbox, other) = (conflict.mailbox.0, conflict.other.0);
        let outcome = if conflict.new_name.is_some() { "displaced" } else { "merged" };
        tracing::info!(node = node.0, mailbox, other, outcome, "two mailboxes had one name");
    }
    // Deliveries wait for a mailbox that is renamed.
    if outcome.changes.values().any(|change| change.before.row.is_some()) {
        locks::guard(target, LockPatience::of(joining.lock_ms)).await?;
    }
    let plan = mailbox_plan::plan(node, joining.source, &outcome, &gathered.states);
    ask::row(target, include_str!("../../sql/target/write_mailboxes.sql"), &[&plan]).await?;
    Ok(true)
}

async fn view(target: &impl GenericClient, gathered: &Gathered) -> Result<View> {
    let ids: Vec<i64> = gathered.states.keys().map(|id| id.0).collect();
    let sql = include_str!("../../sql/target/view_mailboxes.sql");
    let rows = ask::rows(target, sql, &[&ids, &gathered.accounts()]).await?;
    let held = |row: &tokio_postgres::Row| {
        Ok::<_, crate::error::Error>(Held {
            row: if row.read("is_here")? { Some(state::registers_of(row)?) } else { None },
            fate: state::fate_of(row)?,
        })
    };
    rows.iter().map(|row| Ok((MailboxId(row.read("id")?), held(row)?))).collect()
}
