//! The world: what there is, and what happens next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::clients::{Client, Kind};
use super::ledger::Ledger;
use super::links::{Batch, Link, LinkId};
use super::network::{At, Network};
use super::options::Options;
use super::queue::{Micros, Queue};
use super::random::{Random, Stream};
use super::report::Settlements;
use super::settling::{Settlement, SettlementId, Task};
use crate::config::Presence;
use crate::domain::ids::{MailboxId, NodeId, Uid};
use crate::domain::reported::Time;
use crate::model::Node;
use crate::worker::pace::Paces;

/// After the last write and so long again, a mesh that has not come to rest never will.
const REST: Micros = Micros::from_ms(24 * 3_600_000);
/// How soon somebody who found a lock taken looks again.
pub(super) const LOOK_AGAIN: Micros = Micros::from_ms(5);

/// What can happen.
#[derive(Debug)]
pub(super) enum Event {
    /// The next message arrives somewhere.
    Arrival,
    /// A delivery that had to wait since then goes on.
    Delivery { at: At, mailbox: usize, since: Micros },
    /// A client looks.
    Visit(usize),
    /// A link asks its source.
    Read(LinkId, u32),
    /// A batch has reached its target.
    Apply(Box<Batch>),
    /// A worker looks what is late.
    Look(At, u32),
    /// A settlement goes on.
    Settle(SettlementId),
    /// A settlement's COMMIT has reached a node.
    Commit(SettlementId, At),
    /// The mesh falls into two parts.
    Partition,
    /// They meet again.
    Heal(u64),
    /// A node goes down.
    Crash,
    /// It is back.
    Restart(At),
    /// A worker is killed.
    Kill,
    /// Another takes its place.
    Replace(At),
}

/// A node and the worker beside it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) node: Node,
    pub(super) up: bool,
    pub(super) has_worker: bool,
    /// Counts its workers: what one of them was about is not the next one's.
    pub(super) worker: u32,
    /// Mailboxes whose line is locked, and by whom.
    pub(super) locks: BTreeMap<MailboxId, SettlementId>,
    /// The highest UID that a client was shown here.
    pub(super) read: BTreeMap<MailboxId, Uid>,
    /// Mailboxes in which something may be late.
    pub(super) late: BTreeSet<MailboxId>,
    /// Whether the worker is to look at them.
    pub(super) looks: bool,
    /// Those to be settled next, and the one that is being settled.
    pub(super) to_settle: Vec<Task>,
    pub(super) settling: Option<SettlementId>,
    pub(super) paces: Paces,
}

/// A mailbox, the same on all nodes, and where most of its mail arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inbox {
    pub(super) id: MailboxId,
    pub(super) home: At,
}

/// All there is.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) options: &'a Options,
    pub(super) now: Micros,
    /// What `now` is for code that reads the clock.
    begun: Instant,
    pub(super) end: Micros,
    pub(super) queue: Queue<Event>,
    pub(super) network: Network,
    pub(super) sites: Vec<Site>,
    pub(super) links: Vec<Link>,
    pub(super) settlements: BTreeMap<SettlementId, Settlement>,
    pub(super) settled: Settlements,
    pub(super) inboxes: Vec<Inbox>,
    pub(super) clients: Vec<Client>,
    pub(super) ledger: Ledger,
    pub(super) arrivals: Random,
    pub(super) faults: Random,
    pub(super) visitors: Random,
    pub(super) chance: Random,
    /// Partitions and settlements so far.
    pub(super) count: u64,
    #[cfg(test)]
    pub(super) mutant: Option<super::tests::Mutant>,
}

impl<'a> World<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let nodes = options.nodes.unsigned_abs() as usize;
        let mut visitors = Random::new(options.seed, Stream::Clients);
        let inbox = |number: u32, home| Inbox { id: MailboxId(i64::from(number) + 1), home };
        let inboxes: Vec<Inbox> = (0..options.mailboxes).map(|number| inbox(number, visitors.below(nodes))).collect();
        let clients = clients_of(&inboxes, options.roaming);
        let mut world = Self {
            options,
            now: Micros::ZERO,
            begun: Instant::now(),
            end: Micros::of(options.duration),
            queue: Queue::default(),
            network: Network::new(nodes, options.latency, options.seed),
            sites: (1..=options.nodes).map(|id| Site::new(NodeId(id), options, &inboxes)).collect(),
            links: (0..nodes * nodes).map(|_| Link::default()).collect(),
            settlements: BTreeMap::new(),
            settled: Settlements::default(),
            inboxes,
            clients,
            ledger: Ledger::new(nodes),
            arrivals: Random::new(options.seed, Stream::Arrivals),
            faults: Random::new(options.seed, Stream::Faults),
            visitors,
            chance: Random::new(options.seed, Stream::Worker),
            count: 0,
            #[cfg(test)]
            mutant: None,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.schedule_arrival();
        for client in 0..self.clients.len() {
            self.schedule_visit(client);
        }
        self.schedule_faults();
    }

    /// Lets everything happen until nothing is left to happen.
    pub(super) fn live(&mut self) {
        while let Some((at, event)) = self.queue.take() {
            self.now = at;
            if at > self.end + REST {
                self.ledger.find("D: the nodes did not come to rest within a day after the last write".into());
                return;
            }
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Delivery { at, mailbox, since } => self.deliver(at, mailbox, since),
            Event::Visit(client) => self.visit(client),
            Event::Read(link, epoch) => self.read(link, epoch),
            Event::Apply(batch) => self.apply(batch),
            Event::Look(at, worker) => self.look_for_late(at, worker),
            Event::Settle(settlement) => self.settle(settlement),
            Event::Commit(settlement, at) => self.commit(settlement, at),
            Event::Partition => self.part(),
            Event::Heal(partition) => self.heal(partition),
            Event::Crash => self.crash(),
            Event::Restart(at) => self.restart(at),
            Event::Kill => self.kill(),
            Event::Replace(at) => self.replace(at),
        }
    }

    pub(super) fn put_in(&mut self, after: Micros, event: Event) {
        self.queue.put(self.now + after, event);
    }

    pub(super) fn clock(&self) -> Time {
        self.now.on_the_clock()
    }

    pub(super) fn instant(&self) -> Instant {
        self.begun + std::time::Duration::from_micros(self.now.0.unsigned_abs())
    }

    /// Whether a worker at `at` can talk to the database of `node`.
    pub(super) fn reaches(&self, at: At, node: At) -> bool {
        self.sites[node].up && self.network.connects(at, node)
    }

    pub(super) fn is_locked(&self, at: At, mailbox: MailboxId) -> bool {
        self.sites[at].locks.contains_key(&mailbox)
    }

    /// For how long a login counts, in microseconds.
    pub(super) fn presence(&self) -> Option<i64> {
        self.options.presence.window().map(|window| Micros::of(window).0)
    }
}

impl Site {
    fn new(id: NodeId, options: &Options, inboxes: &[Inbox]) -> Self {
        let mut node = Node::new(id, options.stride, inboxes.iter().map(|inbox| inbox.id));
        if options.presence == Presence::Always {
            for inbox in inboxes {
                node.set_shared(inbox.id, true, Micros::ZERO.on_the_clock());
            }
        }
        Self {
            node,
            up: true,
            has_worker: true,
            worker: 0,
            locks: BTreeMap::new(),
            read: BTreeMap::new(),
            late: BTreeSet::new(),
            looks: false,
            to_settle: Vec::new(),
            settling: None,
            paces: Paces::default(),
        }
    }
}

/// Two for each owner: one that looks after what it knows, and one that only ever asks for what is new.
fn clients_of(inboxes: &[Inbox], roaming: f64) -> Vec<Client> {
    let roamers = (inboxes.len() as f64 * roaming).round() as usize;
    let kind = |mailbox: usize| match mailbox {
        _ if mailbox >= roamers => Kind::AtHome,
        _ if mailbox.is_multiple_of(2) => Kind::CaughtUp,
        _ => Kind::Anywhere,
    };
    let of_inbox = |(mailbox, inbox): (usize, &Inbox)| {
        let home = inbox.home;
        [true, false].map(|checks| Client::new(mailbox, kind(mailbox), checks, home))
    };
    inboxes.iter().enumerate().flat_map(of_inbox).collect()
}
