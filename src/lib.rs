//! Active-active replication for dbmail databases on PostgreSQL that keeps IMAP's promises about UIDs.
//!
//! `domain` decides, `worker` acts, `node` speaks SQL, `cli` talks to people; dependencies point towards `domain`.

pub mod cli;
pub mod config;
pub mod domain;
pub mod error;
pub mod migrate;
pub mod model;
pub mod node;
pub mod scratch;
pub mod simulation;
pub mod telemetry;
pub mod tls;
pub mod worker;
