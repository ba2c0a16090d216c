//! Mail that arrives.

use super::network::At;
use super::queue::Micros;
use super::world::{Event, LOOK_AGAIN, World};

/// A sender that finds no node tries again after so long.
const RETRY: Micros = Micros::from_ms(60_000);

impl World<'_> {
    pub(super) fn schedule_arrival(&mut self) {
        let Some(interval) = self.options.rate.interval() else { return };
        let wait = self.arrivals.wait(Micros::of(interval));
        if self.now + wait < self.end {
            self.put_in(wait, Event::Arrival);
        }
    }

    pub(super) fn arrive(&mut self) {
        let mailbox = self.arrivals.below(self.inboxes.len());
        let home = self.inboxes[mailbox].home;
        let elsewhere = (home + 1 + self.arrivals.below(self.sites.len() - 1)) % self.sites.len();
        let at = if self.arrivals.happens(self.options.affinity) { home } else { elsewhere };
        self.deliver(at, mailbox, self.now);
        self.schedule_arrival();
    }

    /// dbmail delivers. A node that is down is no address: the sender takes the next one.
    pub(super) fn deliver(&mut self, at: At, mailbox: usize, since: Micros) {
        let nodes = self.sites.len();
        let Some(at) = (0..nodes).map(|step| (at + step) % nodes).find(|&at| self.sites[at].up) else {
            self.queue.put(self.now + RETRY, Event::Delivery { at, mailbox, since: self.now + RETRY });
            return;
        };
        let id = self.inboxes[mailbox].id;
        if self.is_locked(at, id) {
            self.put_in(LOOK_AGAIN, Event::Delivery { at, mailbox, since });
            return;
        }
        self.ledger.waited = self.ledger.waited.max(self.now - since);
        let clock = self.clock();
        let birth = self.sites[at].node.deliver(id, clock);
        self.ledger.delivered(birth, self.now);
        self.note_shown(at, id, birth.uid(), birth);
        self.ring(at);
    }
}
