//! Deliveries at a steady rate, and clients that read along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::ledger::Ledger;
use dbmail_mesh::scratch::reader::IncrementalReader;
use dbmail_mesh::scratch::standin::{Mail, Session};

use super::spread::Spread;

/// A part of the run.
#[derive(Clone, Copy)]
pub struct Phase {
    pub name: &'static str,
    pub length: Duration,
}

/// How often a client asks for what is above the last UID, and how often it looks at all it was shown again.
const POLL: Duration = Duration::from_millis(100);
const RECHECK: Duration = Duration::from_secs(5);

/// A mailbox that is delivered to.
#[derive(Clone)]
pub struct Target {
    pub mailbox: MailboxId,
    pub owner: String,
    /// Deliveries a second.
    pub rate: u32,
    /// Sessions that share them.
    pub sessions: u32,
}

/// What was delivered, and how long it took.
#[derive(Clone, Default)]
pub struct Took {
    /// The UIDs that dbmail got.
    pub births: Vec<Uid>,
    /// The INSERT of the row that clients see, in which a delivery waits for the mailbox's line.
    pub insert: Spread,
    /// The whole delivery.
    pub delivery: Spread,
}

impl Took {
    pub fn extend(&mut self, other: Self) {
        self.births.extend(other.births);
        self.insert.extend(other.insert);
        self.delivery.extend(other.delivery);
    }
}

/// Delivers to a mailbox of a node for as long as said. Who is late does not wait, so what was missed is made up for.
pub async fn deliver(node: NodeSettings, target: Target, phase: Phase, ledger: Arc<Ledger>) -> Took {
    let Phase { name, length } = phase;
    let mut sessions = Vec::new();
    for number in 0..target.sessions {
        let (node, target, ledger) = (node.clone(), target.clone(), ledger.clone());
        sessions.push(tokio::spawn(async move {
            let mut session = Session::connect(&node.connection).await.unwrap();
            let interval = Duration::from_secs(1) * target.sessions / target.rate;
            let begun = Instant::now() + interval * number / target.sessions;
            let mut took = Took::default();
            for turn in 0.. {
                let due = begun + interval * turn;
                if due.duration_since(begun) >= length || begun.elapsed() >= length {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                let mail = Mail::slight(&format!("{name}-{}-{}-{number}-{turn}", node.name, target.mailbox));
                let begun = Instant::now();
                took.births.push(session.deliver(target.mailbox, &mail).await.unwrap());
                took.delivery.add(begun.elapsed());
                took.insert.add(session.insert_took());
                ledger.delivered(&target.owner, "INBOX", &mail);
            }
            took
        }));
    }
    let mut all = Took::default();
    for session in sessions {
        all.extend(session.await.unwrap());
    }
    all
}

/// A client that asks again and again for what is above the last UID that it was shown.
pub async fn read_along(node: NodeSettings, target: Target, stop: Arc<AtomicBool>) -> IncrementalReader {
    let mut session = Session::connect(&node.connection).await.unwrap();
    session.login(&target.owner).await.unwrap();
    let mut reader = IncrementalReader::new(node.name.as_str(), target.mailbox);
    let mut rechecked = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        reader.poll(&mut session).await.unwrap();
        if rechecked.elapsed() >= RECHECK {
            reader.recheck(&mut session).await.unwrap();
            rechecked = Instant::now();
        }
        tokio::time::sleep(POLL).await;
    }
    reader
}
