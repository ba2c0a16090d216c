//! One batch of a link: what the source has is joined into what the target has, in one transaction of the target.
//!
//! Content first, locks last: bodies and headers are written before any lock is taken that dbmail may want. The locked part is one
//! call to look and one to write, each bounded by the target's own time-outs.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Client, Transaction};

use super::content::{self, Places, Shipment, Wanted};
use super::cursor::Cursor;
use super::plan::{PlanWriter, View};
use super::scan::{Keys, SourceRead};
use super::state::{MailboxState, MessageState};
use super::store::{self, Aside};
use super::{Endpoint, ask, entries, mailboxes as boxes, parents};
use crate::domain::ids::{BirthUid, MailboxId};
use crate::domain::rule;
use crate::error::{Error, Result};

/// Marks a transaction as the worker's own and bounds its lock waits.
const BEGIN_APPLY: &str = include_str!("../../sql/target/begin_apply.sql");

/// While content is written, only dbmail-util can be in the way: step back soon, so that its deadlock check never finds us.
const CONTENT_LOCK_MS: i32 = 20;

/// Bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most bytes of part data in memory at once.
    pub chunk_bytes: usize,
    /// How long the target may wait for, and hold, each of the locks that dbmail may want: milliseconds.
    pub lock_ms: i32,
    /// Whether it goes ahead although a session of dbmail waits for a message that is renumbered.
    pub insists: bool,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Message states joined.
    pub messages: usize,
    /// Messages that became visible, moved or died.
    pub written: usize,
    /// Messages that were late.
    pub late: usize,
    /// Rows that could not be joined and were set aside.
    pub aside: usize,
}

/// Where a batch goes from and to.
pub struct Route<'a> {
    /// The source.
    pub source: &'a Endpoint,
    /// The bounds.
    pub bounds: Bounds,
}

/// A batch: what to join, and how the cursor moves with it.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// The keys.
    pub keys: &'a Keys,
    /// Those among them that had been set aside and are tried again.
    pub again: &'a Keys,
    /// Where the stored cursor stands.
    pub cursor: &'a Cursor,
    /// Where it is to stand; the same for rows that were set aside and are tried again.
    pub next: &'a Cursor,
}

impl Route<'_> {
    /// Joins one batch, read in `read`, into the target. `beside` is another connection to the target.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`: nothing was written but users, mailboxes and header names, all idempotent; try again.
    /// `Data`: a row that the target refuses.
    pub async fn apply(
        &self,
        read: &SourceRead<'_>,
        target: &mut Client,
        beside: &Client,
        batch: Batch<'_>,
    ) -> Result<Applied> {
        let states = read.messages(&batch.keys.messages).await?;
        let small = read.entries(&batch.keys.entries).await?;
        let (source, lock_ms) = (self.source.id, self.bounds.lock_ms);
        let mailboxes = parents::join(read, source, target, batch.keys, (&states, &small), lock_ms).await?;
        let homeless = entries::join(target, source, &small, lock_ms).await?;
        let transaction = target.transaction().await?;
        ask::row(&transaction, BEGIN_APPLY, &[&CONTENT_LOCK_MS]).await?;
        let placed = self.placed(&transaction, &states, &mailboxes).await?;
        let (places, shared) = self.content(read, &transaction, beside, &placed).await?;
        let applied = self.join(&transaction, batch, &states, &mailboxes, (&places, &shared), homeless).await?;
        transaction.commit().await?;
        let highest_uid = states.iter().map(|state| state.incoming.uid).max().unwrap_or_default();
        let highest_mailbox = mailboxes.keys().next_back().copied().unwrap_or(MailboxId(0));
        store::keep_up(beside, highest_uid, highest_mailbox).await?;
        Ok(applied)
    }

    /// Sets the keys of a batch aside that the target refuses, and moves on.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`.
    pub async fn put_aside(&self, target: &mut Client, batch: Batch<'_>, error: &Error) -> Result<Applied> {
        let of_keys = batch.keys.rows().into_iter();
        let rows: Vec<Aside> = of_keys.map(|(kind, key)| Aside { kind, key, reason: error.to_string() }).collect();
        let transaction = target.transaction().await?;
        store::set_aside(&transaction, self.source.id, &rows).await?;
        if batch.cursor != batch.next {
            batch.cursor.advance(&transaction, self.source.id, batch.next, 0).await?;
        }
        transaction.commit().await?;
        Ok(Applied { aside: rows.len(), ..Applied::default() })
    }

    /// The states whose mailbox is here: what has no place yet is set aside, and its content is not shipped in vain.
    async fn placed<'s>(
        &self,
        transaction: &Transaction<'_>,
        states: &'s [MessageState],
        mailboxes: &BTreeMap<MailboxId, MailboxState>,
    ) -> Result<Vec<&'s MessageState>> {
        let needed: BTreeSet<MailboxId> = states.iter().map(|state| state.incoming.mailbox).collect();
        let needed: Vec<MailboxId> = needed.into_iter().collect();
        let absent = boxes::absent(transaction, &needed, mailboxes).await?;
        Ok(states.iter().filter(|state| !absent.contains_key(&state.incoming.mailbox)).collect())
    }

    /// Finds or ships the content of messages that the target has not seen. Also returns what it had already.
    async fn content(
        &self,
        read: &SourceRead<'_>,
        transaction: &Transaction<'_>,
        beside: &Client,
        states: &[&MessageState],
    ) -> Result<(Places, Vec<i64>)> {
        let births: Vec<BirthUid> = states.iter().map(|state| state.incoming.birth).collect();
        if births.is_empty() {
            return Ok((Places::new(), Vec::new()));
        }
        let known = View::of_messages(transaction, &births).await?;
        let wanted: BTreeSet<Wanted> = states
            .iter()
            .filter(|state| !state.incoming.dead && !known.messages.contains_key(&state.incoming.birth))
            .map(|state| Wanted { content: state.content, on_source: state.physmessage })
            .collect();
        if wanted.is_empty() {
            return Ok((Places::new(), Vec::new()));
        }
        let mut places = content::find(transaction, &wanted).await?;
        let shared: Vec<i64> = places.values().copied().collect();
        let lacking: Vec<Wanted> = wanted.into_iter().filter(|wanted| !places.contains_key(&wanted.content)).collect();
        let shipment = Shipment {
            source: read.transaction(),
            target: transaction,
            names: beside,
            chunk_bytes: self.bounds.chunk_bytes,
        };
        places.extend(shipment.ship(&lacking).await?);
        Ok((places, shared))
    }

    /// The locked part: look, decide, write.
    async fn join(
        &self,
        transaction: &Transaction<'_>,
        batch: Batch<'_>,
        states: &[MessageState],
        mailboxes: &BTreeMap<MailboxId, MailboxState>,
        (places, shared): (&Places, &[i64]),
        homeless: Vec<Aside>,
    ) -> Result<Applied> {
        let births: Vec<BirthUid> = states.iter().map(|state| state.incoming.birth).collect();
        let lines: BTreeSet<MailboxId> = states.iter().map(|state| state.incoming.mailbox).collect();
        ask::row(
            transaction,
            include_str!("../../sql/target/guard.sql"),
            &[&self.bounds.lock_ms, &self.bounds.lock_ms],
        )
        .await?;
        let lines: Vec<MailboxId> = lines.into_iter().collect();
        let view = View::lock(transaction, &lines, &births).await?;
        content::keep(transaction, shared).await?;
        let mut plan = PlanWriter::for_join(self.source.id);
        let mut absent: BTreeSet<MailboxId> = BTreeSet::new();
        let mut waiting: Vec<(BirthUid, MailboxId)> = Vec::new();
        for state in states {
            let incoming = &state.incoming;
            let held = view.messages.get(&incoming.birth).map(|(held, _)| *held);
            let line = view.lines.get(&incoming.mailbox).copied();
            if line.is_none() && !incoming.dead {
                absent.insert(incoming.mailbox);
                waiting.push((incoming.birth, incoming.mailbox));
                continue;
            }
            let action = rule::decide(held, incoming, line.unwrap_or_default());
            plan.join(state, action, places.get(&state.content).copied())?;
        }
        absent.extend(batch.keys.mailboxes.iter().map(|&id| MailboxId(id)).filter(|id| mailboxes.contains_key(id)));
        let aside = self.aside(transaction, &absent, (&waiting, homeless), batch, mailboxes).await?;
        if self.bounds.insists {
            plan.insist();
        }
        // In one flight: deliveries wait meanwhile.
        let write = async { if plan.is_empty() { Ok(()) } else { plan.write(transaction).await } };
        let advance = async {
            if batch.cursor == batch.next {
                return Ok(());
            }
            batch.cursor.advance(transaction, self.source.id, batch.next, states.len() as i64).await
        };
        let (written, advanced) = futures_util::future::join(write, advance).await;
        written.and(advanced)?;
        let (written, late) = plan.counts();
        Ok(Applied { messages: states.len(), written, late, aside })
    }

    /// Notes what has no place here yet, and forgets what has found one.
    async fn aside(
        &self,
        transaction: &Transaction<'_>,
        absent: &BTreeSet<MailboxId>,
        (waiting, homeless): (&[(BirthUid, MailboxId)], Vec<Aside>),
        Batch { keys, again, .. }: Batch<'_>,
        mailboxes: &BTreeMap<MailboxId, MailboxState>,
    ) -> Result<usize> {
        let absent: Vec<MailboxId> = absent.iter().copied().collect();
        let reasons = boxes::absent(transaction, &absent, mailboxes).await?;
        let reason = |mailbox: &MailboxId| reasons.get(mailbox).map(|why| format!("mailbox {mailbox}: {why}"));
        let mut rows: Vec<Aside> = waiting
            .iter()
            .map(|(birth, mailbox)| Aside {
                kind: 'm',
                key: birth.0,
                reason: reason(mailbox).unwrap_or_else(|| format!("mailbox {mailbox} has only just come into being")),
            })
            .collect();
        rows.extend(
            keys.mailboxes.iter().filter_map(|&id| Some(Aside { kind: 'b', key: id, reason: reason(&MailboxId(id))? })),
        );
        rows.extend(homeless);
        store::set_aside(transaction, self.source.id, &rows).await?;
        let stay: BTreeSet<(char, i64)> = rows.iter().map(|row| (row.kind, row.key)).collect();
        let done: Vec<(char, i64)> = again.rows().into_iter().filter(|row| !stay.contains(row)).collect();
        store::set_aside_done(transaction, self.source.id, &done).await?;
        Ok(rows.len())
    }
}
