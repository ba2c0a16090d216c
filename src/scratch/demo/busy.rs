//! Part 2: all nodes busy at once, a worker that is killed, and what is left when the traffic has ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;

use super::ground::{Ground, Mesh, label};
use super::progress::Progress;
use super::pulse::{Nurse, Pulse};
use super::readers::{self, Readers};
use super::scenario::await_mailbox;
use super::story::Story;
use super::traffic::{self, Books, PLACES, Place};
use super::verdict::{Tally, Verdict};
use super::{NODES, Options, POLL};
use crate::domain::ids::{MailboxId, Stride, Uid};
use crate::error::{Error, Kind, Result};
use crate::scratch::audit::audit;
use crate::scratch::standin::{Listed, Session};

/// How often the numbers of the progress line are read.
const PULSE_INTERVAL: Duration = Duration::from_millis(200);

/// How long the worker stays dead: this part of the traffic.
const DEAD_PART: u32 = 10;

/// How long the nodes may take to become equal once the traffic has ended.
const CONVERGENCE_MAX: Duration = Duration::from_secs(60);

/// Plays the traffic and checks the guarantees. Returns whether all held.
pub(super) async fn play(ground: &Ground, options: &Options, story: &mut Story<'_>) -> Result<bool> {
    introduce(options, story)?;
    let stride = Stride(*NODES.end());
    let mesh = ground.mesh("mail", options.nodes, stride, None).await?;
    let worker = mesh.work(None)?;
    let books = Arc::new(Books::new(prepare(&mesh).await?));
    let mut run = Run { nurse: Nurse::new(&mesh, stride).await?, mesh, books, tally: Tally::default() };

    let mut progress = Progress::new(options.length);
    let (stop_writing, stop_reading) = (CancellationToken::new(), CancellationToken::new());
    let writers = traffic::start(&run.mesh, &run.books, options.seed, &stop_writing);
    let readers = readers::start(&run.mesh, &run.books, &stop_reading).await?;
    let dead = options.length / DEAD_PART;
    run.observe((options.length - dead) / 2, &mut progress).await?;
    worker.kill().await?;
    progress.phase = "worker killed";
    run.observe(dead, &mut progress).await?;
    let worker = run.mesh.work(None)?;
    progress.phase = "";
    run.observe((options.length - dead) / 2, &mut progress).await?;
    stop_writing.cancel();
    for ended in all(writers).await? {
        ended?;
    }
    progress.phase = "traffic has ended";
    let converged = run.converge(&mut progress).await?;
    stop_reading.cancel();
    let mut readers = all(readers).await?;
    readers.sort_by(|left, right| left.node().cmp(right.node()));
    progress.finish();

    let verdict = run.check(ground, &mut readers, converged).await;
    worker.stop().await?;
    verdict?.tell(story)
}

fn introduce(options: &Options, story: &mut Story<'_>) -> Result<()> {
    let Options { nodes, length, seed, .. } = options;
    let (mailboxes, sessions, seconds) = (PLACES.len(), traffic::SESSIONS_PER_NODE, length.as_secs());
    story.say(format!(
        "
PART 2: {nodes} nodes, all busy

For {seconds} s, {sessions} dbmail sessions on each node deliver, copy, mark and expunge in the same {mailboxes} mailboxes at once.
A client of each mailbox on each node asks again and again for what is above the last UID that it was shown.
Half-way the worker is killed (SIGKILL), and started again. (--seed {seed})\n"
    ))
}

/// Makes the accounts and mailboxes on the first node, and waits until they are everywhere.
async fn prepare(mesh: &Mesh<'_>) -> Result<Vec<Place>> {
    let mut sessions = mesh.sessions().await?;
    let mut places = Vec::new();
    let Some((first, others)) = sessions.split_first_mut() else { return Ok(places) };
    for (position, (userid, name)) in PLACES.into_iter().enumerate() {
        if PLACES[..position].iter().all(|(before, _)| *before != userid) {
            first.create_user(userid).await?;
        }
        places.push(Place { userid, name, id: first.create_mailbox(userid, name).await? });
    }
    for session in others {
        for place in &places {
            await_mailbox(session, place.userid, place.name).await?;
        }
    }
    Ok(places)
}

/// The traffic while it lasts, and its end.
struct Run<'a> {
    mesh: Mesh<'a>,
    nurse: Nurse,
    books: Arc<Books>,
    tally: Tally,
}

impl Run<'_> {
    /// Reads and shows the numbers for as long as that.
    async fn observe(&mut self, length: Duration, progress: &mut Progress) -> Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.look(progress).await?;
            tokio::time::sleep(PULSE_INTERVAL.min(end.saturating_duration_since(Instant::now()))).await;
        }
        Ok(())
    }

    async fn look(&mut self, progress: &mut Progress) -> Result<Pulse> {
        let pulse = self.nurse.pulse().await?;
        self.tally.note(&pulse);
        progress.show(&self.books.ledger, &pulse);
        Ok(pulse)
    }

    /// Waits until nothing moves any more and all nodes show the same. Returns how long that took, `None` when it did not happen.
    async fn converge(&mut self, progress: &mut Progress) -> Result<Option<Duration>> {
        let begun = Instant::now();
        let mut sessions = self.mesh.sessions().await?;
        while begun.elapsed() < CONVERGENCE_MAX {
            let pulse = self.look(progress).await?;
            if pulse.is_at_rest() && self.equal(&mut sessions).await? && self.tidy(&mut sessions).await? {
                return Ok(Some(begun.elapsed()));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }

    async fn equal(&self, sessions: &mut [Session]) -> Result<bool> {
        for place in &self.books.places {
            let mut first: Option<Vec<(Uid, String)>> = None;
            for session in sessions.iter_mut() {
                let listed = visible(session, place.id).await?;
                if *first.get_or_insert_with(|| listed.clone()) != listed {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Expunges what is still marked. An EXPUNGE that waits on a row which is being renumbered matches nothing; its mark stays
    /// behind, on that node only as long as changes of flags are not replicated. Returns whether there was nothing to do.
    async fn tidy(&self, sessions: &mut [Session]) -> Result<bool> {
        let mut gone = 0;
        for session in sessions {
            for place in &self.books.places {
                gone += traffic::expunge(session, place.id, &self.books.ledger).await?;
            }
        }
        Ok(gone == 0)
    }

    /// Lets the clients look once more, and audits the databases.
    async fn check(mut self, ground: &Ground, readers: &mut [Readers], converged: Option<Duration>) -> Result<Verdict> {
        let mut sessions = self.mesh.sessions().await?;
        let names: Vec<String> = self.mesh.nodes.iter().map(label).collect();
        for (own, its) in readers.iter_mut().enumerate() {
            its.look_once_more(&mut sessions[own]).await?;
            for (name, session) in names.iter().zip(&mut sessions) {
                its.check_on(name, session).await?;
            }
        }
        self.tally.note(&self.nurse.pulse().await?);
        self.tally.converged = converged;
        self.tally.deliveries = self.books.ledger.deliveries();
        self.tally.copies = self.books.copies.load(Ordering::Relaxed);
        self.tally.expunges = self.books.ledger.expunges();
        self.tally.downloads = readers.iter().map(|its| (its.node().to_owned(), its.downloads())).collect();

        let configs = self.mesh.nodes.iter().map(|node| node.connection.clone());
        let nodes: Vec<(String, Config)> = names.into_iter().zip(configs).collect();
        let clients: Vec<_> = readers.iter().flat_map(|its| its.readers.iter().cloned()).collect();
        let mut report = audit(&nodes, &self.books.ledger, &clients).await?;
        for its in &*readers {
            report.include(its.watch.findings());
        }
        let mut failures = self.books.failures();
        let logs = ground.server_logs()?;
        failures.extend(logs.lines().filter(|line| line.contains("deadlock detected")).map(str::to_owned));
        Ok(Verdict { report, failures, overtaken: ground.was_overtaken(), tally: self.tally })
    }
}

async fn visible(session: &mut Session, mailbox: MailboxId) -> Result<Vec<(Uid, String)>> {
    let listed = session.search_above(mailbox, Uid(0)).await?;
    Ok(listed.into_iter().map(|Listed { uid, unique_id, .. }| (uid, unique_id)).collect())
}

/// What all tasks return.
async fn all<T: Send + 'static>(mut tasks: JoinSet<T>) -> Result<Vec<T>> {
    let mut returned = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let broken =
            |error: JoinError| Error::new(Kind::Internal, format!("a session broke off: {error}")).source(error);
        returned.push(ended.map_err(broken)?);
    }
    Ok(returned)
}
