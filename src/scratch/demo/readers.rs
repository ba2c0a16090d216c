//! Mail clients that poll every mailbox on every node during the traffic, and take IMAP's promises at their word.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ground::{Mesh, label};
use super::traffic::{Books, PLACES};
use crate::error::Result;
use crate::scratch::reader::{DeadUidWatch, IncrementalReader};
use crate::scratch::standin::Session;

/// A reader's pause between two polls.
const PAUSE: Duration = Duration::from_millis(50);

/// After so many polls it looks at the whole mailbox, as a client does that reconnects.
const POLLS_PER_RECHECK: u32 = 10;

/// The readers of one node, one for each mailbox.
pub(super) struct Readers {
    node: String,
    pub(super) readers: Vec<IncrementalReader>,
    pub(super) watch: DeadUidWatch,
}

/// Starts the readers of all nodes. They end when `stop` is cancelled.
pub(super) async fn start(mesh: &Mesh<'_>, books: &Arc<Books>, stop: &CancellationToken) -> Result<JoinSet<Readers>> {
    let mut tasks = JoinSet::new();
    let owners: BTreeSet<&str> = PLACES.iter().map(|(owner, _)| *owner).collect();
    for (node, mut session) in mesh.nodes.iter().zip(mesh.sessions().await?) {
        for owner in &owners {
            session.login(owner).await?;
        }
        let (books, stop) = (Arc::clone(books), stop.clone());
        tasks.spawn(Readers::new(label(node), &books).run(session, books, stop));
    }
    Ok(tasks)
}

impl Readers {
    fn new(node: String, books: &Books) -> Self {
        let readers = books.places.iter().map(|place| IncrementalReader::new(&node, place.id)).collect();
        Self { node, readers, watch: DeadUidWatch::default() }
    }

    async fn run(mut self, mut session: Session, books: Arc<Books>, stop: CancellationToken) -> Self {
        let mut polls = 0;
        while !stop.is_cancelled() {
            polls += 1;
            let polled = if polls % POLLS_PER_RECHECK == 0 {
                self.recheck(&mut session).await
            } else {
                self.poll(&mut session).await
            };
            if let Err(error) = polled {
                books.failed(&self.node, &error);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self
    }

    async fn poll(&mut self, session: &mut Session) -> Result<()> {
        for reader in &mut self.readers {
            reader.poll(session).await?;
        }
        Ok(())
    }

    async fn recheck(&mut self, session: &mut Session) -> Result<()> {
        for reader in &mut self.readers {
            for uid in reader.recheck(session).await? {
                self.watch.add(&self.node, reader.mailbox, uid);
            }
        }
        self.watch.check(&self.node, session).await
    }

    /// What a client does last, when nothing moves any more.
    pub(super) async fn look_once_more(&mut self, session: &mut Session) -> Result<()> {
        self.poll(session).await?;
        self.recheck(session).await
    }

    /// Checks on some other node that what was dead here is dead there. True only once the nodes have converged.
    pub(super) async fn check_on(&mut self, node: &str, session: &mut Session) -> Result<()> {
        self.watch.check_converged(node, session).await
    }

    /// Which node they are on.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// How many messages were downloaded, and how many downloads were of one that was there already under another UID.
    pub(super) fn downloads(&self) -> (usize, usize) {
        let (mut all, mut again) = (0, 0);
        for reader in &self.readers {
            let different: BTreeSet<&String> = reader.seen.values().collect();
            all += reader.seen.len();
            again += reader.seen.len() - different.len();
        }
        (all, again)
    }
}
