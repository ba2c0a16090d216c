//! Rows that were set aside, for whoever asks: what a target has set aside of its sources, and what that is called there.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use super::ask::{self, Columns as _};
use crate::domain::ids::NodeId;
use crate::error::Result;

/// A row that was set aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetAside {
    /// The source's number.
    pub source_id: i16,
    /// Its name.
    pub source: String,
    /// `user`, `mailbox`, `entry`, `message`, or `modseq`.
    pub kind: String,
    /// Its key on the source.
    pub key: i64,
    /// What it is called there; `None`: the source could not be asked, or does not know it any more.
    pub name: Option<String>,
    /// Whether it waits for something that is not here; it was refused otherwise.
    pub waits: bool,
    /// With which SQLSTATE PostgreSQL refused it.
    pub sqlstate: Option<String>,
    /// Why.
    pub reason: String,
    /// When it was first tried.
    pub first_seen: Timestamp,
    /// When it was last tried.
    pub last_tried: Timestamp,
    /// How often.
    pub tries: i32,
    /// When it is tried next.
    pub next_try: Timestamp,
}

impl SetAside {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            source_id: row.read("source_id")?,
            source: row.read("source")?,
            kind: row.read("kind")?,
            key: row.read("key")?,
            name: None,
            waits: row.read("waits")?,
            sqlstate: row.read("sqlstate")?,
            reason: row.read("reason")?,
            first_seen: row.read("first_seen")?,
            last_tried: row.read("last_tried")?,
            tries: row.read("tries")?,
            next_try: row.read("next_try")?,
        })
    }
}

/// Which of them.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of these sources; `None`: all.
    pub sources: Option<Vec<NodeId>>,
    /// Of this kind; `None`: all.
    pub kind: Option<String>,
}

impl Wanted {
    fn source_ids(&self) -> Option<Vec<i16>> {
        self.sources.as_ref().map(|sources| sources.iter().map(|id| id.0).collect())
    }
}

/// The oldest of them, at most `limit`, and how many there are in all.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn list(target: &impl GenericClient, wanted: &Wanted, limit: i64) -> Result<(Vec<SetAside>, i64)> {
    let sources = wanted.source_ids();
    let sql = include_str!("../../sql/aside/list.sql");
    let rows = ask::rows(target, sql, &[&sources, &wanted.kind, &limit]).await?;
    let count = ask::row(target, include_str!("../../sql/aside/count.sql"), &[&sources, &wanted.kind]).await?;
    Ok((rows.iter().map(SetAside::from_row).collect::<Result<_>>()?, count.read("rows")?))
}

/// Has them tried again within seconds; with `keys`, those only. Returns how many.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn retry(target: &impl GenericClient, wanted: &Wanted, keys: Option<&[i64]>) -> Result<i64> {
    let sql = include_str!("../../sql/aside/retry.sql");
    let sources: Vec<Option<i16>> =
        wanted.source_ids().map_or_else(|| vec![None], |ids| ids.into_iter().map(Some).collect());
    let mut rows = 0;
    for source in sources {
        rows += ask::row(target, sql, &[&source, &wanted.kind, &keys]).await?.read::<i64>("rows")?;
    }
    Ok(rows)
}

/// Gives rows the names that they have on their source.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn name(source: &impl GenericClient, id: NodeId, rows: &mut [SetAside]) -> Result<()> {
    let (kinds, keys): (Vec<&str>, Vec<i64>) =
        rows.iter().filter(|row| row.source_id == id.0).map(|row| (row.kind.as_str(), row.key)).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let mut names: HashMap<(String, i64), String> = HashMap::new();
    for row in ask::rows(source, include_str!("../../sql/aside/names.sql"), &[&kinds, &keys]).await? {
        if let Some(name) = row.read("name")? {
            names.insert((row.read("kind")?, row.read("key")?), name);
        }
    }
    for row in rows.iter_mut().filter(|row| row.source_id == id.0) {
        row.name = names.remove(&(row.kind.clone(), row.key));
    }
    Ok(())
}
