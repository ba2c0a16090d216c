//! `dbmail-mesh status --watch`.

use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::OK;
use super::super::output::Output;
use super::{Args, Whole, tables};
use crate::error::{Error, Kind, Result};
use crate::node::status::Status;
use crate::node::status::check::{Bounds, problems};
use crate::node::status::reader::Reader;

/// Another screen, without a cursor; lines that are too long are cut and not wrapped.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// To the first line.
const HOME: &str = "\x1b[H";
/// The rest of the line, and of the screen, is empty.
const END_OF_LINE: &str = "\x1b[K\n";
const END_OF_SCREEN: &str = "\x1b[J";

/// Shows the status every `interval`, until it is told to stop or nobody looks any more.
pub(super) async fn run(
    reader: &Reader,
    args: &Args,
    bounds: Bounds,
    interval: Duration,
    output: &mut Output,
) -> Result<u8> {
    let mut stop = Stop::new()?;
    let in_place = !args.json && stdout().is_terminal();
    if in_place {
        output.write(BEGIN)?;
    }
    let watched = watch(reader, args, bounds, interval, in_place, &mut stop, output).await;
    if in_place {
        output.write(END)?;
    }
    // What was there last stays to be read.
    if let Some(last) = watched?.filter(|_| in_place) {
        output.print(&last)?;
    }
    Ok(OK)
}

/// Returns what was shown last.
async fn watch(
    reader: &Reader,
    args: &Args,
    bounds: Bounds,
    interval: Duration,
    in_place: bool,
    stop: &mut Stop,
    output: &mut Output,
) -> Result<Option<String>> {
    let mut last = None;
    loop {
        let begun = Instant::now();
        let status = tokio::select! {
            status = reader.read() => status,
            () = stop.told() => return Ok(last),
        };
        let problems = problems(&status, bounds);
        if args.json {
            output.json_line(&Whole { status: &status, problems: &problems })?;
        } else {
            let wrong = problems.len();
            let text = tables::text(&status, args.check.then_some(&problems));
            let text = format!("{}\n{text}", heading(&status, interval, wrong));
            if in_place {
                output.write(&in_place_of_the_last(&text))?;
            } else {
                output.print(&format!("{text}\n"))?;
            }
            last = Some(text);
        }
        if output.is_closed() {
            return Ok(last);
        }
        // A node that takes long to answer is not asked all the time.
        let rest = interval.saturating_sub(begun.elapsed()).max(begun.elapsed());
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.told() => return Ok(last),
        }
    }
}

fn heading(status: &Status, interval: Duration, wrong: usize) -> String {
    let at: Timestamp = status.read_at;
    let problems = if wrong == 0 { "nothing is wrong".into() } else { format!("problems: {wrong}") };
    format!("{}  every {} s  {problems}", at.strftime("%Y-%m-%dT%H:%M:%SZ"), interval.as_secs())
}

fn in_place_of_the_last(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}{END_OF_LINE}")).collect();
    format!("{HOME}{lines}{END_OF_SCREEN}")
}

/// Ctrl-C, or the end that a supervisor asks for.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let of = |kind| {
            signal(kind).map_err(|error| Error::new(Kind::Internal, format!("cannot wait for signals: {error}")))
        };
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_overwrites_the_one_before_to_the_end_of_each_line() {
        assert_eq!(in_place_of_the_last("one\ntwo\n"), "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J");
    }
}
