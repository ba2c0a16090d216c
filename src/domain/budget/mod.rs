//! How long numbers last: UIDs, physmessage ids, mailbox ids. Pure, in whole numbers; nothing here overflows or divides by zero.
//!
//! dbmail takes UIDs from one sequence for the whole database, not one a mailbox, and each node of a mesh counts in steps of the stride.
//! So what is used up is told by the *highest* UID of the mesh, and how fast by its advance, not by the number of messages: a message
//! on the busiest node takes it forward by one stride, messages on the others fill the gaps below it and cost nothing.

mod history;

use serde::Serialize;

pub use history::{Highest, History, Window, burn_over};

/// The last UID: 4294967295 is read as `*` (RFC 3501, 9: `nz-number`).
pub const UID_LAST: i64 = 4_294_967_294;
/// The last physmessage id that dbmail can handle: it keeps them in a C int.
pub const PHYSMESSAGE_ID_LAST: i64 = (1 << 31) - 1;
/// The last mailbox id, for it is the UIDVALIDITY: 32 bits (RFC 3501, 9: `nz-number`).
pub const MAILBOX_ID_LAST: i64 = (1 << 32) - 1;
/// The last physmessage ids of a node are for its own deliveries, which dbmail loses without: links stop before. What a link does not
/// bring, its source keeps. At ten deliveries a second this is more than a day.
pub const PHYSMESSAGE_IDS_KEPT: i64 = 1 << 20;

/// A share in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millionths(pub u32);

impl Millionths {
    /// The whole.
    pub const ONE: Self = Self(1_000_000);

    /// One of `parts` equal parts, rounded up.
    pub fn one_of(parts: u32) -> Self {
        Self(Self::ONE.0.div_ceil(parts.max(1)))
    }
}

/// A space of numbers that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// `dbmail_messages.message_idnr`: of the whole mesh.
    Uids,
    /// `dbmail_physmessage.id`: of each node by itself.
    PhysmessageIds,
    /// `dbmail_mailboxes.mailbox_idnr`: of the whole mesh.
    MailboxIds,
}

impl Space {
    /// The last number that can be used.
    pub const fn last(self) -> i64 {
        match self {
            Self::Uids => UID_LAST,
            Self::PhysmessageIds => PHYSMESSAGE_ID_LAST,
            Self::MailboxIds => MAILBOX_ID_LAST,
        }
    }
}

/// How much of a space is used, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Less than half.
    #[default]
    Ok,
    /// Half: look at the date.
    Notice,
    /// 80 %: there is still time to plan.
    Warning,
    /// 95 %: act.
    Critical,
}

impl Level {
    /// From how many percent on, the highest first.
    const FROM_PERCENT: [(Self, i128); 3] = [(Self::Critical, 95), (Self::Warning, 80), (Self::Notice, 50)];

    /// The word, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    fn of(used: i64, last: i64) -> Self {
        let reached = |percent: i128| i128::from(used) * 100 >= i128::from(last) * percent;
        Self::FROM_PERCENT.iter().find(|(_, percent)| reached(*percent)).map_or(Self::Ok, |(level, _)| *level)
    }
}

/// So many numbers in so many seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// By how many numbers the highest went up.
    pub numbers: u64,
    /// In how many seconds.
    pub seconds: u64,
}

impl Rate {
    /// What is used up from one reading to a later one; `None` without time in between. Numbers that went down are those of a database
    /// that was restored: nothing is known of what it will use.
    pub fn between(then: Reading, now: Reading) -> Option<Self> {
        let seconds = u64::try_from(now.at_s.checked_sub(then.at_s)?).ok().filter(|seconds| *seconds > 0)?;
        let numbers = u64::try_from(now.highest.checked_sub(then.highest)?).ok()?;
        Some(Self { numbers, seconds })
    }

    /// The rate in numbers a day, rounded.
    pub fn per_day(self) -> u64 {
        const DAY_S: u128 = 86_400;
        let seconds = u128::from(self.seconds.max(1));
        saturated((u128::from(self.numbers) * DAY_S + seconds / 2) / seconds)
    }
}

/// The highest number at a time, in seconds from any origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at_s: i64,
    /// The highest number in use then.
    pub highest: i64,
}

/// What is left of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The numbers up to the last one.
    pub left: u64,
    /// How much is used.
    pub level: Level,
    /// When the last one is reached; `None`: never.
    pub seconds_left: Option<u64>,
}

impl Outlook {
    /// The outlook when numbers up to `highest` are used, and go on being used at `rate`.
    pub fn of(space: Space, highest: i64, rate: Rate) -> Self {
        let last = space.last();
        let left = u64::try_from(last.saturating_sub(highest.max(0))).unwrap_or(0);
        let seconds_left = (u128::from(left) * u128::from(rate.seconds)).checked_div(u128::from(rate.numbers));
        Self { left, level: Level::of(highest, last), seconds_left: seconds_left.map(saturated) }
    }
}

/// How many numbers messages cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    /// So many numbers.
    pub numbers: u128,
    /// For so many messages.
    pub messages: u128,
}

impl Burn {
    /// What was measured: by how much the highest UID went up while so many messages came. `None` without messages.
    pub fn measured(numbers: u64, messages: u64) -> Option<Self> {
        (messages > 0).then_some(Self { numbers: numbers.into(), messages: messages.into() })
    }

    /// What the design costs: the highest UID goes up by one stride for each message of the busiest node, which takes the share `busiest` of
    /// all, and by one for each renumber. Messages of other nodes fill the gaps below.
    pub fn designed(stride: u16, busiest: Millionths, renumbered: Millionths) -> Self {
        let strides = u128::from(busiest.0) + u128::from(renumbered.0);
        Self { numbers: u128::from(stride) * strides, messages: Millionths::ONE.0.into() }
    }

    /// What it costs when all mail goes to one mailbox, on any of the nodes at random, and the links keep pace: each number is the next of its
    /// node's class above the one before, wherever that was handed out.
    pub fn one_mailbox(stride: u16, nodes: u16, renumbered: Millionths) -> Self {
        let nodes = u128::from(nodes.max(1));
        let of_deliveries = u128::from(stride) * (nodes + 1) * u128::from(Millionths::ONE.0);
        let of_renumbers = u128::from(stride) * 2 * nodes * u128::from(renumbered.0);
        Self { numbers: of_deliveries + of_renumbers, messages: 2 * nodes * u128::from(Millionths::ONE.0) }
    }

    /// How many messages `numbers` are enough for; `None`: for ever.
    pub fn messages_for(self, numbers: u64) -> Option<u64> {
        u128::from(numbers).checked_mul(self.messages)?.checked_div(self.numbers).map(saturated)
    }

    /// The numbers that `messages` in `seconds` use up.
    pub fn rate(self, messages: u64, seconds: u64) -> Rate {
        let numbers = u128::from(messages).saturating_mul(self.numbers);
        // Scaled so that a burn of less than one number a message is not lost.
        Rate { numbers: saturated(numbers), seconds: saturated(u128::from(seconds).saturating_mul(self.messages)) }
    }

    /// Numbers a message, for people.
    pub fn per_message(self) -> f64 {
        self.numbers as f64 / self.messages.max(1) as f64
    }
}

fn saturated(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const YEAR: u64 = 31_556_952;

    #[test]
    fn levels_begin_at_50_80_and_95_percent_exactly() {
        let cases = [
            (0, Level::Ok),
            (2_147_483_646, Level::Ok),
            (2_147_483_647, Level::Notice),
            (3_435_973_835, Level::Notice),
            (3_435_973_836, Level::Warning),
            (4_080_218_929, Level::Warning),
            (4_080_218_930, Level::Critical),
            (UID_LAST, Level::Critical),
            (i64::MAX, Level::Critical),
            (-1, Level::Ok),
        ];
        for (used, level) in cases {
            assert_eq!(Outlook::of(Space::Uids, used, Rate::default()).level, level, "{used}");
        }
    }

    #[test]
    fn a_space_lasts_as_long_as_its_rate_says() {
        let day = |numbers| Rate { numbers, seconds: DAY };
        let left = |space, used, rate| Outlook::of(space, used, rate).seconds_left;
        assert_eq!(left(Space::Uids, UID_LAST - 1_000, day(1_000)), Some(DAY));
        assert_eq!(left(Space::Uids, 0, day(0)), None, "nothing is used: never");
        assert_eq!(left(Space::Uids, UID_LAST, day(1)), Some(0));
        assert_eq!(left(Space::Uids, 1 << 40, day(1)), Some(0), "beyond the end nothing is left");
        assert_eq!(left(Space::PhysmessageIds, 0, day(PHYSMESSAGE_ID_LAST as u64)), Some(DAY));
        let slowest = Rate { numbers: 1, seconds: u64::MAX };
        assert_eq!(left(Space::MailboxIds, 0, slowest), Some(u64::MAX), "no overflow");
        assert_eq!(left(Space::MailboxIds, i64::MIN, Rate { numbers: u64::MAX, seconds: 1 }), Some(0));
    }

    #[test]
    fn a_rate_needs_time_and_numbers_that_do_not_fall() {
        let at = |at_s, highest| Reading { at_s, highest };
        assert_eq!(Rate::between(at(0, 5), at(10, 25)), Some(Rate { numbers: 20, seconds: 10 }));
        assert_eq!(Rate::between(at(10, 5), at(10, 25)), None);
        assert_eq!(Rate::between(at(0, 25), at(10, 5)), None);
        assert_eq!(Rate::between(at(i64::MIN, 0), at(i64::MAX, 1)), None);
        assert_eq!(Rate { numbers: 20, seconds: 10 }.per_day(), 172_800);
        assert_eq!(Rate { numbers: u64::MAX, seconds: 0 }.per_day(), u64::MAX);
    }

    /// The fear that this project comes from was 1.5 million messages on 64 nodes, and half a billion on two.
    #[test]
    fn what_the_design_costs() {
        let messages = |stride: u16, busiest| {
            let burn = Burn::designed(stride, busiest, Millionths(0));
            burn.messages_for(Outlook::of(Space::Uids, 0, Rate::default()).left).unwrap()
        };
        assert_eq!(messages(2, Millionths::one_of(2)), 4_294_967_294, "two busy nodes: a UID a message");
        assert_eq!(messages(2, Millionths::ONE), 2_147_483_647);
        assert_eq!(messages(64, Millionths::one_of(64)), 4_294_967_294);
        assert_eq!(messages(64, Millionths::ONE), 67_108_863, "64 places, and one node takes all the mail");
        let one_mailbox = |stride, nodes| Burn::one_mailbox(stride, nodes, Millionths(0)).per_message();
        assert_eq!((one_mailbox(2, 1), one_mailbox(2, 2), one_mailbox(64, 64)), (2.0, 1.5, 32.5));
        let renumbered = Burn::designed(64, Millionths::one_of(64), Millionths(10_000));
        assert!((renumbered.per_message() - 1.64).abs() < 1e-9);
        let ends = Outlook::of(Space::Uids, 0, Burn::designed(64, Millionths::one_of(64), Millionths(0)).rate(10, 1));
        assert_eq!(ends.seconds_left.unwrap() / YEAR, 13, "ten messages a second");
    }

    #[test]
    fn a_burn_of_nothing_lasts_for_ever() {
        assert_eq!(Burn::measured(0, 10).unwrap().messages_for(UID_LAST as u64), None);
        assert_eq!(Burn::measured(5, 0), None);
        let most = Burn::designed(u16::MAX, Millionths(u32::MAX), Millionths(u32::MAX));
        assert_eq!(most.messages_for(0), Some(0));
        assert_eq!(most.rate(u64::MAX, u64::MAX).numbers, u64::MAX);
    }
}
