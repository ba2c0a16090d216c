//! Members that come, go, and come back.
//!
//! *What is at stake.* A node that has forgotten numbers which it handed out would hand them out again: UIDs, mailbox ids, and the ids by
//! which peers know contents. Its links are refused, and its sequences are [fenced](fence) above all that its peers know, as soon as a
//! worker meets it. *Joining* mends the rest: messages that were delivered in between under numbers that others have are born again under
//! new ones, it becomes another incarnation, and all its links begin with a first copy, in both directions. Joins are commutative and
//! idempotent, so what it still has and the others have ends equal on all, and what was expunged stays expunged.

mod facts;
pub mod fence;
mod join;
mod leave;
mod progress;
mod suspects;

pub use facts::{Member, look};
pub use join::{Joined, prepare};
pub use leave::{count_aside, dismiss, has_given_all};
pub use progress::{LinkProgress, clock, committed, messages_to_copy, progress};
