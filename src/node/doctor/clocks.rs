//! Judges the clocks of the nodes and of this machine. Pure.

use super::facts::Clock;
use super::finding::{Finding, Findings};
use crate::domain::budget::Level;

/// From so many seconds apart on, the highest first.
const APART: [(f64, Level); 2] = [(300.0, Level::Critical), (2.0, Level::Warning)];

const WHY: &str =
    "of two changes to the same thing the later wins, by these clocks; and they say how long a login is ago";
const MEND: &str = "keep all clocks in step by NTP (chrony, systemd-timesyncd); timedatectl tells whether that is so";

/// The clocks of nodes, by their names, against this machine's.
pub(super) fn judge(clocks: &[(String, Clock)]) -> Vec<Finding> {
    let mut all = Vec::new();
    let Some(common) = median(clocks.iter().map(|(_, clock)| clock.ahead_s).collect()) else { return all };
    for (name, clock) in clocks {
        let mut found = Findings::about(Some(name));
        let others = if clocks.len() > 1 { "the nodes' common time" } else { "this machine" };
        let ahead = if clocks.len() > 1 { clock.ahead_s - common } else { clock.ahead_s };
        one(ahead, clock.within_s, others, &mut found);
        all.extend(found.all);
    }
    if clocks.len() > 1 {
        let within = clocks.iter().map(|(_, clock)| clock.within_s).fold(0.0, f64::max);
        let mut found = Findings::about(None);
        one(-common, within, "the nodes", &mut found);
        all.extend(found.all);
    }
    all
}

fn one(ahead_s: f64, within_s: f64, others: &str, found: &mut Findings) {
    let what = match ahead_s {
        ahead if ahead >= 0.0 => format!("{ahead:.1} s ahead of {others} (± {within_s:.1} s)"),
        behind => format!("{:.1} s behind {others} (± {within_s:.1} s)", -behind),
    };
    // Only what is sure counts: a slow answer is no wrong clock.
    let sure = ahead_s.abs() - within_s;
    match APART.iter().find(|(apart, _)| sure >= *apart) {
        Some((_, level)) => found.say(*level, "clock", what, WHY, MEND),
        None => found.ok("clock", what),
    }
}

/// The one in the middle, the lower of two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(ahead: &[(f64, f64)]) -> Vec<Level> {
        let clocks: Vec<_> =
            ahead.iter().map(|&(ahead_s, within_s)| ("n".to_owned(), Clock { ahead_s, within_s })).collect();
        judge(&clocks).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn the_clock_that_differs_from_the_others_is_named() {
        use Level::{Critical, Ok, Warning};
        assert_eq!(levels(&[]), []);
        assert_eq!(levels(&[(1.0, 0.0)]), [Ok]);
        assert_eq!(levels(&[(3.0, 0.0)]), [Warning], "one node is compared with this machine");
        assert_eq!(levels(&[(0.0, 0.0), (0.1, 0.0), (9.0, 0.0)]), [Ok, Ok, Warning, Ok]);
        assert_eq!(levels(&[(50.0, 0.0), (50.1, 0.0), (50.0, 0.0)]), [Ok, Ok, Ok, Warning], "it is this machine");
        assert_eq!(levels(&[(0.0, 0.0), (0.0, 0.0), (-400.0, 1.0)]), [Ok, Ok, Critical, Ok]);
        assert_eq!(levels(&[(0.0, 0.0), (0.0, 0.0), (9.0, 8.0)]), [Ok, Ok, Ok, Ok], "the answer took long");
    }
}
