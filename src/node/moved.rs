//! Readers who move on to another node, because the one that they used is gone.

use std::collections::BTreeMap;

use deadpool_postgres::{Client, GenericClient};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ask;
use super::locks::{self, LockPatience};
use super::state::{UserState, account_of};
use crate::domain::account::AccountId;
use crate::domain::ids::{BirthUid, NodeId};
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

/// Messages, each with the time when it became visible where it was first.
pub type Unacknowledged = BTreeMap<BirthUid, Timestamp>;

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
    let reader = |row: &tokio_postgres::Row| MovedReader {
        user: row.get("user_idnr"),
        account: account_of(row),
        gone: NodeId(row.get("node_id")),
        lost_at: row.get("lost_at"),
    };
    Ok(rows.iter().map(reader).collect())
}

/// What became visible on a node, or on the nodes `silent`, that these accounts may read and that the node `gone` has not acknowledged.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn unacknowledged(
    client: &impl GenericClient,
    gone: NodeId,
    silent: &[NodeId],
    accounts: &[AccountId],
) -> Result<BTreeMap<AccountId, Unacknowledged>> {
    let silent: Vec<i16> = silent.iter().map(|id| id.0).collect();
    let births: Vec<&str> = accounts.iter().map(|id| id.born_as.as_str()).collect();
    let generations: Vec<i32> = accounts.iter().map(|id| id.generation).collect();
    let sql = include_str!("../../sql/node/unacknowledged.sql");
    let mut found: BTreeMap<AccountId, Unacknowledged> = BTreeMap::new();
    for row in ask::rows(client, sql, &[&gone.0, &silent, &births, &generations]).await? {
        found.entry(account_of(&row)).or_default().insert(BirthUid(row.get("birth_uid")), row.get("at"));
    }
    Ok(found)
}

/// Queues for new UIDs what of `lacked` lies below a message that the node which is gone may have shown. Returns how many.
///
/// # Errors
/// `Unreachable`, `Transient`: some may be queued; try again.
pub async fn queue(client: &mut Client, reader: &MovedReader, lacked: &Unacknowledged, lock_ms: i32) -> Result<i64> {
    let (births, ats): (Vec<i64>, Vec<Timestamp>) = lacked.iter().map(|(birth, at)| (birth.0, *at)).unzip();
    let sql = include_str!("../../sql/node/passed_by.sql");
    let rows = ask::rows(client, sql, &[&births, &ats, &reader.lost_at]).await?;
    let passed: Vec<(i64, Timestamp)> = rows.iter().map(|row| (row.get("birth_uid"), row.get("at"))).collect();
    let mut queued = 0;
    for some in passed.chunks(MESSAGES_AT_ONCE) {
        let (births, ats): (Vec<i64>, Vec<Timestamp>) = some.iter().copied().unzip();
        let transaction = client.transaction().await?;
        locks::guard(&transaction, LockPatience::of(lock_ms)).await?;
        let row = ask::row(&transaction, include_str!("../../sql/node/queue_visible.sql"), &[&births, &ats]).await?;
        transaction.commit().await?;
        queued += row.get::<_, i64>("queued");
    }
    Ok(queued)
}

/// Notes that a reader's messages have been looked through, and how many were queued.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn note_looked(client: &impl GenericClient, reader: &MovedReader, queued: i64) -> Result<()> {
    let sql = include_str!("../../sql/node/note_moved_reader.sql");
    ask::run(client, sql, &[&reader.user, &reader.gone.0, &reader.lost_at, &queued]).await?;
    Ok(())
}
