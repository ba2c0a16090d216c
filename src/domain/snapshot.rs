//! What a node can see of itself at a moment: PostgreSQL's `pg_snapshot`.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::error::{Error, Kind};

/// A `pg_snapshot`: which transactions of a node had ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The first transaction that had not begun.
    next: u64,
    /// Those before it that were under way.
    open: BTreeSet<u64>,
}

impl Snapshot {
    /// The snapshot of a node on which all transactions before `next` have ended, and none after.
    pub fn before(next: u64) -> Self {
        Self { next, open: BTreeSet::new() }
    }

    /// The first transaction that had not begun: none from there on is seen.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether this snapshot sees all that the other, of the same node, sees. As `dbmail_mesh.covers()`.
    pub fn covers(&self, other: &Self) -> bool {
        self.next >= other.next && self.open.iter().all(|xid| *xid >= other.next || other.open.contains(xid))
    }
}

impl FromStr for Snapshot {
    type Err = Error;

    /// Reads PostgreSQL's text form, `xmin:xmax:xip,…`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::new(Kind::Data, format!("{text:?} is not a pg_snapshot"));
        let mut fields = text.splitn(3, ':').skip(1);
        let next = fields.next().and_then(|field| field.parse().ok()).ok_or_else(wrong)?;
        let open = fields.next().ok_or_else(wrong)?.split(',').filter(|xid| !xid.is_empty());
        Ok(Self { next, open: open.map(|xid| xid.parse().map_err(|_| wrong())).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_as_a_table() {
        for (ours, theirs, expected) in [
            ("10:10:", "10:10:", true),
            ("10:12:", "10:10:", true),
            ("10:10:", "10:12:", false),
            ("10:20:10", "10:20:10", true),
            ("10:20:10", "11:20:", false),
            ("10:20:10,15", "10:20:10,15,17", true),
            ("10:30:25", "20:20:", true),
        ] {
            let [ours, theirs] = [ours, theirs].map(|text| text.parse::<Snapshot>().unwrap());
            assert_eq!(ours.covers(&theirs), expected, "{ours:?} {theirs:?}");
        }
        for text in ["", "10", "10:20", "10:x:", "10:20:a"] {
            assert!(text.parse::<Snapshot>().is_err(), "{text:?}");
        }
    }
}
