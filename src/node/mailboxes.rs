//! The target's side of mailboxes.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;

use super::ask;
use super::state::MailboxState;
use crate::domain::ids::MailboxId;
use crate::error::Result;

/// Which of these mailboxes the node has never had.
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

/// Which of these mailboxes are not here, each with what stands in the way.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn absent(
    target: &impl GenericClient,
    ids: &[MailboxId],
    known: &BTreeMap<MailboxId, MailboxState>,
) -> Result<BTreeMap<MailboxId, String>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let numbers: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let text = |pick: fn(&MailboxState) -> &str| -> Vec<&str> {
        ids.iter().map(|id| known.get(id).map_or("", pick)).collect()
    };
    let (owners, names) = (text(|mailbox| &mailbox.owner), text(|mailbox| &mailbox.name));
    let rows =
        ask::rows(target, include_str!("../../sql/target/absent_mailboxes.sql"), &[&numbers, &owners, &names]).await?;
    Ok(rows.iter().map(|row| (MailboxId(row.get("id")), row.get("reason"))).collect())
}

/// Creates mailboxes that this node has never had, under their ids. Idempotent.
///
/// # Errors
/// `Unreachable`, `Transient`, `Data`.
pub async fn join(target: &impl GenericClient, mailboxes: &[MailboxState]) -> Result<()> {
    if mailboxes.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = mailboxes.iter().map(|mailbox| mailbox.id.0).collect();
    let owners: Vec<&str> = mailboxes.iter().map(|mailbox| mailbox.owner.as_str()).collect();
    let names: Vec<&str> = mailboxes.iter().map(|mailbox| mailbox.name.as_str()).collect();
    let [a, b, c, d, e, f, g, h, i]: [Vec<i16>; 9] =
        std::array::from_fn(|column| mailboxes.iter().map(|mailbox| mailbox.attributes[column]).collect());
    ask::run(
        target,
        include_str!("../../sql/target/create_mailboxes.sql"),
        &[&ids, &owners, &names, &a, &b, &c, &d, &e, &f, &g, &h, &i],
    )
    .await?;
    Ok(())
}
