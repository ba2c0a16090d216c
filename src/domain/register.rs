//! Registers: what can change on two nodes at once, and how both come to hold the same.

use super::stamp::Stamp;

/// A value with the stamp of its last write. The later write wins; of two values that were never written since they were adopted, or
/// bear the same stamp for whatever reason, the greater does. So joining is taking the greater of two registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register<T> {
    /// When and where it was written.
    pub stamp: Stamp,
    /// What was written.
    pub value: T,
}

impl<T: Ord> Register<T> {
    /// Takes over `other` if that goes before this; returns whether it did.
    pub fn join(&mut self, other: Self) -> bool {
        let later = other > *self;
        if later {
            *self = other;
        }
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_write_wins_and_of_adopted_values_the_greater() {
        let register = |stamp, value| Register { stamp: Stamp(stamp), value };
        for (held, incoming, expected) in [
            (register(5, "b"), register(6, "a"), register(6, "a")),
            (register(6, "a"), register(5, "b"), register(6, "a")),
            (register(0, "a"), register(0, "b"), register(0, "b")),
            (register(0, "b"), register(0, "a"), register(0, "b")),
        ] {
            let mut joined = held.clone();
            assert_eq!(joined.join(incoming), joined != held);
            assert_eq!(joined, expected);
        }
    }
}
