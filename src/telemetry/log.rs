//! The log: to standard error, for people or one JSON object a line. Standard output belongs to a command's result.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};
use crate::error::{Error, Kind, Result};

/// Sends this process's log where `settings` say. Once in a process.
///
/// # Errors
/// [`Kind::Usage`] for a filter that is none; [`Kind::Internal`] when the log is already set up.
pub fn init(settings: &LogSettings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| Error::new(Kind::Usage, format!("log.level = {:?}: {error}", settings.level)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let done = match settings.format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|error| Error::new(Kind::Internal, format!("cannot set up the log: {error}")))
}
