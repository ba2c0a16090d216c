//! How the demo speaks to the person who watches it.

use std::fmt;

use comfy_table::{Table, presets};

use crate::error::Result;

/// Where the text goes.
pub struct Story<'a> {
    print: &'a mut (dyn FnMut(&str) -> Result<()> + Send),
}

impl fmt::Debug for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story").finish_non_exhaustive()
    }
}

impl<'a> Story<'a> {
    /// A story that is told by `print`, which adds the line end.
    pub fn new(print: &'a mut (dyn FnMut(&str) -> Result<()> + Send)) -> Self {
        Self { print }
    }

    /// Tells a piece of text.
    pub(super) fn say(&mut self, text: impl AsRef<str>) -> Result<()> {
        (self.print)(text.as_ref())
    }

    /// Shows rows under their headings.
    pub(super) fn table<const N: usize>(&mut self, headings: [&str; N], rows: Vec<[String; N]>) -> Result<()> {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(headings).add_rows(rows);
        let lines: Vec<String> = table.lines().map(|line| format!("  {}", line.trim_end())).collect();
        self.say(format!("\n{}", lines.join("\n")))
    }
}
