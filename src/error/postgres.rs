//! What a server says, without what it says about mail.
//!
//! A server quotes values where it complains about them: in the detail of a violated constraint, in a message about a number that is
//! none, in the context of a statement's parameters. Such a value may be somebody's mail, and an error ends up in logs, in
//! `dbmail_mesh.set_aside` and on screens. So of an error about data (classes 22 and 23) only names are kept: those of the constraint,
//! the table, the column, the function. The server's own log has the rest, for those who may read it.

use tokio_postgres::error::DbError;

/// The message with its SQLSTATE, and where it happened.
pub(super) fn told(db: &DbError) -> String {
    let code = db.code().code();
    let is_data = code.starts_with("22") || code.starts_with("23");
    let message = if code.starts_with("22") { of_value(code) } else { db.message() };
    let mut told = format!("{message} (SQLSTATE {code})");
    if is_data {
        told.push_str(&names(db, message));
    } else if let Some(detail) = db.detail() {
        told = format!("{told}: {detail}");
    }
    if let Some(function) = db.where_().and_then(function) {
        told = format!("{told}; at {function}");
    }
    told
}

/// Class 22, data exceptions. The server's words quote the value, in the language of the server.
fn of_value(code: &str) -> &'static str {
    match code {
        "22001" => "a value is too long for its column",
        "22003" => "a number is out of range",
        "22007" | "22008" => "a date or time is none",
        "22021" => "a text has bytes that are none in the encoding of the database",
        "22P02" | "22P03" => "a value is none of its type",
        "22P05" => "a text has a character that the encoding of the database does not have",
        _ => "a value cannot be used; the server's log says why",
    }
}

/// The names that come with an error, but for those that the message has.
fn names(db: &DbError, message: &str) -> String {
    [("table", db.table()), ("column", db.column()), ("type", db.datatype()), ("constraint", db.constraint())]
        .into_iter()
        .filter_map(|(what, name)| Some((what, name.filter(|name| !message.contains(*name))?)))
        .map(|(what, name)| format!(", {what} {name}"))
        .collect()
}

/// The innermost function of a context. Its other lines hold statements and parameters.
fn function(context: &str) -> Option<&str> {
    context.lines().find(|line| line.starts_with("PL/pgSQL ") || line.starts_with("SQL function "))
}

#[cfg(test)]
mod tests {
    use super::function;

    #[test]
    fn of_a_context_only_functions_are_told() {
        let context = "JSON data, line 1: {\"subject\": \"secret\nunnamed portal with parameters: $1 = 'secret'\n\
                       SQL statement \"insert into t values ('secret')\"\n\
                       PL/pgSQL function dbmail_mesh.f(jsonb) line 3 at SQL statement\nPL/pgSQL function g() line 1 at PERFORM";
        let line = "PL/pgSQL function dbmail_mesh.f(jsonb) line 3 at SQL statement";
        assert_eq!(function(context), Some(line));
        assert_eq!(function("COPY t, line 1, column c: \"secret\""), None);
    }
}
