//! A run: faults one upon another while everybody goes on, and what is left in the end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use dbmail_mesh::scratch::audit::audit;
use dbmail_mesh::scratch::findings::{Guarantee, Report};
use dbmail_mesh::scratch::reader::{DeadUidWatch, IncrementalReader};
use dbmail_mesh::scratch::standin::Mail;

use super::ground::{Ground, Place};
use super::kinds::{Begun, FAULTS, Fault};
use super::traffic::{Book, Traffic};

/// How long the mesh may take until it works again after the last fault of several has gone. What bounds it is how long links wait
/// between two attempts (here 2 s), a server that ends the sessions of a worker it no longer hears (25 s), and what has come in meanwhile: on
/// a machine that has much other work, that takes longer than all the rest.
const RECOVERY_MAX: Duration = Duration::from_secs(300);
/// How long the nodes may take to become equal once nobody writes any more. A delivery that was cut off after the message was there
/// leaves its staging row behind, and the message is not renumbered for a minute.
const CONVERGENCE_MAX: Duration = Duration::from_secs(180);

/// A run under way.
pub struct Run {
    pub ground: Ground,
    places: Vec<Place>,
    traffic: Traffic,
    seed: u64,
    begun: Instant,
    probes: u64,
    /// How often each fault was there, and the longest that the mesh took afterwards.
    faults: BTreeMap<Fault, (u32, Duration)>,
    recoveries: Vec<Duration>,
}

impl Run {
    pub async fn start(nodes: i16, writers_per_node: u64, seed: u64) -> Self {
        let ground = Ground::new(nodes).await;
        let places = ground.create_mailboxes().await;
        let traffic = Traffic::start(&ground, &places, writers_per_node, seed);
        let (faults, recoveries) = (BTreeMap::new(), Vec::new());
        Self { ground, places, traffic, seed, begun: Instant::now(), probes: 0, faults, recoveries }
    }

    /// Whether this fault can be had here.
    pub fn has(&self, fault: Fault) -> bool {
        fault != Fault::DiskFull || self.ground.has_small_disks
    }

    /// Begins a fault, if it can be.
    pub async fn begin(&mut self, fault: Fault, id: i16) -> Option<Begun> {
        match fault.begin(&mut self.ground, id).await {
            Ok(begun) => {
                println!("{:8.1} s: {} on node {id}", self.begun.elapsed().as_secs_f64(), fault.name());
                Some(begun)
            }
            Err(error) => {
                println!("{} on node {id}: not now ({error})", fault.name());
                None
            }
        }
    }

    /// Ends a fault.
    pub async fn end(&mut self, begun: Begun) -> Fault {
        let fault = begun.fault;
        begun.undo(&mut self.ground).await;
        fault
    }

    /// Waits, once faults are over, until what is delivered on any node is seen on all, and all links are current.
    pub async fn recover(&mut self, over: &[Fault]) {
        let begun = Instant::now();
        let mut expected = Vec::new();
        for id in self.ground.ids() {
            expected.push(self.probe(id, begun).await);
        }
        for id in self.ground.ids() {
            self.await_seen(id, &expected, begun).await;
        }
        self.ground.await_current(RECOVERY_MAX).await;
        let took = begun.elapsed();
        self.recoveries.push(took);
        for fault in over {
            let (times, longest) = self.faults.entry(*fault).or_default();
            *times += 1;
            *longest = took.max(*longest);
        }
    }

    fn probes(&self) -> Place {
        self.places[self.places.len() - 1]
    }

    /// Delivers a message on a node, as soon as it takes one; its name.
    async fn probe(&mut self, id: i16, begun: Instant) -> String {
        loop {
            self.probes += 1;
            let mail = Mail::named(&format!("probe-{}-{}", self.seed, self.probes));
            let delivered = match self.ground.session(id).await {
                Ok(mut session) => self.traffic.book.deliver(&mut session, self.probes(), &mail).await.map(|_| ()),
                Err(error) => Err(error),
            };
            match delivered {
                Ok(()) => return mail.unique_id,
                Err(error) => assert!(begun.elapsed() < RECOVERY_MAX, "node {id} takes no mail: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn await_seen(&self, id: i16, expected: &[String], begun: Instant) {
        let (mailbox, _, _) = self.probes();
        loop {
            let seen = async {
                let mut session = self.ground.session(id).await?;
                let listed = session.search_above(mailbox, dbmail_mesh::domain::ids::Uid(0)).await?;
                Ok::<_, dbmail_mesh::error::Error>(
                    expected.iter().all(|name| listed.iter().any(|listed| listed.unique_id == *name)),
                )
            };
            if matches!(seen.await, Ok(true)) {
                return;
            }
            if begun.elapsed() > RECOVERY_MAX {
                panic!("seed {}: node {id} does not show all of {expected:?}{}", self.seed, self.ground.links().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the traffic, waits until all nodes are equal, and checks the guarantees.
    pub async fn finish(self) -> Outcome {
        let lasted = self.begun.elapsed();
        let (book, mut readers, mut watches) = self.traffic.end().await;
        let (ground, places) = (&self.ground, &self.places);
        await_convergence(ground, places).await;
        // A message that was marked \Deleted on one node and then renumbered waits for the next EXPUNGE there.
        for node in &ground.mesh.nodes {
            let mut session = ground.session(node.id.0).await.unwrap();
            for (mailbox, _, _) in places {
                book.expunge(&mut session, *mailbox).await.unwrap();
            }
        }
        await_convergence(ground, places).await;
        ground.await_current(RECOVERY_MAX).await;
        let report = check(ground, &book, &mut readers, &mut watches).await;
        let numbers = "select count(*) from dbmail_mesh.number";
        let most =
            "select coalesce(max(n), 0) from (select count(*) as n from dbmail_mesh.number group by birth_uid) x";
        Outcome {
            seed: self.seed,
            lasted,
            faults: self.faults,
            recovery_max: self.recoveries.iter().max().copied().unwrap_or_default(),
            deliveries: book.deliveries(),
            unknown: book.unknown(),
            expunges: book.ledger.expunges(),
            cut_off: book.cut_off(),
            numbers: ground.mesh.count(1, numbers).await,
            most: ground.mesh.count(1, most).await,
            watched: watches.iter().map(DeadUidWatch::len).sum(),
            report,
        }
    }
}

async fn check(
    ground: &Ground,
    book: &Book,
    readers: &mut [IncrementalReader],
    watches: &mut [DeadUidWatch],
) -> Report {
    for reader in readers.iter_mut() {
        let node = ground.mesh.nodes.iter().find(|node| node.name.as_str() == reader.node).unwrap();
        reader.poll(&mut ground.session(node.id.0).await.unwrap()).await.unwrap();
    }
    let nodes: Vec<_> = ground.mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    let mut report = audit(&nodes, &book.ledger, readers).await.unwrap();
    for watch in watches {
        for node in &ground.mesh.nodes {
            let mut session = ground.session(node.id.0).await.unwrap();
            watch.check_converged(node.name.as_str(), &mut session).await.unwrap();
        }
        report.include(watch.findings());
    }
    report
}

/// Until nothing is late, nobody was overtaken, and every node shows the same.
async fn await_convergence(ground: &Ground, places: &[Place]) {
    let mesh = &ground.mesh;
    let begun = Instant::now();
    let mut quiet = 0;
    while quiet < 3 {
        let mut equal = mesh.late().await == 0;
        for node in &mesh.nodes {
            equal &= mesh.count(node.id.0, "select count(*) from dbmail_mesh.overtaking").await == 0;
        }
        for (mailbox, _, _) in places {
            let first = mesh.uids(1, *mailbox).await;
            for node in &mesh.nodes[1..] {
                equal &= mesh.uids(node.id.0, *mailbox).await == first;
            }
        }
        quiet = if equal { quiet + 1 } else { 0 };
        if begun.elapsed() > CONVERGENCE_MAX {
            panic!("no convergence; late: {}{}", mesh.late().await, ground.links().await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a run came to.
pub struct Outcome {
    pub seed: u64,
    lasted: Duration,
    faults: BTreeMap<Fault, (u32, Duration)>,
    recovery_max: Duration,
    pub deliveries: usize,
    unknown: usize,
    expunges: usize,
    cut_off: usize,
    pub numbers: i64,
    most: i64,
    watched: usize,
    pub report: Report,
}

impl Outcome {
    pub fn faults(&self) -> u32 {
        self.faults.values().map(|(times, _)| times).sum()
    }

    /// How many messages are lost, and how many doubled, as the check of guarantee E has it.
    fn lost_and_doubled(&self) -> (usize, usize) {
        let of_e = self.report.of(Guarantee::E);
        let (lost, rest): (Vec<_>, Vec<_>) = of_e.iter().partition(|text| text.ends_with("is lost"));
        (lost.len(), rest.iter().filter(|text| text.contains(" times: ")).count())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<20}{:>6}{:>22}", "FAULT", "TIMES", "RECOVERED WITHIN")?;
        for (fault, name, ..) in &FAULTS {
            if let Some((times, longest)) = self.faults.get(fault) {
                writeln!(f, "  {name:<20}{times:>6}{:>20.1} s", longest.as_secs_f64())?;
            }
        }
        let (lost, doubled) = self.lost_and_doubled();
        let Self { seed, deliveries, unknown, expunges, cut_off, numbers, most, watched, .. } = self;
        writeln!(
            f,
            "\n  seed {seed}; {} faults in {} s, the longest recovery {:.1} s",
            self.faults(),
            self.lasted.as_secs(),
            self.recovery_max.as_secs_f64()
        )?;
        writeln!(
            f,
            "  {deliveries} deliveries acknowledged, {lost} lost, {doubled} doubled; {unknown} of which nobody heard; {expunges} expunges"
        )?;
        writeln!(
            f,
            "  sessions of dbmail cut off or not let in: {cut_off}; numbers given: {numbers}, at most {most} a message; dead UIDs watched: {watched}"
        )?;
        write!(f, "  {}", self.report)
    }
}
