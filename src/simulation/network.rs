//! Who can reach whom, and how long it takes.

use std::collections::BTreeMap;

use super::options::Latency;
use super::queue::Micros;
use super::random::{Random, Stream};

/// A message takes longer than its link's time by an exponentially distributed wait whose mean is this part of it.
const JITTER: i64 = 10;

/// A node, by its place: `0..nodes`.
pub(super) type At = usize;

/// The links, and what is cut.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    /// One way, by pair.
    latency: Vec<Micros>,
    random: Random,
    /// For each partition under way, on which side each node is.
    partitions: BTreeMap<u64, Vec<bool>>,
    /// Links that are cut, by pair: as often as partitions do so.
    cuts: Vec<u16>,
}

impl Network {
    pub(super) fn new(nodes: usize, latency: Latency, seed: u64) -> Self {
        let mut random = Random::new(seed, Stream::Network);
        let (least, most) = (Micros::of(latency.least), Micros::of(latency.most));
        let mut of_pairs = vec![Micros::ZERO; nodes * nodes];
        for a in 0..nodes {
            for b in 0..a {
                let one_way = least + random.up_to(most - least + Micros(1));
                of_pairs[a * nodes + b] = one_way;
                of_pairs[b * nodes + a] = one_way;
            }
        }
        Self { nodes, latency: of_pairs, random, partitions: BTreeMap::new(), cuts: vec![0; nodes * nodes] }
    }

    /// How long the next message takes from one node to another.
    pub(super) fn one_way(&mut self, a: At, b: At) -> Micros {
        let base = self.latency[a * self.nodes + b];
        base + self.random.wait(Micros(base.0 / JITTER))
    }

    /// How long a question and its answer take.
    pub(super) fn round_trip(&mut self, a: At, b: At) -> Micros {
        self.one_way(a, b) + self.one_way(b, a)
    }

    /// Whether no partition is between the two.
    pub(super) fn connects(&self, a: At, b: At) -> bool {
        self.cuts[a * self.nodes + b] == 0
    }

    /// The nodes fall into two parts.
    pub(super) fn part(&mut self, id: u64, sides: Vec<bool>) {
        self.cut(&sides, 1);
        self.partitions.insert(id, sides);
    }

    /// The two parts meet again.
    pub(super) fn heal(&mut self, id: u64) {
        if let Some(sides) = self.partitions.remove(&id) {
            self.cut(&sides, -1);
        }
    }

    fn cut(&mut self, sides: &[bool], by: i16) {
        for a in 0..self.nodes {
            for b in 0..self.nodes {
                if sides[a] != sides[b] {
                    let cuts = &mut self.cuts[a * self.nodes + b];
                    *cuts = cuts.saturating_add_signed(by);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn partitions_overlap_and_heal_one_by_one() {
        let latency = Latency { least: Duration::from_millis(5), most: Duration::from_millis(80) };
        let mut network = Network::new(3, latency, 1);
        network.part(1, vec![true, false, false]);
        network.part(2, vec![true, true, false]);
        assert!(!network.connects(0, 1) && !network.connects(1, 2) && !network.connects(0, 2));
        network.heal(1);
        assert!(network.connects(0, 1) && !network.connects(1, 2) && !network.connects(2, 0));
        network.heal(2);
        assert!(network.connects(2, 0) && network.connects(1, 2));
        for _ in 0..100 {
            let taken = network.one_way(0, 2);
            assert!(taken >= Micros::from_ms(5) && taken < Micros::from_ms(200), "{taken:?}");
        }
    }
}
