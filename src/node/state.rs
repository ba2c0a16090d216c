//! States as they travel from a source to a target.

use tokio_postgres::Row;

use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::modseq::Modseq;
use crate::domain::register::{FLAGS, Marks, Register};
use crate::domain::rule::Incoming;
use crate::domain::stamp::Stamp;
use crate::error::{Error, Kind, Result};

/// What a content (a physmessage with its parts and headers) is known by in the mesh: where it was delivered, and its
/// `dbmail_physmessage.id` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId {
    /// The node on which it was delivered.
    pub origin: NodeId,
    /// Its id on that node.
    pub id: i64,
}

/// A user's replicated columns.
#[derive(Clone, Debug)]
pub struct UserState {
    /// `account.id` on the source.
    pub id: i64,
    /// The userid under which it was created.
    pub born_as: String,
    /// How often that userid had been created by then.
    pub generation: i32,
    /// The login name.
    pub userid: String,
    /// As in `dbmail_users`.
    pub passwd: String,
    /// As in `dbmail_users`.
    pub client_idnr: i64,
    /// As in `dbmail_users`, bytes.
    pub maxmail_size: i64,
    /// As in `dbmail_users`, bytes.
    pub maxsieve_size: i64,
    /// As in `dbmail_users`.
    pub encryption_type: String,
    /// As in `dbmail_users`.
    pub spasswd: String,
    /// As in `dbmail_users`.
    pub saction: i16,
    /// As in `dbmail_users`.
    pub active: i16,
}

impl UserState {
    /// From a row of `sql/source/read_users.sql`.
    pub fn from_row(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            born_as: row.get("born_as"),
            generation: row.get("generation"),
            userid: row.get("userid"),
            passwd: row.get("passwd"),
            client_idnr: row.get("client_idnr"),
            maxmail_size: row.get("maxmail_size"),
            maxsieve_size: row.get("maxsieve_size"),
            encryption_type: row.get("encryption_type"),
            spasswd: row.get("spasswd"),
            saction: row.get("saction"),
            active: row.get("active"),
        }
    }
}

/// A mailbox.
#[derive(Clone, Debug)]
pub struct MailboxState {
    /// Its id and UIDVALIDITY.
    pub id: MailboxId,
    /// `account.id` of its owner on the source.
    pub owner_id: i64,
    /// The owner's account: what he is known by on all nodes.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// `seen_flag`, `answered_flag`, `deleted_flag`, `flagged_flag`, `recent_flag`, `draft_flag`, `no_inferiors`, `no_select`,
    /// `permission`, in this order.
    pub attributes: [i16; MAILBOX_ATTRIBUTES.len()],
}

/// The small columns of a mailbox that are copied as they are.
pub const MAILBOX_ATTRIBUTES: [&str; 9] = [
    "seen_flag",
    "answered_flag",
    "deleted_flag",
    "flagged_flag",
    "recent_flag",
    "draft_flag",
    "no_inferiors",
    "no_select",
    "permission",
];

impl MailboxState {
    /// From a row of `sql/source/read_mailboxes.sql`.
    pub fn from_row(row: &Row) -> Self {
        Self {
            id: MailboxId(row.get("mailbox_idnr")),
            owner_id: row.get("owner_id"),
            owner: row.get("owner"),
            name: row.get("name"),
            attributes: MAILBOX_ATTRIBUTES.map(|column| row.get(column)),
        }
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
    /// `Data` when a register is not in the form that `dbmail_mesh.view_states` gives it.
    pub fn from_row(row: &Row) -> Result<Self> {
        let numbers: serde_json::Value = row.get("numbers");
        let (marks, place, modseq) = registers_from_row(row)?;
        Ok(Self {
            incoming: Incoming {
                birth: BirthUid(row.get("birth_uid")),
                uid: Uid(row.get("uid")),
                dead: row.get("dead"),
            },
            place: Register { stamp: place, value: MailboxId(row.get("mailbox_idnr")) },
            marks,
            content: ContentId { origin: NodeId(row.get("origin_node")), id: row.get("origin_id") },
            physmessage: row.get("physmessage_id"),
            unique_id: row.get("unique_id"),
            status: row.get("status"),
            modseq,
            numbers: match numbers {
                serde_json::Value::Array(numbers) => numbers,
                _ => Vec::new(),
            },
        })
    }
}

/// Flags and keywords, the stamp of the mailbox, and the MODSEQs, as `dbmail_mesh.view_states` tells them.
///
/// # Errors
/// `Data` when they are in another form.
pub fn registers_from_row(row: &Row) -> Result<(Marks, Stamp, Modseq)> {
    let malformed = || Error::new(Kind::Data, "a message's registers are not in the form that this version knows");
    let values: Vec<Option<i16>> = row.get("flags");
    let stamps: Vec<i64> = row.get("stamps");
    let mut marks = Marks::default();
    let &[.., place, promised, shown] = stamps.as_slice() else { return Err(malformed()) };
    if values.len() != FLAGS.len() || stamps.len() != FLAGS.len() + 3 {
        return Err(malformed());
    }
    for ((register, value), stamp) in marks.flags.iter_mut().zip(values).zip(&stamps) {
        *register = Register { stamp: Stamp(*stamp), value: value.unwrap_or_default() != 0 };
    }
    let keywords: serde_json::Value = row.get("keywords");
    for (keyword, register) in keywords.as_object().into_iter().flatten() {
        let stamp = register.get(0).and_then(serde_json::Value::as_i64).ok_or_else(malformed)?;
        let value = register.get(1).and_then(serde_json::Value::as_bool).ok_or_else(malformed)?;
        marks.keywords.insert(keyword.clone(), Register { stamp: Stamp(stamp), value });
    }
    Ok((marks, Stamp(place), Modseq { shown, promised }))
}
