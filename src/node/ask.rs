//! Statements by their text, prepared once a connection.

use std::error::Error as _;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use crate::error::{Error, Kind, Result};

/// Parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// All rows.
///
/// # Errors
/// What PostgreSQL says.
pub async fn rows(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// The one row that there must be.
///
/// # Errors
/// What PostgreSQL says; no row, or several, too.
pub async fn row(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<Row> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_one(&statement, params).await?)
}

/// The row, if there is one.
///
/// # Errors
/// What PostgreSQL says.
pub async fn row_if_any(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query_opt(&statement, params).await?)
}

/// Runs a statement; returns how many rows it wrote.
///
/// # Errors
/// What PostgreSQL says.
pub async fn run(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

/// Columns of a row that another site has written: what is not as it should be is an error, and no panic.
pub trait Columns {
    /// The value of a column.
    ///
    /// # Errors
    /// `Data`, see [`corrupt`], when it is null, of another type, or not there.
    fn read<'a, T: FromSql<'a>>(&'a self, column: &str) -> Result<T>;
}

impl Columns for Row {
    fn read<'a, T: FromSql<'a>>(&'a self, column: &str) -> Result<T> {
        self.try_get(column).map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            corrupt(format!("column {column}: {why}"))
        })
    }
}

/// The error of what a peer told and cannot be true.
pub fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Data, format!("{CORRUPT}{what}"))
}

/// What the reason begins with when a row was refused before anybody tried to write it.
pub const CORRUPT: &str = "corrupt: ";

/// The same of something that is about the link as a whole: it stops, for whatever it brought might be wrong.
pub fn corrupt_peer(what: impl std::fmt::Display) -> Error {
    Error::refused(
        format!("the source tells what cannot be true: {what}"),
        "look at its schema dbmail_mesh; dbmail-mesh doctor says what should be there",
    )
}
