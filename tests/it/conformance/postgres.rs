//! The store in PostgreSQL: the production migrations, links and settlements, stepped by hand.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use dbmail_mesh::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use dbmail_mesh::node::Endpoint;
use dbmail_mesh::node::apply::{Batch, Bounds, Route};
use dbmail_mesh::node::cursor::Cursor;
use dbmail_mesh::node::scan::{Keys, SourceRead};
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};
use dbmail_mesh::worker::settle::{self, Settler};
use deadpool_postgres::{Client, Pool};

use super::store::{Folder, Held, Store, Tear, Told};
use super::{LOGINS, NODES, STRIDE};
use crate::mesh::Mesh;

const USER: &str = "alice";
/// What a link takes at once.
const KEYS_AT_ONCE: i64 = 200;

/// A node with what is needed to step it.
struct Side {
    endpoint: Endpoint,
    pool: Pool,
    session: Session,
    /// Who may look at what is ours.
    psql: tokio_postgres::Client,
    /// Where its links stood before the first step, by source.
    began: BTreeMap<i16, String>,
}

/// Databases, and no worker at work.
pub(crate) struct Postgres {
    mesh: Mesh,
    sides: Vec<Side>,
    folders: BTreeMap<Folder, MailboxId>,
    births: BTreeMap<String, BirthUid>,
}

impl Postgres {
    pub(crate) async fn new(name: &str) -> Self {
        let (mut mesh, inbox) = Mesh::with_inbox(&format!("conform_{name}"), NODES, STRIDE).await;
        let work = mesh.dbmail(1).await.create_mailbox(USER, "Work").await.unwrap();
        mesh.converge().await;
        mesh.mesh.settle_after = Duration::ZERO;
        mesh.mesh.patience = Duration::ZERO;
        let mut sides = Vec::new();
        for node in &mesh.nodes {
            let endpoint = Endpoint::from(node);
            let pool = endpoint.pool("conformance").unwrap();
            let (session, psql) = (mesh.dbmail(node.id.0).await, mesh.psql(node.id.0).await);
            if LOGINS {
                let presence = "select dbmail_mesh.set_presence('30 days')";
                psql.execute(presence, &[]).await.unwrap();
            }
            let began = "select source_id, from_snapshot::text from dbmail_mesh.cursor";
            let rows = psql.query(began, &[]).await.unwrap();
            let began = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            sides.push(Side { endpoint, pool, session, psql, began });
        }
        let folders = [(Folder::Inbox, inbox), (Folder::Work, work)].into();
        Self { mesh, sides, folders, births: BTreeMap::new() }
    }

    fn side(&mut self, node: i16) -> &mut Side {
        &mut self.sides[node as usize - 1]
    }

    async fn client(&self, node: i16) -> Client {
        self.sides[node as usize - 1].pool.get().await.unwrap()
    }

    fn all_births(&self) -> Vec<i64> {
        self.births.values().map(|birth| birth.0).collect()
    }
}

impl Store for Postgres {
    async fn deliver(&mut self, node: i16, folder: Folder, name: &str) {
        let mailbox = self.folders[&folder];
        let uid = self.side(node).session.deliver(mailbox, &Mail::named(name)).await.unwrap();
        self.births.insert(name.to_owned(), BirthUid(uid.0));
    }

    async fn login(&mut self, node: i16) {
        self.side(node).session.login(USER).await.unwrap();
    }

    async fn expunge(&mut self, node: i16, folder: Folder, uid: Uid) {
        let mailbox = self.folders[&folder];
        let session = &mut self.side(node).session;
        assert_eq!(session.store(mailbox, &[uid], &StoreFlags::add(Flags::DELETED)).await.unwrap(), 1);
        assert_eq!(session.expunge(mailbox).await.unwrap(), [uid]);
    }

    async fn move_to(&mut self, node: i16, from: Folder, uid: Uid, to: Folder) {
        let (from, to) = (self.folders[&from], self.folders[&to]);
        assert_eq!(self.side(node).session.move_messages(from, &[uid], to).await.unwrap(), 1);
    }

    async fn set_seen(&mut self, node: i16, folder: Folder, uid: Uid, seen: bool) {
        let mailbox = self.folders[&folder];
        let change = if seen { StoreFlags::add(Flags::SEEN) } else { StoreFlags::remove(Flags::SEEN) };
        assert_eq!(self.side(node).session.store(mailbox, &[uid], &change).await.unwrap(), 1);
    }

    async fn link(&mut self, source: i16, target: i16) {
        let (mut of_source, mut of_target) = (self.client(source).await, self.client(target).await);
        let beside = self.client(target).await;
        let bounds = Bounds { batch_bytes: 8 << 20, chunk_bytes: 1 << 20, lock_ms: 250, insists: true };
        let (pulse, endpoint) = (AtomicI64::new(0), &self.sides[source as usize - 1].endpoint);
        let route = Route { source: endpoint, here: NodeId(target), bounds, pulse: &pulse };
        loop {
            let cursor = Cursor::read(&of_target, NodeId(source)).await.unwrap().unwrap();
            let read = SourceRead::begin(&mut of_source).await.unwrap();
            let (keys, next) = read.keys(&cursor, KEYS_AT_ONCE).await.unwrap();
            let more = next.to.is_some() || next.copy.is_some();
            if keys.is_empty() && !more {
                read.end().await.unwrap();
                return;
            }
            let batch = Batch {
                keys: &keys,
                again: &Keys::default(),
                cursor: &cursor,
                next: &next,
                waiting: None,
                is_relayed: false,
            };
            let limits = dbmail_mesh::node::store::limits(&beside).await.unwrap();
            let applied = match route.read(&read, &beside, limits, batch).await {
                Ok(reading) => {
                    route.apply(&read, &mut of_target, &beside, batch, reading, std::future::ready(Ok(()))).await
                }
                Err(error) => Err(error),
            };
            match applied {
                // A bound of the server's that a busy machine does not keep: nothing was written, and a worker tries again, too.
                Err(error) if error.is_transient() => {
                    read.end().await.unwrap();
                    continue;
                }
                applied => drop(applied.unwrap()),
            }
            read.end().await.unwrap();
            if !more {
                return;
            }
        }
    }

    async fn replay(&mut self, source: i16, target: i16) {
        let client = self.client(target).await;
        let began = self.sides[target as usize - 1].began[&source].clone();
        let back =
            "update dbmail_mesh.cursor set from_snapshot = $2::text::pg_snapshot, last_id = 0 where source_id = $1";
        assert_eq!(client.execute(back, &[&source, &began]).await.unwrap(), 1);
        self.link(source, target).await;
    }

    async fn settle(&mut self, nodes: &[i16], folder: Folder, tear: Option<Tear>) {
        let step = tear.map(|tear| match tear {
            Tear::Reserved => settle::Step::Reserved,
            Tear::Locked => settle::Step::Locked(1),
            Tear::Committed(count) => settle::Step::Committed(count),
        });
        let mut options = self.mesh.options(nodes);
        options.nodes.retain(|endpoint| nodes.contains(&endpoint.id.0));
        let settler = Settler::break_off_at(options, step).unwrap();
        let settled = settler.settle(self.folders[&folder]).await;
        assert!(tear.is_some() || settled.is_ok(), "{settled:?}");
    }

    async fn find(&mut self, node: i16, name: &str) -> Option<(Folder, Uid)> {
        for folder in Folder::ALL {
            let mailbox = self.folders[&folder];
            let listed = self.side(node).session.search_above(mailbox, Uid(0)).await.unwrap();
            if let Some(found) = listed.iter().find(|listed| listed.unique_id == name) {
                return Some((folder, found.uid));
            }
        }
        None
    }

    async fn tell(&mut self, node: i16) -> Told {
        let (births, folders, names) = (self.all_births(), self.folders.clone(), self.births.clone());
        let Side { session, psql, .. } = self.side(node);
        let mut told = Told::default();
        for (folder, mailbox) in folders {
            let shown = session.search_above(mailbox, Uid(0)).await.unwrap();
            let shown = shown.iter().map(|listed| (listed.uid, names[&listed.unique_id], listed.flags.seen)).collect();
            told.shown.insert(folder, shown);
            let lines = "select high, reported from dbmail_mesh.reported_lines where mailbox_idnr = $1";
            let row = psql.query_one(lines, &[&mailbox.0]).await.unwrap();
            told.lines.insert(folder, (Uid(row.get(0)), Uid(row.get(1))));
            let late = "select birth_uid from dbmail_mesh.late where mailbox_idnr = $1";
            let rows = psql.query(late, &[&mailbox.0]).await.unwrap();
            told.late.insert(folder, rows.iter().map(|row| BirthUid(row.get(0))).collect());
        }
        let held = "select birth_uid, state::text, uid from dbmail_mesh.view_messages($1)";
        for row in psql.query(held, &[&births]).await.unwrap() {
            let state = row.get::<_, &str>(1).chars().next().unwrap();
            told.held.insert(BirthUid(row.get(0)), Held { state, uid: Uid(row.get(2)) });
        }
        let became = "select r.uid, r.state, r.current_uid
                      from (select unnest($1::bigint[]) as uid union select n.uid from dbmail_mesh.number n) u,
                        dbmail_mesh.resolve(u.uid) r
                      where r.state <> 'unknown'";
        for row in psql.query(became, &[&births]).await.unwrap() {
            told.became.insert(Uid(row.get(0)), (row.get(1), row.get::<_, Option<i64>>(2).map(Uid)));
        }
        told
    }
}
