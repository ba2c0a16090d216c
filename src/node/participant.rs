//! One node's part in a settlement.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;
use futures_util::future::join;
use tokio_postgres::Row;

use super::ask::{self, Columns as _};
use super::locks::{self, LockPatience};
use super::plan::{self, Lines, View};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::rule::Held;
use crate::domain::snapshot::Snapshot;
use crate::error::{Error, Kind, Result};

/// A number that a message was given, with where and when (text of a `timestamptz`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number.
    pub uid: Uid,
    /// The message.
    pub birth: BirthUid,
    /// The node that gave it.
    pub decided_by: NodeId,
    /// When, by that node's clock.
    pub decided_at: String,
}

/// Mailboxes with messages that have been late on this node for `after_s` seconds, the longest waiting first.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn ripe_mailboxes(client: &impl GenericClient, after_s: f64, limit: i64) -> Result<Vec<MailboxId>> {
    let rows = ask::rows(client, include_str!("../../sql/node/ripe_mailboxes.sql"), &[&after_s, &limit]).await?;
    Ok(rows.iter().map(|row| MailboxId(row.get(0))).collect())
}

/// The messages of a mailbox that have been late on this node for `after_s` seconds, each with the seconds that it has waited.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn ripe_messages(
    client: &impl GenericClient,
    mailbox: MailboxId,
    after_s: f64,
    limit: i64,
) -> Result<BTreeMap<BirthUid, f64>> {
    let rows =
        ask::rows(client, include_str!("../../sql/node/ripe_messages.sql"), &[&mailbox.0, &after_s, &limit]).await?;
    rows.iter().map(|row| Ok((BirthUid(row.read("birth_uid")?), row.read("waited")?))).collect()
}

/// A look at a mailbox without locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The mesh that the node belongs to, if any.
    pub mesh_id: Option<String>,
    /// The high line; `None` when the node does not have the mailbox.
    pub high: Option<Uid>,
    /// What the node can see of itself now.
    pub snapshot: Snapshot,
    /// The links into the node: their sources, what of each is surely here (`None` during a first copy), and how many messages it has
    /// brought.
    pub links: Vec<(NodeId, Option<Snapshot>, i64)>,
    /// Whether the node takes part in settlements: not while it is paused.
    pub takes_part: bool,
}

/// Looks at a mailbox.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn glance(client: &impl GenericClient, mailbox: MailboxId) -> Result<Glance> {
    let row = ask::row(client, include_str!("../../sql/node/look_at_mailbox.sql"), &[&mailbox.0]).await?;
    let (sources, brought): (Vec<i16>, Vec<i64>) = (row.read("sources")?, row.read("brought")?);
    let here: Vec<Option<String>> = row.read("here")?;
    let links = sources
        .into_iter()
        .zip(here)
        .zip(brought)
        .map(|((source, here), brought)| Ok((NodeId(source), here.map(|text| text.parse()).transpose()?, brought)));
    Ok(Glance {
        mesh_id: row.read("mesh_id")?,
        high: row.read::<Option<i64>>("high")?.map(Uid),
        snapshot: row.read::<String>("snapshot")?.parse()?,
        links: links.collect::<Result<_>>()?,
        takes_part: row.read("takes_part")?,
    })
}

/// The highest UID visible in a mailbox above `low`, if there is one.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn top_above(client: &impl GenericClient, mailbox: MailboxId, low: Uid) -> Result<Option<Uid>> {
    let row = ask::row(client, include_str!("../../sql/node/top_above.sql"), &[&mailbox.0, &low.0]).await?;
    Ok(row.read::<Option<i64>>("top")?.map(Uid))
}

/// What the node has of messages of a mailbox, without locks.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn held(
    client: &impl GenericClient,
    mailbox: MailboxId,
    births: &BTreeSet<BirthUid>,
) -> Result<BTreeMap<BirthUid, Held>> {
    Ok(view(client, mailbox, births).await?.0)
}

/// What the node has of messages of a mailbox, and the mailbox in which the row of each is. One that is in another mailbox here is not
/// current: the node has not heard that it was moved, or it knows that it was moved on.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn view(
    client: &impl GenericClient,
    mailbox: MailboxId,
    births: &BTreeSet<BirthUid>,
) -> Result<(BTreeMap<BirthUid, Held>, RowMailboxes)> {
    let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
    let (mut of_mailbox, mut rows) = (BTreeMap::new(), RowMailboxes::new());
    for row in &ask::rows(client, include_str!("../../sql/node/view_held.sql"), &[&births]).await? {
        let birth = BirthUid(row.read("birth_uid")?);
        let held = plan::held_from_row(row, birth.0)?;
        let place: Option<i64> = row.read("mailbox_idnr")?;
        rows.insert(birth, MailboxId(row.read::<Option<i64>>("row_mailbox")?.unwrap_or_default()));
        if held == Held::Dead || place == Some(mailbox.0) {
            of_mailbox.insert(birth, held);
        }
    }
    Ok((of_mailbox, rows))
}

/// Which of these messages dbmail is still delivering to further recipients on this node.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn in_delivery(client: &impl GenericClient, births: &BTreeSet<BirthUid>) -> Result<BTreeSet<BirthUid>> {
    let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
    let rows = ask::rows(client, include_str!("../../sql/node/in_delivery.sql"), &[&births]).await?;
    Ok(rows.iter().map(|row| BirthUid(row.get(0))).collect())
}

/// The numbers that messages were given, as far as this node knows.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn numbers_of(client: &impl GenericClient, births: &BTreeSet<BirthUid>) -> Result<Vec<Number>> {
    let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
    let rows = ask::rows(client, include_str!("../../sql/node/numbers_of.sql"), &[&births]).await?;
    let number = |row: &Row| {
        Ok(Number {
            uid: Uid(row.read("uid")?),
            birth: BirthUid(row.read("birth_uid")?),
            decided_by: NodeId(row.read("decided_by")?),
            decided_at: row.read("decided_at")?,
        })
    };
    rows.iter().map(number).collect()
}

/// Numbers that a node has set aside, committed and flushed.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// The numbers.
    pub uids: BTreeSet<Uid>,
    /// The node.
    pub decided_by: NodeId,
    /// When, by the node's clock.
    pub decided_at: String,
}

impl Reserved {
    /// No numbers.
    pub fn nothing() -> Self {
        Self { uids: BTreeSet::new(), decided_by: NodeId(0), decided_at: String::new() }
    }
}

/// Makes a session wait until what it commits is flushed: before it may [`reserve`].
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn flush_commits(client: &impl GenericClient) -> Result<()> {
    client.batch_execute("set synchronous_commit = on").await?;
    client.prepare_cached(include_str!("../../sql/node/reserve.sql")).await?;
    Ok(())
}

/// Sets new numbers of this node aside, one a message, all above `above`. `client` must not be in a transaction, and must flush its
/// commits: the numbers have to be durable before anyone writes them.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn reserve(
    client: &impl GenericClient,
    node: NodeId,
    mailbox: MailboxId,
    births: &[BirthUid],
    above: Uid,
) -> Result<Reserved> {
    let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
    let rows = ask::rows(client, include_str!("../../sql/node/reserve.sql"), &[&mailbox.0, &births, &above.0]).await?;
    Ok(Reserved {
        decided_by: node,
        uids: rows.iter().map(|row| row.read("uid").map(Uid)).collect::<Result<_>>()?,
        decided_at: rows.first().map_or_else(|| Ok(String::new()), |row| row.read("decided_at"))?,
    })
}

/// The highest UID that a delivery took because it did not get the lock of the mailbox in time.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn highest_overtaking(client: &impl GenericClient, mailbox: MailboxId) -> Result<Uid> {
    let row = ask::row(client, include_str!("../../sql/node/highest_overtaking.sql"), &[&mailbox.0]).await?;
    Ok(Uid(row.read::<Option<i64>>("uid")?.unwrap_or_default()))
}

/// Makes sure that the node has not been paused.
///
/// # Errors
/// `Transient` when it has; `Unreachable`.
pub async fn takes_part(client: &impl GenericClient) -> Result<()> {
    let row = ask::row(client, include_str!("../../sql/node/takes_part.sql"), &[]).await?;
    if row.read("takes_part")? { Ok(()) } else { Err(Error::new(Kind::Transient, "the node is paused")) }
}

/// Prepares the statements of a settlement, so that none needs a round trip of its own for it while locks are held.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn prepare(transaction: &impl GenericClient) -> Result<()> {
    for sql in [
        locks::GUARD,
        include_str!("../../sql/target/lock_and_view.sql"),
        include_str!("../../sql/node/view_held.sql"),
        include_str!("../../sql/node/numbers_of.sql"),
        include_str!("../../sql/target/settle.sql"),
        include_str!("../../sql/target/write_plan.sql"),
        include_str!("../../sql/node/highest_overtaking.sql"),
        include_str!("../../sql/node/takes_part.sql"),
    ] {
        transaction.prepare_cached(sql).await?;
    }
    Ok(())
}

/// The mailbox in which the row of each message is.
pub type RowMailboxes = BTreeMap<BirthUid, MailboxId>;

/// Takes the lock of a mailbox in a transaction of the node, bounded by the node itself, and returns its lines.
///
/// # Errors
/// `Transient` when the lock cannot be had within the bound, or the mailbox is gone.
pub async fn lock(
    transaction: &impl GenericClient,
    node: NodeId,
    mailbox: MailboxId,
    patience: LockPatience,
) -> Result<Lines> {
    let mailboxes = [mailbox];
    let (guarded, view) =
        join(locks::guard(transaction, patience), View::lock(transaction, &mailboxes, &[], Uid(0))).await;
    guarded?;
    let lines = view?.lines.get(&mailbox).copied();
    lines.ok_or_else(|| Error::new(Kind::Transient, format!("mailbox {mailbox} is gone from node {node}")))
}
