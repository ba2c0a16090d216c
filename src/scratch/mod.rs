//! Throwaway PostgreSQL for `dbmail-mesh demo` and the tests: clusters, dbmail databases, a stand-in for dbmail, and
//! the check of the guarantees.
//!
//! Nothing here is used by a worker that serves real mail, and nothing but the demo depends on the schema `dbmail_mesh`.

pub mod audit;
pub mod binaries;
pub mod catalog;
pub mod cluster;
pub mod condstore;
pub mod demo;
pub mod findings;
pub mod install;
mod keeper;
pub mod ledger;
mod place;
pub mod reader;
pub mod shared;
pub mod standin;
mod user;
