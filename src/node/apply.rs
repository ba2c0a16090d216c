//! One batch of a link: what the source has is joined into what the target has, in one transaction of the target.
//!
//! Content first, locks last: bodies and headers are written before any lock is taken that dbmail may want. The locked part is one
//! call to look and one to write, each bounded by the target's own time-outs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use deadpool_postgres::{Client, Transaction};
use futures_util::future::{join, try_join};

use super::arrival::{Arrival, Look};
use super::content::{self, Places, Shipment, Wanted};
use super::cursor::Cursor;
use super::locks::{self, LockPatience};
use super::parents::{self, Joining};
use super::scan::{Keys, SourceRead};
use super::state::{ContentId, MessageState};
use super::store::{self, Aside};
use super::tides::{Follow, Left, Tides};
use super::{Endpoint, entries, mailboxes as boxes};
use crate::domain::ids::{BirthUid, MailboxId, NodeId};
use crate::domain::sound;
use crate::error::{Error, Result};

/// While content is written, only dbmail-util can be in the way: step back soon, so that its deadlock check never finds us.
const CONTENT_LOCK_MS: i32 = 20;

/// Bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most bytes of content in a batch, unless it is one message.
    pub batch_bytes: u64,
    /// The most bytes of content that are read before they are sent on.
    pub chunk_bytes: usize,
    /// How long the target may wait for, and hold, each of the locks that dbmail may want: milliseconds.
    pub lock_ms: i32,
    /// Whether it goes ahead although a session of dbmail waits for a message that is renumbered.
    pub insists: bool,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Message states joined.
    pub messages: usize,
    /// Messages that became visible, moved or died.
    pub written: usize,
    /// Messages that were late.
    pub late: usize,
    /// Rows that could not be joined and were set aside.
    pub aside: usize,
    /// What is left to do about MODSEQs.
    pub tides: Left,
}

/// What a batch is about, as the source has it now.
pub struct Reading {
    states: Vec<MessageState>,
    /// Messages that cannot be what they are said to be.
    refused: Vec<Aside>,
    tides: Tides,
    limits: sound::Limits,
    /// Bytes of content that the target lacks.
    pub bytes: u64,
}

impl Reading {
    /// How many messages.
    pub fn messages(&self) -> usize {
        self.states.len()
    }

    /// Which messages, and their contents: what batches that are under way at once must not have in common.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let alive = self.states.iter().filter(|state| !state.incoming.dead);
        let births = self.states.iter().map(|state| Subject::Message(state.incoming.birth));
        births.chain(alive.map(|state| Subject::Content(state.content)))
    }

    /// The messages that could not be read, where none could.
    pub fn not_read(&self) -> &[Aside] {
        if self.states.is_empty() { &self.refused } else { &[] }
    }
}

/// What a batch writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A message.
    Message(BirthUid),
    /// A content, which messages may share.
    Content(ContentId),
}

/// Where a batch goes from and to.
pub struct Route<'a> {
    /// The source.
    pub source: &'a Endpoint,
    /// The target's number.
    pub here: NodeId,
    /// The bounds.
    pub bounds: Bounds,
    /// Counts up as a batch comes along.
    pub pulse: &'a AtomicI64,
}

/// A batch: what to join, and how the cursor moves with it.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// The keys.
    pub keys: &'a Keys,
    /// The same, when they had been set aside and are tried again; no others come along then.
    pub again: &'a Keys,
    /// Where the stored cursor stands.
    pub cursor: &'a Cursor,
    /// Where it is to stand; the same for rows that were set aside and are tried again.
    pub next: &'a Cursor,
    /// HIGHESTMODSEQs that wait until the target has all that the source had.
    pub waiting: Option<&'a Tides>,
    /// Whether the keys are those of changes that came to the source from third nodes.
    pub is_relayed: bool,
}

impl Route<'_> {
    /// Reads what a batch is about. `beside` is a connection to the target; `limits` were asked of it a moment ago.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`; `Refused`: nothing that the source tells can be relied on.
    pub async fn read(
        &self,
        read: &SourceRead<'_>,
        beside: &Client,
        limits: sound::Limits,
        batch: Batch<'_>,
    ) -> Result<Reading> {
        read.ready_for_tides().await?;
        // In one flight, as all that does not need one another's answer: the source may be far away.
        let (tides, messages) = join(tides(read, &limits, batch), read.messages(&batch.keys.messages, &limits)).await;
        let (tides, messages) = (tides?, messages?);
        self.live();
        let contents = messages.states.iter().filter(|state| !state.incoming.dead);
        let contents: BTreeMap<Wanted, u64> = contents
            .map(|state| (Wanted { content: state.content, on_source: state.physmessage }, state.bytes))
            .collect();
        let mut bytes = contents.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        if bytes > self.bounds.batch_bytes {
            // As a rule it is a flag that has changed, and the target has the content.
            let here = content::find(beside, &contents.keys().copied().collect()).await?;
            let lacking = contents.iter().filter(|(wanted, _)| !here.contains_key(&wanted.content));
            bytes = lacking.fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        }
        Ok(Reading { states: messages.states, refused: messages.aside, tides, limits, bytes })
    }

    /// The same; the limits are asked first.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn ask_and_read(&self, read: &SourceRead<'_>, beside: &Client, batch: Batch<'_>) -> Result<Reading> {
        self.read(read, beside, store::limits(beside).await?, batch).await
    }

    /// Looks at HIGHESTMODSEQs, where a batch brings nothing else, without a lock. Returns what is left to do about them if there was nothing
    /// to write: as a rule there is not, for a node raises its own with all that it takes over.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`; `Refused`: nothing that the source tells can be relied on.
    pub async fn look(
        &self,
        read: &SourceRead<'_>,
        target: &Client,
        limits: &sound::Limits,
        batch: Batch<'_>,
    ) -> Result<Option<Left>> {
        if !batch.keys.are_seqs() || !batch.ends_range() {
            return Ok(None);
        }
        let tides = tides(read, limits, batch).await?;
        if !tides.aside().is_empty() {
            return Ok(None);
        }
        let (follow, left) = Follow::find(target, self.source.id, Some(tides), batch.waiting).await?;
        Ok(if follow.changes_nothing(target).await? { Some(left) } else { None })
    }

    /// Joins one batch, read in `read`, into the target. `beside` is another connection to the target. Content is written at once, all else
    /// in its `turn`: when that has come, all batches before this one are committed, if it says so.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`: nothing was written but users, mailboxes and header names, all idempotent; try again.
    /// `Data`: a row that cannot be read, or that the target refuses; `Refused`: nothing that the source tells can be relied on.
    pub async fn apply(
        &self,
        read: &SourceRead<'_>,
        target: &mut Client,
        beside: &Client,
        batch: Batch<'_>,
        reading: Reading,
        turn: impl Future<Output = Result<()>>,
    ) -> Result<Applied> {
        let Reading { states, tides, limits, refused: unread, .. } = reading;
        let small = read.entries(&batch.keys.entries, &limits).await?;
        let joining = Joining {
            source: self.source.id,
            here: self.here,
            lock_ms: self.bounds.lock_ms,
            is_own: batch.is_own(),
            limits,
        };
        let parents = parents::join(read, target, joining, batch.keys, (&states, &small.states));
        // Where only messages have changed, accounts and mailboxes are here, as a rule. Then it is looked meanwhile.
        let look =
            async { if batch.keys.have_parents() { Ok(None) } else { Look::at(beside, &states).await.map(Some) } };
        let (parents, look) = join(parents, look).await;
        let parents = parents?;
        let look = look?.filter(|_| !parents.have_come());
        let mut refused = entries::join(target, joining, &small.states).await?;
        refused.extend([unread, small.aside, parents.aside, tides.aside().to_vec()].concat());
        let mailboxes = parents.mailboxes;
        self.live();
        let transaction = target.transaction().await?;
        let look = async { if let Some(look) = look { Ok(look) } else { Look::at(beside, &states).await } };
        let ((), look) = try_join(locks::begin_apply(&transaction, CONTENT_LOCK_MS), look).await?;
        let (places, shared) = self.content(read, &transaction, beside, &states, &look).await?;
        self.live();
        turn.await?;
        let now = batch.ends_range().then(|| tides.clone());
        let (follow, left) = Follow::find(&transaction, self.source.id, now, batch.waiting).await?;
        let arrival = Arrival {
            source: self.source.id,
            states: &states,
            mailboxes: &mailboxes,
            look: &look,
            places: &places,
            tides: &tides,
            follow: &follow,
            refused,
        };
        let mut applied = self.join(&transaction, batch, &arrival, &shared).await?;
        transaction.commit().await?;
        let highest_uid = states.iter().map(|state| state.incoming.uid).max().unwrap_or_default();
        let highest_mailbox = mailboxes.keys().next_back().copied().unwrap_or(MailboxId(0));
        store::keep_up(beside, highest_uid, highest_mailbox).await?;
        applied.tides = left;
        Ok(applied)
    }

    /// A sign of life: a batch may take long.
    fn live(&self) {
        self.pulse.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the keys of a batch aside that the target refuses, and moves on.
    ///
    /// # Errors
    /// `Transient`, `Unreachable`.
    pub async fn put_aside(&self, target: &mut Client, batch: Batch<'_>, error: &Error) -> Result<Applied> {
        // A HIGHESTMODSEQ is no row of its own: it is told again.
        let of_keys = batch.keys.rows().into_iter().filter(|(kind, _)| *kind != 's');
        let rows: Vec<Aside> = of_keys.map(|(kind, key)| Aside::refused(kind, key, error)).collect();
        let transaction = target.transaction().await?;
        store::set_aside(&transaction, self.source.id, &rows).await?;
        if batch.cursor != batch.next {
            batch.cursor.advance(&transaction, self.source.id, batch.next, 0).await?;
        }
        transaction.commit().await?;
        Ok(Applied { aside: rows.len(), ..Applied::default() })
    }

    /// Finds or ships the content of messages that the target has not seen and has a place for: what has none is set aside, and nothing
    /// is shipped in vain. Also returns what it had already.
    async fn content(
        &self,
        read: &SourceRead<'_>,
        transaction: &Transaction<'_>,
        beside: &Client,
        states: &[MessageState],
        look: &Look,
    ) -> Result<(Places, Vec<i64>)> {
        let wanted: BTreeSet<Wanted> = states
            .iter()
            .filter(|state| !state.incoming.dead && !look.known.messages.contains_key(&state.incoming.birth))
            .filter(|state| look.verdicts.destination(&state.place, None).is_some())
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
            pulse: self.pulse,
        };
        places.extend(shipment.ship(&lacking).await?);
        Ok((places, shared))
    }

    /// The locked part: look, decide, write.
    async fn join(
        &self,
        transaction: &Transaction<'_>,
        batch: Batch<'_>,
        arrival: &Arrival<'_>,
        shared: &[i64],
    ) -> Result<Applied> {
        // In one flight, and in this order.
        locks::ready_to_guard(transaction).await?;
        let guarded = locks::guard(transaction, LockPatience::of(self.bounds.lock_ms));
        let ((), view) = try_join(guarded, arrival.lock(transaction)).await?;
        content::keep(transaction, shared).await?;
        self.live();
        let (mut plan, waiting) = arrival.decide(&view)?;
        plan.made_up_to(batch.keys.made_up_to);
        if batch.is_own() {
            plan.is_own();
        }
        if batch.cursor.copy.is_some() {
            plan.copies(arrival.tides);
        }
        plan.follow(arrival.follow);
        let aside = self.aside(transaction, &waiting, batch, arrival).await?;
        if self.bounds.insists {
            plan.insist();
        }
        // In one flight: deliveries wait meanwhile.
        let write = async { if plan.is_empty() { Ok(()) } else { plan.write(transaction).await } };
        let advance = async {
            if batch.cursor == batch.next {
                return Ok(());
            }
            batch.cursor.advance(transaction, self.source.id, batch.next, arrival.states.len() as i64).await
        };
        let (written, advanced) = join(write, advance).await;
        written.and(advanced)?;
        let (written, late) = plan.counts();
        Ok(Applied { messages: arrival.states.len(), written, late, aside, ..Applied::default() })
    }

    /// Notes what has no place here yet, and forgets what has found one.
    async fn aside(
        &self,
        transaction: &Transaction<'_>,
        waiting: &[(BirthUid, MailboxId)],
        Batch { keys, again, .. }: Batch<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<usize> {
        let mailboxes = arrival.mailboxes;
        let absent: BTreeSet<MailboxId> = waiting
            .iter()
            .map(|(_, mailbox)| *mailbox)
            .chain(keys.mailboxes.iter().copied().map(MailboxId).filter(|id| mailboxes.contains_key(id)))
            .collect();
        let absent: Vec<MailboxId> = absent.into_iter().collect();
        let reasons = boxes::absent(transaction, &absent, mailboxes, self.source.id).await?;
        let reason =
            |mailbox: &MailboxId| reasons.get(mailbox).map(|absent| format!("mailbox {mailbox}: {}", absent.reason));
        let mut rows: Vec<Aside> = waiting
            .iter()
            .map(|(birth, mailbox)| {
                let young = || format!("mailbox {mailbox} has only just come into being");
                Aside::waiting('m', birth.0, reason(mailbox).unwrap_or_else(young))
            })
            .collect();
        let open =
            keys.mailboxes.iter().filter(|&&id| !reasons.get(&MailboxId(id)).is_some_and(|absent| absent.has_ended));
        rows.extend(open.filter_map(|&id| Some(Aside::waiting('b', id, reason(&MailboxId(id))?))));
        // What was refused is not said to wait: of two reasons the first is kept.
        rows.splice(..0, arrival.refused.iter().cloned());
        store::set_aside(transaction, self.source.id, &rows).await?;
        let stay: BTreeSet<(char, i64)> = rows.iter().map(|row| (row.kind, row.key)).collect();
        let done: Vec<(char, i64)> = again.rows().into_iter().filter(|row| !stay.contains(row)).collect();
        store::set_aside_done(transaction, self.source.id, &done).await?;
        Ok(rows.len())
    }
}

/// HIGHESTMODSEQs of a batch. That the clocks of the nodes agree is found out with them.
async fn tides(read: &SourceRead<'_>, limits: &sound::Limits, batch: Batch<'_>) -> Result<Tides> {
    let (tides, clock) = read.tides(batch.tidal()).await?;
    sound::clocks_agree(clock.0, limits.now).map_err(|apart| {
        let remedy = "set the clocks right; what was written last could not be told from what was first";
        Error::refused(apart, remedy)
    })?;
    Ok(tides)
}

impl Batch<'_> {
    /// Whether it brings all that the source has.
    fn ends_range(&self) -> bool {
        // What is tried again says nothing of the rest.
        !self.is_relayed && self.again.is_empty() && self.next.ends_range_after(self.cursor)
    }

    /// Whether what it changes has to go to the peers from here. What came to the source from third nodes they may pass over there; so it may
    /// be with what was set aside.
    fn is_own(&self) -> bool {
        self.is_relayed || !self.again.is_empty()
    }

    /// The mailboxes of which the source is asked for HIGHESTMODSEQ.
    fn tidal(&self) -> impl Iterator<Item = &i64> {
        let follows = self.ends_range() || self.cursor.copy.is_some();
        self.keys.seqs.iter().chain(self.keys.mailboxes.iter().filter(move |_| follows))
    }
}
