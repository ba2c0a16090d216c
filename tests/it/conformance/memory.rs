//! The store in memory.

use std::collections::{BTreeMap, BTreeSet};

use dbmail_mesh::domain::ids::{BirthUid, MailboxId, NodeId, Stride, Uid};
use dbmail_mesh::domain::reported::Time;
use dbmail_mesh::domain::rule::{FIRST_HIDDEN_ROW, Held as Row};
use dbmail_mesh::domain::settlement::{self, NodeView};
use dbmail_mesh::model::{Cursor, Node, State};

use super::store::{Folder, Held, Store, Tear, Told};
use super::{LOGINS, NODES, STRIDE};

/// A login counts for ever: no script lasts so long.
const PRESENCE: i64 = i64::MAX / 4;

/// Nodes in memory.
pub(crate) struct Memory {
    nodes: Vec<Node>,
    names: BTreeMap<String, BirthUid>,
    now: Time,
}

fn mailbox(folder: Folder) -> MailboxId {
    MailboxId(folder as i64 + 1)
}

impl Memory {
    pub(crate) fn new() -> Self {
        let mailboxes = Folder::ALL.map(mailbox);
        let mut nodes: Vec<Node> = (1..=NODES).map(|id| Node::new(NodeId(id), Stride(STRIDE), mailboxes)).collect();
        if !LOGINS {
            for node in &mut nodes {
                mailboxes.into_iter().for_each(|mailbox| node.set_shared(mailbox, true, Time(0)));
            }
        }
        Self { nodes, names: BTreeMap::new(), now: Time(1) }
    }

    fn node(&mut self, id: i16) -> &mut Node {
        self.now.0 += 1;
        &mut self.nodes[id as usize - 1]
    }

    fn at(&self, id: i16) -> &Node {
        &self.nodes[id as usize - 1]
    }

    /// A flag that a client changes is a sign of a reader.
    fn reads(&mut self, node: i16, folder: Folder) {
        let now = self.now;
        self.node(node).login(mailbox(folder), now, PRESENCE);
    }

    fn join(&mut self, source: i16, target: i16, from: Cursor) {
        let (births, next) = self.at(source).changes(from, &BTreeSet::new());
        let states: Vec<State> = births.into_iter().filter_map(|birth| self.at(source).state(birth)).collect();
        let now = self.now;
        let target = self.node(target);
        target.join(NodeId(source), &states, now);
        target.cursors.insert(NodeId(source), next);
    }

    fn views(&self, nodes: &[i16], folder: Folder, births: &BTreeSet<BirthUid>) -> Vec<NodeView> {
        nodes.iter().map(|id| self.at(*id).view(mailbox(folder), births, self.now).0).collect()
    }

    /// Those that keep pace (`worker::pace`, with no patience at all): who is below what another one shows is left out.
    fn keeping_pace(&self, nodes: &[i16], folder: Folder) -> Vec<i16> {
        let top = |id: i16| self.at(id).shown(mailbox(folder)).last().map(|(uid, _)| uid).unwrap_or_default();
        let high = |id: i16| self.at(id).high(mailbox(folder));
        let others_top = |id: i16| nodes.iter().filter(|of| **of != id).map(|of| top(*of)).max().unwrap_or_default();
        nodes.iter().copied().filter(|id| others_top(*id) <= high(*id)).collect()
    }

    fn late(&self, nodes: &[i16], folder: Folder) -> BTreeSet<BirthUid> {
        nodes.iter().flat_map(|node| self.at(*node).late(mailbox(folder))).map(|(birth, _)| birth).collect()
    }

    fn lacks(&self, node: i16, folder: Folder, births: &BTreeSet<BirthUid>) -> bool {
        self.views(&[node], folder, births)[0].messages.len() < births.len()
    }

    /// Settles what these nodes all have of what is late (`Settler::settle_among`).
    fn settle_among(&mut self, nodes: &[i16], folder: Folder, late: &BTreeSet<BirthUid>, tear: Option<Tear>) {
        let id = mailbox(folder);
        let views = self.views(nodes, folder, late);
        let is_held = |birth: &&BirthUid| views.iter().all(|view| view.messages.contains_key(birth));
        let candidates: BTreeSet<BirthUid> = late.iter().filter(is_held).copied().collect();
        if nodes.is_empty() || candidates.is_empty() {
            return;
        }
        // Without the locks nobody knows who reads.
        let views = self.views(nodes, folder, &candidates);
        let guess: Vec<_> = views.iter().map(|view| NodeView { reported: view.high, ..view.clone() }).collect();
        let in_need = settlement::in_need(&guess, &candidates).len();
        let high = views.iter().map(|view| view.high).max().unwrap();
        let reserved = self.node(nodes[0]).reserve(in_need, high);
        if matches!(tear, Some(Tear::Reserved | Tear::Locked)) {
            return;
        }
        let plan = settlement::plan(&views, &candidates, &reserved).unwrap();
        let now = self.now;
        let mut numbers: BTreeMap<BirthUid, BTreeSet<Uid>> = BTreeMap::new();
        let given = plan.numbers.iter().map(|(birth, uid)| (*birth, BTreeSet::from([*uid])));
        for (birth, known) in nodes.iter().flat_map(|node| self.at(*node).numbers_of(&candidates)).chain(given) {
            numbers.entry(birth).or_default().extend(known);
        }
        for (written, node) in nodes.iter().enumerate() {
            if tear == Some(Tear::Committed(written)) {
                return;
            }
            let rows = self.at(*node).view(id, &candidates, now).1;
            self.node(*node).learn(&numbers);
            self.node(*node).write(id, &plan, &rows, now).unwrap();
        }
    }
}

impl Store for Memory {
    async fn deliver(&mut self, node: i16, folder: Folder, name: &str) {
        let now = self.now;
        let birth = self.node(node).deliver(mailbox(folder), now);
        self.names.insert(name.to_owned(), birth);
    }

    async fn login(&mut self, node: i16) {
        let now = self.now;
        for folder in Folder::ALL {
            self.node(node).login(mailbox(folder), now, PRESENCE);
        }
    }

    async fn expunge(&mut self, node: i16, folder: Folder, uid: Uid) {
        let now = self.now;
        self.reads(node, folder);
        assert!(self.node(node).expunge(uid, now));
    }

    async fn move_to(&mut self, node: i16, _: Folder, uid: Uid, to: Folder) {
        let now = self.now;
        assert!(self.node(node).move_to(uid, mailbox(to), now).is_some());
    }

    async fn set_seen(&mut self, node: i16, folder: Folder, uid: Uid, seen: bool) {
        let now = self.now;
        let birth = self.at(node).birth_of(uid).unwrap();
        // A flag that stays as it is is no change, and no sign.
        if self.at(node).messages[&birth].seen.value != seen {
            self.reads(node, folder);
            assert!(self.node(node).set_seen(uid, seen, now));
        }
    }

    async fn link(&mut self, source: i16, target: i16) {
        let from = self.at(target).cursors.get(&NodeId(source)).copied().unwrap_or_default();
        self.join(source, target, from);
    }

    async fn replay(&mut self, source: i16, target: i16) {
        self.join(source, target, Cursor(0));
    }

    async fn settle(&mut self, nodes: &[i16], folder: Folder, tear: Option<Tear>) {
        if self.late(nodes, folder).is_empty() {
            return;
        }
        let mut level = self.keeping_pace(nodes, folder);
        let late = self.late(&level, folder);
        level.retain(|node| !self.lacks(*node, folder, &late));
        let left_out: BTreeSet<i16> = nodes.iter().copied().filter(|node| !level.contains(node)).collect();
        let stranded = left_out.iter().copied().filter(|node| !self.late(&[*node], folder).is_empty());
        let stranded: Vec<i16> = stranded.collect();
        if stranded.is_empty() {
            return self.settle_among(&level, folder, &late, tear);
        }
        // What is late on a node that is stuck is settled with it, and then what is late on the others.
        for about in stranded.into_iter().map(Some).chain([None]) {
            let takes_part = |node: &i16| Some(*node) == about || !left_out.contains(node);
            let mut nodes: Vec<i16> = nodes.iter().copied().filter(takes_part).collect();
            let mut late = self.late(&nodes, folder);
            if let Some(about) = about {
                let held = &self.views(&[about], folder, &late)[0].messages;
                late.retain(|birth| held.contains_key(birth));
            }
            nodes.retain(|node| Some(*node) == about || !self.lacks(*node, folder, &late));
            self.settle_among(&nodes, folder, &late, tear);
        }
    }

    async fn find(&mut self, node: i16, name: &str) -> Option<(Folder, Uid)> {
        let birth = *self.names.get(name)?;
        let shown = |folder: Folder| self.at(node).shown(mailbox(folder)).find(|(_, shown)| *shown == birth);
        Folder::ALL.into_iter().find_map(|folder| Some((folder, shown(folder)?.0)))
    }

    async fn tell(&mut self, node: i16) -> Told {
        let node = self.at(node);
        let shown = |folder: Folder| {
            let shown = node.shown(mailbox(folder));
            shown.map(|(uid, birth)| (uid, birth, node.messages[&birth].seen.value)).collect()
        };
        let held = node.messages.iter().map(|(birth, stored)| {
            let state = match stored.held {
                Row::Visible { .. } => 'v',
                Row::Waiting { .. } => 'w',
                Row::Hidden { .. } => 'h',
                Row::Dead => 'd',
            };
            (*birth, Held { state, uid: stored.uid })
        });
        let held: BTreeMap<BirthUid, Held> = held.collect();
        let row = |birth: &BirthUid| {
            let row = node.messages.get(birth)?.held.row()?;
            (row.0 < FIRST_HIDDEN_ROW).then_some(Uid(row.0))
        };
        let became = node.messages.iter().flat_map(|(birth, stored)| {
            let uids = std::iter::once(birth.uid()).chain(stored.numbers.iter().copied());
            uids.map(|uid| (uid, became(uid, held[birth].state, row(birth)))).collect::<Vec<_>>()
        });
        Told {
            shown: Folder::ALL.into_iter().map(|folder| (folder, shown(folder))).collect(),
            lines: Folder::ALL
                .into_iter()
                .map(|folder| {
                    (folder, (node.high(mailbox(folder)), node.mailboxes[&mailbox(folder)].reported(self.now)))
                })
                .collect(),
            became: became.collect(),
            late: Folder::ALL
                .into_iter()
                .map(|folder| (folder, node.late(mailbox(folder)).map(|(birth, _)| birth).collect()))
                .collect(),
            held,
        }
    }
}

/// As `dbmail_mesh.resolve` says it.
fn became(uid: Uid, state: char, row: Option<Uid>) -> (String, Option<Uid>) {
    let how = match state {
        'd' => "expunged",
        'h' => "late",
        _ if row == Some(uid) => "current",
        _ => "renumbered",
    };
    (how.to_owned(), row)
}
