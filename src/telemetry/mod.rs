//! What an operator sees from outside: the log.

pub mod log;
