//! What a mesh costs in which nothing happens: three nodes with much mail, and one worker that has come to rest.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dbmail_mesh::scratch::cluster::{Cluster, WORKER_ROLE, connect};
use dbmail_mesh::scratch::standin::Session;
use futures_util::future::try_join_all;

use crate::Options;
use crate::figures::{Figure, Reach};
use crate::mesh::Mesh;
use crate::{ground, mail};

pub const NAME: &str = "idle";

const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// What a worker does with a delay once it has caught up is over then.
const TO_REST: Duration = Duration::from_secs(25);
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(40);
const MAILBOXES: usize = 10_000;

/// What it cost in one second, on the average.
struct Cost {
    /// Of one core, in percent.
    cpu: f64,
    /// On the node with the most.
    statements: f64,
    transactions: f64,
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for mailboxes in [1, MAILBOXES] {
        let ground = Ground::with(options.messages, mailboxes).await?;
        let mut costs = Vec::new();
        for _ in 0..options.rounds {
            costs.push(ground.watch(&[]).await?);
        }
        let telling = ground.watch(&["--set", "health.listen=127.0.0.1:0"]).await?;
        ground.check(options.messages).await?;
        figures.extend(figures_of(&costs, &telling, options.messages, mailboxes));
    }
    Ok(figures)
}

fn figures_of(costs: &[Cost], telling: &Cost, messages: usize, mailboxes: usize) -> [Figure; 2] {
    let of = |value: fn(&Cost) -> f64| costs.iter().map(value).collect::<Vec<f64>>();
    let (cpu, statements, transactions) =
        (of(|cost| cost.cpu), of(|cost| cost.statements), of(|cost| cost.transactions));
    let what = |what: &str| format!("{what}, three idle nodes of {messages} messages in {mailboxes} mailboxes");
    let transactions = transactions.iter().copied().fold(0.0, f64::max);
    [
        Figure::alone(NAME, what("processor time of the worker"), "% of a core", &cpu, Reach::AtMost(0.5))
            .note(format!("{:.2} while it tells metrics", telling.cpu)),
        Figure::alone(NAME, what("statements on a node"), "a second", &statements, Reach::AtMost(2.0))
            .note(format!("{transactions:.1} transactions a second at the most, the server's own included"))
            .note(format!("{:.1} statements while it tells metrics", telling.statements)),
    ]
}

/// Three nodes with the same mail.
struct Ground {
    cluster: Cluster,
    mesh: Mesh,
}

impl Ground {
    async fn with(messages: usize, mailboxes: usize) -> Result<Self> {
        let cluster = ground::cluster().await?;
        connect(&cluster.config("postgres")).await?.batch_execute("create extension pg_stat_statements").await?;
        for name in NODES {
            cluster.create_dbmail(name).await?;
        }
        let mesh = Mesh::installed(&NODES.map(|name| (&cluster, name)), 8).await?;
        // They have met before there is any mail: nothing has to be proved.
        let worker = mesh.worker(&[])?;
        mesh.current().await?;
        drop(worker);
        try_join_all(NODES.map(|name| fill(&cluster, name, messages, mailboxes))).await?;
        Ok(Self { cluster, mesh })
    }

    /// A worker that comes to rest, and what it costs from then on.
    async fn watch(&self, arguments: &[&str]) -> Result<Cost> {
        let worker = self.mesh.worker(arguments)?;
        self.mesh.current().await?;
        tokio::time::sleep(TO_REST).await;
        let asker = connect(&self.cluster.config("postgres")).await?;
        let count = async || -> Result<Vec<(f64, f64)>> {
            let rows = asker.query(include_str!("idle_counts.sql"), &[&WORKER_ROLE, &NODES.to_vec()]).await?;
            Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
        };
        let (begun, cpu, before) = (Instant::now(), worker.cpu_s()?, count().await?);
        tokio::time::sleep(WATCHED).await;
        let (cpu, after) = (worker.cpu_s()? - cpu, count().await?);
        let seconds = begun.elapsed().as_secs_f64();
        let most = |of: fn(&(f64, f64)) -> f64| {
            before.iter().zip(&after).map(|(before, after)| of(after) - of(before)).fold(0.0, f64::max) / seconds
        };
        Ok(Cost {
            cpu: 100.0 * cpu / seconds,
            statements: most(|counts| counts.0),
            transactions: most(|counts| counts.1),
        })
    }

    /// A mesh at rest is one that goes on at once: what is delivered to one node now is soon on all, and they are equal.
    async fn check(&self, messages: usize) -> Result<()> {
        let worker = self.mesh.worker(&[])?;
        self.mesh.current().await?;
        let mut session = Session::connect(self.mesh.config(0)).await?;
        let mailbox = session.find_mailbox("user1", "INBOX").await?;
        let Some(mailbox) = mailbox else { anyhow::bail!("the mailbox is gone") };
        session.deliver(mailbox, &mail::mail(0)).await?;
        self.mesh.current().await?;
        for node in 0..NODES.len() {
            let sql = "select count(*) from dbmail_messages where status < 2 and message_idnr < 281474976710656";
            let found: i64 = self.mesh.client(node).await?.query_one(sql, &[]).await?.get(0);
            ensure!(found == i64::try_from(messages)? + 1, "node {node} has {found} messages");
        }
        drop(worker);
        self.mesh.run(&["verify"]).await?;
        Ok(())
    }
}

async fn fill(cluster: &Cluster, database: &str, messages: usize, mailboxes: usize) -> Result<()> {
    let config = cluster.config(database);
    let client = connect(&config).await?;
    client.batch_execute(&format!("set bench.messages = {messages}; set bench.mailboxes = {mailboxes}")).await?;
    client.batch_execute(include_str!("idle_mail.sql")).await?;
    ground::settle_down(&config).await
}
