//! What is to happen, drawn from a seed.

use fastrand::Rng;

use super::act::Act;

/// How many nodes there are.
pub const NODES: i16 = 3;
/// How often there are acts, followed by what happens to all.
const ROUNDS: usize = 6;
/// At most so many acts in each history and round.
const ACTS: usize = 6;

/// What happens to all histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// One link is up until it has brought everything.
    Link(i16, i16),
    /// `dbmail-util` purges.
    Purge(i16),
    /// All links are up until there is nothing left to do.
    Settle,
}

/// A round: for each history acts, with the node on which each takes place; then events.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub acts: Vec<Vec<(i16, Act)>>,
    pub events: Vec<Event>,
}

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: Vec<Round>,
    pub worlds: usize,
    /// Whether it matters who reads: of odd seeds. The first account of each history is
    /// logged in on one node then, the second nowhere; else every mailbox counts as read.
    pub readers_matter: bool,
}

impl Plan {
    /// The plan of a seed: the same for the same seed.
    pub fn draw(seed: u64, worlds: usize) -> Self {
        let mut random = Rng::with_seed(seed);
        let rounds = (0..ROUNDS).map(|_| {
            let acts = (0..worlds).map(|_| {
                let count = random.usize(0..=ACTS);
                (0..count).map(|_| (random.i16(1..=NODES), Act::draw(&mut random))).collect()
            });
            let acts = acts.collect();
            let count = random.usize(0..=2);
            let events = (0..count).map(|_| Event::draw(&mut random)).collect();
            Round { acts, events }
        });
        Self { rounds: rounds.collect(), worlds, readers_matter: seed % 2 == 1 }
    }

    /// This history alone.
    pub fn only(&self, world: usize) -> Self {
        self.with(vec![self.history(world)])
    }

    /// The acts of one history, with the round of each.
    pub fn history(&self, world: usize) -> Vec<(usize, i16, Act)> {
        let rounds = self.rounds.iter().enumerate();
        rounds.flat_map(|(at, round)| round.acts[world].iter().map(move |(node, act)| (at, *node, *act))).collect()
    }

    /// The same events with other histories.
    pub fn with(&self, histories: Vec<Vec<(usize, i16, Act)>>) -> Self {
        let mut plan = self.clone();
        plan.worlds = histories.len();
        for (at, round) in plan.rounds.iter_mut().enumerate() {
            let of_round = |history: &Vec<(usize, i16, Act)>| {
                history.iter().filter(|(round, ..)| *round == at).map(|(_, node, act)| (*node, *act)).collect()
            };
            round.acts = histories.iter().map(of_round).collect();
        }
        plan
    }

    /// A line for each act and event, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for round in &self.rounds {
            for (world, acts) in round.acts.iter().enumerate() {
                lines.extend(acts.iter().map(|(node, act)| format!("history {world}, node {node}: {act:?}")));
            }
            lines.extend(round.events.iter().map(|event| format!("{event:?}")));
        }
        lines
    }
}

impl Event {
    fn draw(random: &mut Rng) -> Self {
        let source = random.i16(1..=NODES);
        match random.u8(..10) {
            0 => Self::Settle,
            1 | 2 => Self::Purge(source),
            _ => Self::Link(source, 1 + (source - 1 + random.i16(1..NODES)) % NODES),
        }
    }
}
