//! States as they travel from a source to a target.

use tokio_postgres::Row;

use super::ask::{Columns as _, corrupt};
use crate::domain::account::{self, AccountId, Fields};
use crate::domain::entry::Entry;
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::mailboxes::{Alive, Fate, Name, State};
use crate::domain::marks::{FLAGS, Marks};
use crate::domain::modseq::Modseq;
use crate::domain::register::Register;
use crate::domain::rule::Incoming;
use crate::domain::sound::{self, Limits};
use crate::domain::stamp::Stamp;
use crate::error::Result;

/// What a content (a physmessage with its parts and headers) is known by in the mesh: where it was delivered, and its
/// `dbmail_physmessage.id` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId {
    /// The node on which it was delivered.
    pub origin: NodeId,
    /// Its id on that node.
    pub id: i64,
}

/// An account.
#[derive(Clone, Debug)]
pub struct UserState {
    /// `account.id` on the source.
    pub id: i64,
    /// Which account.
    pub account: AccountId,
    /// Its registers, or its death.
    pub incoming: account::Incoming,
    /// Of a dead one: the transaction of the source in which the user went, as text.
    pub gone_in: Option<String>,
    /// How many seconds ago he was seen reading on the source; `None`: never.
    pub seen_ago: Option<f64>,
}

impl UserState {
    /// From a row of `sql/source/read_users.sql`.
    ///
    /// # Errors
    /// `Data` when it cannot be true.
    pub fn from_row(row: &Row, limits: &Limits) -> Result<Self> {
        let incoming = match row.read("dead")? {
            true => account::Incoming::Dead,
            false => account::Incoming::Alive(fields_of(row)?),
        };
        let account = account_of(row)?;
        let user = Self {
            id: row.read("id")?,
            account,
            incoming,
            gone_in: row.read("gone_in")?,
            seen_ago: row.read("seen_ago")?,
        };
        limits.user(&user.account, &user.incoming, user.gone_in.as_deref(), user.seen_ago).map_err(corrupt)?;
        Ok(user)
    }
}

/// The account of a row.
pub(super) fn account_of(row: &Row) -> Result<AccountId> {
    Ok(AccountId { born_as: row.read("born_as")?, generation: row.read("generation")? })
}

/// The registers of an account, from the columns `stamps` and `vals` of `dbmail_mesh.account_state`.
pub(super) fn fields_of(row: &Row) -> Result<Fields> {
    let (stamps, values): (Vec<i64>, Vec<String>) = (row.read("stamps")?, row.read("vals")?);
    let registers: Vec<Register<String>> =
        stamps.into_iter().zip(values).map(|(stamp, value)| Register { stamp: Stamp(stamp), value }).collect();
    registers.try_into().map_err(|other: Vec<_>| corrupt(format!("it has {} registers", other.len())))
}

/// A mailbox.
#[derive(Clone, Debug)]
pub struct MailboxState {
    /// Its id and UIDVALIDITY.
    pub id: MailboxId,
    /// `account.id` of its owner on the source, and the account: what he is known by on all nodes. That of one who is dead, too; none
    /// when the source does not know whose it was.
    pub owner: Option<(i64, String)>,
    /// What is joined.
    pub state: State,
    /// Of one that was deleted, the transaction in which it went on the source.
    pub gone_in: Option<String>,
    /// `dbmail_mailboxes.seq` on the source: its HIGHESTMODSEQ there; 0 when it has no row.
    pub seq: i64,
}

impl MailboxState {
    /// From a row of `sql/source/read_mailboxes.sql`.
    ///
    /// # Errors
    /// `Data` when it cannot be true.
    pub fn from_row(row: &Row, limits: &Limits) -> Result<Self> {
        let owner = match row.read::<Option<i64>>("owner_id")? {
            Some(id) => Some((id, row.read("owner")?)),
            None => None,
        };
        let state = match fate_of(row)? {
            Some(fate) => State::Ended(fate),
            None => State::Alive(registers_of(row)?),
        };
        let id = MailboxId(row.read("id")?);
        let mailbox = Self { id, owner, state, gone_in: row.read("gone_in")?, seq: row.read("seq")? };
        limits.mailbox(id, &mailbox.state, mailbox.gone_in.as_deref(), mailbox.seq).map_err(corrupt)?;
        Ok(mailbox)
    }

    /// The account of its owner; empty when it is not known.
    pub fn account(&self) -> &str {
        self.owner.as_ref().map_or("", |(_, account)| account)
    }
}

/// How a mailbox has ended, from columns `has_ended` and `merged_into`.
pub(super) fn fate_of(row: &Row) -> Result<Option<Fate>> {
    let merged: Option<i64> = row.read("merged_into")?;
    let has_ended: bool = row.read("has_ended")?;
    Ok(has_ended.then(|| merged.map_or(Fate::Deleted, |into| Fate::MergedInto(MailboxId(into)))))
}

/// The registers of a mailbox that has a row.
pub(super) fn registers_of(row: &Row) -> Result<Alive> {
    let stamp = |column: &str| row.read(column).map(Stamp);
    let name = Name { owner: row.read("owner")?, name: row.read("name")?, renamed: row.read("renamed")? };
    let mut rest = [0; MAILBOX_REST.len()];
    for (value, column) in rest.iter_mut().zip(MAILBOX_REST) {
        *value = row.read(column)?;
    }
    Ok(Alive {
        name: Register { stamp: stamp("name_stamp")?, value: name },
        no_select: Register { stamp: stamp("no_select_stamp")?, value: row.read("no_select")? },
        permission: Register { stamp: stamp("permission_stamp")?, value: row.read("permission")? },
        rest: Register { stamp: stamp("rest_stamp")?, value: rest },
    })
}

/// The columns that are one register.
pub const MAILBOX_REST: [&str; 7] =
    ["seen_flag", "answered_flag", "deleted_flag", "flagged_flag", "recent_flag", "draft_flag", "no_inferiors"];

/// An entry: a row of one of dbmail's small tables.
#[derive(Clone, Debug)]
pub struct EntryState {
    /// `entry.id` on the source.
    pub id: i64,
    /// Which table.
    pub kind: String,
    /// What it is known by on all nodes: a JSON object.
    pub key: String,
    /// Its register.
    pub entry: Entry,
    /// `account.id` on the source of the account that it belongs to, and the account; `None`: it belongs to nobody.
    pub account: Option<(i64, String)>,
    /// The mailbox that it is about, if it is about one.
    pub mailbox: Option<MailboxId>,
}

impl EntryState {
    /// From a row of `sql/source/read_entries.sql`.
    ///
    /// # Errors
    /// `Data` when it cannot be true.
    pub fn from_row(row: &Row, limits: &Limits) -> Result<Self> {
        let account = match row.read::<Option<i64>>("account_id")? {
            Some(id) => Some((id, row.read("account")?)),
            None => None,
        };
        let state = Self {
            id: row.read("id")?,
            kind: row.read("kind")?,
            key: row.read("key")?,
            entry: Entry { stamp: Stamp(row.read("stamp")?), value: row.read("value")? },
            account,
            mailbox: row.read::<Option<i64>>("mailbox")?.map(MailboxId),
        };
        let account = state.account.as_ref().map(|(_, account): &(i64, String)| account.as_str());
        limits.entry(&state.kind, &state.key, &state.entry, account).map_err(corrupt)?;
        Ok(state)
    }
}

/// A message.
#[derive(Clone, Debug)]
pub struct MessageState {
    /// Which message, with what the rule looks at.
    pub incoming: Incoming,
    /// Its mailbox, and since when.
    pub place: Register<MailboxId>,
    /// Its flags and keywords.
    pub marks: Marks,
    /// Its content in the mesh.
    pub content: ContentId,
    /// Its `physmessage_id` on the source.
    pub physmessage: i64,
    /// The size of its content, as the source has it.
    pub bytes: u64,
    /// POP3's UIDL.
    pub unique_id: String,
    /// 0 new, 1 seen by POP.
    pub status: i16,
    /// Its MODSEQs on the source.
    pub modseq: Modseq,
    /// The numbers that it was given after its birth: an array of objects `uid`, `birth`, `decided_by`, `decided_at`.
    pub numbers: Vec<serde_json::Value>,
}

impl MessageState {
    /// From a row of `sql/source/read_messages.sql`.
    ///
    /// # Errors
    /// `Data` when it cannot be true, or is not in the form that `dbmail_mesh.view_states` gives it.
    pub fn from_row(row: &Row, limits: &Limits) -> Result<Self> {
        let numbers: serde_json::Value = row.read("numbers")?;
        let (marks, place, modseq) = registers_from_row(row)?;
        let state = Self {
            incoming: Incoming {
                birth: BirthUid(row.read("birth_uid")?),
                uid: Uid(row.read("uid")?),
                dead: row.read("dead")?,
            },
            place: Register { stamp: place, value: MailboxId(row.read("mailbox_idnr")?) },
            marks,
            content: ContentId { origin: NodeId(row.read("origin_node")?), id: row.read("origin_id")? },
            physmessage: row.read("physmessage_id")?,
            bytes: u64::try_from(row.read::<i64>("bytes")?)
                .map_err(|_| corrupt("messagesize of its content is negative"))?,
            unique_id: row.read("unique_id")?,
            status: row.read("status")?,
            modseq,
            numbers: match numbers {
                serde_json::Value::Array(numbers) => numbers,
                _ => return Err(corrupt("its numbers are no list")),
            },
        };
        limits.message(&state.told()).map_err(corrupt)?;
        Ok(state)
    }

    fn told(&self) -> sound::Message<'_> {
        sound::Message {
            incoming: &self.incoming,
            place: &self.place,
            marks: &self.marks,
            modseq: self.modseq,
            content: (self.content.origin, self.content.id),
            physmessage: self.physmessage,
            unique_id: &self.unique_id,
            status: self.status,
            numbers: &self.numbers,
        }
    }
}

/// Flags and keywords, the stamp of the mailbox, and the MODSEQs, as `dbmail_mesh.view_states` tells them.
///
/// # Errors
/// `Data` when they are in another form.
pub fn registers_from_row(row: &Row) -> Result<(Marks, Stamp, Modseq)> {
    let malformed = || corrupt("its registers are not in the form that this version knows");
    let values: Vec<Option<i16>> = row.read("flags")?;
    let stamps: Vec<i64> = row.read("stamps")?;
    let mut marks = Marks::default();
    let &[.., place, promised, shown] = stamps.as_slice() else { return Err(malformed()) };
    if values.len() != FLAGS.len() || stamps.len() != FLAGS.len() + 3 {
        return Err(malformed());
    }
    for ((register, value), stamp) in marks.flags.iter_mut().zip(values).zip(&stamps) {
        *register = Register { stamp: Stamp(*stamp), value: value.unwrap_or_default() != 0 };
    }
    let keywords: serde_json::Value = row.read("keywords")?;
    for (keyword, register) in keywords.as_object().ok_or_else(malformed)? {
        let stamp = register.get(0).and_then(serde_json::Value::as_i64).ok_or_else(malformed)?;
        let value = register.get(1).and_then(serde_json::Value::as_bool).ok_or_else(malformed)?;
        marks.keywords.insert(keyword.clone(), Register { stamp: Stamp(stamp), value });
    }
    Ok((marks, Stamp(place), Modseq { shown, promised }))
}
