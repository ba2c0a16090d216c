//! A stand-in for dbmail: what its processes write and read, with the same tables, columns, RETURNING and transaction
//! boundaries, so that triggers and the worker meet here what they meet in production.
//!
//! Some things differ from dbmail on purpose:
//!
//! - A statement that fails is an error for our caller (dbmail swallows a failed INSERT and answers OK).
//! - An operation says which rows it really changed, so that a test can tell what was acknowledged from what happened.
//! - It asks for no permission and checks no name, but does as it is told.
//! - Quota is counted for the owner of the mailbox, not for whoever the session belongs to.
//! - A message that is copied counts as new (\Recent, status 0), and a mailbox that a delivery makes is not subscribed to.
//! - Its sessions do not fail each other where dbmail's might: keywords are written only to a message that was found,
//!   SELECT and purge lock messages in the order of EXPUNGE, and a purge looks twice. A failure that remains is then not
//!   dbmail's own, with one exception: DELETE of a mailbox can deadlock with an EXPUNGE or SELECT of the same one,
//!   because the cascade locks messages upwards and these lock downwards.

mod accounts;
mod admin;
mod content;
mod deliver;
mod flags;
mod mail;
mod mailboxes;
mod purge;
mod read;
mod rename;
mod session;
mod sharing;
mod sieve;
pub mod sql;

pub use flags::{Expunged, StoreFlags, StoreMode};
pub use mail::{Flags, Mail};
pub use purge::Purged;
pub use read::{Fetched, Listed, State, States, View};
pub use session::{INTERNAL_USER, Session};
pub use sharing::{ANYONE, PUBLIC_USER};
pub use sieve::TEMPORARY_SCRIPT;
