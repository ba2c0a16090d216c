//! States as they travel from a source to a target.

use tokio_postgres::Row;

use crate::domain::account::{self, AccountId, Fields};
use crate::domain::entry::Entry;
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::register::Register;
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

/// An account.
#[derive(Clone, Debug)]
pub struct UserState {
    /// Which account.
    pub account: AccountId,
    /// Its registers, or its death.
    pub incoming: account::Incoming,
    /// Of a dead one: the transaction of the source in which the user went, as text.
    pub gone_in: Option<String>,
}

impl UserState {
    /// From a row of `sql/source/read_users.sql`.
    ///
    /// # Errors
    /// `Internal` when it has not as many registers as an account has.
    pub fn from_row(row: &Row) -> Result<Self> {
        let incoming = match row.get("dead") {
            true => account::Incoming::Dead,
            false => account::Incoming::Alive(fields_of(row)?),
        };
        Ok(Self { account: account_of(row), incoming, gone_in: row.get("gone_in") })
    }
}

/// The account of a row.
pub(super) fn account_of(row: &Row) -> AccountId {
    AccountId { born_as: row.get("born_as"), generation: row.get("generation") }
}

/// The registers of an account, from the columns `stamps` and `vals` of `dbmail_mesh.account_state`.
pub(super) fn fields_of(row: &Row) -> Result<Fields> {
    let (stamps, values): (Vec<i64>, Vec<String>) = (row.get("stamps"), row.get("vals"));
    let registers: Vec<Register<String>> =
        stamps.into_iter().zip(values).map(|(stamp, value)| Register { stamp: Stamp(stamp), value }).collect();
    registers.try_into().map_err(|other: Vec<_>| {
        Error::new(Kind::Internal, format!("account {} has {} registers", account_of(row), other.len()))
    })
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
    pub fn from_row(row: &Row) -> Self {
        let account: Option<i64> = row.get("account_id");
        Self {
            id: row.get("id"),
            kind: row.get("kind"),
            key: row.get("key"),
            entry: Entry { stamp: Stamp(row.get("stamp")), value: row.get("value") },
            account: account.map(|id| (id, row.get("account"))),
            mailbox: row.get::<_, Option<i64>>("mailbox").map(MailboxId),
        }
    }
}

/// A message.
#[derive(Clone, Debug)]
pub struct MessageState {
    /// Which message, with what the rule looks at.
    pub incoming: Incoming,
    /// Its content in the mesh.
    pub content: ContentId,
    /// Its `physmessage_id` on the source.
    pub physmessage: i64,
    /// \Seen, \Answered, \Deleted, \Flagged, \Draft, in this order, 0 or 1.
    pub flags: [i16; 5],
    /// POP3's UIDL.
    pub unique_id: String,
    /// 0 new, 1 seen by POP.
    pub status: i16,
    /// Keywords.
    pub keywords: Vec<String>,
    /// The numbers that it was given after its birth: an array of objects `uid`, `birth`, `decided_by`, `decided_at`.
    pub numbers: Vec<serde_json::Value>,
}

impl MessageState {
    /// From a row of `sql/source/read_messages.sql`.
    pub fn from_row(row: &Row) -> Self {
        let numbers: serde_json::Value = row.get("numbers");
        Self {
            incoming: Incoming {
                birth: BirthUid(row.get("birth_uid")),
                mailbox: MailboxId(row.get("mailbox_idnr")),
                uid: Uid(row.get("uid")),
                dead: row.get("dead"),
            },
            content: ContentId { origin: NodeId(row.get("origin_node")), id: row.get("origin_id") },
            physmessage: row.get("physmessage_id"),
            flags: ["seen", "answered", "deleted", "flagged", "draft"].map(|column| row.get(column)),
            unique_id: row.get("unique_id"),
            status: row.get("status"),
            keywords: row.get("keywords"),
            numbers: match numbers {
                serde_json::Value::Array(numbers) => numbers,
                _ => Vec::new(),
            },
        }
    }
}
