//! Whether what a peer tells can be true. A peer is another site: its tables may be damaged, or written by anybody. What cannot be true
//! is refused with its key before anything is joined, for a join would spread it to every node, for ever: a stamp of the year 2091 wins
//! every conflict, a UID near the end takes all numbers away.
//!
//! The checks are about single values and how those of one thing go together. Whether the parts of a mesh agree is what `verify` is for.

use serde_json::Value;

use super::account::{self, AccountId};
use super::entry::Entry;
use super::ids::{BirthUid, MailboxId, NodeId, Stride};
use super::mailboxes::{Fate, NAME_MAX, State};
use super::marks::Marks;
use super::modseq::Modseq;
use super::register::Register;
use super::rule::Incoming;
use super::stamp::Stamp;

/// The highest UID, or mailbox id, that is believed. Numbers run on above the last that clients accept, for an error would lose mail. At a
/// thousand messages a second it takes 34 years from there to here.
pub const NUMBER_LAST: i64 = 1 << 40;

/// The highest MODSEQ that is believed (RFC 7162 has 63 bits). dbmail counts them up one by one: no node ever comes here, and from here it
/// can go on counting for ever.
pub const MODSEQ_LAST: i64 = 1 << 62;

/// How far a stamp may be ahead of the target's clock, and two clocks may be apart: microseconds. One day is more than clocks are ever
/// apart that somebody looks after, and what was written with one that was less wrong is outlived by then.
pub const CLOCK_AHEAD_MAX: i64 = 24 * 3600 * 1_000_000;

/// The most characters of a POP3 UIDL, as in dbmail.
const UNIQUE_ID_LENGTH: usize = 70;

/// The kinds of entries.
const ENTRY_KINDS: [&str; 9] =
    ["alias", "usermap", "subscription", "acl", "script", "active", "filter", "reply", "notification"];

/// What is wrong, in words that name the field.
pub type Wrong<T = ()> = Result<T, String>;

/// What the target knows and a peer cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most nodes.
    pub stride: Stride,
    /// The target's clock: microseconds since 2020.
    pub now: i64,
}

/// What a peer tells of a message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Which, its UID, whether it is dead.
    pub incoming: &'a Incoming,
    /// Its mailbox.
    pub place: &'a Register<MailboxId>,
    /// Flags and keywords.
    pub marks: &'a Marks,
    /// Its MODSEQs.
    pub modseq: Modseq,
    /// Its content: where that was delivered, and its id there.
    pub content: (NodeId, i64),
    /// `dbmail_physmessage.id` on the source.
    pub physmessage: i64,
    /// POP3's UIDL.
    pub unique_id: &'a str,
    /// `dbmail_messages.status`.
    pub status: i16,
    /// The numbers that it was given after its birth.
    pub numbers: &'a [Value],
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Wrong {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// Whether the clocks of source and target are near enough for stamps to mean anything.
///
/// # Errors
/// How far they are apart.
pub fn clocks_agree(source: i64, target: i64) -> Wrong {
    let apart = source.abs_diff(target);
    ensure(apart <= CLOCK_AHEAD_MAX.unsigned_abs(), || {
        let hours = apart / 3_600_000_000;
        let which = if source > target { "ahead of" } else { "behind" };
        format!("the clock of the source is {hours} hours {which} that of the target")
    })
}

/// A UID of a message that clients may be shown.
///
/// # Errors
/// Why it is none.
pub fn uid(what: &str, uid: i64) -> Wrong {
    ensure((1..=NUMBER_LAST).contains(&uid), || format!("{what} {uid} is not between 1 and {NUMBER_LAST}"))
}

/// The id of a mailbox.
///
/// # Errors
/// Why it is none.
pub fn mailbox_id(what: &str, id: i64) -> Wrong {
    uid(what, id)
}

/// A MODSEQ, or none (0).
///
/// # Errors
/// Why it is none.
pub fn modseq(what: &str, seq: i64) -> Wrong {
    ensure((0..=MODSEQ_LAST).contains(&seq), || format!("{what} {seq} is not between 0 and {MODSEQ_LAST}"))
}

/// The number of a transaction, as text; none is none.
///
/// # Errors
/// Why it is none.
pub fn transaction(what: &str, xid: Option<&str>) -> Wrong {
    ensure(xid.is_none_or(|xid| xid.parse::<u64>().is_ok()), || format!("{what} is no transaction"))
}

/// A name: not longer than there is room for, and nothing in it that ends a line of a protocol. Its text is not repeated.
fn name(what: &str, text: &str, most: usize) -> Wrong {
    ensure(!text.contains(['\0', '\r', '\n']), || format!("{what} holds a line end or a NUL"))?;
    let length = text.chars().count();
    ensure(length <= most, || format!("{what} has {length} characters, of {most} at the most"))
}

impl Limits {
    /// A stamp.
    ///
    /// # Errors
    /// Why no node of this mesh can have written it by now.
    pub fn stamp(&self, what: &str, stamp: Stamp) -> Wrong {
        ensure(stamp.0 >= 0, || format!("the stamp of {what} is negative"))?;
        let Some(node) = stamp.node() else { return Ok(()) };
        self.node(what, node)?;
        let ahead = stamp.micros().saturating_sub(self.now);
        ensure(ahead <= CLOCK_AHEAD_MAX, || {
            let days = ahead / CLOCK_AHEAD_MAX;
            format!("the stamp of {what} is {days} days ahead of this node's clock")
        })
    }

    /// A node.
    ///
    /// # Errors
    /// Why there is none of that number.
    pub fn node(&self, what: &str, node: NodeId) -> Wrong {
        let stride = self.stride;
        ensure((1..=stride.0).contains(&node.0), || format!("{what} names node {node}, of {stride} at the most"))
    }

    /// A message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn message(&self, message: &Message<'_>) -> Wrong {
        let Incoming { birth, uid: now, dead } = *message.incoming;
        uid("its birth UID", birth.0)?;
        uid("its UID", now.0)?;
        ensure(now >= birth.uid(), || format!("its UID {now} is below its birth UID {birth}"))?;
        for number in message.numbers {
            self.number(birth, number)?;
        }
        for (at, flag) in message.marks.flags.iter().enumerate() {
            self.stamp(super::marks::FLAGS.get(at).copied().unwrap_or("a flag"), flag.stamp)?;
        }
        for (keyword, register) in &message.marks.keywords {
            name("a keyword", keyword, NAME_MAX)?;
            self.stamp("a keyword", register.stamp)?;
        }
        self.stamp("its mailbox", message.place.stamp)?;
        modseq("its MODSEQ", message.modseq.shown)?;
        modseq("its MODSEQ", message.modseq.promised)?;
        if dead {
            return Ok(());
        }
        mailbox_id("its mailbox", message.place.value.0)?;
        self.node("its content", message.content.0)?;
        ensure(message.content.1 > 0 && message.physmessage > 0, || "it has no content".into())?;
        ensure((0..=1).contains(&message.status), || format!("status {} is none of a message", message.status))?;
        name("its unique_id", message.unique_id, UNIQUE_ID_LENGTH)
    }

    /// A number that a message was given.
    fn number(&self, birth: BirthUid, number: &Value) -> Wrong {
        let field = |name: &str| number.get(name).and_then(Value::as_i64);
        let (Some(given), Some(of), Some(by)) = (field("uid"), field("birth"), field("decided_by")) else {
            return Err("one of its numbers is not in the form that this version knows".into());
        };
        uid("one of its numbers,", given)?;
        ensure(of == birth.0 && given >= of, || format!("one of its numbers, {given}, is that of another message"))?;
        self.node("one of its numbers", NodeId(i16::try_from(by).unwrap_or_default()))?;
        let at = number.get("decided_at").and_then(Value::as_str);
        ensure(at.is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), || {
            format!("one of its numbers, {given}, was decided at no time")
        })
    }

    /// A mailbox.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn mailbox(&self, id: MailboxId, state: &State, gone_in: Option<&str>, seq: i64) -> Wrong {
        mailbox_id("its id", id.0)?;
        modseq("its HIGHESTMODSEQ", seq)?;
        transaction("gone_in", gone_in)?;
        match state {
            State::Ended(Fate::Deleted) => Ok(()),
            // So chains of them have an end.
            State::Ended(Fate::MergedInto(winner)) => {
                mailbox_id("the mailbox that it was merged into,", winner.0)?;
                ensure(*winner > id, || format!("it was merged into {winner}, which is not above it"))
            }
            State::Alive(alive) => {
                name("its name", &alive.name.value.name, NAME_MAX)?;
                account_name(&alive.name.value.owner)?;
                let stamps = [alive.name.stamp, alive.no_select.stamp, alive.permission.stamp, alive.rest.stamp];
                let fields = ["name", "no_select", "permission", "attributes"];
                fields.iter().zip(stamps).try_for_each(|(field, stamp)| self.stamp(field, stamp))
            }
        }
    }

    /// An account.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn user(
        &self,
        id: &AccountId,
        incoming: &account::Incoming,
        gone_in: Option<&str>,
        seen_ago: Option<f64>,
    ) -> Wrong {
        name("born_as", &id.born_as, account::USERID_LENGTH)?;
        ensure(!id.born_as.is_empty() && id.generation > 0, || "it is called nothing".into())?;
        transaction("gone_in", gone_in)?;
        // In seconds: some may have been read for a hundred years, or from a clock that is ahead.
        ensure(seen_ago.is_none_or(|ago| ago.abs() < 3.2e9), || "when it was seen is no time".into())?;
        let account::Incoming::Alive(fields) = incoming else { return Ok(()) };
        for (field, what) in fields.iter().zip(account::FIELDS) {
            self.stamp(what, field.stamp)?;
        }
        let [userid, credentials, numbers @ ..] = fields.as_ref();
        name("userid", &userid.value, account::USERID_LENGTH)?;
        ensure(!userid.value.is_empty(), || "userid is empty".into())?;
        let parts: Option<Vec<String>> = serde_json::from_str(&credentials.value).ok();
        ensure(parts.is_some_and(|parts| parts.len() == 3), || "its credentials are not three texts".into())?;
        let named = numbers.iter().zip(account::FIELDS.iter().skip(2));
        named
            .into_iter()
            .try_for_each(|(field, what)| ensure(field.value.parse::<i64>().is_ok(), || format!("{what} is no number")))
    }

    /// An entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn entry(&self, kind: &str, key: &str, entry: &Entry, account: Option<&str>) -> Wrong {
        ensure(ENTRY_KINDS.contains(&kind), || "it is of no kind that this version knows".into())?;
        let is_object =
            |text: &str| matches!(serde_json::from_str(text), Ok(Value::Object(fields)) if !fields.is_empty());
        ensure(is_object(key), || "its key is no JSON object".into())?;
        let value = entry.value.as_deref().map(serde_json::from_str);
        ensure(matches!(value, None | Some(Ok(Value::Object(_)))), || "its value is no JSON object".into())?;
        account.map_or(Ok(()), account_name)?;
        self.stamp("it", entry.stamp)
    }
}

/// What an account is known by: `born_as/generation`.
fn account_name(account: &str) -> Wrong {
    let parts = account.rsplit_once('/');
    ensure(
        parts.is_some_and(|(born, generation)| !born.is_empty() && generation.parse::<i32>().is_ok_and(|n| n > 0)),
        || "its account is not called as accounts are".into(),
    )
}

/// HIGHESTMODSEQ of a mailbox: which, and how high.
///
/// # Errors
/// What is wrong with it.
pub fn tide(mailbox: MailboxId, seq: i64) -> Wrong {
    mailbox_id("the mailbox", mailbox.0)?;
    modseq("its HIGHESTMODSEQ", seq)
}

#[cfg(test)]
mod tests;
