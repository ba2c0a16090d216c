//! The integration tests: real PostgreSQL, one binary, a module a subject.

mod settings;
