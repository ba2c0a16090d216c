//! The target's side of a batch beside its rows: what has to wait, and what the worker reports.

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::ask;
use super::scan::Keys;
use crate::domain::ids::{MailboxId, NodeId, Uid};
use crate::error::Result;

/// Moves the node's sequences towards ids that were applied.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn keep_up(target: &impl GenericClient, uid: Uid, mailbox: MailboxId) -> Result<()> {
    ask::row(target, include_str!("../../sql/target/keep_up.sql"), &[&uid.0, &mailbox.0]).await?;
    Ok(())
}

/// Tells the node for how long a login counts; `None`: every mailbox counts as read.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_presence(target: &impl GenericClient, presence: Option<Duration>) -> Result<()> {
    let seconds = presence.map(|presence| presence.as_secs_f64());
    ask::row(target, include_str!("../../sql/target/set_presence.sql"), &[&seconds]).await?;
    Ok(())
}

/// A row that cannot be joined yet, and why. Keys are those of the source; a message goes by its birth UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aside {
    /// As in the outbox: `u`, `b`, `e` or `m`.
    pub kind: char,
    /// The key.
    pub key: i64,
    /// Why.
    pub reason: String,
}

/// Notes rows that cannot be joined yet.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside(target: &impl GenericClient, source: NodeId, rows: &[Aside]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let kinds: Vec<String> = rows.iter().map(|row| row.kind.to_string()).collect();
    let keys: Vec<i64> = rows.iter().map(|row| row.key).collect();
    let reasons: Vec<&str> = rows.iter().map(|row| row.reason.as_str()).collect();
    ask::run(target, include_str!("../../sql/target/set_aside.sql"), &[&source.0, &kinds, &keys, &reasons]).await?;
    Ok(())
}

/// Forgets rows that were noted and are joined now.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside_done(target: &impl GenericClient, source: NodeId, rows: &[(char, i64)]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (kinds, keys): (Vec<String>, Vec<i64>) = rows.iter().map(|(kind, key)| (kind.to_string(), *key)).unzip();
    ask::run(target, include_str!("../../sql/target/set_aside_done.sql"), &[&source.0, &kinds, &keys]).await?;
    Ok(())
}

/// Rows of `source` that were set aside and are to be tried again.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside_due(target: &impl GenericClient, source: NodeId, every_s: f64, limit: i64) -> Result<Keys> {
    let rows =
        ask::rows(target, include_str!("../../sql/target/set_aside_due.sql"), &[&source.0, &every_s, &limit]).await?;
    let mut keys = Keys::default();
    for row in &rows {
        keys.insert(row.get("kind"), row.get("key"));
    }
    Ok(keys)
}

/// Says on the target how the link from `source` is doing.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn report_link(target: &impl GenericClient, source: NodeId, state: &str, error: Option<&str>) -> Result<()> {
    ask::run(target, include_str!("../../sql/target/report_link.sql"), &[&source.0, &state, &error]).await?;
    Ok(())
}

/// Tells the target for how long HIGHESTMODSEQs of a source have been waiting; `None`: none does.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn report_behind(target: &impl GenericClient, source: NodeId, waited: Option<Duration>) -> Result<()> {
    let seconds = waited.map(|waited| waited.as_secs_f64());
    ask::run(target, include_str!("../../sql/target/report_behind.sql"), &[&source.0, &seconds]).await?;
    Ok(())
}

/// Has the statistics of a node that is being filled brought up to date, if they are far behind `brought` messages. Plans that were made
/// for empty tables read them from end to end: the more there is, the slower.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn refresh_statistics(target: &impl GenericClient, brought: i64) -> Result<()> {
    let row = ask::row(target, include_str!("../../sql/target/statistics_are_stale.sql"), &[&brought]).await?;
    if row.get("stale") {
        ask::row(target, include_str!("../../sql/target/refresh_statistics.sql"), &[]).await?;
    }
    Ok(())
}
