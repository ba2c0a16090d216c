//! How far numbers were used up, now and earlier, and the rate that this makes.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Burn, Outlook, Rate, Reading, Space};

/// Less than an hour says nothing of a day.
const SHORTEST_S: u64 = 3_600;

/// The time over which a rate is measured. The first that is known is used: the longer, the less a busy hour counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// The last 30 days.
    Month,
    /// The last 7 days.
    Week,
    /// The last day.
    Day,
    /// Since it was first noted: less than a day, as far as rates go.
    Install,
}

impl Window {
    /// The window of so many days; `None`: since it was first noted.
    pub fn of_days(days: Option<i16>) -> Option<Self> {
        match days {
            Some(30) => Some(Self::Month),
            Some(7) => Some(Self::Week),
            Some(1) => Some(Self::Day),
            Some(_) => None,
            None => Some(Self::Install),
        }
    }

    /// In words: the length, or `install`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Month => "30 days",
            Self::Week => "7 days",
            Self::Day => "1 day",
            Self::Install => "install",
        }
    }

    /// How it was measured, for people.
    pub fn measured(self) -> String {
        match self {
            Self::Install => "since install".into(),
            window => format!("over {}", window.as_str()),
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The highest numbers in use at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Highest {
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// The highest UID.
    pub uid: i64,
    /// The highest physmessage id.
    pub physmessage_id: i64,
    /// The highest mailbox id.
    pub mailbox_id: i64,
}

impl Highest {
    /// The highest of one space.
    pub fn of(&self, space: Space) -> i64 {
        match space {
            Space::Uids => self.uid,
            Space::PhysmessageIds => self.physmessage_id,
            Space::MailboxIds => self.mailbox_id,
        }
    }

    fn reading(&self, space: Space) -> Reading {
        Reading { at_s: self.at_s, highest: self.of(space) }
    }

    fn or_higher(self, other: Self) -> Self {
        Self {
            at_s: self.at_s.max(other.at_s),
            uid: self.uid.max(other.uid),
            physmessage_id: self.physmessage_id.max(other.physmessage_id),
            mailbox_id: self.mailbox_id.max(other.mailbox_id),
        }
    }

    /// What two nodes say of the beginning of a window. Each was installed at a time of its own: the one that knows the longer counts.
    fn joined(self, other: Self, window: Window) -> Self {
        match window {
            Window::Install if self.at_s <= other.at_s => self,
            Window::Install => other,
            _ => self.or_higher(other),
        }
    }
}

/// A node's numbers, or a mesh's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Now.
    pub now: Highest,
    /// At the beginning of each window that is known.
    pub earlier: BTreeMap<Window, Highest>,
}

impl History {
    /// The highest of several nodes, now and then. Physmessage ids of different nodes have nothing to do with each other: those of a
    /// mesh say nothing.
    pub fn of_mesh<'a>(nodes: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut mesh = Self::default();
        for node in nodes {
            mesh.now = mesh.now.or_higher(node.now);
            for (&window, &earlier) in &node.earlier {
                let joined = |known: &mut Highest| *known = known.joined(earlier, window);
                mesh.earlier.entry(window).and_modify(joined).or_insert(earlier);
            }
        }
        mesh
    }

    /// The rate over a window, if it is known.
    pub fn rate(&self, space: Space, window: Window) -> Option<Rate> {
        let rate = Rate::between(self.earlier.get(&window)?.reading(space), self.now.reading(space))?;
        (rate.seconds >= SHORTEST_S).then_some(rate)
    }

    /// The rate to go by, and over which window it was measured.
    pub fn best_rate(&self, space: Space) -> Option<(Window, Rate)> {
        self.earlier.keys().find_map(|&window| Some((window, self.rate(space, window)?)))
    }

    /// The outlook at the rate to go by; without one, as if nothing were used.
    pub fn outlook(&self, space: Space) -> Outlook {
        let rate = self.best_rate(space).map(|(_, rate)| rate).unwrap_or_default();
        Outlook::of(space, self.now.of(space), rate)
    }
}

/// What a message cost in UIDs over a window. Each message takes one physmessage id on every node, delivered there or not; a node that
/// was just filled took more of them, one that is behind fewer: the fewest count, so that rather too much is told than too little.
pub fn burn_over(mesh: &History, nodes: &[&History], window: Window) -> Option<Burn> {
    let uids = mesh.rate(Space::Uids, window)?.numbers;
    let messages = nodes.iter().filter_map(|node| Some(node.rate(Space::PhysmessageIds, window)?.numbers));
    Burn::measured(uids, messages.filter(|messages| *messages > 0).min()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn highest(at_s: i64, uid: i64, physmessage_id: i64) -> Highest {
        Highest { at_s, uid, physmessage_id, mailbox_id: 0 }
    }

    fn history(now: Highest, earlier: &[(Window, Highest)]) -> History {
        History { now, earlier: earlier.iter().copied().collect() }
    }

    #[test]
    fn the_longest_window_that_is_known_counts() {
        let short = [(Window::Install, highest(0, 0, 0)), (Window::Day, highest(5_000, 5, 0))];
        let node = history(highest(10_000, 105, 0), &short);
        assert_eq!(node.best_rate(Space::Uids), Some((Window::Day, Rate { numbers: 100, seconds: 5_000 })));
        let restored = history(highest(10_000, 3, 0), &short);
        let best = restored.best_rate(Space::Uids);
        assert_eq!(best, Some((Window::Install, Rate { numbers: 3, seconds: 10_000 })), "one that fell is none");
        let begun = history(highest(3_599, 7, 0), &short[..1]);
        assert_eq!((begun.best_rate(Space::Uids), begun.outlook(Space::Uids).seconds_left), (None, None));
    }

    /// A node that has just joined went from nothing to where the others are: that is no rate of the mesh's.
    #[test]
    fn the_rate_of_a_mesh_is_the_advance_of_the_highest() {
        let old = history(highest(10_000, 2_000, 900), &[(Window::Day, highest(0, 1_000, 400))]);
        let installed = (Window::Install, highest(9_999, 2_000, 5_000));
        let new = history(highest(10_001, 2_001, 5_000), &[(Window::Day, highest(1, 8, 0)), installed]);
        let old =
            History { earlier: [(Window::Install, highest(0, 0, 0))].into_iter().chain(old.earlier).collect(), ..old };
        let mesh = History::of_mesh([&new, &old]);
        assert_eq!(mesh.rate(Space::Uids, Window::Day), Some(Rate { numbers: 1_001, seconds: 10_000 }));
        let since = Some(Rate { numbers: 2_001, seconds: 10_001 });
        assert_eq!(mesh.rate(Space::Uids, Window::Install), since, "since the first was installed");
        let burn = burn_over(&mesh, &[&new, &old], Window::Day).unwrap();
        assert_eq!(burn, Burn::measured(1_001, 500).unwrap(), "the new node was filled meanwhile");
        assert_eq!(burn_over(&mesh, &[&new, &old], Window::Week), None);
    }
}
