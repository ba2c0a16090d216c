//! What a check of the guarantees found.

use std::collections::BTreeMap;
use std::fmt;

/// How many findings of one guarantee a report prints; a broken mesh has thousands.
const PRINTED_MAX: usize = 10;

/// A guarantee, by the letter that the documentation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// One meaning: no UID of a mailbox stands for two messages.
    A,
    /// Nothing below the line: what appears is above what was reported.
    B,
    /// Old UIDs die.
    C,
    /// Convergence.
    D,
    /// Nothing lost, nothing doubled.
    E,
    /// No guarantee but dbmail's own limits: content ids stay dense and below 2^31.
    Limits,
}

/// A guarantee that did not hold, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub guarantee: Guarantee,
    /// What was seen, and where.
    pub text: String,
}

/// All that was found. Empty: everything held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The sentences for each guarantee that did not hold.
    pub findings: BTreeMap<Guarantee, Vec<String>>,
    /// How many nodes were compared.
    pub nodes: usize,
    /// How many mailboxes the first node has.
    pub mailboxes: usize,
    /// How many visible messages the first node has.
    pub messages: usize,
    /// How many acknowledged deliveries were looked for.
    pub deliveries: usize,
}

impl Finding {
    /// A finding.
    pub fn new(guarantee: Guarantee, text: impl Into<String>) -> Self {
        Self { guarantee, text: text.into() }
    }
}

impl Report {
    /// Whether everything held.
    pub fn held(&self) -> bool {
        self.findings.is_empty()
    }

    /// What was found against one guarantee.
    pub fn of(&self, guarantee: Guarantee) -> &[String] {
        self.findings.get(&guarantee).map_or(&[], Vec::as_slice)
    }

    /// Adds a finding.
    pub fn add(&mut self, guarantee: Guarantee, text: impl Into<String>) {
        self.findings.entry(guarantee).or_default().push(text.into());
    }

    /// Adds what somebody else found, such as a [`DeadUidWatch`](super::reader::DeadUidWatch).
    pub fn include<'a>(&mut self, findings: impl IntoIterator<Item = &'a Finding>) {
        for finding in findings {
            self.add(finding.guarantee, finding.text.clone());
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, mailboxes, messages, deliveries, .. } = self;
        let verdict = if self.held() { "all held" } else { "not all held" };
        writeln!(f, "{verdict}: {nodes} nodes, {mailboxes} mailboxes, {messages} messages, {deliveries} deliveries")?;
        for (guarantee, findings) in &self.findings {
            writeln!(f, "{guarantee}: {} findings", findings.len())?;
            for text in findings.iter().take(PRINTED_MAX) {
                writeln!(f, "  {text}")?;
            }
            if findings.len() > PRINTED_MAX {
                writeln!(f, "  and {} more", findings.len() - PRINTED_MAX)?;
            }
        }
        Ok(())
    }
}
