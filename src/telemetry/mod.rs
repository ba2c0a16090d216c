//! What an operator sees from outside: the log, and what systemd is told.

pub mod log;
pub mod systemd;
