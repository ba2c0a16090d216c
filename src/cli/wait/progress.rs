//! What is waited for, on standard error, while there is a terminal to look at.

use std::io::{IsTerminal, stderr};

use indicatif::ProgressBar;

/// A line that turns.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(wanted: bool) -> Self {
        Self((wanted && stderr().is_terminal()).then(ProgressBar::new_spinner))
    }

    /// Says what is waited for.
    pub(super) fn show(&self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(text());
            bar.tick();
        }
    }

    /// Takes the line away.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
