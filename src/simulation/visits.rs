//! Clients that look, mark what they read, and expunge.

use super::clients::Kind;
use super::network::At;
use super::queue::Micros;
use super::world::{Event, LOOK_AGAIN, World};
use crate::domain::ids::{BirthUid, MailboxId, Uid};

impl World<'_> {
    pub(super) fn schedule_visit(&mut self, client: usize) {
        let Some(interval) = self.options.visits.interval() else { return };
        let wait = self.visitors.wait(Micros::of(interval));
        if self.now + wait < self.end {
            self.put_in(wait, Event::Visit(client));
        }
    }

    pub(super) fn visit(&mut self, client: usize) {
        let mailbox = self.inboxes[self.clients[client].mailbox].id;
        if let Some(at) = self.choose_node(client) {
            // A login waits for whoever decides on the reported line just now.
            if self.is_locked(at, mailbox) {
                self.put_in(LOOK_AGAIN, Event::Visit(client));
                return;
            }
            let new = self.look(client, at);
            self.act(client, at, &new);
        }
        self.schedule_visit(client);
    }

    /// Where the client logs in; `None`: nowhere, this time.
    fn choose_node(&mut self, client: usize) -> Option<At> {
        let drawn = self.visitors.below(self.sites.len());
        let Self { sites, clients, .. } = &*self;
        let client = &clients[client];
        let is_up = |at: &At| sites[*at].up;
        match client.kind {
            Kind::AtHome => Some(client.at).filter(is_up),
            Kind::Anywhere => Some(drawn).filter(is_up),
            Kind::CaughtUp => {
                let others = (0..sites.len()).map(|step| (drawn + step) % sites.len());
                let ready = |at: &At| is_up(at) && has_all(&self.cursors(*at), &client.had);
                Some(drawn).filter(ready).or(Some(client.at).filter(is_up)).or_else(|| others.clone().find(ready))
            }
        }
    }

    /// How far a node has read each of the others, and itself.
    fn cursors(&self, at: At) -> Vec<u64> {
        let node = &self.sites[at].node;
        let read = |source: At| match source {
            own if own == at => node.outbox.len() as u64,
            _ => node.cursors.get(&self.sites[source].node.id).map_or(0, |cursor| cursor.0 as u64),
        };
        (0..self.sites.len()).map(read).collect()
    }

    /// Looks, and returns what is new.
    pub(super) fn look(&mut self, client: usize, at: At) -> Vec<(Uid, BirthUid)> {
        let mailbox = self.inboxes[self.clients[client].mailbox].id;
        let clock = self.clock();
        if let Some(presence) = self.presence() {
            self.sites[at].node.login(mailbox, clock, presence);
        }
        let shown: Vec<(Uid, BirthUid)> = self.sites[at].node.shown(mailbox).collect();
        self.note_read(at, mailbox, &shown);
        let had = self.cursors(at);
        let client = &mut self.clients[client];
        let visit = client.look(at, &shown);
        (client.at, client.had) = (at, had);
        visit.findings.into_iter().for_each(|finding| self.ledger.find(finding));
        visit.new
    }

    fn note_read(&mut self, at: At, mailbox: MailboxId, shown: &[(Uid, BirthUid)]) {
        if let Some((top, _)) = shown.last() {
            let read = self.sites[at].read.entry(mailbox).or_default();
            *read = (*read).max(*top);
        }
    }

    /// Marks what is new as seen, and expunges some of what it saw the last time.
    fn act(&mut self, client: usize, at: At, new: &[(Uid, BirthUid)]) {
        if !self.clients[client].checks {
            return;
        }
        let clock = self.clock();
        let doomed = self.clients[client].take_doomed();
        let mut any = !new.is_empty();
        for (uid, birth) in doomed {
            if self.sites[at].node.expunge(uid, clock) {
                self.ledger.expunged(birth, self.now);
                any = true;
            }
        }
        for &(uid, birth) in new {
            self.sites[at].node.set_seen(uid, true, clock);
            if self.visitors.happens(self.options.expunge) {
                self.clients[client].doom(uid, birth);
            }
        }
        if any {
            self.ledger.disturbed_at = self.now;
            self.ring(at);
        }
    }
}

/// Whether somebody who has read so far has all that somebody had who had read so far.
fn has_all(now: &[u64], then: &[u64]) -> bool {
    now.iter().zip(then).all(|(now, then)| now >= then)
}
