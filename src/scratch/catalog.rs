//! What a database's schema `public` looks like, as text that can be compared.

use tokio_postgres::GenericClient;

use crate::error::Result;

const CATALOG: &str = include_str!("../../sql/scratch/catalog.sql");

/// One sorted line for each column, constraint, index, sequence, view, trigger, function, grant and comment of schema
/// `public`. Two databases with equal text differ for dbmail in their rows only.
///
/// # Errors
/// What PostgreSQL says.
pub async fn catalog(client: &impl GenericClient) -> Result<String> {
    let rows = client.query(CATALOG, &[]).await?;
    Ok(rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect())
}
