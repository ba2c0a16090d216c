//! All that is replicated beside mail, as rows that can be compared: a kind, a key, and fields.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;

use crate::error::Result;
use crate::scratch::standin::INTERNAL_USER;

/// A kind of row.
#[derive(Debug)]
pub(super) struct Kind {
    /// What a finding calls it.
    pub(super) name: &'static str,
    /// The names of its fields. Without any, the key is all there is, and the rows are a set.
    pub(super) fields: &'static [&'static str],
    /// A query for key and fields.
    sql: &'static str,
}

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../../sql/scratch/audit_", $name, ".sql"))
    };
}

/// Everything but ids of mailboxes, and messages. Not in it, because it is local: `user_idnr`, `last_login`,
/// `curmail_size`, `cursieve_size`; `seq`; the ids of aliases, scripts and filters; the reply cache, and logs.
pub(super) const KINDS: [Kind; 10] = [
    Kind { name: "account", fields: ACCOUNT, sql: sql!("accounts") },
    Kind { name: "mailbox", fields: MAILBOX, sql: sql!("mailbox_columns") },
    Kind { name: "subscription of", fields: &[], sql: sql!("subscriptions") },
    Kind { name: "ACL of", fields: &["rights"], sql: sql!("acls") },
    Kind { name: "alias", fields: &[], sql: sql!("aliases") },
    Kind { name: "usermap", fields: &[], sql: sql!("usermap") },
    Kind { name: "script", fields: &["text", "active"], sql: sql!("scripts") },
    Kind { name: "filter of", fields: &[], sql: sql!("filters") },
    Kind { name: "reply of", fields: &["start_date", "stop_date", "reply_body"], sql: sql!("replies") },
    Kind { name: "notification of", fields: &["notify_address"], sql: sql!("notifications") },
];

const ACCOUNT: &[&str] =
    &["passwd", "client_idnr", "maxmail_size", "maxsieve_size", "encryption_type", "spasswd", "saction", "active"];

const MAILBOX: &[&str] = &[
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

/// The rows of one kind: fields by key.
pub(super) type Rows = BTreeMap<String, Vec<Option<String>>>;

/// Reads all kinds, in the order of [`KINDS`].
pub(super) async fn read(transaction: &Transaction<'_>) -> Result<Vec<Rows>> {
    let mut all = Vec::with_capacity(KINDS.len());
    for kind in &KINDS {
        let statement = transaction.prepare(kind.sql).await?;
        let rows = match statement.params().len() {
            0 => transaction.query(&statement, &[]).await?,
            _ => transaction.query(&statement, &[&INTERNAL_USER]).await?,
        };
        all.push(rows.iter().map(|row| (row.get("key"), row.get("fields"))).collect());
    }
    Ok(all)
}
