//! Waiting until a worker has nothing left to do, by what the databases say.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use dbmail_mesh::scratch::audit::{differences, state_digest};
use tokio_postgres::Client;

use crate::mesh::Mesh;

/// How long the nodes may take to become quiet.
const DEADLINE: Duration = Duration::from_secs(45);

/// What a node still has to do by itself, a line each. A late message whose owner is gone waits for nothing: it is kept aside.
const CHORES: &str = "
    select format('message %s waits for a UID in mailbox %s of %s', l.birth_uid, l.mailbox_idnr, u.userid)
    from dbmail_mesh.late l
    left join dbmail_mesh.line n on n.mailbox_idnr = l.mailbox_idnr
    left join dbmail_users u on u.user_idnr = n.owner_idnr
    left join dbmail_mesh.account a on a.user_idnr = u.user_idnr
    where u.user_idnr is not null and a.died_at is null
    union all
    select format('%s %s of node %s is set aside: %s', kind, key, source_id, reason) from dbmail_mesh.set_aside
    union all
    select format('mailbox %s is overtaken', mailbox_idnr) from dbmail_mesh.overtaking
    union all
    select format('mailbox %s of %s has ended and is here', f.mailbox_idnr, u.userid)
    from dbmail_mesh.mailbox_fate f
    left join dbmail_mailboxes m on m.mailbox_idnr = f.mailbox_idnr
    left join dbmail_users u on u.user_idnr = m.owner_idnr
    where f.gone_in is null
    union all
    select format('mailbox %s of %s is a mere name and shows messages', m.mailbox_idnr, u.userid)
    from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
    where m.no_select = 1 and exists (select from dbmail_messages g where g.mailbox_idnr = m.mailbox_idnr and g.status < 2)
    union all
    select format('account %s (%s) is dead and here', a.account, u.userid)
    from dbmail_mesh.account a join dbmail_users u on u.user_idnr = a.user_idnr
    where a.died_at is not null and a.gone_in is null";

/// How far a target has come with a source: null while it is at the first copy.
const CURSOR: &str = "
    select case when copy_stage is null and to_snapshot is null then from_snapshot::text end
    from dbmail_mesh.cursor where source_id = $1";

/// How many changes of a source a cursor does not see.
const AHEAD: &str = "
    select count(*) from dbmail_mesh.outbox
    where origin is null and not pg_visible_in_snapshot(txid, $1::text::pg_snapshot)";

/// Everything that a node has ever noted as a change of its own.
const NOTED: &str = "select coalesce(max(id), 0) from dbmail_mesh.outbox where origin is null";

impl Mesh {
    /// Short waits, for tests in which there is a lot to settle and nobody reads.
    pub fn hurried(mut self) -> Self {
        self.mesh.settle_after = Duration::from_millis(50);
        self.mesh.patience = Duration::from_millis(300);
        self
    }

    /// Runs a worker for the links into `targets` until it has nothing left to do.
    pub async fn join_into(&self, targets: &[i16]) {
        if let Err(waits) = self.try_join_into(targets, DEADLINE).await {
            panic!("no rest; what waits:\n{}", lines(&waits));
        }
    }

    /// The same; what still waits at the deadline.
    pub async fn try_join_into(&self, targets: &[i16], deadline: Duration) -> Result<(), Vec<String>> {
        let worker = self.work_for(targets);
        let quiet = self.await_quiet(targets, deadline).await;
        worker.stop().await;
        quiet
    }

    /// The same for one link, by a worker that knows of no other node.
    pub async fn try_join_link(&self, source: i16, target: i16, deadline: Duration) -> Result<(), Vec<String>> {
        let nodes = self.nodes.iter().filter(|node| [source, target].contains(&node.id.0)).cloned().collect();
        let alone = Self { nodes, mesh: self.mesh.clone(), worker: self.worker.clone() };
        let worker = alone.work_for(&[target]);
        let quiet = alone.await_quiet(&[target], deadline).await;
        worker.stop().await;
        quiet
    }

    /// The numbers of all nodes.
    pub fn ids(&self) -> Vec<i16> {
        self.nodes.iter().map(|node| node.id.0).collect()
    }

    /// Runs a worker for all links until it has nothing left to do. All nodes are equal then.
    pub async fn converge(&self) {
        let quiet = self.try_join_into(&self.ids(), DEADLINE).await;
        let found = self.differences().await;
        if let Err(waits) = quiet {
            panic!("no rest; what waits:\n{}what differs:\n{}", lines(&waits), lines(&found));
        }
        assert!(found.is_empty(), "the nodes are quiet and differ:\n{}", lines(&found));
    }

    /// Copies everything over every link once more: nothing may change, and nothing be noted.
    pub async fn converge_again(&self) {
        let (states, noted) = (self.digests().await, self.noted().await);
        for node in &self.nodes {
            self.psql(node.id.0).await.batch_execute("delete from dbmail_mesh.cursor").await.unwrap();
        }
        self.converge().await;
        assert_eq!(self.digests().await, states, "what was joined twice is not what was joined once");
        assert_eq!(self.noted().await, noted, "what was joined twice was noted as news");
    }

    /// What differs between the nodes.
    pub async fn differences(&self) -> Vec<String> {
        let nodes: Vec<_> = self.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
        differences(&nodes).await.unwrap()
    }

    async fn digests(&self) -> Vec<String> {
        let mut digests = Vec::new();
        for node in &self.nodes {
            digests.push(state_digest(&node.connection).await.unwrap());
        }
        digests
    }

    async fn noted(&self) -> Vec<i64> {
        let mut noted = Vec::new();
        for node in &self.nodes {
            noted.push(self.count(node.id.0, NOTED).await);
        }
        noted
    }

    /// Waits until the links into `targets` have brought everything, and these nodes have nothing left to do.
    async fn await_quiet(&self, targets: &[i16], deadline: Duration) -> Result<(), Vec<String>> {
        let mut clients = Vec::new();
        for node in &self.nodes {
            clients.push((node.id.0, self.psql(node.id.0).await));
        }
        let begun = Instant::now();
        let mut before = Vec::new();
        loop {
            let waits = waits(&clients, targets).await;
            // Two looks in a row, and nothing noted in between: a chore may have had news for a link that was looked at before it.
            let mut noted = Vec::new();
            for (_, client) in &clients {
                noted.push(client.query_one(NOTED, &[]).await.unwrap().get::<_, i64>(0));
            }
            if waits.is_empty() && noted == before {
                return Ok(());
            }
            if begun.elapsed() > deadline {
                return Err(waits);
            }
            before = if waits.is_empty() { noted } else { Vec::new() };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn waits(clients: &[(i16, Client)], targets: &[i16]) -> Vec<String> {
    let mut waits = Vec::new();
    for (target, client) in clients.iter().filter(|(id, _)| targets.contains(id)) {
        let chores = client.query(CHORES, &[]).await.unwrap();
        waits.extend(chores.iter().map(|row| format!("node {target}: {}", row.get::<_, &str>(0))));
        for (source, of_source) in clients.iter().filter(|(id, _)| id != target) {
            let cursor = client.query_opt(CURSOR, &[source]).await.unwrap();
            let ahead: i64 = match cursor.and_then(|row| row.get::<_, Option<String>>(0)) {
                Some(snapshot) => of_source.query_one(AHEAD, &[&snapshot]).await.unwrap().get(0),
                None => -1,
            };
            match ahead {
                0 => {}
                -1 => waits.push(format!("link {source} -> {target}: a copy is under way")),
                _ => waits.push(format!("link {source} -> {target}: {ahead} changes")),
            }
        }
    }
    waits
}

/// A line each, not too many.
pub fn lines(texts: &[String]) -> String {
    let mut all = String::new();
    for text in texts.iter().take(40) {
        let _ = writeln!(all, "  {text}");
    }
    if texts.len() > 40 {
        let _ = writeln!(all, "  and {} more", texts.len() - 40);
    }
    all
}
