//! The `dbmail-mesh` command. Its exit codes: 0 ok, 1 a difference or problem was found, 2 usage or settings, 3 a
//! database cannot be reached, 4 refused for safety, 5 anything else.

use std::process::ExitCode;

fn main() -> ExitCode {
    dbmail_mesh::cli::main()
}
