//! What an applied message costs in a large mesh and in a small one, at the same rate of deliveries to the mesh as a whole.

use std::time::{Duration, Instant};

use anyhow::Result;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::cluster::Cluster;
use dbmail_mesh::scratch::standin::{Mail, Session};
use futures_util::future::try_join_all;
use tokio::time::{MissedTickBehavior, interval};

use crate::Options;
use crate::cpu::server_cpu_s;
use crate::figures::{Figure, Reach, median};
use crate::mesh::Mesh;
use crate::native::await_zero;
use crate::{ground, mail, profile};

pub const NAME: &str = "nodes";

const MANY: usize = 16;
const FEW: usize = 4;
/// Deliveries a second, over all nodes together.
const RATE: f64 = 100.0;
/// What deliveries themselves take is measured for so long, without a worker.
const ALONE: Duration = Duration::from_secs(10);
/// Each node delivers into its own ones: nothing is late anywhere.
const MAILBOXES: usize = 160;
/// For all nodes in one server.
const CONNECTIONS: u16 = 600;
const GROWTH_MAX: f64 = 1.2;

/// A mesh in one server.
struct Ground {
    cluster: Cluster,
    mesh: Mesh,
    mailboxes: Vec<MailboxId>,
    /// Messages delivered so far.
    delivered: usize,
}

struct Round {
    /// Processor time a message and target: servers, and worker.
    servers: f64,
    worker: f64,
    memory_mib: f64,
    /// Between the last delivery and the moment at which all had everything.
    behind_s: f64,
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let (mut many, mut few) = (Ground::make(MANY).await?, Ground::make(FEW).await?);
    let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        of_few.push(few.round(options).await?);
        of_many.push(many.round(options).await?);
    }
    many.mesh.verify().await?;
    few.mesh.verify().await?;
    let all = |rounds: &[Round], value: fn(&Round) -> f64| -> Vec<f64> { rounds.iter().map(value).collect() };
    let cost = |round: &Round| round.servers + round.worker;
    let what = format!("processor time of a message on a target, {MANY} nodes, {RATE} messages/s in all");
    let told = |name: &str, rounds: &[Round]| {
        format!(
            "{name}: servers {:.0} µs, worker {:.0} µs; {:.1} s behind at the end",
            median(&all(rounds, |round| round.servers)),
            median(&all(rounds, |round| round.worker)),
            median(&all(rounds, |round| round.behind_s))
        )
    };
    let ratio = Figure::beside(
        NAME,
        what,
        "µs",
        &all(&of_many, cost),
        ("4 nodes", &all(&of_few, cost)),
        Reach::RatioAtMost(GROWTH_MAX),
    );
    let memory = format!("memory of the worker, {MANY} nodes and {} links, resident", MANY * (MANY - 1));
    Ok(vec![
        ratio.note(told("16 nodes", &of_many)).note(told("4 nodes", &of_few)),
        Figure::alone(NAME, memory, "MiB", &all(&of_many, |round| round.memory_mib), Reach::Nothing)
            .note(format!("{:.0} MiB with {FEW} nodes", median(&all(&of_few, |round| round.memory_mib)))),
    ])
}

impl Ground {
    async fn make(nodes: usize) -> Result<Self> {
        let cluster = ground::cluster_for(CONNECTIONS).await?;
        let names: Vec<String> = (1..=nodes).map(|n| format!("n{n}")).collect();
        for name in &names {
            cluster.create_dbmail(name).await?;
        }
        let databases: Vec<(&Cluster, &str)> = names.iter().map(|name| (&cluster, name.as_str())).collect();
        let mesh = Mesh::installed(&databases, MANY as i16).await?;
        let mailboxes = mail::create_mailboxes(mesh.config(0), MAILBOXES).await?;
        let worker = mesh.worker(&[])?;
        mesh.current().await?;
        drop(worker);
        Ok(Self { cluster, mesh, mailboxes, delivered: 0 })
    }

    /// Deliveries without a worker, and with one.
    async fn round(&mut self, options: &Options) -> Result<Round> {
        let before = server_cpu_s(&self.cluster)?;
        let count = self.deliver(ALONE).await?;
        let of_delivery = (server_cpu_s(&self.cluster)? - before) / count as f64;
        let worker = self.mesh.worker(&[])?;
        self.all_here().await?;
        for node in 0..self.mesh.nodes.len() {
            ground::settle_down(self.mesh.config(node)).await?;
        }
        let first = [self.mesh.config(0).clone()];
        profile::begin(options, &first).await?;
        let (servers, of_worker) = (server_cpu_s(&self.cluster)?, worker.cpu_s()?);
        let count = self.deliver(Duration::from_secs(options.seconds)).await? as f64;
        let begun = Instant::now();
        self.all_here().await?;
        let behind_s = begun.elapsed().as_secs_f64();
        let servers = server_cpu_s(&self.cluster)? - servers - of_delivery * count;
        profile::end(options, &first).await?;
        let applied = count * (self.mesh.nodes.len() - 1) as f64;
        let round = Round {
            servers: servers * 1e6 / applied,
            worker: (worker.cpu_s()? - of_worker) * 1e6 / applied,
            memory_mib: worker.memory_mib()?,
            behind_s,
        };
        eprintln!(
            "  {} nodes: servers {:.0} µs, worker {:.0} µs, {behind_s:.1} s behind at the end",
            self.mesh.nodes.len(),
            round.servers,
            round.worker
        );
        Ok(round)
    }

    /// Delivers on all nodes for so long; returns how many messages.
    async fn deliver(&mut self, traffic: Duration) -> Result<usize> {
        let nodes = self.mesh.nodes.len();
        let each = (traffic.as_secs_f64() * RATE / nodes as f64) as usize;
        let first = self.delivered;
        let sessions = (0..nodes).map(|node| {
            let config = self.mesh.config(node).clone();
            let mine: Vec<MailboxId> = self.mailboxes.iter().copied().skip(node).step_by(nodes).collect();
            async move {
                let mut session = Session::connect(&config).await?;
                let mut tick = interval(Duration::from_secs_f64(nodes as f64 / RATE));
                tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
                // Not all of them in the same moment.
                tokio::time::sleep(Duration::from_secs_f64(node as f64 / RATE)).await;
                for n in 0..each {
                    tick.tick().await;
                    let message = Mail::named(&format!("{:032}", first + node * each + n));
                    session.deliver(mine[n % mine.len()], &message).await?;
                }
                Ok::<(), anyhow::Error>(())
            }
        });
        try_join_all(sessions).await?;
        self.delivered += each * nodes;
        Ok(each * nodes)
    }

    /// Waits until each node has all messages.
    async fn all_here(&self) -> Result<()> {
        let lacking = format!(
            "select {} - count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656",
            self.delivered
        );
        for node in 0..self.mesh.nodes.len() {
            await_zero(&self.mesh.client(node).await?, &lacking).await?;
        }
        Ok(())
    }
}
