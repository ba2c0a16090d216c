//! The integration tests: real PostgreSQL, one binary, a module a subject.

mod scratch_audit;
mod scratch_cluster;
mod scratch_reader;
mod scratch_schema;
mod scratch_standin;
