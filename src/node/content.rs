//! Shipping content: physmessages with their parts, headers, envelopes and references, from a source's read into a target's
//! transaction. What is held in memory is bounded by a chunk, not by the batch or by the largest part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use deadpool_postgres::{Client, GenericClient, Transaction};
use futures_util::future::join4;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::ask::{self, Columns as _, corrupt};
use super::chunks::Chunks;
use super::refusal;
use super::state::ContentId;
use crate::domain::budget::{PHYSMESSAGE_ID_LAST, PHYSMESSAGE_IDS_KEPT};
use crate::error::{Error, Kind, Result};

/// `in_failed_sql_transaction`.
const ABORTED: &str = "25P02";

/// Where contents are on the target: `dbmail_physmessage.id` by content.
pub type Places = BTreeMap<ContentId, i64>;

/// A content that the target lacks: which, and its `dbmail_physmessage.id` on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The content.
    pub content: ContentId,
    /// Where it is on the source.
    pub on_source: i64,
}

/// The contents among `wanted` that the target has. Takes no lock: see [`keep`].
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn find(target: &impl GenericClient, wanted: &BTreeSet<Wanted>) -> Result<Places> {
    let (nodes, ids): (Vec<i16>, Vec<i64>) =
        wanted.iter().map(|wanted| (wanted.content.origin.0, wanted.content.id)).unzip();
    let rows = ask::rows(target, include_str!("../../sql/target/find_content.sql"), &[&nodes, &ids]).await?;
    Ok(rows.iter().map(place_from_row).collect())
}

/// Locks what keeps shared contents alive until the transaction ends.
///
/// # Errors
/// `Transient` when one has been purged since it was found: it has to be shipped.
pub async fn keep(target: &impl GenericClient, shared: &[i64]) -> Result<()> {
    if shared.is_empty() {
        return Ok(());
    }
    let kept = ask::rows(target, include_str!("../../sql/target/keep_content.sql"), &[&shared]).await?;
    if kept.len() < shared.len() {
        return Err(Error::new(Kind::Transient, "content that was to be shared has just been purged"));
    }
    Ok(())
}

fn place_from_row(row: &Row) -> (ContentId, i64) {
    let content = ContentId { origin: crate::domain::ids::NodeId(row.get("origin_node")), id: row.get("origin_id") };
    (content, row.get("physmessage_id"))
}

/// How many contents have a place on the target yet.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn ids_left(target: &impl GenericClient) -> Result<usize> {
    let last = PHYSMESSAGE_ID_LAST - PHYSMESSAGE_IDS_KEPT;
    let row = ask::row(target, include_str!("../../sql/target/physmessage_ids_left.sql"), &[&last]).await?;
    Ok(usize::try_from(row.get::<_, i64>("ids_left")).unwrap_or(0))
}

/// The error among these that is no mere consequence of another: after one, a transaction refuses all that is under way.
fn first_cause<const N: usize>(outcomes: [Result<()>; N]) -> Result<()> {
    let mut errors: Vec<Error> = outcomes.into_iter().filter_map(Result::err).collect();
    let cause = errors.iter().position(|error| refusal::of(error).0.as_deref() != Some(ABORTED)).unwrap_or(0);
    if errors.is_empty() { Ok(()) } else { Err(errors.swap_remove(cause)) }
}

fn ids_are_used_up() -> Error {
    Error::refused(
        format!(
            "the ids of dbmail_physmessage are used up, but for the last {PHYSMESSAGE_IDS_KEPT} that are left to dbmail's own deliveries; \
             the source keeps what is not shipped"
        ),
        "replace this node by a new, empty one with an id of its own, which counts from 1: docs/plan.md",
    )
}

/// Ships contents. `names` is a connection of its own to the target, for header names.
pub struct Shipment<'a, 's, 't> {
    /// The source, in the snapshot of the batch.
    pub source: &'a Transaction<'s>,
    /// The target's transaction.
    pub target: &'a Transaction<'t>,
    /// Another connection to the target.
    pub names: &'a Client,
    /// The most bytes of part data in memory at once.
    pub chunk_bytes: usize,
    /// Counts up with all that has been stored.
    pub pulse: &'a AtomicI64,
}

impl Shipment<'_, '_, '_> {
    /// Ships `wanted`; a content that is gone from the source is left out of the answer.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`; `Data` when the target refuses a row.
    pub async fn ship(&self, wanted: &[Wanted]) -> Result<Places> {
        if wanted.is_empty() {
            return Ok(Places::new());
        }
        let on_source: Vec<i64> = wanted.iter().map(|wanted| wanted.on_source).collect();
        let places = self.physmessages(wanted, &on_source).await?;
        let ids: BTreeMap<i64, i64> =
            wanted.iter().filter_map(|wanted| Some((wanted.on_source, *places.get(&wanted.content)?))).collect();
        let made: Vec<i64> = places.values().copied().collect();
        ask::row(self.target, include_str!("../../sql/target/spare_checks.sql"), &[&made]).await?;
        // In one flight: none needs what another stores, and a message alone would wait for each of them.
        let (parts, headers, envelopes, references) = join4(
            self.parts(&on_source, &ids),
            self.headers(&on_source, &ids),
            self.texts(
                include_str!("../../sql/source/read_envelopes.sql"),
                include_str!("../../sql/target/store_envelopes.sql"),
                &on_source,
                &ids,
            ),
            self.texts(
                include_str!("../../sql/source/read_references.sql"),
                include_str!("../../sql/target/store_references.sql"),
                &on_source,
                &ids,
            ),
        )
        .await;
        first_cause([parts, headers, envelopes, references])?;
        // What follows is about rows that others see, and has cascades.
        ask::row(self.target, include_str!("../../sql/target/resume_checks.sql"), &[]).await?;
        Ok(places)
    }

    async fn physmessages(&self, wanted: &[Wanted], on_source: &[i64]) -> Result<Places> {
        let rows =
            ask::rows(self.source, include_str!("../../sql/source/read_physmessages.sql"), &[&on_source]).await?;
        let found: BTreeMap<i64, &Row> = rows.iter().map(|row| Ok((row.read("id")?, row))).collect::<Result<_>>()?;
        let present: Vec<(&Wanted, &&Row)> =
            wanted.iter().filter_map(|wanted| Some((wanted, found.get(&wanted.on_source)?))).collect();
        let nodes: Vec<i16> = present.iter().map(|(wanted, _)| wanted.content.origin.0).collect();
        let ids: Vec<i64> = present.iter().map(|(wanted, _)| wanted.content.id).collect();
        self.ids_for(present.len()).await?;
        let sizes = |column: &str| present.iter().map(|(_, row)| size(row, column)).collect::<Result<Vec<i64>>>();
        let dates: Vec<Option<&str>> =
            present.iter().map(|(_, row)| row.read("internal_date")).collect::<Result<_>>()?;
        let rows = ask::rows(
            self.target,
            include_str!("../../sql/target/store_physmessages.sql"),
            &[&nodes, &ids, &sizes("messagesize")?, &sizes("rfcsize")?, &dates],
        )
        .await?;
        let places: Places = rows.iter().map(place_from_row).collect();
        // Others have drawn meanwhile: nothing of this is committed.
        if places.values().any(|id| *id > PHYSMESSAGE_ID_LAST - PHYSMESSAGE_IDS_KEPT) {
            return Err(ids_are_used_up());
        }
        self.stored();
        Ok(places)
    }

    /// Whether so many contents have a place. Above the last id dbmail serves other people's mail; and what is just below is for its own
    /// deliveries, which are lost without, whereas the source keeps what is not shipped.
    async fn ids_for(&self, contents: usize) -> Result<()> {
        if contents > ids_left(self.target).await? { Err(ids_are_used_up()) } else { Ok(()) }
    }

    fn stored(&self) {
        self.pulse.fetch_add(1, Ordering::Relaxed);
    }

    async fn parts(&self, on_source: &[i64], ids: &BTreeMap<i64, i64>) -> Result<()> {
        let slice_bytes = self.chunk_bytes as i64;
        let params: ask::Params<'_> = &[&on_source, &slice_bytes];
        let read = include_str!("../../sql/source/read_parts.sql");
        let mut chunks = Chunks::of(self.source, read, params, self.chunk_bytes).await?;
        let mut sliced: Vec<Row> = Vec::new();
        loop {
            let chunk = chunks.next().await?;
            if chunk.is_empty() {
                break;
            }
            let (whole, large): (Vec<Row>, Vec<Row>) =
                chunk.into_iter().partition(|row| row.get::<_, Option<&[u8]>>("data").is_some());
            sliced.extend(large);
            self.store_parts(&whole, ids).await?;
        }
        for (part_no, row) in sliced.iter().enumerate() {
            self.store_in_slices(part_no as i64, row, ids).await?;
        }
        Ok(())
    }

    async fn store_parts(&self, rows: &[Row], ids: &BTreeMap<i64, i64>) -> Result<()> {
        let rows = placed(rows, ids)?;
        if rows.is_empty() {
            return Ok(());
        }
        let physmessages: Vec<i64> = rows.iter().map(|(_, id)| *id).collect();
        let is_headers: Vec<i16> = column(&rows, "is_header")?;
        let integers = |name: &str| column::<i32>(&rows, name);
        let (part_nos, parts) = numbered(&rows, "part_id")?;
        let sizes = parts.iter().map(|(row, _)| size(row, "size")).collect::<Result<Vec<i64>>>()?;
        ask::row(
            self.target,
            include_str!("../../sql/target/store_parts.sql"),
            &[
                &column::<&str>(&parts, "hash")?,
                &column::<&[u8]>(&parts, "data")?,
                &sizes,
                &physmessages,
                &is_headers,
                &integers("part_key")?,
                &integers("part_depth")?,
                &integers("part_order")?,
                &part_nos,
            ],
        )
        .await?;
        self.stored();
        Ok(())
    }

    /// A part larger than a chunk goes slice by slice and is put together on the target.
    async fn store_in_slices(&self, part_no: i64, row: &Row, ids: &BTreeMap<i64, i64>) -> Result<()> {
        let Some(physmessage) = ids.get(&row.read("physmessage_id")?) else { return Ok(()) };
        let (part_id, bytes): (i64, i64) = (row.read("part_id")?, size(row, "bytes")?);
        let slice_bytes = self.chunk_bytes.max(1);
        for (slice_no, first) in (0..bytes).step_by(slice_bytes).enumerate() {
            let (from, length) = (first as i32 + 1, slice_bytes as i32);
            let slice = ask::row(
                self.source,
                include_str!("../../sql/source/read_part_slice.sql"),
                &[&part_id, &from, &length],
            )
            .await?;
            let data: &[u8] = slice.read("data")?;
            ask::run(
                self.target,
                include_str!("../../sql/target/store_slice.sql"),
                &[&part_no, &(slice_no as i32), &data],
            )
            .await?;
            self.stored();
        }
        let integer = |column: &str| row.read::<i32>(column);
        ask::row(
            self.target,
            include_str!("../../sql/target/store_sliced_part.sql"),
            &[
                physmessage,
                &row.read::<i16>("is_header")?,
                &integer("part_key")?,
                &integer("part_depth")?,
                &integer("part_order")?,
                &row.read::<&str>("hash")?,
                &size(row, "size")?,
                &part_no,
            ],
        )
        .await?;
        Ok(())
    }

    async fn headers(&self, on_source: &[i64], ids: &BTreeMap<i64, i64>) -> Result<()> {
        let read = include_str!("../../sql/source/read_headers.sql");
        let mut chunks = Chunks::of(self.source, read, &[&on_source], self.chunk_bytes).await?;
        loop {
            let rows = chunks.next().await?;
            if rows.is_empty() {
                return Ok(());
            }
            self.store_headers(&rows, ids).await?;
        }
    }

    async fn store_headers(&self, rows: &[Row], ids: &BTreeMap<i64, i64>) -> Result<()> {
        let rows = placed(rows, ids)?;
        let (name_nos, names) = numbered(&rows, "headername_id")?;
        let (value_nos, values) = numbered(&rows, "headervalue_id")?;
        let names: Vec<&str> = column(&names, "headername")?;
        let distinct: Vec<&str> = names.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        ask::run(self.names, include_str!("../../sql/target/create_headernames.sql"), &[&distinct]).await?;
        let physmessages: Vec<i64> = rows.iter().map(|(_, id)| *id).collect();
        let texts = |name: &str| column::<Option<&str>>(&values, name);
        ask::row(
            self.target,
            include_str!("../../sql/target/store_headers.sql"),
            &[
                &names,
                &texts("hash")?,
                &texts("headervalue")?,
                &texts("sortfield")?,
                &texts("datefield")?,
                &physmessages,
                &name_nos,
                &value_nos,
            ],
        )
        .await?;
        self.stored();
        Ok(())
    }

    /// Envelopes and references: a physmessage and a text.
    async fn texts(&self, read: &str, store: &str, on_source: &[i64], ids: &BTreeMap<i64, i64>) -> Result<()> {
        let mut chunks = Chunks::of(self.source, read, &[&on_source], self.chunk_bytes).await?;
        loop {
            let rows = chunks.next().await?;
            if rows.is_empty() {
                return Ok(());
            }
            let rows = placed(&rows, ids)?;
            let texts: Vec<&str> = column(&rows, "content")?;
            let physmessages: Vec<i64> = rows.iter().map(|(_, id)| *id).collect();
            ask::run(self.target, store, &[&physmessages, &texts]).await?;
            self.stored();
        }
    }
}

/// A row of the source's about a content, and where that is on the target.
type Placed<'r> = (&'r Row, i64);

/// What rows refer to by a column of ids, each but once: for each row the number of what it refers to, from 1, and for each of those a row.
fn numbered<'r>(rows: &[Placed<'r>], id: &str) -> Result<(Vec<i32>, Vec<Placed<'r>>)> {
    let (mut nos, mut firsts, mut known) = (Vec::with_capacity(rows.len()), Vec::new(), BTreeMap::<i64, i32>::new());
    for placed in rows {
        let next = i32::try_from(known.len() + 1).unwrap_or(i32::MAX);
        let no = *known.entry(placed.0.read(id)?).or_insert(next);
        if no == next {
            firsts.push(*placed);
        }
        nos.push(no);
    }
    Ok((nos, firsts))
}

/// Rows about contents that have a place on the target, with that.
fn placed<'r>(rows: &'r [Row], ids: &BTreeMap<i64, i64>) -> Result<Vec<Placed<'r>>> {
    let mut placed = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(id) = ids.get(&row.read("physmessage_id")?) {
            placed.push((row, *id));
        }
    }
    Ok(placed)
}

fn column<'r, T: FromSql<'r>>(rows: &[Placed<'r>], name: &str) -> Result<Vec<T>> {
    rows.iter().map(|(row, _)| row.read(name)).collect()
}

/// How large something is.
fn size(row: &Row, column: &str) -> Result<i64> {
    let size: i64 = row.read(column)?;
    if size < 0 { Err(corrupt(format!("{column} of its content is negative"))) } else { Ok(size) }
}
