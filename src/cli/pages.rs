//! `dbmail-mesh completions` and `dbmail-mesh man`: what packages carry, made of the command's own definition.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::output::Output;
use super::{Cli, OK};
use crate::error::{Error, Kind, Result};

const NAME: &str = "dbmail-mesh";

/// Prints a script that completes the command line in a shell.
///
/// The package has installed it already. By hand, for bash: dbmail-mesh completions bash > /etc/bash_completion.d/dbmail-mesh
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Writes the man pages, one for each subcommand.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder to write them to; it is made where it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn completions(args: &Completions, output: &mut Output) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    output.print(&String::from_utf8_lossy(&script)).map(|()| OK)
}

pub(super) fn man(args: &Man) -> Result<u8> {
    let written = std::fs::create_dir_all(&args.out).and_then(|()| clap_mangen::generate_to(Cli::command(), &args.out));
    let cannot = |error| Error::new(Kind::Internal, format!("cannot write to {}: {error}", args.out.display()));
    written.map(|()| OK).map_err(cannot)
}
