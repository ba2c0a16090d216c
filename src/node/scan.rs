//! Reading a source: which keys are new, and what their current state is. All of one batch is read in one snapshot.

use std::collections::BTreeSet;

use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio_postgres::{IsolationLevel, Row};

use super::ask;
use super::cursor::{CopyStage, Cursor, Witness};
use super::state::{EntryState, MailboxState, MessageState, UserState};
use super::tides::Tides;
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::snapshot::Snapshot;
use crate::error::{Error, Kind, Result};

/// Keys of rows that changed on a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// `account.id`.
    pub users: BTreeSet<i64>,
    /// `mailbox_idnr`.
    pub mailboxes: BTreeSet<i64>,
    /// `entry.id`.
    pub entries: BTreeSet<i64>,
    /// `message_idnr`, current or former, or birth UIDs.
    pub messages: BTreeSet<i64>,
    /// `mailbox_idnr` of those whose HIGHESTMODSEQ went up.
    pub seqs: BTreeSet<i64>,
    /// The latest transaction that wrote one of these; `None` when that is not known.
    pub made_up_to: Option<i64>,
    /// The last row among those of the outbox.
    pub last: Option<Witness>,
    /// Whether somebody waits until the target has all up to here: the cursor is to be stored although nothing may have changed.
    pub marked: bool,
}

impl Keys {
    /// Adds a key by the code of its kind in the outbox.
    pub fn insert(&mut self, kind: i8, key: i64) {
        match kind as u8 {
            b'u' => self.users.insert(key),
            b'b' => self.mailboxes.insert(key),
            b'e' => self.entries.insert(key),
            b's' => self.seqs.insert(key),
            b'w' => {
                self.marked = true;
                true
            }
            _ => self.messages.insert(key),
        };
    }

    /// Each with the code of its kind.
    pub fn rows(&self) -> Vec<(char, i64)> {
        let of = |kind: char, keys: &BTreeSet<i64>| keys.iter().map(|&key| (kind, key)).collect::<Vec<_>>();
        [
            of('u', &self.users),
            of('b', &self.mailboxes),
            of('e', &self.entries),
            of('m', &self.messages),
            of('s', &self.seqs),
        ]
        .concat()
    }

    /// Adds those of `others`.
    pub fn extend(&mut self, others: Self) {
        self.users.extend(others.users);
        self.mailboxes.extend(others.mailboxes);
        self.entries.extend(others.entries);
        self.messages.extend(others.messages);
        self.seqs.extend(others.seqs);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len() + self.mailboxes.len() + self.entries.len() + self.messages.len() + self.seqs.len()
    }

    /// Whether nothing has changed but HIGHESTMODSEQs.
    pub fn are_seqs(&self) -> bool {
        self.len() == self.seqs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The last transaction that a snapshot may see.
fn last_of(snapshot: &str) -> Result<i64> {
    let last = snapshot.parse::<Snapshot>()?.next().saturating_sub(1);
    i64::try_from(last).map_err(|_| Error::new(Kind::Data, format!("transaction {last} is beyond what there can be")))
}

pub(super) fn keys_of(rows: &[Row]) -> Keys {
    let mut keys = Keys::default();
    for row in rows {
        keys.insert(row.get("kind"), row.get("key"));
        let row = Witness { id: row.get("id"), xid: row.get("xid"), at: row.get("at") };
        keys.made_up_to = keys.made_up_to.max(Some(row.xid));
        keys.last = keys.last.max(Some(row));
    }
    keys
}

/// Whether the source has cut off changes that a target at `cursor` does not have.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn is_cut_off(source: &impl GenericClient, cursor: &Cursor) -> Result<bool> {
    Ok(ask_for_snapshot(source, Some(cursor)).await?.get("is_trimmed"))
}

async fn ask_for_snapshot(source: &impl GenericClient, cursor: Option<&Cursor>) -> Result<Row> {
    let witness = cursor.and_then(|cursor| cursor.witness);
    let (from, id) = (cursor.map(|cursor| cursor.from.as_str()), witness.map(|row| row.id));
    let (xid, at) = (witness.map(|row| row.xid.to_string()), witness.map(|row| row.at));
    ask::row(source, include_str!("../../sql/source/current_snapshot.sql"), &[&from, &id, &xid, &at]).await
}

/// Whether the source has gone back in time: it has forgotten something of what a target at `cursor` has applied.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn source_went_back(source: &impl GenericClient, cursor: &Cursor) -> Result<bool> {
    Ok(ask_for_snapshot(source, Some(cursor)).await?.get("went_back"))
}

/// Whether `target`, whose cursor is at `snapshot`, has gone back in time: it told the source that it held more.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn target_went_back(source: &impl GenericClient, target: NodeId, snapshot: &str) -> Result<bool> {
    let row =
        ask::row_if_any(source, include_str!("../../sql/source/acknowledged_by.sql"), &[&target.0, &snapshot]).await?;
    Ok(row.is_some_and(|row| row.get("went_back")))
}

/// Tells the source what `target` holds durably: of its changes, and of what third nodes gave to it.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn acknowledge(
    source: &impl GenericClient,
    target: NodeId,
    snapshot: &str,
    relayed: Option<&str>,
) -> Result<()> {
    ask::run(source, include_str!("../../sql/source/acknowledge.sql"), &[&target.0, &snapshot, &relayed]).await?;
    Ok(())
}

/// A source read at one moment.
pub struct SourceRead<'a> {
    transaction: Transaction<'a>,
}

impl<'a> SourceRead<'a> {
    /// Takes the snapshot in which everything else is read.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn begin(client: &'a mut Client) -> Result<Self> {
        let transaction =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
        Ok(Self { transaction })
    }

    /// The transaction, for reading content.
    pub fn transaction(&self) -> &Transaction<'a> {
        &self.transaction
    }

    /// This read's snapshot, as text, for a target that is at `cursor`.
    ///
    /// # Errors
    /// `Refused` when changes were cut off that the target does not have, or no link may touch the source; `Transient` when the source has
    /// gone back in time, for whoever opens the link anew to deal with; `Unreachable`.
    pub async fn snapshot(&self, cursor: Option<&Cursor>) -> Result<String> {
        let row = ask_for_snapshot(&self.transaction, cursor).await?;
        if row.get("went_back") {
            return Err(Error::new(Kind::Transient, "the source has gone back in time"));
        }
        if row.get("stays_out") {
            return Err(Error::new(Kind::Transient, "the source takes no part in the mesh any more"));
        }
        if row.get("is_trimmed") {
            return Err(Error::refused(
                "the source has cut off changes that the target had not taken over (worker.outbox_rows_max)",
                "bring it up to date by dbmail-mesh join --node <target>",
            ));
        }
        Ok(row.get("snapshot"))
    }

    /// The newest row of the outbox.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn last_change(&self) -> Result<Option<Witness>> {
        let row = ask::row_if_any(&self.transaction, include_str!("../../sql/source/last_change.sql"), &[]).await?;
        Ok(row.map(|row| Witness { id: row.get("id"), xid: row.get("xid"), at: row.get("at") }))
    }

    /// The next keys behind `cursor`, at most `limit`, and the cursor behind them.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn keys(&self, cursor: &Cursor, limit: i64) -> Result<(Keys, Cursor)> {
        match cursor.copy {
            Some((stage, after)) => self.copy_keys(cursor, stage, after, limit).await,
            None => self.changed_keys(cursor, limit).await,
        }
    }

    async fn changed_keys(&self, cursor: &Cursor, limit: i64) -> Result<(Keys, Cursor)> {
        let now = self.snapshot(Some(cursor)).await?;
        let to = cursor.to.clone().unwrap_or_else(|| now.clone());
        // Most ranges fit one batch; only a larger one has to be read in order, from the start of the outbox.
        if cursor.to.is_none() {
            let one_more = limit.saturating_add(1);
            let rows = ask::rows(
                &self.transaction,
                include_str!("../../sql/source/scan_outbox.sql"),
                &[&cursor.from, &to, &one_more],
            )
            .await?;
            if rows.len() as i64 <= limit {
                let keys = keys_of(&rows);
                let witness = keys.last.or(cursor.witness);
                return Ok((keys, cursor.behind(to, witness)));
            }
        }
        let rows = ask::rows(
            &self.transaction,
            include_str!("../../sql/source/scan_outbox_in_order.sql"),
            &[&cursor.from, &to, &cursor.last_id, &limit],
        )
        .await?;
        let mut keys = keys_of(&rows);
        if !keys.is_empty() && cursor.to.is_some() {
            // The states are read as they are now: they may be newer than the range.
            keys.made_up_to = Some(last_of(&now)?);
        }
        let witness = keys.last.or(cursor.witness);
        let next = match rows.last() {
            Some(last) if rows.len() as i64 >= limit => {
                Cursor { to: Some(to), last_id: last.get("id"), witness, ..cursor.clone() }
            }
            _ => cursor.behind(to, witness),
        };
        Ok((keys, next))
    }

    async fn copy_keys(&self, cursor: &Cursor, stage: CopyStage, after: i64, limit: i64) -> Result<(Keys, Cursor)> {
        let sql = match stage {
            CopyStage::Users => include_str!("../../sql/source/copy_users.sql"),
            CopyStage::Mailboxes => include_str!("../../sql/source/copy_mailboxes.sql"),
            CopyStage::Entries => include_str!("../../sql/source/copy_entries.sql"),
            CopyStage::Messages => include_str!("../../sql/source/copy_messages.sql"),
            CopyStage::Tombstones => include_str!("../../sql/source/copy_tombstones.sql"),
        };
        let found: Vec<i64> =
            ask::rows(&self.transaction, sql, &[&after, &limit]).await?.iter().map(|row| row.get(0)).collect();
        let copy = match found.last() {
            Some(&last) if found.len() as i64 >= limit => Some((stage, last)),
            _ => stage.next().map(|stage| (stage, 0)),
        };
        let mut keys = Keys::default();
        let into = match stage {
            CopyStage::Users => &mut keys.users,
            CopyStage::Mailboxes => &mut keys.mailboxes,
            CopyStage::Entries => &mut keys.entries,
            CopyStage::Messages | CopyStage::Tombstones => &mut keys.messages,
        };
        into.extend(found);
        Ok((keys, Cursor { copy, ..cursor.clone() }))
    }

    /// The current state of messages.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn messages(&self, keys: &BTreeSet<i64>) -> Result<Vec<MessageState>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<i64> = keys.iter().copied().collect();
        let rows = ask::rows(&self.transaction, include_str!("../../sql/source/read_messages.sql"), &[&keys]).await?;
        rows.iter().map(MessageState::from_row).collect()
    }

    /// HIGHESTMODSEQ of mailboxes, and what the source has of others.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn tides(&self, mailboxes: impl Iterator<Item = &i64>) -> Result<Tides> {
        let mailboxes: Vec<i64> = mailboxes.copied().collect();
        let row = ask::row(&self.transaction, include_str!("../../sql/source/read_tides.sql"), &[&mailboxes]).await?;
        Ok(Tides::from_row(&row))
    }

    /// The current state of mailboxes.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn mailboxes(&self, ids: &[MailboxId]) -> Result<Vec<MailboxState>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let rows = ask::rows(&self.transaction, include_str!("../../sql/source/read_mailboxes.sql"), &[&ids]).await?;
        Ok(rows.iter().map(MailboxState::from_row).collect())
    }

    /// The current state of accounts.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn users(&self, ids: &BTreeSet<i64>) -> Result<Vec<UserState>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = ids.iter().copied().collect();
        let rows = ask::rows(&self.transaction, include_str!("../../sql/source/read_users.sql"), &[&ids]).await?;
        rows.iter().map(UserState::from_row).collect()
    }

    /// The current state of entries; those of accounts and mailboxes that are dead give none.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn entries(&self, ids: &BTreeSet<i64>) -> Result<Vec<EntryState>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = ids.iter().copied().collect();
        let rows = ask::rows(&self.transaction, include_str!("../../sql/source/read_entries.sql"), &[&ids]).await?;
        Ok(rows.iter().map(EntryState::from_row).collect())
    }

    /// Ends the read.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn end(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}
