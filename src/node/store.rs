//! The target's side of a batch beside its rows: what has to wait, and what the worker reports.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::ask::{self, Columns as _};
use super::refusal;
use super::scan::Keys;
use crate::domain::ids::{MailboxId, NodeId, Stride, Uid};
use crate::domain::sound::Limits;
use crate::error::{Error, Result};

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

/// What this node knows and a peer cannot change, to judge by what comes.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn limits(target: &impl GenericClient) -> Result<Limits> {
    let row = ask::row(target, include_str!("../../sql/target/limits.sql"), &[]).await?;
    Ok(Limits { stride: Stride(row.read("stride")?), now: row.read("clock")? })
}

/// A row that cannot be joined, and why. Keys are those of the source; a message goes by its birth UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aside {
    /// As in the outbox: `u`, `b`, `e`, `m` or `s`.
    pub kind: char,
    /// The key.
    pub key: i64,
    /// Whether it waits for something else to come; it was refused otherwise.
    pub waits: bool,
    /// With which SQLSTATE, where PostgreSQL has refused it.
    pub sqlstate: Option<String>,
    /// Why.
    pub reason: String,
}

impl Aside {
    /// One that waits for something that is not here.
    pub fn waiting(kind: char, key: i64, reason: String) -> Self {
        Self { kind, key, waits: true, sqlstate: None, reason }
    }

    /// One that was refused.
    pub fn refused(kind: char, key: i64, error: &Error) -> Self {
        let (sqlstate, reason) = refusal::of(error);
        Self { kind, key, waits: false, sqlstate, reason }
    }
}

/// Notes rows that cannot be joined.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside(target: &impl GenericClient, source: NodeId, rows: &[Aside]) -> Result<()> {
    // One may have been found twice, as a mailbox by two batches of keys; the first reason is the one that was met first.
    let rows: BTreeMap<(char, i64), &Aside> = rows.iter().rev().map(|row| ((row.kind, row.key), row)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let (kinds, keys): (Vec<String>, Vec<i64>) = rows.keys().map(|(kind, key)| (kind.to_string(), *key)).unzip();
    let waits: Vec<bool> = rows.values().map(|row| row.waits).collect();
    let sqlstates: Vec<Option<&str>> = rows.values().map(|row| row.sqlstate.as_deref()).collect();
    let reasons: Vec<&str> = rows.values().map(|row| row.reason.as_str()).collect();
    let sql = include_str!("../../sql/target/set_aside.sql");
    ask::run(target, sql, &[&source.0, &kinds, &keys, &waits, &sqlstates, &reasons]).await?;
    Ok(())
}

/// Has what waits for accounts or mailboxes tried again: some have come.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn wake_aside(target: &impl GenericClient) -> Result<()> {
    ask::run(target, include_str!("../../sql/target/wake_aside.sql"), &[]).await?;
    Ok(())
}

/// The nodes of which something could not be joined that `source` can be asked for as well, and is not yet.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn aside_of_others(target: &impl GenericClient, source: NodeId) -> Result<Vec<NodeId>> {
    let rows = ask::rows(target, include_str!("../../sql/target/aside_of_others.sql"), &[&source.0]).await?;
    Ok(rows.iter().map(|row| NodeId(row.get("node_id"))).collect())
}

/// Has `source` asked for the messages and mailboxes of `node` that could not be joined.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn adopt_aside(target: &impl GenericClient, node: NodeId, source: NodeId) -> Result<()> {
    ask::run(target, include_str!("../../sql/target/adopt_aside.sql"), &[&node.0, &source.0]).await?;
    Ok(())
}

/// Which of these accounts (`account.id`) and mailboxes of `source` were refused here.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside_among(
    target: &impl GenericClient,
    source: NodeId,
    users: &BTreeSet<i64>,
    mailboxes: &[MailboxId],
) -> Result<Keys> {
    let users: Vec<i64> = users.iter().copied().collect();
    let mailboxes: Vec<i64> = mailboxes.iter().map(|id| id.0).collect();
    let sql = include_str!("../../sql/target/set_aside_among.sql");
    keys_of(&ask::rows(target, sql, &[&source.0, &users, &mailboxes]).await?)
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

/// Puts off rows that could not be tried for a reason that passes, so that others have their turn. What they were refused for stays.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside_put_off(target: &impl GenericClient, source: NodeId, rows: &[(char, i64)]) -> Result<()> {
    let (kinds, keys): (Vec<String>, Vec<i64>) = rows.iter().map(|(kind, key)| (kind.to_string(), *key)).unzip();
    ask::run(target, include_str!("../../sql/target/set_aside_put_off.sql"), &[&source.0, &kinds, &keys]).await?;
    Ok(())
}

/// Rows of `source` that were set aside and are to be tried again, at most `limit`, what is due longest first.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn set_aside_due(target: &impl GenericClient, source: NodeId, limit: i64) -> Result<Keys> {
    let sql = include_str!("../../sql/target/set_aside_due.sql");
    keys_of(&ask::rows(target, sql, &[&source.0, &limit]).await?)
}

fn keys_of(rows: &[Row]) -> Result<Keys> {
    let mut keys = Keys::default();
    for row in rows {
        keys.insert(row.read("kind")?, row.read("key")?);
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

/// Tells the target which third nodes' changes come to it over the link from `source`, because they are not heard of themselves.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn report_relays(target: &impl GenericClient, source: NodeId, nodes: &[NodeId]) -> Result<()> {
    let nodes: Vec<i16> = nodes.iter().map(|node| node.0).collect();
    ask::run(target, include_str!("../../sql/target/report_relays.sql"), &[&source.0, &nodes]).await?;
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
