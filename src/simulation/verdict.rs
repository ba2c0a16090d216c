//! Whether the guarantees held, and the report.

use std::collections::BTreeMap;

use super::clients::Kind;
use super::ledger::Ledger;
use super::report::{ClientsOfKind, Convergence, Report, Simulated, UidSpace};
use super::world::World;
use crate::domain::ids::{BirthUid, Uid};

impl World<'_> {
    /// All clients look once more, everything is checked, and what happened is summed up.
    pub(super) fn judge(mut self) -> Report {
        self.check_nodes();
        let clients = self.last_visits();
        let Self { ledger, options, settled, end, .. } = &mut self;
        let convergence = Convergence::of(
            std::mem::take(&mut ledger.took),
            (ledger.changed_at - ledger.disturbed_at).max(super::queue::Micros::ZERO),
        );
        let messages = ledger.messages.len() as u64;
        let drawn = messages + ledger.reserved;
        Report {
            options: Simulated::from(*options),
            messages,
            expunged: ledger.count_expunged(),
            late: ledger.count_late(),
            renumbered: ledger.count_renumbered(),
            renumbers: ledger.count_renumbers(),
            numbers_drawn: drawn,
            numbers_per_message: drawn as f64 / messages.max(1) as f64,
            numbers_unused: ledger.reserved.saturating_sub(ledger.count_renumbers()),
            settlements: *settled,
            clients,
            convergence,
            delivery_wait_max_ms: ledger.waited.as_seconds() * 1000.0,
            uid_space: UidSpace::of(ledger.highest.0, messages, *end),
            findings: ledger.take_findings(),
        }
    }

    /// D and E: each message that is alive once on each node, under one UID everywhere, and nothing else.
    fn check_nodes(&mut self) {
        let mut first: BTreeMap<BirthUid, Uid> = BTreeMap::new();
        for at in 0..self.sites.len() {
            let Self { sites, ledger, inboxes, .. } = &mut *self;
            let node = &sites[at].node;
            let mut here: BTreeMap<BirthUid, Uid> = BTreeMap::new();
            for inbox in inboxes.iter() {
                let late = node.late(inbox.id).count();
                if late > 0 {
                    ledger.find(format!(
                        "D: {late} messages of mailbox {} are still late on node {}",
                        inbox.id,
                        at + 1
                    ));
                }
                for (uid, birth) in node.shown(inbox.id) {
                    if here.insert(birth, uid).is_some() {
                        ledger.find(format!("E: message {birth} is there twice on node {}", at + 1));
                    }
                }
            }
            check_deliveries(at, &here, ledger);
            if at == 0 {
                first = here;
            } else if here != first {
                ledger.find(format!("D: node {} shows something else than node 1", at + 1));
            }
        }
    }

    fn last_visits(&mut self) -> Vec<ClientsOfKind> {
        let of = |kind: Kind| ClientsOfKind {
            kind: kind.name(),
            clients: 0,
            visits: 0,
            downloads: 0,
            duplicates: 0,
            overlooked: 0,
            lost: 0,
        };
        let mut kinds = Kind::ALL.map(of);
        for index in 0..self.clients.len() {
            let at = self.clients[index].at;
            self.look(index, at);
            let client = &self.clients[index];
            let shown: Vec<(Uid, BirthUid)> = self.sites[at].node.shown(self.inboxes[client.mailbox].id).collect();
            let lost = client.lost(&shown);
            let of = &mut kinds[client.kind as usize];
            of.clients += 1;
            of.visits += client.tally.visits;
            of.downloads += client.tally.downloads;
            of.duplicates += client.tally.duplicates;
            of.overlooked += client.overlooked();
            of.lost += lost.len() as u64;
            let phantoms = if client.checks { client.phantoms(&shown) } else { Vec::new() };
            for uid in phantoms {
                self.ledger.find(format!("C: a client of node {} still believes in UID {uid}", at + 1));
            }
            if client.kind != Kind::Anywhere {
                for birth in lost {
                    self.ledger.find(format!("B: a client ({}) never got message {birth}", client.kind.name()));
                }
            }
        }
        kinds.to_vec()
    }
}

fn check_deliveries(at: usize, here: &BTreeMap<BirthUid, Uid>, ledger: &mut Ledger) {
    let expected = |expunged: bool| if expunged { "is back, though it was expunged," } else { "is lost" };
    let wrong: Vec<String> = ledger
        .messages
        .iter()
        .filter(|message| here.contains_key(&message.birth) == message.expunged)
        .map(|message| format!("E: message {} {} on node {}", message.birth, expected(message.expunged), at + 1))
        .collect();
    wrong.into_iter().for_each(|finding| ledger.find(finding));
    if here.len() > ledger.messages.len() {
        ledger.find(format!("E: node {} shows more messages than were delivered", at + 1));
    }
}
