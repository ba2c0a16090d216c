//! What is known of a node while nothing happens there.
//!
//! The active worker says each second on the lock's session that it lives, and hears in return all that its tasks would ask the node for one
//! by one ([`crate::node::look`]). A task that has nothing to do goes by that; where it is not known, or says that there is something, the
//! task asks by itself. So an idle node is asked once a second by a worker, however many links and tasks it has; and a change for which no
//! bell rang is found by the next look, which rings it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::ids::NodeId;
use crate::domain::snapshot::Snapshot;
use crate::node::look::Looked;

/// For how long an answer counts: until the next one should have come, and not much longer.
const FRESH: Duration = Duration::from_millis(1500);

/// What a node has said last.
#[derive(Debug, Default)]
pub(crate) struct Outlook(Mutex<Option<Heard>>);

#[derive(Debug)]
struct Heard {
    at: Instant,
    looked: Looked,
    /// Nothing has become visible in the outbox since this snapshot.
    quiet_since: Snapshot,
    snapshot: Snapshot,
}

impl Outlook {
    /// The snapshot of the last look, for the next one.
    pub(crate) fn last(&self) -> Option<String> {
        self.with(|heard| Some(heard.as_ref()?.looked.snapshot.clone()))
    }

    /// Takes over what was found since [`last`](Self::last). Returns whether there is anything new for those who read from the node.
    pub(crate) fn hear(&self, looked: Looked) -> bool {
        self.hear_at(looked, Instant::now())
    }

    fn hear_at(&self, looked: Looked, at: Instant) -> bool {
        let Ok(snapshot) = looked.snapshot.parse::<Snapshot>() else { return false };
        self.with(|heard| {
            let (had, quiet) = (heard.is_some(), looked.is_quiet);
            let quiet_since = match heard.take() {
                Some(before) if quiet => before.quiet_since,
                _ => snapshot.clone(),
            };
            *heard = Some(Heard { at, looked, quiet_since, snapshot });
            had && !quiet
        })
    }

    /// Nothing is known any more: the session is over.
    pub(crate) fn forget(&self) {
        self.with(|heard| *heard = None);
    }

    /// A later moment of the node than `seen`, up to which nothing has become visible in its outbox since. `None`: that is not known.
    pub(crate) fn quiet(&self, seen: &str) -> Option<String> {
        let of = seen.parse::<Snapshot>().ok()?;
        self.fresh(|heard| {
            let later = if heard.snapshot.covers(&of) { &heard.looked.snapshot } else { seen };
            of.covers(&heard.quiet_since).then(|| later.to_owned())
        })?
    }

    /// Whether any of these is surely not paused.
    pub(crate) fn goes(&self, sources: &[NodeId]) -> bool {
        self.says(|looked| sources.iter().all(|source| !looked.paused.contains(source)))
    }

    /// Whether surely no row of this source is due.
    pub(crate) fn has_none_due(&self, source: NodeId) -> bool {
        self.says(|looked| !looked.due.contains(&source))
    }

    /// Whether surely no rows are set aside.
    pub(crate) fn has_none_aside(&self) -> bool {
        self.says(|looked| !looked.has_aside)
    }

    /// Whether surely nothing is to be taken out, and nobody was overtaken.
    pub(crate) fn has_no_housework(&self) -> bool {
        self.says(|looked| !looked.has_housework)
    }

    /// Whether surely nobody has come from a node that is gone.
    pub(crate) fn has_no_moved_readers(&self) -> bool {
        self.says(|looked| !looked.has_moved_readers)
    }

    /// Whether surely nothing was late a moment ago.
    pub(crate) fn has_none_late(&self) -> bool {
        self.says(|looked| !looked.has_late)
    }

    fn says(&self, what: impl FnOnce(&Looked) -> bool) -> bool {
        self.fresh(|heard| what(&heard.looked)).unwrap_or(false)
    }

    fn fresh<T>(&self, ask: impl FnOnce(&Heard) -> T) -> Option<T> {
        self.with(|heard| heard.as_ref().filter(|heard| heard.at.elapsed() < FRESH).map(ask))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Heard>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::node::schema::Schema;

    fn looked(next: u64, is_quiet: bool) -> Looked {
        Looked {
            schema: Schema { version: 1, needs: 1 },
            snapshot: format!("{next}:{next}:"),
            is_quiet,
            paused: BTreeSet::new(),
            due: BTreeSet::from([NodeId(2)]),
            has_aside: true,
            has_housework: false,
            has_moved_readers: false,
            has_late: false,
        }
    }

    #[test]
    fn a_reader_is_taken_along_for_as_long_as_nothing_comes() {
        let outlook = Outlook::default();
        assert_eq!((outlook.last(), outlook.quiet("10:10:")), (None, None));
        assert!(!outlook.hear(looked(10, false)), "the first look has nothing to compare with");
        assert_eq!(outlook.quiet("9:9:"), None, "what came before it is not known");
        assert_eq!(outlook.quiet("12:12:").as_deref(), Some("12:12:"), "whoever is ahead of it stays there");
        assert!(!outlook.hear(looked(20, true)));
        assert!(!outlook.hear(looked(30, true)));
        assert_eq!(outlook.quiet("12:12:").as_deref(), Some("30:30:"));
        assert!(outlook.hear(looked(40, false)), "something has come: the bell rings");
        assert_eq!(outlook.quiet("12:12:"), None, "and has to be read");
        assert!(!outlook.hear(looked(50, true)));
        assert_eq!((outlook.quiet("12:12:"), outlook.quiet("39:41:39")), (None, None), "also behind it");
        assert_eq!(outlook.quiet("45:45:").as_deref(), Some("50:50:"));
        assert_eq!(outlook.quiet("nothing"), None);
        assert_eq!(outlook.last().as_deref(), Some("50:50:"));
    }

    #[test]
    fn what_is_not_known_any_more_is_asked_for() {
        let outlook = Outlook::default();
        let all = |outlook: &Outlook| {
            [
                outlook.goes(&[NodeId(1)]),
                outlook.has_none_due(NodeId(1)),
                outlook.has_no_housework(),
                outlook.has_none_late(),
            ]
        };
        assert_eq!(all(&outlook), [false; 4]);
        outlook.hear(looked(10, true));
        assert_eq!(all(&outlook), [true; 4]);
        assert!(outlook.has_no_moved_readers() && !outlook.has_none_aside() && !outlook.has_none_due(NodeId(2)));
        outlook.hear_at(looked(10, true), Instant::now() - FRESH);
        assert_eq!(all(&outlook), [false; 4], "it is too old");
        outlook.hear(looked(10, true));
        outlook.forget();
        assert_eq!(all(&outlook), [false; 4]);
    }
}
