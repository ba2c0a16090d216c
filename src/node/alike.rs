//! A fault that meets every row. What PostgreSQL calls an internal error is one damaged row, as a rule, and that row is set aside. When it
//! says the same of each of many rows, no row is to blame: a link that set them all aside would in the end have brought nothing.

use std::fmt;

use super::refusal;
use super::store::Aside;
use crate::error::{Error, Kind};

/// So many rows that are refused alike, each by itself, are no matter of rows.
const ROWS_ALIKE: usize = 8;

/// Rows that failed by themselves, one after the other, with one and the same internal error (SQLSTATE class XX).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alike {
    sqlstate: String,
    rows: usize,
}

impl Alike {
    /// A row failed by itself.
    pub fn failed(&mut self, error: &Error) {
        self.failed_with(refusal::of(error).0.as_deref());
    }

    /// A row failed while it was being read, with others of which none could be read.
    pub fn not_read(&mut self, row: &Aside) {
        self.failed_with(row.sqlstate.as_deref());
    }

    fn failed_with(&mut self, sqlstate: Option<&str>) {
        match sqlstate.filter(|code| code.starts_with("XX")) {
            // One that is tried again counts once: what is said of it stays the same.
            Some(code) if code == self.sqlstate => self.rows = (self.rows + 1).min(ROWS_ALIKE),
            Some(code) => *self = Self { sqlstate: code.to_owned(), rows: 1 },
            None => *self = Self::default(),
        }
    }

    /// A row went: what failed was a matter of rows.
    pub fn went(&mut self) {
        *self = Self::default();
    }

    /// Whether that many rows failed alike that it is no matter of rows.
    pub fn is_no_rows_fault(&self) -> bool {
        self.rows >= ROWS_ALIKE
    }

    /// The error that stops a link; `why` is the last row's.
    pub fn stop(&self, why: impl fmt::Display) -> Error {
        let what = format!("{} rows in a row failed alike, so none of them is to blame: {why}", self.rows);
        Error::new(Kind::Internal, what)
            .remedy("mend that node: look at its log, and for damaged tables or indexes (pg_amcheck); then all goes on by itself")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One a line: what each row failed with, one after the other (`-` went), and whether that is the fault of none.
    #[test]
    fn many_rows_that_fail_alike_are_not_to_blame() {
        for (failures, expected) in [
            ("XX000 XX000 XX000 XX000 XX000 XX000 XX000 XX000", true),
            ("XX001 XX001 XX001 XX001 XX001 XX001 XX001 XX001", true),
            ("XX000 XX000 XX000 XX000 XX000 XX000 XX000", false),
            ("XX000 XX000 XX000 XX000 XX001 XX001 XX001 XX001", false),
            ("XX000 XX000 XX000 XX000 - XX000 XX000 XX000 XX000", false),
            ("XX000 XX000 XX000 XX000 23514 XX000 XX000 XX000 XX000", false),
            // What a constraint or a trigger of the DBA's says, it says of that row, however often.
            ("23514 23514 23514 23514 23514 23514 23514 23514 23514", false),
            ("P0001 P0001 P0001 P0001 P0001 P0001 P0001 P0001 P0001", false),
        ] {
            let mut alike = Alike::default();
            for failure in failures.split(' ') {
                if failure == "-" { alike.went() } else { alike.failed_with(Some(failure)) }
            }
            assert_eq!(alike.is_no_rows_fault(), expected, "{failures}");
        }
    }

    #[test]
    fn an_error_without_an_sqlstate_is_about_its_row() {
        let mut alike = Alike::default();
        for _ in 0..20 {
            alike.failed(&Error::new(Kind::Data, "corrupt: a UID is negative"));
        }
        assert!(!alike.is_no_rows_fault());
    }
}
