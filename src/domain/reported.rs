//! The reported line: how far clients of a node may have been told of a mailbox's messages.
//!
//! Nobody tells which UIDs a client was shown; what is known is until when somebody may have been reading, and when the mailbox's high
//! line last rose. While there may be a reader, everything that is visible may have been reported. Once nobody can be reading any more,
//! what becomes visible from then on has been reported to nobody: the line stays where the high line was before that.

use super::ids::Uid;

/// A point of a node's own clock: microseconds since an epoch of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// Until when a mailbox may be read by a client of the node, as far as the node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Readers {
    /// Nobody who may read it has ever come.
    Never,
    /// The last sign of a reader is as old as to cover this point of time, and none after it.
    Until(Time),
    /// At any time: it is shared or public, or every mailbox is to count as read.
    Always,
}

/// What a node knows of a mailbox's UIDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The highest UID that was ever visible. Never falls.
    pub high: Uid,
    /// The highest UID that may have been reported when the high line last rose, or the high line where that is lower.
    pub reported: Uid,
    /// When the high line last rose.
    pub raised_at: Time,
}

impl Line {
    /// The highest UID that a client may have been told of by `now`.
    pub fn reported(&self, readers: Readers, now: Time) -> Uid {
        // A clock that has gone back says nothing of who came before whom.
        let may_have_been_read =
            readers.may_read_at(self.raised_at) || (readers != Readers::Never && self.raised_at > now);
        if may_have_been_read { self.high } else { self.reported.min(self.high) }
    }

    /// The same line with what may have been reported by `now` written down. Before a share, or the setting, ends: the line must not
    /// fall because nobody knows any more that there were readers.
    #[must_use]
    pub fn pinned(self, readers: Readers, now: Time) -> Self {
        Self { reported: self.reported(readers, now), ..self }
    }

    /// A message becomes visible at `now` under `uid`, above the high line or not.
    #[must_use]
    pub fn showing(self, uid: Uid, readers: Readers, now: Time) -> Self {
        if uid <= self.high {
            return self;
        }
        // Written down for whom it may be reported to at once: the line must not fall when a share, or the setting, ends.
        let reported = if readers.may_read_at(now) { uid } else { self.reported(readers, now) };
        Self { high: uid, reported, raised_at: now }
    }
}

impl Readers {
    fn may_read_at(self, time: Time) -> bool {
        match self {
            Self::Never => false,
            Self::Until(until) => until >= time,
            Self::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1;

    fn until(day: i64) -> Readers {
        Readers::Until(Time(day * DAY))
    }

    /// What happens to a mailbox: the day, until when it may be read as known then, a UID that becomes visible (0: none), and the
    /// reported line afterwards.
    #[test]
    fn the_line_follows_the_high_line_for_as_long_as_there_may_be_a_reader() {
        let mut line = Line::default();
        for (day, readers, uid, reported) in [
            (1, Readers::Never, 5, 0),
            (2, Readers::Never, 7, 0),
            // He logs in on day 3, and may be reading until day 33.
            (3, until(33), 0, 7),
            (4, until(33), 9, 9),
            (33, until(33), 11, 11),
            // Nobody can have seen what comes later.
            (34, until(33), 13, 11),
            (35, until(33), 15, 11),
            (36, until(66), 0, 15),
            (99, until(66), 0, 15),
            (100, until(66), 17, 15),
            (101, Readers::Always, 0, 17),
            (102, Readers::Always, 19, 19),
            (103, until(66), 21, 19),
        ] {
            let now = Time(day);
            if uid > 0 {
                line = line.showing(Uid(uid), readers, now);
            }
            assert_eq!(line.reported(readers, now), Uid(reported), "day {day}");
        }
    }

    #[test]
    fn what_becomes_visible_below_the_high_line_does_not_move_it() {
        let line = Line { high: Uid(7), reported: Uid(3), raised_at: Time(1) };
        assert_eq!(line.showing(Uid(6), Readers::Never, Time(2)), line);
    }

    /// The line rose under a clock that was years ahead; the clock was put right, and then somebody came.
    #[test]
    fn a_clock_that_was_ahead_hides_no_reader() {
        let line = Line::default().showing(Uid(7), Readers::Never, Time(4000));
        assert_eq!(line.reported(until(40), Time(10)), Uid(7));
        assert_eq!(line.showing(Uid(9), until(40), Time(41)).reported, Uid(7));
    }
}
