//! Ids, states and joins, the rule, the settlement plan. Pure: no I/O, no clock, no randomness.
//!
//! # Why the rule keeps its promises
//!
//! A message is known for ever by the first UID that it had. Its state is joined, never overwritten: the UID is a maximum, death
//! is final. So it does not matter in which order, or how often, states arrive ([`rule::decide`]).
//!
//! What a node shows is decided under the lock of the mailbox's line row, the same lock under which the node numbers its own
//! deliveries. A message becomes visible only with a UID above the reported line ([`rule::decide`]); what cannot, waits. A waiting
//! message gets a number that is above the line of every node that takes part, checked under the locks of all of them, drawn from
//! one node's class and committed before anybody writes it ([`settlement::plan`]). Hence no number is ever given to two messages,
//! however a settlement breaks off, and a number once settled is never late again on a node that took part.

pub mod account;
pub mod entry;
pub mod ids;
pub mod mailboxes;
pub mod marks;
pub mod modseq;
pub mod register;
pub mod reported;
pub mod rule;
pub mod settlement;
pub mod snapshot;
pub mod stamp;
