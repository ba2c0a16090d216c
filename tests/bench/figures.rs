//! What was measured, and how it is told.

use std::fmt::{self, Display, Formatter};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table as Grid};
use serde::Serialize;

use crate::machine::Machine;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Table {
    pub machine: Machine,
    pub rounds: usize,
    pub figures: Vec<Figure>,
}

/// One measurement over several rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

/// What a figure is compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Peer {
    pub name: &'static str,
    pub figure: Spread,
}

/// How a figure is judged, and against what.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Ours by the peer's.
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Ours less the peer's.
    MoreByAtMost(f64),
    /// Ours alone.
    AtLeast(f64),
    AtMost(f64),
    /// For information.
    Nothing,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The row that it belongs to.
    pub row: &'static str,
    pub what: String,
    pub unit: &'static str,
    pub ours: Spread,
    pub peer: Option<Peer>,
    /// What is judged: a ratio of the rounds' own pairs, a difference, or ours.
    pub judged: f64,
    pub reach: Reach,
    pub reached: Option<bool>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Figure {
    /// Ours alone, a value a round.
    pub fn alone(row: &'static str, what: impl Into<String>, unit: &'static str, ours: &[f64], reach: Reach) -> Self {
        let judged = median(ours);
        Self::judge(row, what.into(), unit, spread(ours), None, judged, reach)
    }

    /// Ours beside a peer's, both measured in the same rounds: what is judged is the median of the rounds' own ratios (or differences), for a
    /// machine that is slower in one round is so for both.
    pub fn beside(
        row: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
        (name, theirs): (&'static str, &[f64]),
        reach: Reach,
    ) -> Self {
        let pairs = ours.iter().zip(theirs);
        let judged: Vec<f64> = match reach {
            Reach::MoreByAtMost(_) => pairs.map(|(ours, theirs)| ours - theirs).collect(),
            _ => pairs.map(|(ours, theirs)| ours / theirs).collect(),
        };
        let peer = Peer { name, figure: spread(theirs) };
        Self::judge(row, what.into(), unit, spread(ours), Some(peer), median(&judged), reach)
    }

    fn judge(
        row: &'static str,
        what: String,
        unit: &'static str,
        ours: Spread,
        peer: Option<Peer>,
        judged: f64,
        reach: Reach,
    ) -> Self {
        Self { row, what, unit, ours, peer, judged, reach, reached: reach.is_met(judged), notes: Vec::new() }
    }

    /// With something that is worth knowing.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn told(&self) -> String {
        match self.reach {
            Reach::RatioAtLeast(_) | Reach::RatioAtMost(_) => format!("{:.2} ×", self.judged),
            Reach::MoreByAtMost(_) => format!("{:+}", Short(self.judged)),
            _ if self.peer.is_some() => format!("{:.2} ×", self.judged),
            _ => String::new(),
        }
    }
}

impl Reach {
    fn is_met(self, judged: f64) -> Option<bool> {
        match self {
            Self::RatioAtLeast(bound) | Self::AtLeast(bound) => Some(judged >= bound),
            Self::RatioAtMost(bound) | Self::MoreByAtMost(bound) | Self::AtMost(bound) => Some(judged <= bound),
            Self::Nothing => None,
        }
    }
}

impl Display for Reach {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(bound) => write!(f, "≥ {bound} ×"),
            Self::RatioAtMost(bound) => write!(f, "≤ {bound} ×"),
            Self::MoreByAtMost(bound) => write!(f, "≤ +{bound}"),
            Self::AtLeast(bound) => write!(f, "≥ {}", Short(*bound)),
            Self::AtMost(bound) => write!(f, "≤ {}", Short(*bound)),
            Self::Nothing => Ok(()),
        }
    }
}

/// Four digits that matter.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = match self.0.abs() {
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            value if value >= 1.0 => 2,
            _ => 3,
        };
        if f.sign_plus() { write!(f, "{:+.digits$}", self.0) } else { write!(f, "{:.digits$}", self.0) }
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {})", Short(self.median), Short(self.lowest), Short(self.highest))
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.what, self.ours, self.unit)?;
        if let Some(peer) = &self.peer {
            write!(f, ", {} {}: {}", peer.name, peer.figure, self.told())?;
        }
        if let Some(reached) = self.reached {
            write!(f, " ({}, {})", self.reach, if reached { "reached" } else { "NOT reached" })?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nMedian of {} rounds (lowest to highest).\n", self.machine, self.rounds)?;
        let mut grid = Grid::new();
        grid.load_preset(ASCII_MARKDOWN);
        grid.set_header(["what", "unit", "dbmail-mesh", "beside it", "ratio", "to reach", "reached"]);
        for figure in &self.figures {
            let peer = figure.peer.as_ref().map_or(String::new(), |peer| format!("{}: {}", peer.name, peer.figure));
            grid.add_row([
                figure.what.clone(),
                figure.unit.to_owned(),
                figure.ours.to_string(),
                peer,
                figure.told(),
                figure.reach.to_string(),
                figure.reached.map_or("", |reached| if reached { "yes" } else { "no" }).to_owned(),
            ]);
        }
        if let Some(column) = grid.column_mut(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{grid}")?;
        for figure in self.figures.iter().filter(|figure| !figure.notes.is_empty()) {
            writeln!(f, "- {}: {}", figure.what, figure.notes.join("; "))?;
        }
        Ok(())
    }
}

/// The middle of some values; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value below which so large a part of them lies, by the nearest rank; the mean of the two in the middle for an even median.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    if count == 0 {
        return f64::NAN;
    }
    if part == 0.5 && count.is_multiple_of(2) {
        return f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]);
    }
    let rank = (part * count as f64).ceil() as usize;
    sorted[rank.clamp(1, count) - 1]
}

fn spread(values: &[f64]) -> Spread {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    Spread { median: median(values), lowest, highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max) }
}
