//! How a mailbox, or a user, that is to go leaves a node: messages first, a few at a time, by the rule that messages of peers obey.

use std::collections::BTreeSet;

use deadpool_postgres::{Client, GenericClient, Transaction};

use super::ask;
use super::locks::{self, LockPatience};
use super::placing::Verdicts;
use super::plan::{PlanWriter, View};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::rule::{self, Action, Incoming, Place};
use crate::error::Result;

/// The most messages taken out in one transaction: what can be written well within the lock bound.
const MESSAGES_AT_ONCE: i64 = 200;

/// What is to leave a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doomed {
    /// A user, by `account.id`.
    Account(i64),
    /// A mailbox.
    Mailbox(MailboxId),
    /// The messages of a mailbox of which only the name is left.
    Messages(MailboxId),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has gone.
    Gone,
    /// There is more to do, at once.
    More,
    /// It waits for something else: messages for their new UIDs, a user for his mailboxes.
    Waits,
}

/// What is to leave the node now, at most `limit` of each kind.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn doomed(client: &impl GenericClient, limit: i64) -> Result<Vec<Doomed>> {
    let rows = ask::rows(client, include_str!("../../sql/node/doomed.sql"), &[&limit]).await?;
    Ok(rows
        .iter()
        .map(|row| match row.get::<_, i8>("kind") as u8 {
            b'u' => Doomed::Account(row.get("id")),
            b'n' => Doomed::Messages(MailboxId(row.get("id"))),
            _ => Doomed::Mailbox(MailboxId(row.get("id"))),
        })
        .collect())
}

/// Carries out the next step of a fate, in a transaction that holds locks for no longer than `lock_ms`. `node` is this node.
///
/// # Errors
/// `Transient`: nothing was done; `Unreachable`.
pub async fn carry_out(client: &mut Client, node: NodeId, doomed: Doomed, lock_ms: i32) -> Result<Outcome> {
    let transaction = client.transaction().await?;
    let outcome = match doomed {
        Doomed::Account(id) => {
            locks::guard(&transaction, LockPatience::of(lock_ms)).await?;
            removed(&transaction, include_str!("../../sql/node/remove_account.sql"), id).await?
        }
        Doomed::Messages(mailbox) => {
            if empty(&transaction, node, mailbox, lock_ms).await? {
                Outcome::More
            } else {
                Outcome::Waits
            }
        }
        Doomed::Mailbox(mailbox) => {
            if empty(&transaction, node, mailbox, lock_ms).await? {
                Outcome::More
            } else {
                locks::guard(&transaction, LockPatience::of(lock_ms)).await?;
                removed(&transaction, include_str!("../../sql/node/remove_mailbox.sql"), mailbox.0).await?
            }
        }
    };
    transaction.commit().await?;
    Ok(outcome)
}

async fn removed(transaction: &Transaction<'_>, sql: &str, id: i64) -> Result<Outcome> {
    let row = ask::row(transaction, sql, &[&id]).await?;
    Ok(match row.get(0) {
        "gone" => Outcome::Gone,
        "emptying" => Outcome::More,
        _ => Outcome::Waits,
    })
}

/// Takes some of the messages out; returns whether there were any.
async fn empty(transaction: &Transaction<'_>, node: NodeId, mailbox: MailboxId, lock_ms: i32) -> Result<bool> {
    let births = messages_of(transaction, mailbox).await?;
    Ok(!births.is_empty() && take_out(transaction, node, mailbox, &births, lock_ms).await?)
}

async fn messages_of(transaction: &Transaction<'_>, mailbox: MailboxId) -> Result<Vec<BirthUid>> {
    let sql = include_str!("../../sql/node/messages_of_doomed.sql");
    let rows = ask::rows(transaction, sql, &[&mailbox.0, &MESSAGES_AT_ONCE]).await?;
    Ok(rows.iter().map(|row| BirthUid(row.get(0))).collect())
}

/// Takes messages out of a mailbox: each is joined with itself, its mailbox led on to where that went. Returns whether anything changed.
async fn take_out(
    transaction: &Transaction<'_>,
    node: NodeId,
    mailbox: MailboxId,
    births: &[BirthUid],
    lock_ms: i32,
) -> Result<bool> {
    let verdicts = Verdicts::ask(transaction, &BTreeSet::from([mailbox])).await?;
    let Some(line) = verdicts.line(mailbox) else { return Ok(false) };
    locks::guard(transaction, LockPatience::of(lock_ms)).await?;
    let lines: Vec<MailboxId> = line.into_iter().chain([mailbox]).collect();
    let view = View::lock(transaction, &lines, births, Uid(0)).await?;
    let mut plan = PlanWriter::for_join(node);
    for (&birth, found) in view.messages.iter().filter(|(_, found)| found.place.value == mailbox) {
        let Some(goes) = verdicts.destination(&found.place, Some(found)) else { continue };
        let Some(uid) = found.held.uid() else { continue };
        let place = Place { changes: true, ..goes.place(&view)? };
        let action = rule::decide(Some(found.held), &Incoming { birth, uid, dead: false }, place);
        // What is hidden for a deleted user already stays as it is.
        if goes.aside && matches!(action, None | Some(Action::Wait { .. })) {
            continue;
        }
        if let Some(action) = action {
            plan.change(birth, goes.mailbox, found.row_mailbox, action);
        }
        if goes.rescued {
            plan.rescue(birth);
        }
    }
    if plan.is_empty() {
        return Ok(false);
    }
    plan.write(transaction).await?;
    Ok(true)
}
