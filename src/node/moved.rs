//! Readers who move on to another node, because the one that they used is gone.

use std::collections::BTreeMap;

use deadpool_postgres::{Client, GenericClient};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ask::{self, Columns as _};
use super::locks::{self, LockPatience};
use super::state::{UserState, account_of};
use crate::domain::account::AccountId;
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::error::Result;

/// The most messages that are queued in one transaction.
const MESSAGES_AT_ONCE: usize = 200;

/// Somebody who has logged in on a node while another, on which he had read, is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedReader {
    /// `dbmail_users.user_idnr` here.
    pub user: i64,
    /// The account.
    pub account: AccountId,
    /// The node that is gone.
    pub gone: NodeId,
    /// Since when, as this node has noticed.
    pub lost_at: Timestamp,
}

/// A message that a node which is gone had not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacked {
    /// When it became visible where it was first.
    pub at: Timestamp,
    /// Whether the node that is gone may have it all the same.
    pub may_have: bool,
}

/// Such messages.
pub type Unacknowledged = BTreeMap<BirthUid, Lacked>;

/// The highest UID in each mailbox that the node which is gone may have shown.
pub type Tops = BTreeMap<MailboxId, Uid>;

/// Notes on the target who reads on the source.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn note_readers(target: &impl GenericClient, source: NodeId, users: &[UserState]) -> Result<()> {
    let readers: Vec<Value> = users
        .iter()
        .filter_map(|user| Some((&user.account, user.seen_ago?)))
        .map(|(id, seconds)| json!({"born_as": id.born_as, "generation": id.generation, "seconds": seconds}))
        .collect();
    if !readers.is_empty() {
        let sql = include_str!("../../sql/target/write_readers.sql");
        ask::row(target, sql, &[&source.0, &Value::Array(readers)]).await?;
    }
    Ok(())
}

/// Who has moved to this node, and whose messages have not been looked through: at most `most`.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn moved_readers(client: &impl GenericClient, most: i64) -> Result<Vec<MovedReader>> {
    let rows = ask::rows(client, include_str!("../../sql/node/moved_readers.sql"), &[&most]).await?;
    let reader = |row: &tokio_postgres::Row| {
        Ok(MovedReader {
            user: row.read("user_idnr")?,
            account: account_of(row)?,
            gone: NodeId(row.read("node_id")?),
            lost_at: row.read("lost_at")?,
        })
    };
    rows.iter().map(reader).collect()
}

/// What became visible on a node, or on the nodes `silent`, that these accounts may read and that the node `gone` has not acknowledged.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn unacknowledged(
    client: &impl GenericClient,
    gone: NodeId,
    silent: &[NodeId],
    lost_at: Timestamp,
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, Unacknowledged>> {
    let silent: Vec<i16> = silent.iter().map(|id| id.0).collect();
    let births: Vec<&str> = accounts.iter().map(|id| id.born_as.as_str()).collect();
    let generations: Vec<i32> = accounts.iter().map(|id| id.generation).collect();
    let sql = include_str!("../../sql/node/unacknowledged.sql");
    let mut found: BTreeMap<AccountId, Unacknowledged> = BTreeMap::new();
    for row in ask::rows(client, sql, &[&gone.0, &silent, &lost_at, &births, &generations]).await? {
        let lacked = Lacked { at: row.read("at")?, may_have: row.read("may_have")? };
        found.entry(account_of(&row)?).or_default().insert(BirthUid(row.read("birth_uid")?), lacked);
    }
    Ok(found)
}

/// The mailboxes of messages on this node.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn mailboxes_of(client: &impl GenericClient, lacked: &Unacknowledged) -> Result<Vec<MailboxId>> {
    let births: Vec<i64> = lacked.keys().map(|birth| birth.0).collect();
    let rows = ask::rows(client, include_str!("../../sql/node/mailboxes_of.sql"), &[&births]).await?;
    rows.iter().map(|row| row.read("mailbox_idnr").map(MailboxId)).collect()
}

/// The highest UID of mailboxes on a node, but for messages that are lacked.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn had_tops(client: &impl GenericClient, lacked: &Unacknowledged, mailboxes: &[MailboxId]) -> Result<Tops> {
    let births: Vec<i64> = lacked.keys().map(|birth| birth.0).collect();
    let mailboxes: Vec<i64> = mailboxes.iter().map(|id| id.0).collect();
    let rows = ask::rows(client, include_str!("../../sql/node/had_tops.sql"), &[&births, &mailboxes]).await?;
    rows.iter().map(|row| Ok((MailboxId(row.read("mailbox_idnr")?), Uid(row.read("top")?)))).collect()
}

/// Queues for new UIDs what of `lacked` lies below a message that the node which is gone may have shown. Returns how many.
///
/// # Errors
/// `Unreachable`, `Transient`: some may be queued; try again.
pub async fn queue(client: &mut Client, lacked: &Unacknowledged, tops: &Tops, lock_ms: i32) -> Result<i64> {
    let births: Vec<i64> = lacked.keys().map(|birth| birth.0).collect();
    let ats: Vec<Timestamp> = lacked.values().map(|lacked| lacked.at).collect();
    let may_have: Vec<bool> = lacked.values().map(|lacked| lacked.may_have).collect();
    let (mailboxes, tops): (Vec<i64>, Vec<i64>) = tops.iter().map(|(id, top)| (id.0, top.0)).unzip();
    let sql = include_str!("../../sql/node/passed_by.sql");
    let rows = ask::rows(client, sql, &[&births, &ats, &may_have, &mailboxes, &tops]).await?;
    let passed: Vec<(i64, Timestamp)> =
        rows.iter().map(|row| Ok((row.read("birth_uid")?, row.read("at")?))).collect::<Result<_>>()?;
    let mut queued = 0;
    for some in passed.chunks(MESSAGES_AT_ONCE) {
        let (births, ats): (Vec<i64>, Vec<Timestamp>) = some.iter().copied().unzip();
        let transaction = client.transaction().await?;
        locks::guard(&transaction, LockPatience::of(lock_ms)).await?;
        let row = ask::row(&transaction, include_str!("../../sql/node/queue_visible.sql"), &[&births, &ats]).await?;
        transaction.commit().await?;
        queued += row.read::<i64>("queued")?;
    }
    Ok(queued)
}

/// Notes that a reader's messages have been looked through, how many were queued, and whether all other nodes could be asked.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn note_looked(client: &impl GenericClient, reader: &MovedReader, queued: i64, complete: bool) -> Result<()> {
    let sql = include_str!("../../sql/node/note_moved_reader.sql");
    ask::run(client, sql, &[&reader.user, &reader.gone.0, &reader.lost_at, &queued, &complete]).await?;
    Ok(())
}
