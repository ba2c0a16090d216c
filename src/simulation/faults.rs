//! What goes wrong: partitions, nodes that go down, workers that are killed.

use super::network::At;
use super::options::Outages;
use super::queue::Micros;
use super::world::{Event, World};

impl World<'_> {
    pub(super) fn schedule_faults(&mut self) {
        self.schedule_fault(self.options.partitions, Event::Partition);
        self.schedule_fault(self.options.crashes, Event::Crash);
        self.schedule_fault(self.options.worker_crashes, Event::Kill);
    }

    fn schedule_fault(&mut self, outages: Outages, event: Event) {
        let Some(interval) = outages.rate.interval() else { return };
        let wait = self.faults.wait(Micros::of(interval));
        if self.now + wait < self.end {
            self.put_in(wait, event);
        }
    }

    fn draw_length(&mut self, outages: Outages) -> Micros {
        self.faults.wait(Micros::of(outages.length))
    }

    pub(super) fn part(&mut self) {
        let nodes = self.sites.len();
        let mut sides: Vec<bool> = (0..nodes).map(|_| self.faults.happens(0.5)).collect();
        let one = self.faults.below(nodes);
        if sides.iter().all(|side| *side == sides[0]) {
            sides[one] = !sides[one];
        }
        self.count += 1;
        let id = self.count;
        self.network.part(id, sides);
        let length = self.draw_length(self.options.partitions);
        self.put_in(length, Event::Heal(id));
        self.schedule_fault(self.options.partitions, Event::Partition);
        self.relay_what_is_unheard();
    }

    pub(super) fn heal(&mut self, id: u64) {
        self.network.heal(id);
        self.mended();
    }

    pub(super) fn crash(&mut self) {
        let at = self.faults.below(self.sites.len());
        let length = self.draw_length(self.options.crashes);
        if self.sites[at].up {
            self.stop_worker(at);
            let site = &mut self.sites[at];
            site.up = false;
            // Whoever held a lock here finds that out when it comes to commit.
            site.locks.clear();
            self.put_in(length, Event::Restart(at));
            self.relay_what_is_unheard();
        }
        self.schedule_fault(self.options.crashes, Event::Crash);
    }

    pub(super) fn restart(&mut self, at: At) {
        self.sites[at].up = true;
        self.start_worker(at);
    }

    pub(super) fn kill(&mut self) {
        let at = self.faults.below(self.sites.len());
        let length = self.draw_length(self.options.worker_crashes);
        if self.sites[at].has_worker {
            self.stop_worker(at);
            self.put_in(length, Event::Replace(at));
        }
        self.schedule_fault(self.options.worker_crashes, Event::Kill);
    }

    pub(super) fn replace(&mut self, at: At) {
        if self.sites[at].up && !self.sites[at].has_worker {
            self.start_worker(at);
        }
    }

    fn stop_worker(&mut self, at: At) {
        self.drop_settlement_of(at);
        self.break_off_links_into(at);
        let site = &mut self.sites[at];
        site.has_worker = false;
        site.worker += 1;
    }

    fn start_worker(&mut self, at: At) {
        self.sites[at].has_worker = true;
        self.mended();
        self.wake(at);
    }

    fn mended(&mut self) {
        self.ledger.disturbed_at = self.now;
        self.ring_all();
    }

    /// Others have what a node that is cut off has given to them.
    fn relay_what_is_unheard(&mut self) {
        self.ring_all();
    }
}
