//! The integration tests: real PostgreSQL, one binary, a module a subject.

mod scratch_cluster;
mod scratch_schema;
mod scratch_standin;
