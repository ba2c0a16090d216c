//! What is simulated.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{LOCK_BOUND_MAX, Presence, STRIDE_MAX, duration, show_duration};
use crate::domain::ids::Stride;
use crate::error::{Error, Kind, Result};

/// How many nodes there can be.
pub const NODES: RangeInclusive<i16> = 2..=64;
/// How many mailboxes there can be.
const MAILBOXES: RangeInclusive<u32> = 1..=100_000;
/// The most messages that a simulation is expected to deliver: it keeps all of them on all nodes in memory.
const MESSAGES_MAX: f64 = 2_000_000.0;
/// The most copies of messages, over all nodes.
const COPIES_MAX: f64 = 20_000_000.0;
/// How often something happens, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
}

impl Rate {
    /// So often a second.
    pub fn per_second(per_second: f64) -> Self {
        Self { per_second }
    }

    /// So often an hour.
    pub fn per_hour(per_hour: f64) -> Self {
        Self { per_second: per_hour / 3600.0 }
    }

    /// How often a second.
    pub fn a_second(self) -> f64 {
        self.per_second
    }

    /// The time between two, on average; `None`: it never happens.
    pub fn interval(self) -> Option<Duration> {
        (self.per_second > 0.0).then(|| Duration::from_secs_f64((1.0 / self.per_second).min(1e9)))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem =
            || "not a rate: write a number, '/' and s, min, h or d, such as \"1.5/s\" or \"300/h\"".to_owned();
        let (number, unit) = text.split_once('/').ok_or_else(problem)?;
        let number: f64 = number.trim().parse().map_err(|_| problem())?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(problem()),
        };
        if !number.is_finite() || number < 0.0 {
            return Err(problem());
        }
        Ok(Self { per_second: number / seconds })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];
        let fits = |seconds: f64| (self.per_second * seconds * 1e6).round() / 1e6;
        let (unit, seconds) = units.into_iter().find(|(_, seconds)| fits(*seconds) >= 1.0).unwrap_or(units[3]);
        write!(f, "{}/{unit}", fits(seconds))
    }
}

/// How long a message takes on a link, one way: each pair of nodes has its own time, drawn from here; each message takes a little
/// longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Of the nearest pair.
    pub least: Duration,
    /// Of the furthest pair.
    pub most: Duration,
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let problem = |_| "not a latency: write \"20ms\", or \"5ms-80ms\" for links that differ".to_owned();
        let latency =
            Self { least: duration(least.trim()).map_err(problem)?, most: duration(most.trim()).map_err(problem)? };
        if latency.least > latency.most {
            return Err(format!("{text}: the first must not be greater than the second"));
        }
        if latency.most > Duration::from_secs(10) {
            return Err(format!("{text}: must not be more than 10s"));
        }
        Ok(latency)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_duration(self.least))?;
        if self.most > self.least {
            write!(f, "-{}", show_duration(self.most))?;
        }
        Ok(())
    }
}

/// Reads a [`Presence`]: a duration, or "always".
///
/// # Errors
/// How to write it.
pub fn presence(text: &str) -> Result<Presence, String> {
    if text == "always" {
        return Ok(Presence::Always);
    }
    duration(text).map(Presence::For).map_err(|reason| format!("{reason}, or \"always\""))
}

pub(super) fn show_presence(presence: Presence) -> String {
    presence.window().map_or_else(|| "always".to_owned(), show_duration)
}

/// Faults of one kind: how often one begins anywhere in the mesh, and how long one lasts on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outages {
    /// How often.
    pub rate: Rate,
    /// How long, on average.
    pub length: Duration,
}

/// What is simulated. All of it is in the report, so that a run can be repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Nodes.
    pub nodes: i16,
    /// The most nodes that the mesh could have: the step of the UID sequences.
    pub stride: Stride,
    /// Mailboxes, each with an owner of its own.
    pub mailboxes: u32,
    /// Messages delivered, in all mailboxes on all nodes together.
    pub rate: Rate,
    /// How long clients and senders are at work, in virtual time.
    pub duration: Duration,
    /// How long messages between nodes take.
    pub latency: Latency,
    /// Which share of a mailbox's mail is delivered on its home node; the rest anywhere else.
    pub affinity: f64,
    /// Which share of the owners goes from node to node: half of them to nodes that are caught up, half anywhere.
    pub roaming: f64,
    /// How often a client looks, on average.
    pub visits: Rate,
    /// Which share of the messages is expunged by its owner.
    pub expunge: f64,
    /// The mesh falls into two parts.
    pub partitions: Outages,
    /// A node is down.
    pub crashes: Outages,
    /// The worker of a node is killed, and with it what it was about; another begins after the length.
    pub worker_crashes: Outages,
    /// Which share of the batches comes a second time, late and out of order; which share of the settlements breaks off half-way.
    pub faults: f64,
    /// For how long an owner counts as a reader.
    pub presence: Presence,
    /// As `mesh.settle_after`.
    pub settle_after: Duration,
    /// As `mesh.patience`.
    pub patience: Duration,
    /// As `mesh.lock_bound`.
    pub lock_bound: Duration,
    /// Where chance starts from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let never = Rate::per_second(0.0);
        Self {
            nodes: 3,
            stride: Stride(4),
            mailboxes: 100,
            rate: Rate::per_second(1.0),
            duration: Duration::from_secs(3600),
            latency: Latency { least: Duration::from_millis(20), most: Duration::from_millis(20) },
            affinity: 0.9,
            roaming: 0.2,
            visits: Rate::per_hour(60.0),
            expunge: 0.1,
            partitions: Outages { rate: never, length: Duration::from_secs(300) },
            crashes: Outages { rate: never, length: Duration::from_secs(60) },
            worker_crashes: Outages { rate: never, length: Duration::from_secs(10) },
            faults: 0.01,
            presence: Presence::For(Duration::from_secs(30 * 86_400)),
            settle_after: Duration::from_secs(2),
            patience: Duration::from_secs(3),
            lock_bound: Duration::from_millis(250),
            seed: 1,
        }
    }
}

impl Options {
    /// The stride for so many nodes unless another is asked for: the next power of two.
    pub fn stride_for(nodes: i16) -> Stride {
        Stride(nodes.unsigned_abs().next_power_of_two().try_into().unwrap_or(STRIDE_MAX))
    }

    /// How many messages are to be expected.
    pub fn expected_messages(&self) -> f64 {
        self.rate.a_second() * self.duration.as_secs_f64()
    }

    /// Whether this can be simulated.
    ///
    /// # Errors
    /// `Usage`: everything that is wrong, each with name, value and reason.
    pub fn check(&self) -> Result<()> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(Error::new(Kind::Usage, problems.join("; "))) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, name: &str, value: &dyn fmt::Display, reason: &str| {
            if !holds {
                problems.push(format!("--{name} {value}: {reason}"));
            }
        };
        must(NODES.contains(&self.nodes), "nodes", &self.nodes, "must be 2 to 64");
        let strides = self.nodes..=STRIDE_MAX;
        must(strides.contains(&self.stride.0), "stride", &self.stride, "must be at least the nodes, and at most 1024");
        must(MAILBOXES.contains(&self.mailboxes), "mailboxes", &self.mailboxes, "must be 1 to 100000");
        must(self.rate.a_second() > 0.0, "rate", &self.rate, "must be above 0");
        must(!self.duration.is_zero(), "duration", &show_duration(self.duration), "must be above 0");
        must(self.visits.a_second() > 0.0, "visits", &self.visits, "must be above 0");
        for (name, share) in
            [("affinity", self.affinity), ("roaming", self.roaming), ("expunge", self.expunge), ("faults", self.faults)]
        {
            must((0.0..=1.0).contains(&share), name, &share, "is a share: must be 0 to 1");
        }
        must(self.faults <= 0.5, "faults", &self.faults, "must not be above 0.5, or nothing would ever come to an end");
        for (name, outages) in
            [("partition", self.partitions), ("crash", self.crashes), ("worker-crash", self.worker_crashes)]
        {
            let length = outages.length;
            must(!length.is_zero(), &format!("{name}-length"), &show_duration(length), "must be above 0");
        }
        let bound = self.lock_bound;
        let holds = !bound.is_zero() && bound <= LOCK_BOUND_MAX;
        must(holds, "lock-bound", &show_duration(bound), "must be above 0, and at most 250ms");
        let (messages, copies) = (self.expected_messages(), self.expected_messages() * f64::from(self.nodes));
        must(
            messages <= MESSAGES_MAX && copies <= COPIES_MAX,
            "rate",
            &self.rate,
            &format!(
                "with this --duration these are {messages:.0} messages on {} nodes, which do not fit into memory: at most \
                 2000000 messages, and 20000000 over all nodes",
                self.nodes
            ),
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, per_second, written) in
            [("2/s", 2.0, "2/s"), ("90/min", 1.5, "1.5/s"), ("6/h", 6.0 / 3600.0, "6/h"), ("0/s", 0.0, "0/d")]
        {
            let rate: Rate = text.parse().unwrap();
            assert!((rate.a_second() - per_second).abs() < 1e-9, "{text}");
            assert_eq!(rate.to_string(), written);
        }
        for text in ["", "2", "2/y", "-1/s", "many/s", "inf/s", "nan/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn latencies_and_presence_are_read_and_written() {
        for text in ["20ms", "5ms-80ms", "0s"] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), text);
        }
        for text in ["", "20", "80ms-5ms", "11s", "5ms-"] {
            assert!(text.parse::<Latency>().is_err(), "{text:?}");
        }
        for text in ["always", "30d"] {
            assert_eq!(show_presence(presence(text).unwrap()), text);
        }
        assert!(presence("never").is_err());
    }

    #[test]
    fn the_default_can_be_simulated_and_all_that_is_wrong_is_told_at_once() {
        assert!(Options::default().check().is_ok());
        assert_eq!([2, 3, 16, 33, 64].map(|nodes| Options::stride_for(nodes).0), [2, 4, 16, 64, 64]);
        let wrong = Options {
            nodes: 65,
            rate: Rate::per_second(0.0),
            affinity: 1.5,
            mailboxes: 0,
            duration: Duration::ZERO,
            ..Options::default()
        };
        let error = wrong.check().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        for words in
            ["--nodes 65: must be 2 to 64", "--stride 4", "--rate 0", "--affinity 1.5", "--mailboxes 0", "--duration"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        let vast = Options { rate: Rate::per_second(1e6), ..Options::default() };
        assert!(vast.check().unwrap_err().to_string().contains("memory"));
    }
}
