//! A message's flags and keywords.

use std::collections::BTreeMap;

use super::ids::NodeId;
use super::register::Register;
use super::stamp::Stamp;

/// \Seen, \Answered, \Deleted, \Flagged, \Draft, in this order: those of RFC 3501, 2.3.2, that are the same for all sessions.
pub const FLAGS: [&str; 5] = ["seen", "answered", "deleted", "flagged", "draft"];

/// A message's flags and keywords, each a register of its own. A keyword that is not named was never there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// In the order of [`FLAGS`].
    pub flags: [Register<bool>; FLAGS.len()],
    /// Whether each keyword is set.
    pub keywords: BTreeMap<String, Register<bool>>,
}

impl Marks {
    /// Those registers of `other` that win over these: the flags (if any), and the keywords. Empty: there is nothing new in it.
    pub fn news_in(&self, other: &Self) -> News {
        let never = Register::default();
        News {
            flags: self.flags.iter().zip(&other.flags).any(|(ours, theirs)| theirs > ours),
            keywords: other
                .keywords
                .iter()
                .filter(|(keyword, theirs)| *theirs > self.keywords.get(*keyword).unwrap_or(&never))
                .map(|(keyword, theirs)| (keyword.clone(), theirs.clone()))
                .collect(),
        }
    }

    /// Who wrote those registers of `other` that win over these: one a register. `None`: nobody did, since it came into being.
    pub fn writers_of_news_in(&self, other: &Self) -> impl Iterator<Item = Option<NodeId>> {
        let flags = self.flags.iter().zip(&other.flags).filter(|(ours, theirs)| theirs > ours);
        let keywords = other.keywords.iter().filter(|(keyword, theirs)| match self.keywords.get(*keyword) {
            Some(ours) => *theirs > ours,
            None => **theirs > Register::default(),
        });
        let stamps = flags.map(|(_, theirs)| theirs.stamp).chain(keywords.map(|(_, theirs)| theirs.stamp));
        stamps.map(Stamp::node)
    }

    /// Each register the later of the two.
    pub fn join(mut self, other: Self) -> Self {
        for (ours, theirs) in self.flags.iter_mut().zip(other.flags) {
            ours.join(theirs);
        }
        for (keyword, theirs) in other.keywords {
            self.keywords.entry(keyword).or_default().join(theirs);
        }
        self
    }

    /// The keywords that are set.
    pub fn set_keywords(&self) -> impl Iterator<Item = &str> {
        self.keywords.iter().filter(|(_, register)| register.value).map(|(keyword, _)| keyword.as_str())
    }
}

/// What is new in somebody else's marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Whether a flag is.
    pub flags: bool,
    /// The keywords that are.
    pub keywords: BTreeMap<String, Register<bool>>,
}

impl News {
    /// Whether there is nothing new.
    pub fn is_empty(&self) -> bool {
        !self.flags && self.keywords.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stamp: i64, value: bool) -> Register<bool> {
        Register { stamp: Stamp(stamp), value }
    }

    fn marks(seen: Register<bool>, flagged: Register<bool>, keywords: &[(&str, Register<bool>)]) -> Marks {
        let mut marks = Marks::default();
        marks.flags[0] = seen;
        marks.flags[3] = flagged;
        marks.keywords = keywords.iter().map(|(keyword, register)| ((*keyword).into(), register.clone())).collect();
        marks
    }

    #[test]
    fn each_register_joins_by_itself() {
        let a = marks(at(10, true), at(0, false), &[("work", at(30, false)), ("old", at(0, true))]);
        let b = marks(at(0, false), at(20, true), &[("work", at(25, true)), ("new", at(5, true))]);
        let both = a.clone().join(b.clone());
        assert_eq!(both, b.clone().join(a.clone()));
        assert_eq!(both.clone().join(a.clone()), both);
        assert_eq!((both.flags[0].value, both.flags[3].value), (true, true));
        assert_eq!(both.set_keywords().collect::<Vec<_>>(), ["new", "old"]);
        let news = a.news_in(&b);
        assert!(news.flags);
        assert_eq!(news.keywords.keys().collect::<Vec<_>>(), ["new"]);
        assert!(both.news_in(&a).is_empty() && both.news_in(&b).is_empty());
    }

    #[test]
    fn a_flag_set_and_cleared_at_once_ends_as_the_later_said() {
        let flag = |stamp, value| marks(at(stamp, value), at(0, false), &[]);
        for (first, second, expected) in [(flag(5, true), flag(6, false), false), (flag(6, true), flag(5, false), true)]
        {
            assert_eq!(first.clone().join(second.clone()).flags[0].value, expected);
            assert_eq!(second.join(first).flags[0].value, expected);
        }
        assert!(flag(0, false).join(flag(0, true)).flags[0].value, "copies that differ end with the flag set");
    }
}
