//! Which schemas this program works with, and who has to be upgraded where it does not.
//!
//! A program works with the schema that it was written with. It refuses an older one: its statements may need what is not there.
//! It goes on with a newer one where each migration that it does not know says so (`dbmail_mesh.migration.needs`); a migration
//! that says nothing shuts older programs out. Both sides of a link are asked for, so while a mesh is upgraded node by node, nodes
//! between which nobody may work meanwhile wait for each other like nodes that cannot be reached.
//!
//! It is looked when a session is taken, at most once a second a node; in the snapshot in which a source is read, so that no cursor
//! passes what the reader could not understand; and under the locks of a write (`dbmail_mesh.admit_program`), which a migration
//! excludes. So a worker that runs while a node is migrated stops working with it at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::{Endpoint, ask};
use crate::error::{Error, Kind, Result};

/// Asks for a [`Schema`].
pub const SCHEMA: &str = include_str!("../../sql/node/schema.sql");

/// How long an answer counts where sessions are taken.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What a node says of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The last migration that was run.
    pub version: i32,
    /// The migration that a program has to know to work with it.
    pub needs: i32,
}

/// How a program stands to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// They were made for each other.
    Same,
    /// The schema is newer, and lets the program go on.
    Newer,
    /// The schema is too new.
    TooNew,
    /// The schema is older than the program.
    TooOld,
}

impl Schema {
    /// Reads the row of [`SCHEMA`].
    pub fn from_row(row: &Row) -> Self {
        Self { version: row.get("version"), needs: row.get("needs") }
    }

    /// Whether a program that knows the migrations up to `program` may work with it. Pure.
    pub fn fit(self, program: i32) -> Fit {
        if self.version < program {
            Fit::TooOld
        } else if self.needs > program {
            Fit::TooNew
        } else if self.version > program {
            Fit::Newer
        } else {
            Fit::Same
        }
    }

    /// # Errors
    /// `Refused` with what is to be upgraded, where the program of `endpoint` must not work with this schema.
    pub fn check(self, endpoint: &Endpoint) -> Result<()> {
        let Self { version, needs } = self;
        let program = endpoint.program;
        match self.fit(program) {
            Fit::Same | Fit::Newer => Ok(()),
            Fit::TooOld => Err(Error::refused(
                format!("{endpoint}: its schema is at version {version}, this program works with {program}"),
                format!("run dbmail-mesh migrate up --node {}", endpoint.name),
            )),
            Fit::TooNew => Err(Error::refused(
                format!(
                    "{endpoint}: its schema, version {version}, needs a program that knows version {needs}; this one knows {program}"
                ),
                "upgrade dbmail-mesh on this machine, and start it again",
            )),
        }
    }
}

/// Asks a node whether this program may work with it. Where nothing is installed that is for others to say.
///
/// # Errors
/// `Refused`, see [`Schema::check`]; `Unreachable`, `Transient`.
pub async fn check(endpoint: &Endpoint, client: &impl GenericClient) -> Result<()> {
    judge(endpoint, ask::row(client, SCHEMA, &[]).await)
}

/// The same of an answer to [`SCHEMA`].
///
/// # Errors
/// As for [`check`].
pub fn judge(endpoint: &Endpoint, answer: Result<Row>) -> Result<()> {
    match answer {
        Ok(row) => Schema::from_row(&row).check(endpoint),
        // No such table, or no right to it.
        Err(error) if error.kind() == Kind::Refused => Ok(()),
        Err(error) => Err(error),
    }
}

/// When a node was found fit last, and with which schema.
#[derive(Debug, Default)]
pub struct Fitness(Mutex<Option<(Instant, Schema)>>);

impl Fitness {
    /// Asks the node anew if the last answer is too old. Returns whether it has been migrated since.
    ///
    /// # Errors
    /// As for [`check`].
    pub async fn check(&self, endpoint: &Endpoint, client: &impl GenericClient) -> Result<bool> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|(at, _)| at.elapsed() < KNOWN_FOR) {
            return Ok(false);
        }
        let schema = match ask::row(client, SCHEMA, &[]).await {
            Ok(row) => Schema::from_row(&row),
            Err(error) if error.kind() == Kind::Refused => return Ok(false),
            Err(error) => return Err(error),
        };
        schema.check(endpoint)?;
        Ok(self.note(schema))
    }

    /// The node has just said which schema it has, and it fits. Returns whether it has been migrated since it last did.
    pub fn note(&self, schema: Schema) -> bool {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace((Instant::now(), schema));
        before.is_some_and(|(_, before)| before != schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_works_with_its_schema_and_with_newer_ones_that_allow_it() {
        for (version, needs, program, fit) in [
            (20, 20, 20, Fit::Same),
            (21, 21, 20, Fit::TooNew),
            (21, 20, 20, Fit::Newer),
            (22, 21, 20, Fit::TooNew),
            (22, 20, 20, Fit::Newer),
            (22, 20, 21, Fit::Newer),
            (19, 19, 20, Fit::TooOld),
            (22, 20, 23, Fit::TooOld),
            (0, 0, 20, Fit::TooOld),
        ] {
            assert_eq!(
                Schema { version, needs }.fit(program),
                fit,
                "version {version}, needs {needs}, program {program}"
            );
        }
    }
}
