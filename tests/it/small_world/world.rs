//! The small world: a few nodes, what is on its way between them, and a settlement that may be under way.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dbmail_mesh::domain::ids::{BirthUid, MailboxId, NodeId, Stride, Uid};
use dbmail_mesh::domain::register::Register;
use dbmail_mesh::domain::reported::Time;
use dbmail_mesh::domain::rule::{Action, Held};
use dbmail_mesh::domain::settlement::{self, Plan};
use dbmail_mesh::model::{Decision, Node, Rows, State};

use super::law::Law;
use super::watch::{Nodes, Violation, Watch, members, violation};

pub const INBOX: MailboxId = MailboxId(1);
pub const WORK: MailboxId = MailboxId(2);
/// For how long after a login a client may be reading, and how far the clock goes when time passes.
const PRESENCE: i64 = 1;
const LONG: i64 = 10;

/// What a person, or fate, may do. Each counts as an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mail arrives in INBOX.
    Deliver,
    /// Mail arrives in the other mailbox.
    DeliverWork,
    /// The owner logs in; from then on he looks at everything, all the time.
    Login,
    /// Somebody else is given access to INBOX, or it is taken from him.
    Share,
    /// A client expunges a message.
    Expunge,
    /// A client sets \Seen.
    Seen,
    /// A message is moved to the other mailbox.
    Move,
    /// So much time passes that nobody can be reading any more.
    Wait,
    /// A node is lost for ever.
    Lose,
}

/// How large the world is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub nodes: usize,
    /// The most operations.
    pub operations: u8,
    /// The most settlements that break off.
    pub crashes: u8,
    /// The most settlements in which not all living nodes take part.
    pub partial: u8,
    /// The kinds of operations.
    pub kinds: &'static [Kind],
    /// Whether the owner is logged in on all nodes from the start.
    pub read: bool,
    /// Whether a link looks and writes in two steps.
    pub looks: bool,
}

/// A world in which nothing happens, to begin with.
pub const SMALL: Bounds =
    Bounds { nodes: 2, operations: 0, crashes: 0, partial: 0, kinds: &[], read: false, looks: false };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Deliver(usize, MailboxId),
    Login(usize),
    Share(usize, bool),
    Expunge(usize, Uid),
    Seen(usize, Uid),
    Move(usize, Uid, MailboxId),
    Wait,
    Lose(usize),
    /// A link, from and to, brings one message.
    Link(usize, usize, BirthUid),
    /// It has the lock and has decided.
    LinkLook(usize, usize, BirthUid),
    /// It writes.
    LinkWrite,
    /// A settlement among these nodes begins: the numbers are reserved.
    Reserve(Nodes, MailboxId),
    /// It has all locks and has decided.
    Lock,
    /// It has written everywhere.
    Write,
    /// One node commits.
    Commit(usize),
    /// It breaks off.
    Crash,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Reserved,
    Locked,
    /// Not committed yet on these nodes.
    Written(Nodes),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    pub nodes: Nodes,
    pub mailbox: MailboxId,
    pub candidates: BTreeSet<BirthUid>,
    pub reserved: BTreeSet<Uid>,
    pub stage: Stage,
    /// What each node writes, and the new numbers.
    pub actions: BTreeMap<NodeId, BTreeMap<BirthUid, WrittenAs>>,
    pub numbers: BTreeMap<BirthUid, Uid>,
    rows: Vec<Rows>,
}

/// An [`Action`] that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenAs(pub Action);

impl std::hash::Hash for WrittenAs {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.0).hash(state);
        self.0.row().hash(state);
        match self.0 {
            Action::Take { uid } | Action::Hide { uid } | Action::Wait { uid, .. } => uid.hash(state),
            Action::Stow { uid, .. } | Action::Kill { uid, .. } => uid.hash(state),
            Action::Move { from, to, .. } => (from, to).hash(state),
        }
    }
}

/// A state that a link has read, and what it has decided under the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Arrival {
    from: usize,
    to: usize,
    state: State,
    action: Option<WrittenAs>,
    place: Register<MailboxId>,
    row_mailbox: Option<MailboxId>,
}

/// A message that has changed on one node and is to go to another, with the node from which the one has it, if it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pending {
    from: usize,
    to: usize,
    birth: BirthUid,
    origin: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: Vec<Rc<Node>>,
    pub lost: Nodes,
    pub now: Time,
    pending: Rc<BTreeSet<Pending>>,
    pub settlement: Option<Rc<Settlement>>,
    arrival: Option<Rc<Arrival>>,
    pub watch: Watch,
    operations: u8,
    crashes: u8,
    partial: u8,
}

fn id(index: usize) -> NodeId {
    NodeId(index as i16 + 1)
}

impl World {
    pub fn new(bounds: &Bounds) -> Self {
        let now = Time(1);
        let node = |index| {
            let mut node = Node::new(id(index), Stride(bounds.nodes as i16), [INBOX, WORK]);
            if bounds.read {
                login(&mut node, now);
            }
            Rc::new(node)
        };
        Self {
            nodes: (0..bounds.nodes).map(node).collect(),
            lost: 0,
            now,
            pending: Rc::default(),
            settlement: None,
            arrival: None,
            watch: Watch::new(bounds.nodes),
            operations: bounds.operations,
            crashes: bounds.crashes,
            partial: bounds.partial,
        }
    }

    fn all(&self) -> Nodes {
        (1 << self.nodes.len()) - 1
    }

    pub fn living(&self) -> Nodes {
        self.all() & !self.lost
    }

    /// All that can happen next.
    pub fn steps(&self, law: &dyn Law, bounds: &Bounds) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.operations > 0 {
            bounds.kinds.iter().for_each(|&kind| self.operations_of(law, kind, &mut steps));
        }
        self.link_steps(law, bounds, &mut steps);
        self.settlement_steps(law, &mut steps);
        steps
    }

    fn operations_of(&self, law: &dyn Law, kind: Kind, steps: &mut Vec<Step>) {
        if kind == Kind::Wait {
            steps.push(Step::Wait);
            return;
        }
        for index in members(self.living()) {
            let node = &self.nodes[index];
            let free = |mailbox| !law.locks() || !self.is_locked(index, mailbox);
            let login_free = !law.login_waits() || free(INBOX) && free(WORK);
            let rows =
                || node.mailboxes.iter().flat_map(|(&id, mailbox)| mailbox.visible.iter().map(move |at| (id, at)));
            let may_change = |birth| !self.is_row_locked(index, birth);
            match kind {
                Kind::Deliver if free(INBOX) => steps.push(Step::Deliver(index, INBOX)),
                Kind::DeliverWork if free(WORK) => steps.push(Step::Deliver(index, WORK)),
                Kind::Login if login_free => steps.push(Step::Login(index)),
                Kind::Share if login_free => steps.push(Step::Share(index, !node.mailboxes[&INBOX].shared)),
                Kind::Expunge => steps.extend(
                    rows()
                        .filter(|(_, (_, birth))| may_change(**birth))
                        .map(|(_, (&uid, _))| Step::Expunge(index, uid)),
                ),
                Kind::Seen => steps.extend(
                    rows().filter(|(_, (_, birth))| may_change(**birth)).map(|(_, (&uid, _))| Step::Seen(index, uid)),
                ),
                Kind::Move => steps.extend(
                    rows()
                        .map(|(from, at)| (if from == INBOX { WORK } else { INBOX }, at))
                        .filter(|(to, (_, birth))| free(*to) && may_change(**birth))
                        .map(|(to, (&uid, _))| Step::Move(index, uid, to)),
                ),
                Kind::Lose if self.lost == 0 && self.nodes.len() > 1 => steps.push(Step::Lose(index)),
                _ => {}
            }
        }
    }

    /// Whether somebody holds the lock of a line.
    fn is_locked(&self, index: usize, mailbox: MailboxId) -> bool {
        let by_settlement = self.settlement.as_ref().is_some_and(|settlement| {
            settlement.mailbox == mailbox
                && match settlement.stage {
                    Stage::Reserved => false,
                    Stage::Locked => settlement.nodes & (1 << index) != 0,
                    Stage::Written(nodes) => nodes & (1 << index) != 0,
                }
        });
        by_settlement || self.arrival.as_ref().is_some_and(|link| link.to == index && link.place.value == mailbox)
    }

    /// Whether a settlement has written to the row of a message and has not committed yet.
    fn is_row_locked(&self, index: usize, birth: BirthUid) -> bool {
        self.settlement.as_ref().is_some_and(|settlement| {
            matches!(settlement.stage, Stage::Written(nodes) if nodes & (1 << index) != 0)
                && settlement.actions.get(&id(index)).is_some_and(|actions| actions.contains_key(&birth))
        })
    }

    fn link_steps(&self, law: &dyn Law, bounds: &Bounds, steps: &mut Vec<Step>) {
        if self.arrival.is_some() {
            steps.push(Step::LinkWrite);
            return;
        }
        let mut last = None;
        for &Pending { from, to, birth, .. } in self.pending.iter() {
            if last.replace((from, to, birth)) == Some((from, to, birth)) || self.lost & (1 << from | 1 << to) != 0 {
                continue;
            }
            let Some(state) = self.nodes[from].state(birth) else { continue };
            let Decision { place, .. } = law.decide(&self.nodes[to], &state, self.now);
            let waits = !state.incoming.dead && self.is_locked(to, place.value);
            if law.locks() && waits || self.is_row_locked(to, birth) {
                continue;
            }
            steps.push(if bounds.looks { Step::LinkLook(from, to, birth) } else { Step::Link(from, to, birth) });
        }
    }

    fn settlement_steps(&self, law: &dyn Law, steps: &mut Vec<Step>) {
        let Some(settlement) = &self.settlement else {
            for mailbox in [INBOX, WORK] {
                let late = |index: usize| self.nodes[index].late(mailbox).next().is_some();
                if members(self.living()).any(late) {
                    let allowed = |nodes: &Nodes| *nodes == self.living() || self.partial > 0;
                    let groups = (1..=self.all()).filter(|nodes| nodes & self.lost == 0).filter(allowed);
                    let can = groups.filter(|&nodes| !self.candidates(law, nodes, mailbox).is_empty());
                    steps.extend(can.map(|nodes| Step::Reserve(nodes, mailbox)));
                }
            }
            return;
        };
        match settlement.stage {
            Stage::Reserved => {
                if members(settlement.nodes).all(|index| !self.is_locked(index, settlement.mailbox)) {
                    steps.push(Step::Lock);
                }
            }
            Stage::Locked => steps.push(Step::Write),
            Stage::Written(nodes) => steps.extend(members(nodes & !self.lost).map(Step::Commit)),
        }
        if self.crashes > 0 || settlement.nodes & self.lost != 0 {
            steps.push(Step::Crash);
        }
    }

    /// What can be settled among these nodes: what is late on one, and what all have.
    fn candidates(&self, law: &dyn Law, nodes: Nodes, mailbox: MailboxId) -> BTreeSet<BirthUid> {
        let late: BTreeSet<BirthUid> =
            members(nodes).flat_map(|index| self.nodes[index].late(mailbox)).map(|(birth, _)| birth).collect();
        let mut held = late.clone();
        for index in members(nodes).filter(|_| !late.is_empty()) {
            let (view, _) = law.view(&self.nodes[index], mailbox, &late, self.now);
            held.retain(|birth| view.messages.contains_key(birth));
        }
        held
    }

    /// The world after a step, checked.
    pub fn after(&self, law: &dyn Law, step: Step) -> Result<Self, Violation> {
        let mut world = self.clone();
        match step {
            Step::Deliver(index, mailbox) => world.operate(index, |node, now| _ = node.deliver(mailbox, now)),
            Step::Login(index) => world.operate(index, login),
            Step::Share(index, shared) => world.operate(index, |node, now| {
                if law.pins() {
                    node.set_shared(INBOX, shared, now);
                } else if let Some(mailbox) = node.mailboxes.get_mut(&INBOX) {
                    mailbox.shared = shared;
                }
            }),
            Step::Expunge(index, uid) => {
                if let Some(birth) = self.nodes[index].birth_of(uid) {
                    world.watch.known_dead_by.entry(birth).or_default();
                }
                world.operate(index, |node, now| _ = node.expunge(uid, now));
            }
            Step::Seen(index, uid) => world.operate(index, |node, now| {
                let seen =
                    node.birth_of(uid).and_then(|birth| node.messages.get(&birth)).is_some_and(|at| at.seen.value);
                node.set_seen(uid, !seen, now);
            }),
            Step::Move(index, uid, mailbox) => {
                let birth = self.nodes[index].birth_of(uid);
                let mut number = None;
                world.watch.excuses += 1;
                world.operate(index, |node, now| number = node.move_to(uid, mailbox, now));
                if let (Some(birth), Some(number)) = (birth, number.filter(|number| *number != uid)) {
                    world.watch.wrote(index, mailbox, birth, number);
                }
            }
            Step::Wait => {
                world.operations -= 1;
                world.now = Time(self.now.0 + LONG);
            }
            Step::Lose(index) => {
                world.operations -= 1;
                world.watch.excuses += 1;
                world.lost |= 1 << index;
                world.pending =
                    Rc::new(self.pending.iter().filter(|at| at.from != index && at.to != index).copied().collect());
                world.arrival = world.arrival.filter(|link| link.from != index && link.to != index);
                // It breaks off, unless it is committing by now.
                world.settlement = world.settlement.filter(|at| at.nodes & world.lost == 0 || at.stage.is_written());
            }
            Step::Link(from, to, birth) => {
                world.link_look(law, from, to, birth);
                world.link_write(law);
            }
            Step::LinkLook(from, to, birth) => world.link_look(law, from, to, birth),
            Step::LinkWrite => world.link_write(law),
            Step::Reserve(nodes, mailbox) => {
                let candidates = self.candidates(law, nodes, mailbox);
                if nodes != self.living() {
                    world.partial -= 1;
                    world.watch.excuses += 1;
                }
                world.settlement = Some(Rc::new(Settlement::new(nodes, mailbox, candidates)));
                world.reserve(law, Uid(0));
            }
            Step::Lock => world.lock(law)?,
            Step::Write => world.write(law),
            Step::Commit(index) => world.commit(law, index),
            Step::Crash => {
                if world.settlement.take().is_some_and(|at| at.nodes & self.lost == 0) {
                    world.crashes -= 1;
                    world.watch.excuses += 1;
                }
            }
        }
        world.note_changes(law, self)?;
        Ok(world)
    }

    fn operate(&mut self, index: usize, act: impl FnOnce(&mut Node, Time)) {
        self.operations -= 1;
        let now = self.now;
        act(self.node(index), now);
    }

    fn node(&mut self, index: usize) -> &mut Node {
        Rc::make_mut(&mut self.nodes[index])
    }

    fn link_look(&mut self, law: &dyn Law, from: usize, to: usize, birth: BirthUid) {
        Rc::make_mut(&mut self.pending).retain(|at| (at.from, at.to, at.birth) != (from, to, birth));
        let Some(state) = self.nodes[from].state(birth) else { return };
        let Decision { action, place } = law.decide(&self.nodes[to], &state, self.now);
        let row_mailbox = self.nodes[to].messages.get(&birth).and_then(|stored| stored.row_mailbox);
        self.arrival = Some(Rc::new(Arrival { from, to, state, action: action.map(WrittenAs), place, row_mailbox }));
    }

    /// Writes what a link has decided. If dbmail has moved or killed the row meanwhile, it is looked at again.
    fn link_write(&mut self, law: &dyn Law) {
        let Some(arrival) = self.arrival.take() else { return };
        let Arrival { from, to, ref state, action, ref place, row_mailbox } = *arrival;
        let birth = state.incoming.birth;
        let row = action.and_then(|action| action.0.row());
        let stored = self.nodes[to].messages.get(&birth);
        let moved = row.is_some() && stored.is_some_and(|at| at.held.row() != row || at.row_mailbox != row_mailbox);
        if moved {
            Rc::make_mut(&mut self.pending).insert(Pending { from, to, birth, origin: None });
            return;
        }
        let now = self.now;
        let decision = Decision { action: action.map(|action| action.0), place: place.clone() };
        let node = self.node(to);
        node.apply(id(from), state, &decision, now);
        node.keep_up(state.incoming.uid);
        law.joined(node, birth);
    }

    fn reserve(&mut self, law: &dyn Law, floor: Uid) {
        let Some(mut settlement) = self.settlement.take() else { return };
        let Settlement { nodes, mailbox, candidates, reserved, stage, .. } = Rc::make_mut(&mut settlement);
        let views: Vec<_> =
            members(*nodes).map(|index| law.view(&self.nodes[index], *mailbox, candidates, self.now).0).collect();
        let need = settlement::in_need(&views, candidates).len();
        let high = views.iter().map(|view| view.high).max().unwrap_or_default().max(floor);
        let decider = members(*nodes).next().unwrap();
        (*reserved, *stage) = (law.reserve(self.node(decider), need, high), Stage::Reserved);
        self.settlement = Some(settlement);
    }

    fn lock(&mut self, law: &dyn Law) -> Result<(), Violation> {
        let Some(mut shared) = self.settlement.take() else { return Ok(()) };
        let settlement = Rc::make_mut(&mut shared);
        let (views, rows): (Vec<_>, Vec<_>) = members(settlement.nodes)
            .map(|index| law.view(&self.nodes[index], settlement.mailbox, &settlement.candidates, self.now))
            .unzip();
        match law.plan(&views, &settlement.candidates, &settlement.reserved) {
            Ok(Plan { numbers, actions }) => {
                let plan = Plan { numbers: numbers.clone(), actions: BTreeMap::new() };
                self.watch.numbers(settlement.nodes, settlement.mailbox, &views, &plan)?;
                let hashable =
                    |of: BTreeMap<BirthUid, Action>| of.into_iter().map(|(birth, at)| (birth, WrittenAs(at))).collect();
                settlement.actions = actions.into_iter().map(|(node, of)| (node, hashable(of))).collect();
                (settlement.numbers, settlement.rows, settlement.stage) = (numbers, rows, Stage::Locked);
                self.settlement = Some(shared);
            }
            Err(too_low) => {
                self.settlement = Some(shared);
                self.reserve(law, too_low.high);
            }
        }
        Ok(())
    }

    /// Writes on all nodes; if dbmail has moved a row meanwhile, on none, and it is tried again.
    fn write(&mut self, law: &dyn Law) {
        let Some(mut shared) = self.settlement.take() else { return };
        let settlement = Rc::make_mut(&mut shared);
        let plan = settlement.plan();
        let refused = members(settlement.nodes).zip(&settlement.rows).any(|(index, rows)| {
            (*self.nodes[index]).clone().write(settlement.mailbox, &plan, rows, self.now).is_err()
        });
        settlement.stage = if refused { Stage::Reserved } else { Stage::Written(settlement.nodes) };
        if refused {
            (settlement.actions, settlement.numbers) = Default::default();
            settlement.rows = Vec::new();
        }
        // What was late may be in another mailbox by now: then there is nothing left to do.
        let (nodes, mailbox) = (settlement.nodes, settlement.mailbox);
        if !refused || !self.candidates(law, nodes, mailbox).is_empty() {
            self.settlement = Some(shared);
        }
    }

    fn commit(&mut self, law: &dyn Law, index: usize) {
        let Some(mut shared) = self.settlement.take() else { return };
        let settlement = Rc::make_mut(&mut shared);
        let place = members(settlement.nodes).position(|member| member == index).unwrap();
        let now = self.now;
        let node = self.node(index);
        let outbox = node.outbox.len();
        _ = node.write(settlement.mailbox, &settlement.plan(), &settlement.rows[place], now);
        if !law.captures_settlements() {
            node.outbox.truncate(outbox);
        }
        for (&birth, &number) in &settlement.numbers {
            self.watch.wrote(index, settlement.mailbox, birth, number);
        }
        if let Stage::Written(nodes) = &mut settlement.stage {
            *nodes &= !(1 << index);
            if *nodes != 0 {
                self.settlement = Some(shared);
            }
        }
    }

    /// Moves what is new in the outboxes on to the links, forgets what makes no difference, and checks.
    fn note_changes(&mut self, law: &dyn Law, before: &Self) -> Result<(), Violation> {
        let changed: Vec<usize> =
            (0..self.nodes.len()).filter(|&at| !Rc::ptr_eq(&self.nodes[at], &before.nodes[at])).collect();
        for &index in &changed {
            let node = Rc::make_mut(&mut self.nodes[index]);
            let outbox = std::mem::take(&mut node.outbox);
            // Neither decides anything.
            node.reservations.clear();
            node.messages.values_mut().for_each(|stored| stored.numbers.clear());
            self.watch.look(index, &before.nodes[index], &self.nodes[index], self.now)?;
            for change in outbox {
                let origin = change.origin.map(|origin| origin.0 as usize - 1);
                if origin.is_some() && !law.relays() {
                    continue;
                }
                let others = members(self.living()).filter(|&to| to != index && Some(to) != origin);
                let new = others.map(|to| Pending { from: index, to, birth: change.birth, origin });
                Rc::make_mut(&mut self.pending).extend(new);
            }
        }
        let is_news = |at: &Pending| {
            let state = self.nodes[at.from].state(at.birth);
            state.is_some_and(|state| law.is_news(&self.nodes[at.to], &state))
        };
        if !self.pending.iter().all(is_news) {
            self.pending = Rc::new(self.pending.iter().filter(|at| is_news(at)).copied().collect());
        }
        Ok(())
    }

    /// Whether nothing has to happen any more: what is passed on matters only when the node that it is from is lost.
    pub fn is_quiet(&self, law: &dyn Law) -> bool {
        let due = |at: &Pending| at.origin.is_none_or(|origin| self.lost & (1 << origin) != 0);
        if self.settlement.is_some() || self.arrival.is_some() || self.pending.iter().any(due) {
            return false;
        }
        [INBOX, WORK].iter().all(|&mailbox| self.candidates(law, self.living(), mailbox).is_empty())
    }

    /// D and E, in a world that is quiet.
    pub fn check_healed(&self) -> Result<(), Violation> {
        let first = members(self.living()).next().unwrap();
        for index in members(self.living()) {
            for mailbox in [INBOX, WORK] {
                if let Some((birth, _)) = self.nodes[index].late(mailbox).next() {
                    return violation('D', format!("{birth} waits for ever on {}", super::story::name(index)));
                }
            }
            let differ = self.nodes[index].messages.iter().find(|(birth, stored)| {
                let dead = stored.held == Held::Dead;
                match self.nodes[first].state(**birth) {
                    Some(of) if of.incoming.dead || dead => of.incoming.dead != dead,
                    Some(of) => (&of.place, &of.seen) != (&stored.place, &stored.seen),
                    None => !dead,
                }
            });
            if let Some((birth, _)) = differ {
                return violation('D', format!("{birth} differs between the nodes"));
            }
        }
        let visible = |index: usize| -> Vec<_> {
            self.nodes[index].mailboxes.iter().map(|(id, mailbox)| (*id, &mailbox.visible)).collect()
        };
        if members(self.living()).any(|index| visible(index) != visible(first)) {
            return violation('D', "the nodes show different mail".into());
        }
        for (birth, had_by) in &self.watch.had_by {
            if had_by & !self.lost == 0 {
                continue;
            }
            let known_dead_by = self.watch.known_dead_by.get(birth).copied().unwrap_or_default();
            let copies = visible(first).iter().flat_map(|(_, shown)| shown.values()).filter(|at| *at == birth).count();
            let expected = usize::from(known_dead_by & !self.lost == 0);
            if copies != expected {
                return violation('E', format!("{birth} is visible {copies} times, not {expected}"));
            }
        }
        Ok(())
    }
}

impl Stage {
    fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }
}

impl Settlement {
    fn new(nodes: Nodes, mailbox: MailboxId, candidates: BTreeSet<BirthUid>) -> Self {
        Self {
            nodes,
            mailbox,
            candidates,
            reserved: BTreeSet::new(),
            stage: Stage::Reserved,
            actions: BTreeMap::new(),
            numbers: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    fn plan(&self) -> Plan {
        let plain = |of: &BTreeMap<BirthUid, WrittenAs>| of.iter().map(|(birth, at)| (*birth, at.0)).collect();
        let actions = self.actions.iter().map(|(node, of)| (*node, plain(of))).collect();
        Plan { numbers: self.numbers.clone(), actions }
    }
}

/// The owner logs in; he has all mailboxes.
fn login(node: &mut Node, now: Time) {
    for mailbox in [INBOX, WORK] {
        node.login(mailbox, now, PRESENCE);
    }
}
