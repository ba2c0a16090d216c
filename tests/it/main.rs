//! The integration tests: real PostgreSQL, one binary, a module a subject.

// A test that cannot go on should stop, helpers included.
#![allow(clippy::unwrap_used)]

mod cli;
mod migrate;
mod scratch_cluster;
mod scratch_schema;
mod scratch_standin;
mod settings;
mod sql_files;
mod status;
