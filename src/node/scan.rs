//! Reading a source: which keys are new, and what their current state is. All of one batch is read in one snapshot.

use std::collections::BTreeSet;

use deadpool_postgres::{Client, GenericClient, Transaction};
use futures_util::future::join;
use tokio_postgres::{IsolationLevel, Row};

use super::alike::Alike;
use super::ask::{self, Columns as _, corrupt_peer};
use super::cursor::{CopyStage, Cursor, Witness};
use super::state::{EntryState, MailboxState, MessageState, UserState};
use super::store::Aside;
use super::tides::{Clock, Tides};
use crate::domain::ids::{MailboxId, NodeId};
use crate::domain::snapshot::Snapshot;
use crate::domain::sound::Limits;
use crate::error::{Error, Kind, Result};

const READ_TIDES: &str = include_str!("../../sql/source/read_tides.sql");

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

    /// Whether accounts, mailboxes, or what belongs to them have changed.
    pub fn have_parents(&self) -> bool {
        !(self.users.is_empty() && self.mailboxes.is_empty() && self.entries.is_empty())
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

pub(super) fn keys_of(rows: &[Row]) -> Result<Keys> {
    let mut keys = Keys::default();
    for row in rows {
        // Of a row that is not even one of an outbox nobody can say what has changed.
        let (witness, kind, key) = row_of_outbox(row).map_err(|error| corrupt_peer(format!("its outbox: {error}")))?;
        keys.insert(kind, key);
        keys.made_up_to = keys.made_up_to.max(Some(witness.xid));
        keys.last = keys.last.max(Some(witness));
    }
    Ok(keys)
}

fn row_of_outbox(row: &Row) -> Result<(Witness, i8, i64)> {
    let witness = Witness { id: row.read("id")?, xid: row.read("xid")?, at: row.read("at")? };
    Ok((witness, row.read("kind")?, row.read("key")?))
}

/// Whether the source has cut off changes that a target at `cursor` does not have.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn is_cut_off(source: &impl GenericClient, cursor: &Cursor) -> Result<bool> {
    ask_for_snapshot(source, Some(cursor)).await?.read("is_trimmed")
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
    ask_for_snapshot(source, Some(cursor)).await?.read("went_back")
}

/// Whether `target`, whose cursor is at `snapshot`, has gone back in time: it told the source that it held more.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn target_went_back(source: &impl GenericClient, target: NodeId, snapshot: &str) -> Result<bool> {
    let row =
        ask::row_if_any(source, include_str!("../../sql/source/acknowledged_by.sql"), &[&target.0, &snapshot]).await?;
    row.map_or(Ok(false), |row| row.read("went_back"))
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

/// What a source tells of some keys.
#[derive(Clone, Debug)]
pub struct Told<T> {
    /// What can be joined.
    pub states: Vec<T>,
    /// What cannot be read, or cannot be true.
    pub aside: Vec<Aside>,
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
        if row.read("went_back")? {
            return Err(Error::new(Kind::Transient, "the source has gone back in time"));
        }
        if row.read("stays_out")? {
            return Err(Error::new(Kind::Transient, "the source takes no part in the mesh any more"));
        }
        if row.read("is_trimmed")? {
            return Err(Error::refused(
                "the source has cut off changes that the target had not taken over (worker.outbox_rows_max)",
                "bring it up to date by dbmail-mesh join --node <target>",
            ));
        }
        let snapshot: String = row.read("snapshot")?;
        snapshot.parse::<Snapshot>().map_err(corrupt_peer)?;
        Ok(snapshot)
    }

    /// The newest row of the outbox.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn last_change(&self) -> Result<Option<Witness>> {
        let row = ask::row_if_any(&self.transaction, include_str!("../../sql/source/last_change.sql"), &[]).await?;
        let witness = |row: Row| Ok(Witness { id: row.read("id")?, xid: row.read("xid")?, at: row.read("at")? });
        row.map(witness).transpose().map_err(|error: Error| corrupt_peer(format!("its outbox: {error}")))
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
                let keys = keys_of(&rows)?;
                let witness = keys.last.or(cursor.witness);
                return Ok((keys, cursor.behind(to, witness)));
            }
        }
        let transaction = &self.transaction;
        let rows = if cursor.to.is_none() {
            let sql = include_str!("../../sql/source/scan_outbox_in_order.sql");
            ask::rows(transaction, sql, &[&cursor.from, &to, &limit]).await?
        } else {
            let sql = include_str!("../../sql/source/scan_outbox_onwards.sql");
            ask::rows(transaction, sql, &[&cursor.from, &to, &cursor.last_id, &limit]).await?
        };
        let mut keys = keys_of(&rows)?;
        if !keys.is_empty() && cursor.to.is_some() {
            // The states are read as they are now: they may be newer than the range.
            keys.made_up_to = Some(last_of(&now)?);
        }
        let witness = keys.last.or(cursor.witness);
        let next = match rows.last() {
            Some(last) if rows.len() as i64 >= limit => {
                Cursor { to: Some(to), last_id: last.read("id")?, witness, ..cursor.clone() }
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
        let rows = ask::rows(&self.transaction, sql, &[&after, &limit]).await?;
        let found: Vec<i64> = rows.iter().map(|row| row.read("key")).collect::<Result<_>>().map_err(corrupt_peer)?;
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
    pub async fn messages(&self, keys: &BTreeSet<i64>, limits: &Limits) -> Result<Told<MessageState>> {
        let sql = include_str!("../../sql/source/read_messages.sql");
        self.told('m', "birth_uid", sql, keys.iter().copied().collect(), |row| MessageState::from_row(row, limits))
            .await
    }

    /// Has [`tides`](Self::tides) asked at once when it is, and not behind what was asked meanwhile and may fail.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn ready_for_tides(&self) -> Result<()> {
        self.transaction.prepare_cached(READ_TIDES).await?;
        Ok(())
    }

    /// HIGHESTMODSEQ of mailboxes, what the source has of others, and its clock.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`; `Refused` when it cannot be true.
    pub async fn tides(&self, mailboxes: impl Iterator<Item = &i64>) -> Result<(Tides, Clock)> {
        let mailboxes: Vec<i64> = mailboxes.copied().collect();
        let row = ask::row(&self.transaction, READ_TIDES, &[&mailboxes]).await?;
        Tides::from_row(&row)
    }

    /// The current state of mailboxes.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn mailboxes(&self, ids: &[MailboxId], limits: &Limits) -> Result<Told<MailboxState>> {
        let sql = include_str!("../../sql/source/read_mailboxes.sql");
        let ids = ids.iter().map(|id| id.0).collect();
        self.told('b', "id", sql, ids, |row| MailboxState::from_row(row, limits)).await
    }

    /// The current state of accounts.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn users(&self, ids: &BTreeSet<i64>, limits: &Limits) -> Result<Told<UserState>> {
        let sql = include_str!("../../sql/source/read_users.sql");
        self.told('u', "id", sql, ids.iter().copied().collect(), |row| UserState::from_row(row, limits)).await
    }

    /// The current state of entries; those of accounts and mailboxes that are dead give none.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn entries(&self, ids: &BTreeSet<i64>, limits: &Limits) -> Result<Told<EntryState>> {
        let sql = include_str!("../../sql/source/read_entries.sql");
        self.told('e', "id", sql, ids.iter().copied().collect(), |row| EntryState::from_row(row, limits)).await
    }

    /// The states of these keys, and which of them cannot be read or cannot be true.
    async fn told<T>(
        &self,
        kind: char,
        key: &str,
        sql: &str,
        keys: Vec<i64>,
        state: impl Fn(&Row) -> Result<T>,
    ) -> Result<Told<T>> {
        let mut told = Told { states: Vec::new(), aside: Vec::new() };
        let (mut alike, mut read_any) = (Alike::default(), false);
        let mut open = vec![keys];
        while let Some(keys) = open.pop().filter(|keys| !keys.is_empty()) {
            let rows = match self.rows(sql, &keys).await {
                Ok(rows) => rows,
                Err(error) if error.kind() != Kind::Data => return Err(error),
                // Bytes that are no text, or a damaged page: the rest can be read.
                Err(error) => match keys.as_slice() {
                    &[only] => {
                        alike.failed(&error);
                        // Not one of all that were asked for can be read: that is no matter of rows.
                        if open.is_empty() && !read_any && alike.is_no_rows_fault() {
                            return Err(alike.stop(&error));
                        }
                        told.aside.push(Aside::refused(kind, only, &error));
                        continue;
                    }
                    several => {
                        let (first, rest) = several.split_at(several.len() / 2);
                        open.extend([rest.to_vec(), first.to_vec()]);
                        continue;
                    }
                },
            };
            read_any = true;
            for row in &rows {
                match state(row) {
                    Ok(state) => told.states.push(state),
                    Err(error) => {
                        let key = row.read(key).map_err(corrupt_peer)?;
                        told.aside.push(Aside::refused(kind, key, &error));
                    }
                }
            }
        }
        Ok(told)
    }

    /// What a statement says of these keys. The read goes on where it fails.
    async fn rows(&self, sql: &str, keys: &Vec<i64>) -> Result<Vec<Row>> {
        let save = self.transaction.batch_execute("savepoint before_rows");
        let (saved, rows) = join(save, ask::rows(&self.transaction, sql, &[keys])).await;
        saved?;
        if rows.is_err() {
            self.transaction.batch_execute("rollback to savepoint before_rows").await?;
        }
        rows
    }

    /// Ends the read.
    ///
    /// # Errors
    /// `Unreachable`.
    pub async fn end(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}
