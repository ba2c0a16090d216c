//! What a node holds, in a form that can be compared.

use std::collections::BTreeMap;

use tokio_postgres::{Config, Row};

use super::rows::{self, Rows};
use crate::domain::ids::{MailboxId, Uid};
use crate::error::Result;
use crate::scratch::cluster::connect;
use crate::scratch::standin::INTERNAL_USER;

const MAILBOXES: &str = include_str!("../../../sql/scratch/audit_mailboxes.sql");
const MESSAGES: &str = include_str!("../../../sql/scratch/audit_messages.sql");
const UIDS: &str = include_str!("../../../sql/scratch/audit_uids.sql");
const PHYSMESSAGES: &str = include_str!("../../../sql/scratch/audit_physmessages.sql");

/// Owner, mailbox name, UID: what a client knows a message by.
pub(super) type Place = (String, String, Uid);

/// All that a node has and that is replicated.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) node: String,
    /// What is no mail, in the order of [`KINDS`](rows::KINDS).
    pub(super) rows: Vec<Rows>,
    /// By owner and name.
    pub(super) mailboxes: BTreeMap<(String, String), MailboxId>,
    /// The visible messages.
    pub(super) messages: BTreeMap<Place, Message>,
    /// Every row of people's mailboxes, dead ones too: mailbox, UID, content's name.
    pub(super) uids: Vec<(MailboxId, Uid, String)>,
    pub(super) physmessages: i64,
    pub(super) physmessage_id_max: i64,
}

/// A visible message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) mailbox_id: MailboxId,
    pub(super) unique_id: String,
    /// Flags and keywords, in a fixed order.
    pub(super) flags: String,
    /// The two sizes and the internal date.
    pub(super) sizes: String,
    /// See [`Mail::digest`](crate::scratch::standin::Mail::digest).
    pub(super) digest: String,
    /// A digest of structure, header fields, references and envelope.
    pub(super) content: String,
    /// What an intact message has and this one has not; empty is well.
    pub(super) lacks: String,
}

impl Snapshot {
    pub(super) async fn take(node: &str, config: &Config) -> Result<Self> {
        let mut client = connect(config).await?;
        let read = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
        let read = read.read_only(true).start().await?;
        let rows = rows::read(&read).await?;
        let mailboxes = read.query(MAILBOXES, &[&INTERNAL_USER]).await?;
        let messages = read.query(MESSAGES, &[&INTERNAL_USER]).await?;
        let uids = read.query(UIDS, &[&INTERNAL_USER]).await?;
        let physmessages = read.query_one(PHYSMESSAGES, &[]).await?;
        Ok(Self {
            node: node.to_owned(),
            rows,
            mailboxes: mailboxes.iter().map(|row| ((row.get(0), row.get(1)), MailboxId(row.get(2)))).collect(),
            messages: messages.iter().map(|row| (place(row), Message::read(row))).collect(),
            uids: uids.iter().map(|row| (MailboxId(row.get(0)), Uid(row.get(1)), row.get(2))).collect(),
            physmessages: physmessages.get(0),
            physmessage_id_max: physmessages.get(1),
        })
    }
}

fn place(row: &Row) -> Place {
    (row.get("userid"), row.get("mailbox"), Uid(row.get("message_idnr")))
}

impl Message {
    fn read(row: &Row) -> Self {
        Self {
            mailbox_id: MailboxId(row.get("mailbox_idnr")),
            unique_id: row.get("unique_id"),
            flags: row.get("flags"),
            sizes: row.get("sizes"),
            digest: row.get("digest"),
            content: row.get("content"),
            lacks: row.get("lacks"),
        }
    }
}
