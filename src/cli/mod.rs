//! The command: what it understands, and how it ends. A file a subcommand.

mod config;
mod demo;
mod doctor;
mod join;
mod leave;
mod membership;
mod migrate;
mod output;
mod pages;
mod pause;
mod plan;
mod run;
mod sessions;
mod simulate;
mod status;
mod verify;
mod wait;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::telemetry::log;
use output::Output;

/// The exit code of a command that did its work and found nothing wrong.
const OK: u8 = 0;

/// The exit code of a command that found a difference or a problem.
const FOUND: u8 = 1;

/// The exit code of a command that a database did not answer.
const UNREACHABLE: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  a difference or a problem was found
  2  the command line or the settings cannot be used
  3  a database cannot be reached
  4  refused for safety
  5  anything else";

/// Active-active replication for dbmail databases on PostgreSQL that keeps IMAP's promises about UIDs.
#[derive(Debug, Parser)]
#[command(name = "dbmail-mesh", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Completions(pages::Completions),
    Config(config::Args),
    Demo(demo::Args),
    Join(join::Args),
    Leave(leave::Args),
    #[command(hide = true)]
    Man(pages::Man),
    Doctor(doctor::Args),
    Migrate(migrate::Args),
    Pause(pause::PauseArgs),
    Plan(plan::Args),
    Resume(pause::ResumeArgs),
    Run(run::Args),
    Simulate(simulate::Args),
    Status(status::Args),
    Verify(verify::Args),
    Wait(wait::Args),
}

/// What every subcommand understands.
#[derive(Debug, clap::Args)]
struct Common {
    /// The settings file [default: /etc/dbmail-mesh/mesh.toml].
    #[arg(short, long, global = true, value_name = "FILE", env = "DBMAIL_MESH_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Overrides a setting, as section.key=value or node.<name>.<key>=value. Stronger than the environment.
    // Taken apart later: clap would repeat a value that it does not understand, and that may be a secret.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Overrides log.level.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Overrides log.format: text or json.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

fn assignment(text: &str) -> Result<(String, String)> {
    let (path, value) = text.split_once('=').ok_or_else(|| {
        Error::new(Kind::Usage, "--set without =: write it as section.key=value or node.<name>.<key>=value")
    })?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

impl Common {
    /// The settings file, if one is named; an empty variable counts as not set.
    fn file(&self) -> Option<&Path> {
        self.config.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// Loads the settings from all layers, and starts the log as they say.
    fn settings(&self) -> Result<Settings> {
        // Variables that are not text are none of ours, and would only get in the way.
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let named = [("log.level", &self.log_level), ("log.format", &self.log_format)];
        let named = named.into_iter().filter_map(|(path, value)| Some((path.to_owned(), value.clone()?)));
        let mut flags = self.set.iter().map(|text| assignment(text)).collect::<Result<Vec<_>>>()?;
        flags.extend(named);
        let settings = Settings::load(self.file(), env, &flags)?;
        log::init(&settings.log)?;
        Ok(settings)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" as well; where they cannot be printed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut output = Output::default();
    let code = run(cli, &mut output).unwrap_or_else(|error| {
        output::complain(&error);
        error.exit_code()
    });
    ExitCode::from(code)
}

fn run(cli: Cli, output: &mut Output) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, format!("cannot start: {error}")).source(error))?;
    runtime.block_on(async {
        match cli.command {
            Command::Completions(args) => pages::completions(&args, output),
            Command::Config(args) => config::run(args, &cli.common, output).await,
            Command::Demo(args) => demo::run(args, &cli.common, output).await,
            Command::Join(args) => join::run(args, &cli.common, output).await,
            Command::Leave(args) => leave::run(args, &cli.common, output).await,
            Command::Man(args) => pages::man(&args),
            Command::Doctor(args) => doctor::run(args, &cli.common, output).await,
            Command::Migrate(args) => migrate::run(args, &cli.common, output).await,
            Command::Pause(args) => pause::run_pause(args, &cli.common, output).await,
            Command::Plan(args) => plan::run(args, &cli.common, output).await,
            Command::Resume(args) => pause::run_resume(args, &cli.common, output).await,
            Command::Run(args) => run::run(args, &cli.common, output).await,
            Command::Simulate(args) => simulate::run(&args, output),
            Command::Status(args) => status::run(args, &cli.common, output).await,
            Command::Verify(args) => verify::run(args, &cli.common, output).await,
            Command::Wait(args) => wait::run(args, &cli.common, output).await,
        }
    })
}
