//! Which candidates are differences, and which are only under way.
//!
//! A candidate is looked at; then every link has to bring what its source had by then; then it is looked at again. What is in the same
//! state as before on every node, and still differs, differs: nothing that is under way will change it. What has changed in the meantime
//! is looked at once more, until the time is up.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant, sleep};

use super::look::{AT_ONCE, look, set_aside};
use super::passing::{Lacks, Moment};
use super::session::Nodes;
use super::{Progress, Scope};
use crate::domain::comparison::{Found, Verdict, compare, fingerprint};
use crate::error::Result;

/// Between two rounds: a settlement takes its time.
const ROUND_INTERVAL: Duration = Duration::from_millis(200);

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// A user, a mailbox or an entry: its kind and its key. Before messages, which they carry.
    Thing(Box<(String, String)>),
    /// A message, by its birth UID.
    Message(i64),
}

impl Subject {
    pub(super) fn thing(kind: &str, key: &str) -> Self {
        Self::Thing(Box::new((kind.to_owned(), key.to_owned())))
    }

    pub(super) fn message(&self) -> Option<i64> {
        match self {
            Self::Message(birth) => Some(*birth),
            Self::Thing(_) => None,
        }
    }

    pub(super) fn kind_and_key(&self) -> Option<(&str, &str)> {
        match self {
            Self::Message(_) => None,
            Self::Thing(thing) => Some((&thing.0, &thing.1)),
        }
    }
}

/// A difference.
#[derive(Clone, Debug)]
pub(super) struct Confirmed {
    pub(super) subject: Subject,
    pub(super) what: Vec<String>,
    pub(super) found: Vec<Found>,
}

/// What is neither equal nor a difference, and why.
#[derive(Clone, Debug)]
pub(super) struct Undecided {
    pub(super) subject: Subject,
    pub(super) reason: String,
}

/// Takes what has been judged, one by one.
pub(super) trait Verdicts {
    fn differs(&mut self, confirmed: Confirmed);
    fn undecided(&mut self, undecided: Undecided);
}

/// Judges candidates until all are judged or the time is up.
pub(super) async fn judge(
    nodes: &Nodes,
    scope: &Scope,
    subjects: impl IntoIterator<Item = Subject>,
    progress: &impl Progress,
    verdicts: &mut impl Verdicts,
) -> Result<()> {
    let deadline = Instant::now() + scope.wait;
    let mut open: BTreeMap<Subject, u64> = BTreeMap::new();
    let subjects: Vec<Subject> = subjects.into_iter().collect();
    for batch in subjects.chunks(AT_ONCE) {
        for (subject, found) in batch.iter().zip(look(nodes, scope, batch).await?) {
            if compare(found.iter()) != Verdict::Equal {
                open.insert(subject.clone(), fingerprint(&found));
            }
        }
    }
    drop(subjects);
    while !open.is_empty() {
        progress.judging(open.len());
        let lacks = Moment::now(nodes).await?.pass(nodes, deadline).await?;
        let over = Instant::now() >= deadline;
        let aside = set_aside(nodes).await?;
        let subjects: Vec<Subject> = open.keys().cloned().collect();
        for batch in subjects.chunks(AT_ONCE) {
            for (subject, found) in batch.iter().zip(look(nodes, scope, batch).await?) {
                let print = fingerprint(&found);
                let same = open.get(subject) == Some(&print);
                match settle(&found, same, &lacks, aside.get(subject)) {
                    Outcome::Equal => drop(open.remove(subject)),
                    Outcome::Differs(what) => {
                        open.remove(subject);
                        verdicts.differs(Confirmed { subject: subject.clone(), what, found });
                    }
                    Outcome::Open(reason) if over => {
                        open.remove(subject);
                        verdicts.undecided(Undecided { subject: subject.clone(), reason });
                    }
                    Outcome::Open(_) => {
                        open.insert(subject.clone(), print);
                    }
                }
            }
        }
        if !open.is_empty() {
            sleep(ROUND_INTERVAL).await;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Equal,
    Differs(Vec<String>),
    Open(String),
}

/// What is to be said after links have passed. Only nodes that lack nothing are judged by.
fn settle(found: &[Found], same: bool, lacks: &Lacks, aside: Option<&String>) -> Outcome {
    match compare(found.iter()) {
        Verdict::Equal => return Outcome::Equal,
        Verdict::Waiting(reason) => return Outcome::Open(reason),
        Verdict::Differs(_) => {}
    }
    if let Some(reason) = aside {
        return Outcome::Open(reason.clone());
    }
    let complete = found.iter().zip(lacks).filter(|(_, lack)| lack.is_none()).map(|(found, _)| found);
    match compare(complete) {
        Verdict::Differs(what) if same => Outcome::Differs(what),
        Verdict::Differs(_) => Outcome::Open("it has changed while it was looked at".into()),
        _ => Outcome::Open(lacks.iter().flatten().next().cloned().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_is_a_difference() {
        let here = |uid: &str| Found::Here([("uid".to_owned(), uid.to_owned())].into());
        let lack = || Some("link ams -> fra has not brought everything".to_owned());
        let open = |reason: &str| Outcome::Open(reason.into());
        let missing = || Outcome::Differs(vec!["missing".into()]);
        let aside = "set aside on fra: why".to_owned();
        for (found, same, lacks, aside, expected) in [
            (vec![here("1"), here("1")], true, vec![None, None], None, Outcome::Equal),
            (vec![here("1"), Found::Absent], true, vec![None, None], None, missing()),
            (
                vec![here("1"), Found::Absent],
                false,
                vec![None, None],
                None,
                open("it has changed while it was looked at"),
            ),
            (vec![here("1"), Found::Absent], true, vec![None, lack()], None, open(&lack().unwrap())),
            (vec![here("1"), Found::Absent], true, vec![None, None], Some(&aside), open("set aside on fra: why")),
            (vec![here("1"), Found::Waiting("late".into())], true, vec![None, None], None, open("late")),
            // The third is behind: that says nothing of the first two.
            (vec![here("1"), Found::Absent, here("1")], true, vec![None, None, lack()], None, missing()),
            (vec![here("1"), here("1"), Found::Absent], true, vec![None, None, lack()], None, open(&lack().unwrap())),
        ] {
            assert_eq!(settle(&found, same, &lacks, aside), expected, "{found:?} {lacks:?}");
        }
    }
}
