//! The table of pairs and their outcomes, as text that can be read.

use std::collections::BTreeMap;

use super::op::Op;
use super::outcome::Outcome;

const TABLE: &str = include_str!("pairs.txt");

/// The outcome of each pair, the earlier in [`Op::ALL`] first.
pub fn outcomes() -> BTreeMap<(Op, Op), Outcome> {
    let mut table = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [first, others, outcome] = columns[..] else { panic!("not three columns: {line}") };
        let (first, outcome) = (operation(first), Outcome::parse(outcome));
        for other in others.split(',') {
            let pair = ordered(first, operation(other.trim()));
            assert!(table.insert(pair, outcome).is_none(), "{pair:?} is in the table twice");
        }
    }
    table
}

/// A pair as the table has it.
pub fn ordered(one: Op, other: Op) -> (Op, Op) {
    (one.min(other), one.max(other))
}

/// An operation by its name.
pub fn operation(name: &str) -> Op {
    Op::ALL.iter().copied().find(|op| op.name() == name).unwrap_or_else(|| panic!("there is no operation {name:?}"))
}

#[test]
fn every_pair_has_an_outcome() {
    let table = outcomes();
    for (index, one) in Op::ALL.iter().enumerate() {
        for other in &Op::ALL[index..] {
            assert!(table.contains_key(&(*one, *other)), "no outcome for {} and {}", one.name(), other.name());
        }
    }
}
