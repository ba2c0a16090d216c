//! Standard output for results, standard error for complaints.

use std::io::{ErrorKind, Write, stderr, stdout};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// Standard output. Once its reader has gone (`| head`) it says nothing more, and the command carries on: a migration
/// must not stop half-way for want of a reader.
#[derive(Debug, Default)]
pub(super) struct Output {
    closed: bool,
}

impl Output {
    /// Writes `text` as it is, and a line end unless it has one.
    pub(super) fn print(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let mut stdout = stdout().lock();
        match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Error::new(Kind::Internal, format!("cannot write the result: {error}")).source(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Writes `value` as indented JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::new(Kind::Internal, format!("cannot write the result as JSON: {error}")))?;
        self.print(&text)
    }

    /// Writes rows under their headings.
    pub(super) fn table<const N: usize>(&mut self, headings: [&str; N], rows: Vec<[String; N]>) -> Result<()> {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(headings).add_rows(rows);
        let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        self.print(&lines.join("\n"))
    }
}

/// Tells the person at the other end why the command ended.
pub(super) fn complain(error: &Error) {
    // Where nobody listens, the exit code says it.
    let _ = writeln!(stderr(), "dbmail-mesh: {error}");
}
