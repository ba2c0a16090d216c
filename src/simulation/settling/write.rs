//! Reserve, lock, plan, write, commit (`worker::settle::write`).

use std::collections::BTreeSet;

use super::{ATTEMPTS, Break, JITTER, JITTER_MIN, LOCK_POLL, LOCK_TRIES, Settlement, SettlementId, Step, id_of};
use crate::domain::ids::{BirthUid, MailboxId, Uid};
use crate::domain::settlement;
use crate::simulation::links::shown_as;
use crate::simulation::network::At;
use crate::simulation::queue::Micros;
use crate::simulation::world::{Event, World};

impl World<'_> {
    pub(super) fn go_to_reserve(&mut self, id: SettlementId, settlement: &mut Settlement, high: Uid) {
        let decider = settlement.participants[0];
        let wait = self.network.round_trip(settlement.by, decider);
        self.next(id, settlement, wait, Step::Reserve(high));
    }

    /// On the deciding node, committed at once.
    pub(super) fn reserve(&mut self, id: SettlementId, settlement: &mut Settlement, above: Uid) {
        let decider = settlement.participants[0];
        if !self.reaches(settlement.by, decider) {
            return self.break_off(settlement);
        }
        let stride = i64::from(self.options.stride.0);
        let room = if settlement.reservations == 0 { 0 } else { stride << (4 + settlement.reservations) };
        settlement.reserved = self.set_aside(decider, settlement.in_need, Uid(above.0 + room));
        if settlement.breaks == Some(Break::Reserved) {
            return self.break_off(settlement);
        }
        self.try_to_lock(id, settlement, Micros::ZERO);
    }

    fn set_aside(&mut self, decider: At, count: usize, above: Uid) -> BTreeSet<Uid> {
        #[cfg(test)]
        if let Some(mutant) = self.mutant
            && let Some(numbers) = mutant.reserve(&self.sites[decider].node, count, above)
        {
            return numbers;
        }
        self.ledger.reserved += count as u64;
        self.sites[decider].node.reserve(count, above)
    }

    fn try_to_lock(&mut self, id: SettlementId, settlement: &mut Settlement, after: Micros) {
        settlement.attempts += 1;
        if settlement.attempts > ATTEMPTS || settlement.participants.is_empty() {
            return self.break_off(settlement);
        }
        let mutex = settlement.participants[0];
        let wait = after + self.network.round_trip(settlement.by, mutex);
        settlement.since = self.now + wait;
        self.next(id, settlement, wait, Step::Mutex);
    }

    pub(super) fn take_mutex(&mut self, id: SettlementId, settlement: &mut Settlement) {
        let mutex = settlement.participants[0];
        if !self.reaches(settlement.by, mutex) {
            return self.break_off(settlement);
        }
        if !self.lock(id, settlement, mutex) {
            if self.now - settlement.since >= self.lock_bound() {
                return self.refused(id, settlement, mutex);
            }
            return self.next(id, settlement, LOCK_POLL, Step::Mutex);
        }
        settlement.locked_at = self.now;
        let others = settlement.participants[1..].to_vec();
        let wait = self.furthest(settlement.by, &others);
        settlement.since = self.now + wait;
        self.next(id, settlement, wait, Step::Locks);
    }

    fn lock_bound(&self) -> Micros {
        Micros::of(self.options.lock_bound)
    }

    fn lock(&mut self, id: SettlementId, settlement: &mut Settlement, at: At) -> bool {
        let holder = *self.sites[at].locks.entry(settlement.mailbox).or_insert(id);
        if holder == id {
            settlement.locked.insert(at);
        }
        holder == id
    }

    pub(super) fn unlock(&mut self, id: SettlementId, settlement: &mut Settlement) {
        for at in std::mem::take(&mut settlement.locked) {
            self.unlock_at(id, settlement.mailbox, at);
        }
    }

    pub(super) fn unlock_at(&mut self, id: SettlementId, mailbox: MailboxId, at: At) {
        let locks = &mut self.sites[at].locks;
        if locks.get(&mailbox) == Some(&id) {
            locks.remove(&mailbox);
        }
    }

    /// A node did not give its lock in time.
    fn refused(&mut self, id: SettlementId, settlement: &mut Settlement, at: At) {
        self.settled.lock_refused += 1;
        self.unlock(id, settlement);
        let tries = settlement.refused.entry(at).or_default();
        *tries += 1;
        if *tries >= LOCK_TRIES {
            if settlement.about() == Some(at) {
                return self.break_off(settlement);
            }
            settlement.participants.retain(|node| *node != at);
        }
        self.try_again(id, settlement);
    }

    fn try_again(&mut self, id: SettlementId, settlement: &mut Settlement) {
        let wait = JITTER_MIN + self.chance.up_to(JITTER);
        self.try_to_lock(id, settlement, wait);
    }

    /// A server has let go of its lock while others were waited for.
    fn lost(&mut self, id: SettlementId, settlement: &mut Settlement) {
        self.unlock(id, settlement);
        settlement.lost += 1;
        for _ in 0..settlement::too_far(settlement.participants.len().saturating_sub(1), settlement.lost) {
            let (by, about) = (settlement.by, settlement.about());
            let others = settlement.participants.iter().filter(|at| about != Some(**at));
            let trips: Vec<(Micros, At)> = others.map(|at| (self.network.round_trip(by, *at), *at)).collect();
            if let Some((_, furthest)) = trips.into_iter().max() {
                settlement.participants.retain(|at| *at != furthest);
            }
        }
        self.try_again(id, settlement);
    }

    pub(super) fn take_locks(&mut self, id: SettlementId, settlement: &mut Settlement) {
        let others = settlement.participants[1..].to_vec();
        if others.iter().any(|at| !self.reaches(settlement.by, *at)) {
            return self.break_off(settlement);
        }
        let taken: Vec<At> = others.iter().copied().filter(|at| !self.lock(id, settlement, *at)).collect();
        if let Some(&taken) = taken.first() {
            if self.now - settlement.since >= Micros(self.lock_bound().0 / 2) {
                return self.refused(id, settlement, taken);
            }
            return self.next(id, settlement, LOCK_POLL, Step::Locks);
        }
        if settlement.participants.iter().any(|at| self.sites[*at].locks.get(&settlement.mailbox) != Some(&id)) {
            return self.break_off(settlement);
        }
        let write = self.furthest(settlement.by, &settlement.participants.clone());
        if self.now - settlement.locked_at > self.lock_bound() || write > self.lock_bound() {
            return self.lost(id, settlement);
        }
        if settlement.breaks == Some(Break::Locked) {
            return self.break_off(settlement);
        }
        self.plan(id, settlement, write);
    }

    /// Under the locks of all.
    fn plan(&mut self, id: SettlementId, settlement: &mut Settlement, write: Micros) {
        let mut views = Vec::new();
        for at in &settlement.participants {
            let (view, rows) = self.sites[*at].node.view(settlement.mailbox, &settlement.candidates, self.clock());
            views.push(view);
            settlement.rows.insert(*at, rows);
        }
        match settlement::plan(&views, &settlement.candidates, &settlement.reserved) {
            Ok(plan) => {
                settlement.plan = plan;
                self.next(id, settlement, write, Step::Commit);
            }
            Err(too_low) => {
                self.settled.numbers_passed += 1;
                self.unlock(id, settlement);
                settlement.reservations += 1;
                self.go_to_reserve(id, settlement, too_low.high);
            }
        }
    }

    pub(super) fn send_commits(&mut self, id: SettlementId, settlement: &mut Settlement) {
        if settlement.plan.actions.is_empty() {
            self.settled.idle += 1;
            settlement.step = Step::End;
            return;
        }
        for at in settlement.participants.clone() {
            let wait = self.network.one_way(settlement.by, at);
            self.put_in(wait, Event::Commit(id, at));
        }
        settlement.step = Step::Commits;
        self.settled.written += 1;
    }

    /// COMMIT reaches a node: if it is still there and has kept its lock, what was planned becomes true on it.
    pub(in crate::simulation) fn commit(&mut self, id: SettlementId, at: At) {
        let Some(mut settlement) = self.settlements.remove(&id) else { return };
        let mailbox = settlement.mailbox;
        let holds = self.sites[at].locks.get(&mailbox) == Some(&id);
        if holds && self.reaches(settlement.by, at) {
            self.write(at, &settlement);
            settlement.committed += 1;
        }
        settlement.locked.remove(&at);
        self.unlock_at(id, mailbox, at);
        if settlement.breaks == Some(Break::Committed(settlement.committed)) {
            settlement.step = Step::End;
            self.settled.broken_off += 1;
            settlement.locked.clear();
            self.release_everywhere(id, mailbox);
            self.settle_next(settlement.by);
        } else if settlement.locked.is_empty() {
            self.sites[settlement.by].paces.settled(mailbox, &settlement.candidates);
            self.settle_next(settlement.by);
        } else {
            self.settlements.insert(id, settlement);
        }
    }

    fn write(&mut self, at: At, settlement: &Settlement) {
        let plan = &settlement.plan;
        let births: Vec<BirthUid> =
            plan.actions.get(&id_of(at)).into_iter().flat_map(|actions| actions.keys().copied()).collect();
        let before: Vec<Option<Uid>> = births.iter().map(|birth| shown_as(&self.sites[at].node, *birth)).collect();
        let clock = self.clock();
        let Some(rows) = settlement.rows.get(&at) else { return };
        if self.sites[at].node.write(settlement.mailbox, plan, rows, clock).is_err() {
            return;
        }
        self.ledger.changed_at = self.now;
        for (&birth, &uid) in &plan.numbers {
            self.ledger.renumbered(birth, uid);
        }
        for (birth, before) in births.into_iter().zip(before) {
            self.note_state(at, birth, before);
        }
        self.ring(at);
    }
}
