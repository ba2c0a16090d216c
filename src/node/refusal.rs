//! Why a row was set aside, for people: one short line, with what PostgreSQL says of the place and nothing of what stands in it.

use std::error::Error as _;

use tokio_postgres::error::DbError;

use crate::error::Error;

/// The most characters of a reason.
const REASON_MAX: usize = 300;

/// Why: the SQLSTATE if PostgreSQL has refused the row, and what to tell.
pub(super) fn of(error: &Error) -> (Option<String>, String) {
    let database = error.source().and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    match database.and_then(tokio_postgres::Error::as_db_error) {
        Some(refused) => (Some(refused.code().code().to_owned()), one_line(&told(refused))),
        None => (None, one_line(&error.to_string())),
    }
}

/// PostgreSQL's message without values, and where it was: the DETAIL would show the row.
fn told(refused: &DbError) -> String {
    let code = refused.code().code();
    let mut place = vec![format!("SQLSTATE {code}")];
    let named = [("table", refused.table()), ("column", refused.column()), ("constraint", refused.constraint())];
    place.extend(named.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name?))));
    format!("{} ({})", without_values(code, refused.message()), place.join(", "))
}

/// Messages about data (class 22) tell the data: in quotes, or behind a colon.
fn without_values(code: &str, message: &str) -> String {
    if !code.starts_with("22") {
        return message.to_owned();
    }
    let mut parts = message.split('"');
    let mut told = parts.next().unwrap_or_default().to_owned();
    let mut is_quoted = true;
    for part in parts {
        // What PostgreSQL calls its own things may be told.
        let is_name = ["type ", "encoding ", "column ", "function "].iter().any(|word| told.ends_with(word));
        match (is_quoted, is_name) {
            (true, true) => told = format!("{told}\"{part}\""),
            (true, false) => told.push_str("\"…\""),
            (false, _) => told.push_str(part),
        }
        is_quoted = !is_quoted;
    }
    told.split_once(": ").map_or(told.clone(), |(before, _)| before.to_owned())
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= REASON_MAX { line } else { line.chars().take(REASON_MAX - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_stands_in_a_row_is_not_told() {
        for (code, message, told) in [
            ("22P02", "invalid input syntax for type integer: \"secret\"", "invalid input syntax for type integer"),
            (
                "22003",
                "value \"12345678901\" is out of range for type integer",
                "value \"…\" is out of range for type integer",
            ),
            (
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0xe4 0x6e",
                "invalid byte sequence for encoding \"UTF8\"",
            ),
            ("22001", "value too long for type character varying(10)", "value too long for type character varying(10)"),
            (
                "23514",
                "new row for relation \"dbmail_messages\" violates check constraint \"x\"",
                "new row for relation \"dbmail_messages\" violates check constraint \"x\"",
            ),
            ("P0001", "not here: \"x\"", "not here: \"x\""),
        ] {
            assert_eq!(without_values(code, message), told);
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let error = Error::new(Kind::Data, format!("corrupt: a\n\tb\u{1b}[2J {}", "x".repeat(500)));
        let (sqlstate, reason) = of(&error);
        assert_eq!(sqlstate, None);
        assert!(reason.starts_with("corrupt: a b [2J x") && reason.ends_with('…') && reason.chars().count() == 300);
    }
}
