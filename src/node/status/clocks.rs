//! Nodes' clocks, compared. What two nodes changed at once is decided by them.

use super::NodeStatus;

/// Clocks that differ by more than this are a problem: people notice who of two wrote later.
pub const SKEW_MAX_SECONDS: f64 = 1.0;

/// A node whose clock is not that of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Astray {
    /// How far it is ahead, in seconds; negative: behind.
    pub ahead_seconds: f64,
    /// Of which node.
    pub of: String,
}

/// The largest difference between two nodes; `None` unless two answered.
pub fn skew(nodes: &[&NodeStatus]) -> Option<f64> {
    let offsets: Vec<f64> = nodes.iter().filter_map(|node| node.clock_offset_seconds).collect();
    let highest = offsets.iter().copied().reduce(f64::max)?;
    let lowest = offsets.iter().copied().reduce(f64::min)?;
    (offsets.len() > 1).then_some(highest - lowest)
}

/// Whether a node's clock is far from that of the others: from the one in the middle; of two, from the one that is closer to ours. Only
/// what is certain counts, however long the nodes took to answer.
pub fn astray(node: &NodeStatus, nodes: &[NodeStatus]) -> Option<Astray> {
    let offset = node.clock_offset_seconds?;
    let mut known: Vec<(f64, &NodeStatus)> =
        nodes.iter().filter_map(|node| Some((node.clock_offset_seconds?, node))).collect();
    known.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (middle, of) = match known[..] {
        [one, other] => {
            if one.0.abs() <= other.0.abs() {
                one
            } else {
                other
            }
        }
        _ => *known.get(known.len() / 2)?,
    };
    let error = |node: &NodeStatus| node.clock_error_seconds.unwrap_or_default();
    let ahead_seconds = offset - middle;
    let certain = ahead_seconds.abs() - error(node) - error(of);
    (certain > SKEW_MAX_SECONDS).then(|| Astray { ahead_seconds, of: of.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(clocks: &[(f64, f64)]) -> Vec<NodeStatus> {
        let node = |(at, (offset, error)): (usize, &(f64, f64))| NodeStatus {
            name: ["ams", "fra", "nyc"][at].into(),
            clock_offset_seconds: Some(*offset),
            clock_error_seconds: Some(*error),
            ..NodeStatus::default()
        };
        clocks.iter().enumerate().map(node).collect()
    }

    fn astray_of(clocks: &[(f64, f64)]) -> Vec<Option<f64>> {
        let nodes = nodes(clocks);
        nodes.iter().map(|node| astray(node, &nodes).map(|astray| astray.ahead_seconds)).collect()
    }

    #[test]
    fn the_clock_that_differs_from_most_is_the_wrong_one() {
        assert_eq!(astray_of(&[(100.0, 0.0), (100.5, 0.0), (97.5, 0.0)]), [None, None, Some(-2.5)]);
        assert_eq!(astray_of(&[(0.1, 0.0), (3.1, 0.0)]), [None, Some(3.0)], "of two, the one like ours is right");
        assert_eq!(astray_of(&[(-3.0, 0.0), (0.5, 0.0)]), [Some(-3.5), None]);
        assert_eq!(astray_of(&[(9.0, 0.0)]), [None], "ours alone may be wrong");
    }

    #[test]
    fn what_may_be_the_way_of_the_question_is_no_difference() {
        assert_eq!(astray_of(&[(0.0, 0.2), (1.5, 0.4)]), [None, None]);
        assert_eq!(astray_of(&[(0.0, 0.2), (1.7, 0.4)]), [None, Some(1.7)]);
        let nodes = nodes(&[(-1.0, 0.0), (2.0, 0.0)]);
        assert_eq!(skew(&nodes.iter().collect::<Vec<_>>()), Some(3.0));
        assert_eq!(skew(&[&nodes[0]]), None);
    }
}
