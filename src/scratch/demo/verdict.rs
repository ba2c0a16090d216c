//! What was found and counted, told in a line each.

use std::fmt::Write as _;
use std::time::Duration;

use super::pulse::Pulse;
use super::story::Story;
use crate::error::Result;
use crate::scratch::findings::{Guarantee, Report};

/// How many findings of a guarantee are printed.
const PRINTED_MAX: usize = 5;

/// What is checked, in words.
const GUARANTEES: [(Guarantee, &str, &str); 6] = [
    (Guarantee::A, "A", "a UID never stands for two messages"),
    (Guarantee::B, "B", "nothing appears below a UID that a client was shown"),
    (Guarantee::C, "C", "a UID that died stays dead, on every node"),
    (Guarantee::D, "D", "all nodes show the same"),
    (Guarantee::E, "E", "every delivery is there once, and nothing expunged"),
    (Guarantee::Limits, " ", "ids of content stay dense, as dbmail needs them"),
];

const SLOW: &str = "  \
  B: a mailbox was locked for longer than a delivery waits for us, so one went ahead and overtook another. That one is renumbered,
  and no client misses it, but it was visible under its low UID meanwhile. The README says so under Limits; here it means that
  this machine is too slow for this traffic.";

/// The outcome of the traffic.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) report: Report,
    /// Statements of dbmail's that failed.
    pub(super) failures: Vec<String>,
    /// Whether a delivery could not wait for its mailbox's lock.
    pub(super) overtaken: bool,
    pub(super) tally: Tally,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) deliveries: usize,
    pub(super) copies: usize,
    pub(super) expunges: usize,
    pub(super) renumbered: i64,
    pub(super) new_uids: i64,
    pub(super) late_s_max: f64,
    pub(super) behind_s_max: f64,
    pub(super) highest_uid: i64,
    /// How long the nodes took to become equal; `None` when they did not in time.
    pub(super) converged: Option<Duration>,
    /// By node: downloads, and those among them of a message that the client had under another UID.
    pub(super) downloads: Vec<(String, (usize, usize))>,
}

impl Tally {
    /// Takes over the numbers of a moment.
    pub(super) fn note(&mut self, pulse: &Pulse) {
        self.renumbered = self.renumbered.max(pulse.renumbered);
        self.new_uids = self.new_uids.max(pulse.new_uids);
        self.highest_uid = self.highest_uid.max(pulse.highest_uid);
        self.late_s_max = self.late_s_max.max(pulse.late_s);
        self.behind_s_max = self.behind_s_max.max(pulse.behind_s);
    }

    /// UIDs used up for each message. dbmail alone uses two for a delivery, and one for a copy.
    fn uids_per_message(&self) -> f64 {
        let messages = u32::try_from((self.deliveries + self.copies).max(1)).unwrap_or(u32::MAX);
        let uids = u32::try_from(self.highest_uid).unwrap_or(u32::MAX);
        f64::from(uids) / f64::from(messages)
    }

    fn lines(&self) -> String {
        let Self { deliveries, copies, expunges, renumbered, new_uids, .. } = self;
        let mut text = format!(
            "  {deliveries} deliveries, {copies} copies, {expunges} expunges, {renumbered} messages renumbered ({new_uids} new UIDs)\n"
        );
        if let Some(after) = self.converged {
            let _ = writeln!(text, "  nodes equal {:.1} s after the traffic ended", after.as_secs_f64());
        }
        let _ = writeln!(
            text,
            "  longest wait for a new UID {:.1} s, greatest lag {:.1} s",
            self.late_s_max, self.behind_s_max
        );
        for (node, (all, again)) in &self.downloads {
            let _ = writeln!(
                text,
                "  clients of {node}: {all} downloads, {again} of them of a message they had under another UID"
            );
        }
        let _ =
            write!(text, "  {:.1} UIDs used up per message (highest: {})", self.uids_per_message(), self.highest_uid);
        text
    }
}

impl Verdict {
    /// Whether everything held.
    pub(super) fn held(&self) -> bool {
        self.report.held() && self.failures.is_empty() && self.tally.converged.is_some()
    }

    /// Prints a line for each guarantee, what was found, and the numbers. Returns whether everything held.
    pub(super) fn tell(&self, story: &mut Story<'_>) -> Result<bool> {
        let Report { messages, .. } = self.report;
        story.say(format!("The databases of all nodes ({messages} messages) and what the clients saw:\n"))?;
        for (guarantee, letter, words) in GUARANTEES {
            story.say(line(letter, words, self.report.of(guarantee)))?;
        }
        story.say(line("G", "no statement of dbmail's failed, no deadlock", &self.failures))?;
        if self.overtaken && !self.report.of(Guarantee::B).is_empty() {
            story.say(SLOW)?;
        }
        if self.tally.converged.is_none() {
            story.say("  The nodes did not become equal in time.")?;
        }
        story.say(format!("\n{}", self.tally.lines()))?;
        Ok(self.held())
    }
}

fn line(letter: &str, words: &str, findings: &[String]) -> String {
    let outcome = match findings.len() {
        0 => "held".to_owned(),
        1 => "1 FINDING".to_owned(),
        count => format!("{count} FINDINGS"),
    };
    let mut text = format!("  {letter}  {words:54}{outcome}");
    for finding in findings.iter().take(PRINTED_MAX) {
        let _ = write!(text, "\n       {finding}");
    }
    if findings.len() > PRINTED_MAX {
        let _ = write!(text, "\n       and {} more", findings.len() - PRINTED_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        let tally = Tally { converged: Some(Duration::from_secs(1)), ..Tally::default() };
        Verdict { report: Report::default(), failures: Vec::new(), overtaken: false, tally }
    }

    fn told(verdict: &Verdict) -> (bool, String) {
        let mut text = String::new();
        let mut print = |line: &str| {
            text += &format!("{line}\n");
            Ok(())
        };
        let held = verdict.tell(&mut Story::new(&mut print)).unwrap();
        (held, text)
    }

    #[test]
    fn everything_held_is_a_line_for_each_guarantee() {
        let (held, text) = told(&verdict());
        assert!(held);
        assert_eq!(text.lines().filter(|line| line.ends_with(" held")).count(), 7, "{text}");
    }

    #[test]
    fn each_kind_of_finding_is_told_and_counts() {
        let mut lost = verdict();
        for n in 0..7 {
            lost.report.add(Guarantee::E, format!("m{n} is lost"));
        }
        let (held, text) = told(&lost);
        assert!(!held && text.contains("7 FINDINGS\n       m0 is lost\n") && text.contains("and 2 more"), "{text}");
        let failed = Verdict { failures: vec!["A: insert_message failed".into()], ..verdict() };
        assert!(!failed.held());
        let apart = Verdict { tally: Tally::default(), ..verdict() };
        assert!(!apart.held());
    }
}
