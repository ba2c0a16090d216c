//! A node in memory: what the worker and the SQL of a node do with messages, without a database. Pure: no I/O, no clock, no randomness;
//! time is a parameter.
//!
//! It decides with the functions that the worker decides with ([`crate::domain::rule`], [`crate::domain::settlement`],
//! [`crate::domain::register`], [`crate::domain::reported`]) and writes as `dbmail_mesh.write_plan` and the triggers do. Each method is
//! one transaction. What is left out: content, users, the fates of mailboxes, the ways out of a trigger that does not get its lock, and
//! all marks but \Seen. Locks are the caller's: what must not come between two calls is said there.

mod client;
mod exchange;
mod node;
mod settling;
#[cfg(test)]
mod tests;

pub use exchange::{Change, Cursor, Decision, Joined, State};
pub use node::{Mailbox, Node, Stored};
pub use settling::{Moved, Rows, Written};
