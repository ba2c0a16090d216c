//! MODSEQs (RFC 7162) of messages that change on several nodes, for clients that take the number of one node to another.
//!
//! Each node counts for itself, and what it applies gets its own next number, so a client that stays misses nothing. One that moves
//! comes with the number of the node that it leaves. The change that it was not given must have a higher one wherever it may go: every
//! node gives a change at least the number that it has where it was made. Where a node had passed that number already when the
//! change came, clients may have left it with a higher one: it gives the change a number above its own, and tells all others.

use super::ids::NodeId;
use super::marks::Marks;

/// A message's numbers, as a node has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modseq {
    /// What clients are told: `dbmail_messages.seq`. dbmail raises it for reasons of its own, too (\Recent is cleared, the message is
    /// copied).
    pub shown: i64,
    /// What every node that has this node's state of the message gives it at least; 0: nothing was said.
    pub promised: i64,
}

/// What is due when the state of a message arrives that is visible here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing: its flags and keywords are known, and its number is high enough.
    Nothing,
    /// They are known, but another node has given them a higher number: it gets the next one here.
    Raise,
    /// They change, and with them the number. All nodes that have the change give it at least `common`; a client of this node that was
    /// given that much or more may have passed it.
    Change {
        /// 0: not known, as where the source has the change from a third node, which may give it less.
        common: i64,
    },
}

/// What is due when `theirs` arrives from `source`.
pub fn due(ours: (&Marks, Modseq), theirs: (&Marks, Modseq), source: NodeId) -> Due {
    let ((our_marks, our_modseq), (their_marks, their_modseq)) = (ours, theirs);
    let mut writers = our_marks.writers_of_news_in(their_marks).peekable();
    if writers.peek().is_some() {
        let first_hand = writers.all(|writer| writer == Some(source));
        return Due::Change { common: if first_hand { their_modseq.promised } else { 0 } };
    }
    if their_modseq.promised > our_modseq.shown { Due::Raise } else { Due::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::register::Register;
    use crate::domain::stamp::Stamp;

    /// \Seen, written by that node at that time.
    fn seen(at: i64, by: i64) -> Marks {
        let mut marks = Marks::default();
        marks.flags[0] = Register { stamp: Stamp((at << 12) | by), value: true };
        marks
    }

    fn keyword(mut marks: Marks, at: i64, by: i64) -> Marks {
        marks.keywords.insert("work".into(), Register { stamp: Stamp((at << 12) | by), value: true });
        marks
    }

    /// What is here and is shown with 50; what comes from node 2, promised as told; what is due.
    #[test]
    fn what_is_due_as_a_table() {
        let none = Marks::default;
        for (ours, theirs, promised, expected) in [
            (none(), none(), 0, Due::Nothing),
            (seen(9, 2), seen(9, 2), 50, Due::Nothing),
            (seen(9, 2), seen(9, 2), 51, Due::Raise),
            (seen(9, 1), seen(8, 2), 40, Due::Nothing),
            (seen(9, 1), seen(8, 2), 51, Due::Raise),
            (none(), seen(9, 2), 40, Due::Change { common: 40 }),
            (none(), seen(9, 2), 60, Due::Change { common: 60 }),
            (none(), seen(9, 3), 60, Due::Change { common: 0 }),
            (none(), keyword(none(), 9, 2), 0, Due::Change { common: 0 }),
            (none(), keyword(seen(9, 2), 9, 3), 60, Due::Change { common: 0 }),
            (seen(9, 3), keyword(seen(9, 3), 9, 2), 60, Due::Change { common: 60 }),
        ] {
            let ours = (&ours, Modseq { shown: 50, promised: 0 });
            let arrives = (&theirs, Modseq { shown: 70, promised });
            assert_eq!(due(ours, arrives, NodeId(2)), expected, "{ours:?} {arrives:?}");
        }
    }

    /// Copies that differ when they are united: nobody wrote that.
    #[test]
    fn what_nobody_wrote_is_not_first_hand() {
        let mut theirs = Marks::default();
        theirs.flags[3].value = true;
        let numbers = Modseq { shown: 5, promised: 5 };
        let expected = Due::Change { common: 0 };
        assert_eq!(due((&Marks::default(), numbers), (&theirs, numbers), NodeId(2)), expected);
    }
}
