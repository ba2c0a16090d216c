//! When a register was written, and where.

use super::ids::NodeId;

/// Bits of a stamp that hold the node's number.
const NODE_BITS: u32 = 12;

/// When a register was written, and where: microseconds since 2020-01-01 UTC above, the node's number below. Of two writes the one with
/// the greater stamp is the later; no two have the same. `dbmail_mesh.next_stamp` makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub i64);

impl Stamp {
    /// The stamp of what was never written since it came into being.
    pub const NEVER: Self = Self(0);

    /// The node that wrote it; `None`: never written.
    pub fn node(self) -> Option<NodeId> {
        (self.0 > 0).then_some(NodeId((self.0 & ((1 << NODE_BITS) - 1)) as i16))
    }

    /// The stamp of a write by `node` at `now` (microseconds since 2020) that follows the one with this stamp, as
    /// `dbmail_mesh.next_stamp` makes it.
    pub fn next(self, now: i64, node: NodeId) -> Self {
        Self::of(now.max((self.0 >> NODE_BITS) + 1), node)
    }

    /// The earliest stamp of `node` that is later than this one, whatever the clock says: a write that gives way to any other that was
    /// made in the meantime.
    pub fn just_after(self, node: NodeId) -> Self {
        Self::of((self.0 >> NODE_BITS) + 1, node)
    }

    /// When it was written: microseconds since 2020.
    pub fn micros(self) -> i64 {
        self.0 >> NODE_BITS
    }

    /// The stamp of `node` at `micros`. Time ends in the year 2091: there it stands still.
    pub fn of(micros: i64, node: NodeId) -> Self {
        Self((micros.clamp(0, i64::MAX >> NODE_BITS) << NODE_BITS) | i64::from(node.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn just_after_is_later_and_earlier_than_the_next_microsecond_but_one() {
        let stamp = Stamp((1_000 << NODE_BITS) | 7);
        assert!(stamp.just_after(NodeId(1)) > stamp);
        assert!(stamp.just_after(NodeId(1)) < Stamp((1_002 << NODE_BITS) | 1));
        assert_eq!(stamp.just_after(NodeId(1)).node(), Some(NodeId(1)));
        assert_eq!(Stamp::NEVER.node(), None);
    }
}
