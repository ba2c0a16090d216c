//! The log: to standard error, for people or one JSON object a line. Standard output belongs to a command's result.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    let harmless = filter_fn(|metadata| shows_no_content(metadata) && !repeats_what_we_say(metadata));
    let done = match settings.format {
        LogFormat::Text => {
            builder.with_ansi(stderr().is_terminal()).with_target(false).finish().with(harmless).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().with(harmless).try_init(),
    };
    done.map_err(|error| Error::new(Kind::Internal, format!("cannot set up the log: {error}")))
}

/// Of what others' code says below `info` nobody can vouch that it holds no mail and no secrets: the driver shows the parameters of
/// statements there, HTTP and TLS what they send. It is never logged, whatever the filter says.
fn shows_no_content(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("dbmail_mesh") || *metadata.level() <= Level::INFO
}

/// The pool warns of every connection that a server has cut, without saying which. A settlement that took too long ends so, and says
/// so itself.
fn repeats_what_we_say(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("deadpool") && *metadata.level() > Level::ERROR
}
