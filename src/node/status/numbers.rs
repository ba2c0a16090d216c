//! How far a node's numbers are used up, and when they end at the rate that was measured.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_postgres::Row;

use super::percent;
use crate::domain::budget::{Highest, History, Level, Outlook, Rate, Space, Window};

/// What is used of one space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpaceStatus {
    /// Which.
    pub space: Space,
    /// The highest number in use.
    pub highest: i64,
    /// The last one that can be used.
    pub last: i64,
    /// The highest in percent of the last.
    pub used_percent: f64,
    /// The same in one word.
    pub level: Level,
    /// How many numbers a day are used up; `None` when it is not known yet.
    pub per_day: Option<u64>,
    /// Over which time that was measured: `30 days`, `7 days`, `1 day`, or since `install`.
    pub measured_over: Option<Window>,
    /// When the last one is reached at this rate; `None`: never, not before the year 10000, or not known.
    pub ends_at: Option<Timestamp>,
}

impl SpaceStatus {
    /// One space of a node, or of a mesh, at the rate to go by.
    pub fn of(history: &History, space: Space) -> Self {
        let best = history.best_rate(space);
        let rate = best.map(|(_, rate)| rate).unwrap_or_default();
        Self {
            per_day: best.map(|(_, rate)| rate.per_day()),
            measured_over: best.map(|(window, _)| window),
            ..Self::at_rate(space, history.now.of(space), rate, history.now.at_s)
        }
    }

    /// One space of which numbers up to `highest` are used at `now_s`, and go on being used at `rate`.
    pub fn at_rate(space: Space, highest: i64, rate: Rate, now_s: i64) -> Self {
        let outlook = Outlook::of(space, highest, rate);
        Self {
            space,
            highest,
            last: space.last(),
            used_percent: percent(highest, space.last()),
            level: outlook.level,
            per_day: Some(rate.per_day()),
            measured_over: None,
            ends_at: outlook.seconds_left.and_then(|seconds| after(now_s, seconds)),
        }
    }
}

/// So many seconds after a time; `None` past the last that can be written.
pub fn after(at_s: i64, seconds: u64) -> Option<Timestamp> {
    let length = SignedDuration::from_secs(i64::try_from(seconds).ok()?);
    Timestamp::from_second(at_s).ok()?.checked_add(length).ok()
}

/// The spaces that a node uses up.
pub(super) fn of_node(history: &History) -> Vec<SpaceStatus> {
    [Space::Uids, Space::PhysmessageIds, Space::MailboxIds].map(|space| SpaceStatus::of(history, space)).into()
}

/// From a row of `status/node.sql` and those of `status/samples.sql`.
pub(super) fn history(node: &Row, samples: &[Row]) -> History {
    let asked_at: Timestamp = node.get("asked_at");
    let now = Highest {
        at_s: asked_at.as_second(),
        uid: node.get("uid_highest"),
        physmessage_id: node.get("physmessage_id_highest"),
        mailbox_id: node.get("mailbox_id_highest"),
    };
    let earlier = samples.iter().filter_map(|row| {
        let highest = Highest {
            at_s: row.get("at_s"),
            uid: row.get("uid"),
            physmessage_id: row.get("physmessage_id"),
            mailbox_id: row.get("mailbox_idnr"),
        };
        Some((Window::of_days(row.get("days"))?, highest))
    });
    History { now, earlier: earlier.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_the_last_date_has_none() {
        assert_eq!(after(0, 86_400).unwrap().to_string(), "1970-01-02T00:00:00Z");
        assert_eq!(after(0, u64::MAX), None);
        assert_eq!(after(1_800_000_000, 1 << 60), None);
    }
}
