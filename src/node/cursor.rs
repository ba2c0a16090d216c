//! How far a target has taken over what a source has.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::ask::{self, Columns as _};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};

/// What the first copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStage {
    /// Users.
    Users,
    /// Mailboxes.
    Mailboxes,
    /// Entries.
    Entries,
    /// Messages that are alive.
    Messages,
    /// Messages that are dead.
    Tombstones,
}

impl CopyStage {
    /// The code of the stage in `dbmail_mesh.cursor.copy_stage`.
    pub fn code(self) -> i8 {
        (match self {
            Self::Users => b'u',
            Self::Mailboxes => b'b',
            Self::Entries => b'e',
            Self::Messages => b'm',
            Self::Tombstones => b't',
        }) as i8
    }

    fn from_code(code: i8) -> Option<Self> {
        [Self::Users, Self::Mailboxes, Self::Entries, Self::Messages, Self::Tombstones]
            .into_iter()
            .find(|stage| stage.code() == code)
    }

    /// The stage after this one; `None`: the copy is done.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Users => Some(Self::Mailboxes),
            Self::Mailboxes => Some(Self::Entries),
            Self::Entries => Some(Self::Messages),
            Self::Messages => Some(Self::Tombstones),
            Self::Tombstones => None,
        }
    }
}

/// The position of a link, as in `dbmail_mesh.cursor`. Snapshots are `pg_snapshot` in text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// All changes of the source that this snapshot sees are applied.
    pub from: String,
    /// The snapshot being worked through, when it did not fit one batch.
    pub to: Option<String>,
    /// Within it: the id of the last outbox row that is applied.
    pub last_id: i64,
    /// All that had come to the source from third nodes in this snapshot is applied; `None`: not known.
    pub relayed: Option<String>,
    /// The first copy's stage and last key; `None` when it is done.
    pub copy: Option<(CopyStage, i64)>,
    /// The last outbox row that was applied: while the source has not purged it, it has to have it.
    pub witness: Option<Witness>,
}

/// An outbox row of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// Its id.
    pub id: i64,
    /// The transaction that wrote it.
    pub xid: i64,
    /// When that was, by the source's clock. After a restore a node may count the same ids and transactions again.
    pub at: Timestamp,
}

impl Cursor {
    /// The cursor behind everything that `snapshot` sees.
    pub fn behind(&self, snapshot: String, witness: Option<Witness>) -> Self {
        Self { from: snapshot, to: None, last_id: 0, copy: None, witness, relayed: self.relayed.clone() }
    }

    /// Whether everything that the source has in the batch that ends with this cursor will be applied: it begins behind nothing that is
    /// still under way, and leaves nothing.
    pub fn ends_range_after(&self, before: &Self) -> bool {
        before.to.is_none() && before.copy.is_none() && self.to.is_none() && self.copy.is_none()
    }

    /// Reads the cursor of the link from `source` on its target; `None` while the link has not begun.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn read(target: &impl GenericClient, source: NodeId) -> Result<Option<Self>> {
        let row = ask::row_if_any(target, include_str!("../../sql/target/read_cursor.sql"), &[&source.0]).await?;
        row.map(|row| Self::from_row(&row)).transpose()
    }

    fn from_row(row: &Row) -> Result<Self> {
        let stage: Option<i8> = row.read("copy_stage")?;
        let position: i64 = row.read("copy_position")?;
        let copy = stage
            .map(|code| {
                CopyStage::from_code(code).map(|stage| (stage, position)).ok_or_else(|| {
                    Error::new(Kind::Data, format!("dbmail_mesh.cursor.copy_stage has an unknown value {code}"))
                })
            })
            .transpose()?;
        let xid: Option<String> = row.read("witness_xid")?;
        let xid = xid.and_then(|xid| xid.parse().ok());
        let at: Option<Timestamp> = row.read("witness_at")?;
        let witness = row.read::<Option<i64>>("witness_id")?.zip(xid).zip(at);
        let witness = witness.map(|((id, xid), at)| Witness { id, xid, at });
        Ok(Self {
            from: row.read("from_snapshot")?,
            to: row.read("to_snapshot")?,
            last_id: row.read("last_id")?,
            relayed: row.read("relayed_snapshot")?,
            copy,
            witness,
        })
    }

    /// Begins a link with a first copy, behind which everything after `snapshot` is followed.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn start(
        target: &impl GenericClient,
        source: NodeId,
        snapshot: &str,
        witness: Option<Witness>,
    ) -> Result<()> {
        let (id, xid) = (witness.map(|row| row.id), witness.map(|row| row.xid.to_string()));
        let at = witness.map(|row| row.at);
        let sql = include_str!("../../sql/target/start_cursor.sql");
        ask::run(target, sql, &[&source.0, &snapshot, &id, &xid, &at]).await?;
        Ok(())
    }

    /// Moves the stored cursor from `self` to `next`, in the transaction that applies.
    ///
    /// # Errors
    /// `Transient` when it does not stand at `self`: another worker has moved it, or the position is lost. Read it again.
    pub async fn advance(&self, target: &impl GenericClient, source: NodeId, next: &Self, messages: i64) -> Result<()> {
        let (stage, position) = (self.copy.map(|(stage, _)| stage.code()), self.copy.map_or(0, |(_, key)| key));
        let (next_stage, next_position) =
            (next.copy.map(|(stage, _)| stage.code()), next.copy.map_or(0, |(_, key)| key));
        let (witness_id, witness_xid) = (next.witness.map(|row| row.id), next.witness.map(|row| row.xid.to_string()));
        let witness_at = next.witness.map(|row| row.at);
        let moved = ask::row_if_any(
            target,
            include_str!("../../sql/target/move_cursor.sql"),
            &[
                &source.0,
                &self.from,
                &self.last_id,
                &stage,
                &position,
                &next.from,
                &next.to,
                &next.last_id,
                &next_stage,
                &next_position,
                &messages,
                &witness_id,
                &witness_xid,
                &witness_at,
                &next.relayed,
            ],
        )
        .await?;
        moved.map(|_| ()).ok_or_else(|| {
            Error::new(Kind::Transient, format!("the cursor for source {source} is not where this worker left it"))
                .remedy("another worker has moved it; it is read again")
        })
    }
}
