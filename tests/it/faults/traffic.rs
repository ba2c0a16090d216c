//! Everybody who uses the nodes meanwhile: sessions that deliver, copy, set flags, expunge and log in, and clients that read.
//!
//! A session that is cut off comes back. What it was about to be told is unknown then, and noted as such: it may have happened or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::error::Result;
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::reader::{DeadUidWatch, IncrementalReader};
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};
use tokio::task::JoinHandle;

use super::ground::{Ground, Place, USERS};

/// How long a session that was cut off, or is not let in, waits before it tries again.
const AGAIN: Duration = Duration::from_millis(50);
/// Rounds of a reader between two looks at what it has read already.
const RECHECK: u32 = 10;

/// What was acknowledged, and what is unknown.
#[derive(Default)]
pub struct Book {
    pub ledger: Ledger,
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
    cut_off: AtomicUsize,
    /// Messages that somebody has marked \Deleted, or was about to: whoever expunges the mailbox may take them.
    condemned: Mutex<BTreeMap<MailboxId, BTreeSet<String>>>,
}

impl Book {
    /// Delivers, and notes what came of it.
    pub async fn deliver(&self, session: &mut Session, place: Place, mail: &Mail) -> Result<Uid> {
        let (mailbox, user, name) = place;
        let delivered = session.deliver(mailbox, mail).await;
        self.ledger.delivered(user, name, mail);
        match &delivered {
            Ok(_) => self.acknowledged.fetch_add(1, Ordering::SeqCst),
            Err(_) => {
                self.ledger.doubtful(&mail.unique_id);
                self.unknown.fetch_add(1, Ordering::SeqCst)
            }
        };
        delivered
    }

    /// Expunges a mailbox, and notes what came of it.
    pub async fn expunge(&self, session: &mut Session, mailbox: MailboxId) -> Result<()> {
        match session.expunge_named(mailbox).await {
            Ok(expunged) => {
                expunged.iter().for_each(|expunged| self.ledger.expunged(&expunged.unique_id));
                Ok(())
            }
            Err(error) => {
                let condemned = self.condemned.lock().unwrap_or_else(PoisonError::into_inner);
                condemned.get(&mailbox).into_iter().flatten().for_each(|name| self.ledger.doubtful(name));
                Err(error)
            }
        }
    }

    fn condemn(&self, mailbox: MailboxId, unique_id: &str) {
        let mut condemned = self.condemned.lock().unwrap_or_else(PoisonError::into_inner);
        condemned.entry(mailbox).or_default().insert(unique_id.to_owned());
    }

    /// Deliveries that were acknowledged.
    pub fn deliveries(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Deliveries of which nobody heard.
    pub fn unknown(&self) -> usize {
        self.unknown.load(Ordering::SeqCst)
    }

    /// How often a session had to come back.
    pub fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::SeqCst)
    }
}

/// Sessions at work.
pub struct Traffic {
    pub book: Arc<Book>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<(Vec<IncrementalReader>, DeadUidWatch)>>,
}

impl Traffic {
    /// So many sessions that write on each node, and one that reads; as the seed has it.
    pub fn start(ground: &Ground, places: &[Place], writers_per_node: u64, seed: u64) -> Self {
        let (book, stop) = (Arc::new(Book::default()), Arc::new(AtomicBool::new(false)));
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        // The probes have theirs to themselves.
        let busy = &places[..places.len() - 1];
        for node in &ground.mesh.nodes {
            for writer in 0..writers_per_node {
                let random = fastrand::Rng::with_seed(seed ^ (node.id.0 as u64) << 32 ^ writer);
                let writer = Writer { random, places: busy.to_vec(), book: book.clone(), stop: stop.clone() };
                writers.push(tokio::spawn(writer.run(node.clone())));
            }
            readers.push(tokio::spawn(read_along(node.clone(), places.to_vec(), stop.clone())));
        }
        Self { book, stop, writers, readers }
    }

    /// Ends all of it. What was read, and which UIDs were seen dead.
    pub async fn end(self) -> (Arc<Book>, Vec<IncrementalReader>, Vec<DeadUidWatch>) {
        self.stop.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await.unwrap();
        }
        let (mut readers, mut watches) = (Vec::new(), Vec::new());
        for reader in self.readers {
            let (its, watch) = reader.await.unwrap();
            readers.extend(its);
            watches.push(watch);
        }
        (self.book, readers, watches)
    }
}

struct Writer {
    random: fastrand::Rng,
    places: Vec<Place>,
    book: Arc<Book>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    async fn run(mut self, node: NodeSettings) {
        while !self.stop.load(Ordering::SeqCst) {
            let cut_off = match Session::connect(&node.connection).await {
                Ok(mut session) => self.go_on(&mut session).await,
                Err(error) => Err(error),
            };
            if cut_off.is_err() {
                self.book.cut_off.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn go_on(&mut self, session: &mut Session) -> Result<()> {
        while !self.stop.load(Ordering::SeqCst) {
            let place = self.places[self.random.usize(..self.places.len())];
            match self.random.u8(..100) {
                0..62 => {
                    let mail = Mail::generate(&mut self.random, 500);
                    self.book.deliver(session, place, &mail).await?;
                }
                62..70 => self.copy(session, place.0).await?,
                70..78 => self.flag(session, place.0).await?,
                78..88 => self.delete_some(session, place.0).await?,
                88..94 => drop(session.login(USERS[self.random.usize(..USERS.len())]).await?),
                _ => drop(session.select(place.0).await?),
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(20..200))).await;
        }
        Ok(())
    }

    /// One message that is there.
    async fn any(&mut self, session: &mut Session, mailbox: MailboxId) -> Result<Option<Uid>> {
        let listed = session.search_above(mailbox, Uid(0)).await?;
        Ok((!listed.is_empty()).then(|| listed[self.random.usize(..listed.len())].uid))
    }

    async fn copy(&mut self, session: &mut Session, mailbox: MailboxId) -> Result<()> {
        if let Some(uid) = self.any(session, mailbox).await? {
            let (to, _, _) = self.places[self.random.usize(..self.places.len())];
            session.copy_if_there(uid, to).await?;
        }
        Ok(())
    }

    async fn flag(&mut self, session: &mut Session, mailbox: MailboxId) -> Result<()> {
        if let Some(uid) = self.any(session, mailbox).await? {
            let flags = if self.random.bool() { Flags::SEEN } else { Flags::FLAGGED };
            let change = if self.random.u8(..4) > 0 { StoreFlags::add(flags) } else { StoreFlags::remove(flags) };
            session.store(mailbox, &[uid], &change.keywords(&["$Kept"])).await?;
        }
        Ok(())
    }

    async fn delete_some(&mut self, session: &mut Session, mailbox: MailboxId) -> Result<()> {
        let listed = session.search_above(mailbox, Uid(0)).await?;
        let chosen: Vec<_> = listed.iter().filter(|_| self.random.u8(..10) == 0).take(3).collect();
        chosen.iter().for_each(|message| self.book.condemn(mailbox, &message.unique_id));
        let uids: Vec<Uid> = chosen.iter().map(|message| message.uid).collect();
        session.store(mailbox, &uids, &StoreFlags::add(Flags::DELETED)).await?;
        self.book.expunge(session, mailbox).await
    }
}

/// A client a mailbox, which polls all the time and now and then looks back.
async fn read_along(
    node: NodeSettings,
    places: Vec<Place>,
    stop: Arc<AtomicBool>,
) -> (Vec<IncrementalReader>, DeadUidWatch) {
    let name = node.name.as_str();
    let mut readers: Vec<_> = places.iter().map(|(mailbox, _, _)| IncrementalReader::new(name, *mailbox)).collect();
    let mut watch = DeadUidWatch::default();
    let mut logged_in = false;
    while !stop.load(Ordering::SeqCst) {
        let read = async {
            let mut session = Session::connect(&node.connection).await?;
            for (_, user, _) in places.iter().filter(|_| !logged_in) {
                session.login(user).await?;
            }
            logged_in = true;
            let mut round = 0;
            while !stop.load(Ordering::SeqCst) {
                for reader in &mut readers {
                    reader.poll(&mut session).await?;
                    if round % RECHECK == 0 {
                        for uid in reader.recheck(&mut session).await? {
                            watch.add(name, reader.mailbox, uid);
                        }
                    }
                }
                if round % RECHECK == 0 {
                    watch.check(name, &mut session).await?;
                }
                round += 1;
                tokio::time::sleep(AGAIN).await;
            }
            Ok::<_, dbmail_mesh::error::Error>(())
        };
        if read.await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    }
    (readers, watch)
}
