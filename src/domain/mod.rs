//! Ids, states and joins, the rule, the settlement plan. Pure: no I/O, no clock, no randomness.

pub mod ids;
