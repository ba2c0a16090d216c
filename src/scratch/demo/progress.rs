//! The live progress line, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::pulse::Pulse;
use crate::scratch::ledger::Ledger;

/// How often a plain line is written.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// The progress of the traffic.
pub(super) struct Progress {
    begun: Instant,
    length: Duration,
    shown: Shown,
    /// What is going on besides the numbers.
    pub(super) phase: &'static str,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Progress {
    pub(super) fn new(length: Duration) -> Self {
        let shown = if stderr().is_terminal() {
            let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
            // A template that cannot be read would be a slip of ours: then the default one will do.
            if let Ok(style) = ProgressStyle::with_template("  {bar:10} {msg}") {
                bar.set_style(style);
            }
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: None }
        };
        Self { begun: Instant::now(), length, shown, phase: "" }
    }

    /// Shows the numbers of this moment.
    pub(super) fn show(&mut self, ledger: &Ledger, pulse: &Pulse) {
        let elapsed = self.begun.elapsed();
        let text = format!(
            "{:4.1} s  deliveries {}  expunges {}  late {}  renumbered {}  lag {} ({:.1} s)  {}",
            elapsed.as_secs_f64(),
            ledger.deliveries(),
            ledger.expunges(),
            pulse.late,
            pulse.renumbered,
            pulse.behind,
            pulse.behind_s,
            self.phase
        );
        match &mut self.shown {
            Shown::Bar(bar) => {
                let done = u64::try_from(elapsed.min(self.length).as_millis()).unwrap_or(u64::MAX);
                bar.set_position(done);
                bar.set_message(text);
            }
            Shown::Lines { last } if last.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) => {
                *last = Some(Instant::now());
                // Whoever closed standard error does not want to know.
                let _ = writeln!(stderr(), "  {}", text.trim_end());
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}
