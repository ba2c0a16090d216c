//! Throwaway PostgreSQL for `dbmail-mesh demo` and the tests: clusters, dbmail databases, a stand-in for dbmail, and
//! the check of the guarantees.
//!
//! Nothing here is used by a worker that serves real mail, and nothing here depends on the schema `dbmail_mesh`.

pub mod binaries;
pub mod catalog;
pub mod cluster;
mod keeper;
mod place;
pub mod shared;
pub mod standin;
mod user;
