//! Busy dbmail sessions: deliveries, copies and expunges in the same few mailboxes on all nodes at once.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;

use super::ground::Mesh;
use crate::domain::ids::{MailboxId, Uid};
use crate::error::{Error, Result};
use crate::scratch::ledger::Ledger;
use crate::scratch::standin::{Flags, Mail, Session, StoreFlags};

/// Sessions that write on each node.
pub(super) const SESSIONS_PER_NODE: usize = 3;

/// A session's pause between two operations, in milliseconds, with up to [`NODES_AT_FULL_SPEED`] nodes: the demo is to fit a small
/// machine. Every node has sessions of its own and takes over what all the others get, so more nodes have longer pauses, by the
/// square of their number.
const PAUSE_MS: Range<u64> = 20..120;
const NODES_AT_FULL_SPEED: u64 = 3;

/// The sizes of messages, in bytes.
const SIZES: Range<usize> = 400..8000;

/// Accounts, and the mailboxes of each.
pub(super) const PLACES: [(&str, &str); 4] =
    [("alice", "INBOX"), ("alice", "Work"), ("bob", "INBOX"), ("carol", "INBOX")];

/// A mailbox that all write to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) userid: &'static str,
    pub(super) name: &'static str,
    pub(super) id: MailboxId,
}

/// What all sessions share.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) ledger: Ledger,
    pub(super) places: Vec<Place>,
    pub(super) copies: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Books {
    pub(super) fn new(places: Vec<Place>) -> Self {
        Self { places, ..Self::default() }
    }

    /// A statement of dbmail's failed: by guarantee G that must not be our doing, and nothing else here makes any fail.
    pub(super) fn failed(&self, node: &str, error: &Error) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{node}: {error}"));
    }

    pub(super) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts the sessions of all nodes. They end, between two operations, when `stop` is cancelled.
pub(super) fn start(mesh: &Mesh<'_>, books: &Arc<Books>, seed: u64, stop: &CancellationToken) -> JoinSet<Result<()>> {
    let mut sessions = JoinSet::new();
    let mut seeds = Rng::with_seed(seed);
    let pause_ms = pause_ms(mesh.nodes.len());
    for node in &mesh.nodes {
        for _ in 0..SESSIONS_PER_NODE {
            let (node_name, config) = (node.name.to_string(), node.connection.clone());
            let (books, rng, stop) = (Arc::clone(books), Rng::with_seed(seeds.u64(..)), stop.clone());
            let pause_ms = pause_ms.clone();
            sessions
                .spawn(async move { Writer::connect(node_name, config, books, rng).await?.run(pause_ms, &stop).await });
        }
    }
    sessions
}

fn pause_ms(nodes: usize) -> Range<u64> {
    let nodes = u64::try_from(nodes).unwrap_or(u64::MAX).max(NODES_AT_FULL_SPEED);
    let longer = |ms: u64| ms.saturating_mul(nodes * nodes) / (NODES_AT_FULL_SPEED * NODES_AT_FULL_SPEED);
    longer(PAUSE_MS.start)..longer(PAUSE_MS.end)
}

struct Writer {
    node: String,
    config: Config,
    session: Session,
    books: Arc<Books>,
    rng: Rng,
}

impl Writer {
    async fn connect(node: String, config: Config, books: Arc<Books>, rng: Rng) -> Result<Self> {
        let mut config = config;
        config.application_name("dbmail");
        let session = Session::connect(&config).await?;
        Ok(Self { node, config, session, books, rng })
    }

    async fn run(mut self, pause_ms: Range<u64>, stop: &CancellationToken) -> Result<()> {
        self.session.login(PLACES[0].0).await?;
        while !stop.is_cancelled() {
            if let Err(error) = self.once().await {
                self.books.failed(&self.node, &error);
                if self.session.is_closed() {
                    self.session = Session::connect(&self.config).await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(self.rng.u64(pause_ms.clone()))).await;
        }
        Ok(())
    }

    async fn once(&mut self) -> Result<()> {
        let place = self.any_place();
        match self.rng.u8(..100) {
            0..65 => self.deliver(place).await,
            65..75 => self.copy(place).await,
            _ => self.expunge(place).await,
        }
    }

    /// Messages have their final flags from the start: what a client changes later is not replicated yet.
    async fn deliver(&mut self, place: Place) -> Result<()> {
        let size = self.rng.usize(SIZES);
        let mail = Mail::generate(&mut self.rng, size).with_flags(self.any_flags());
        match self.session.deliver(place.id, &mail).await {
            Ok(_) => self.books.ledger.delivered(place.userid, place.name, &mail),
            Err(error) => {
                self.books.ledger.doubtful(&mail.unique_id);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn copy(&mut self, from: Place) -> Result<()> {
        let to = self.any_place();
        let Some((uid, _)) = self.any_message(from).await? else { return Ok(()) };
        if self.session.copy_if_there(uid, to.id).await?.is_some() {
            self.books.copies.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Marks a message with \Deleted and expunges at once, as most clients do.
    async fn expunge(&mut self, place: Place) -> Result<()> {
        let Some((uid, unique_id)) = self.any_message(place).await? else { return Ok(()) };
        let marked = self.session.store(place.id, &[uid], &StoreFlags::add(Flags::DELETED)).await;
        let expunged = match marked {
            Ok(_) => expunge(&mut self.session, place.id, &self.books.ledger).await,
            Err(error) => Err(error),
        };
        if expunged.is_err() {
            self.books.ledger.doubtful(&unique_id);
        }
        expunged.map(|_| ())
    }

    async fn any_message(&mut self, place: Place) -> Result<Option<(Uid, String)>> {
        let mut listed = self.session.search_above(place.id, Uid(0)).await?;
        if listed.is_empty() {
            return Ok(None);
        }
        let chosen = listed.swap_remove(self.rng.usize(..listed.len()));
        Ok(Some((chosen.uid, chosen.unique_id)))
    }

    fn any_place(&mut self) -> Place {
        self.books.places[self.rng.usize(..self.books.places.len())]
    }

    fn any_flags(&mut self) -> Flags {
        let rng = &mut self.rng;
        Flags { seen: rng.bool(), answered: rng.u8(..8) == 0, flagged: rng.u8(..8) == 0, ..Flags::NONE }
    }
}

/// Expunges what has \Deleted in a mailbox, notes it, and returns how many messages that were.
pub(super) async fn expunge(session: &mut Session, mailbox: MailboxId, ledger: &Ledger) -> Result<usize> {
    let gone = session.expunge_named(mailbox).await?;
    for expunged in &gone {
        ledger.expunged(&expunged.unique_id);
    }
    Ok(gone.len())
}
