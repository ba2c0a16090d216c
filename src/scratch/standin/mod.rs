//! A stand-in for dbmail: what its processes write and read, with the same tables, columns, RETURNING and transaction
//! boundaries, so that triggers and the worker meet here what they meet in production.
//!
//! Two things differ from dbmail on purpose. A statement that fails is an error for our caller (dbmail swallows a
//! failed INSERT and answers OK). And an operation says which rows it really changed, so that a test can tell what was
//! acknowledged from what happened.
//!
//! Like dbmail's, its sessions can deadlock among themselves in one case: DELETE of a mailbox against an EXPUNGE of the
//! same one, where the cascade locks messages upwards and EXPUNGE downwards.

mod content;
mod deliver;
mod flags;
mod mail;
mod mailboxes;
mod purge;
mod read;
mod session;
pub mod sql;

pub use flags::{Expunged, StoreFlags, StoreMode};
pub use mail::{Flags, Mail};
pub use purge::Purged;
pub use read::{Fetched, Listed, View};
pub use session::{INTERNAL_USER, Session};
