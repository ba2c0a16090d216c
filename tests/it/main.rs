//! The integration tests: real PostgreSQL, one binary, a module a subject.

// A test that cannot go on should stop, helpers included.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod cli;
mod conformance;
mod demo;
mod docs;
mod doctor;
mod faults;
mod health;
mod inspect;
mod mesh;
mod migrate;
mod notify;
mod packaging;
mod properties;
mod rights;
mod scratch_accounts;
mod scratch_audit;
mod scratch_audit_state;
mod scratch_cluster;
mod scratch_condstore;
mod scratch_mailboxes;
mod scratch_reader;
mod scratch_schema;
mod scratch_standin;
mod secrets;
mod settings;
mod simulate;
mod small_world;
mod sql_files;
mod status;
mod supply;
mod tls;
mod verify;
