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
    /// Whether its reader has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes `text` as it is, and a line end unless it has one.
    pub(super) fn print(&mut self, text: &str) -> Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.write(&format!("{text}{end}"))
    }

    /// Writes `text` as it is.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = stdout().lock();
        match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
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

    /// Writes `value` as JSON in one line.
    pub(super) fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::new(Kind::Internal, format!("cannot write the result as JSON: {error}")))?;
        self.print(&text)
    }

    /// Writes rows under their headings.
    pub(super) fn table<const N: usize>(&mut self, headings: [&str; N], rows: Vec<[String; N]>) -> Result<()> {
        self.print(&table_text(headings, rows))
    }
}

/// Rows under their headings, without a line end after the last.
pub(super) fn table_text<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings).add_rows(rows);
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Tells the person at the other end why the command ended.
pub(super) fn complain(error: &Error) {
    // Where nobody listens, the exit code says it.
    let _ = writeln!(stderr(), "dbmail-mesh: {error}");
}
