//! A type of its own for every number that is not a count.

use std::fmt;

/// A node's number in the mesh, `1..=stride`. UIDs that the node hands out are congruent to it modulo the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i16);

/// The most nodes that a mesh may ever have, and hence the step of every node's UID sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stride(pub i16);

/// An IMAP UID (RFC 3501, 2.3.1.1): `dbmail_messages.message_idnr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub i64);

/// The first UID that a message ever had: unique in the mesh for ever, hence the message's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BirthUid(pub i64);

/// A mailbox's id and IMAP UIDVALIDITY (RFC 3501, 2.3.1.1): `dbmail_mailboxes.mailbox_idnr`, the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub i64);

impl NodeId {
    /// Whether `uid` is one that this node may hand out under `stride`.
    pub fn owns(self, uid: Uid, stride: Stride) -> bool {
        uid.0.rem_euclid(i64::from(stride.0)) == i64::from(self.0).rem_euclid(i64::from(stride.0))
    }
}

impl BirthUid {
    /// The UID that the message had when it was born.
    pub fn uid(self) -> Uid {
        Uid(self.0)
    }
}

macro_rules! display_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_as_number!(NodeId, Stride, Uid, BirthUid, MailboxId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_node_owns_the_multiples_of_the_stride() {
        let stride = Stride(8);
        assert!(NodeId(8).owns(Uid(16), stride));
        assert!(!NodeId(1).owns(Uid(16), stride));
        assert!(NodeId(1).owns(Uid(17), stride));
    }
}
