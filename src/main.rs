//! The `dbmail-mesh` command.

fn main() {}
