//! What nodes answer, before anybody judges it. The names are those of the JSON objects in `sql/doctor`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `sql/doctor/server.sql`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Server {
    /// As people write it, such as `15.4 (Debian 15.4-1)`.
    pub(super) version: String,
    /// As a number, such as 150004.
    pub(super) version_number: i32,
    /// The database.
    pub(super) database: String,
    /// The role that asked.
    pub(super) role: String,
    /// The database's encoding.
    pub(super) encoding: String,
    /// Whether the role may see what sessions of other roles do.
    pub(super) sees_others: bool,
    /// What arrived of `dbmail_mesh.program`, which is sent with the connection.
    pub(super) program: Option<String>,
    /// How this session is encrypted, if it is.
    pub(super) tls: Option<Encryption>,
    /// Settings as a session of this role in this database has them, in PostgreSQL's own units.
    pub(super) settings: BTreeMap<String, String>,
    /// Settings of roles and databases.
    pub(super) role_settings: Vec<RoleSetting>,
    /// Sessions that are not ours.
    pub(super) connections_of_others: i64,
    /// Transactions that are long.
    pub(super) transactions: Vec<Transaction>,
    /// Prepared transactions.
    pub(super) prepared: Vec<Prepared>,
    /// Replication slots that hold transaction ids back.
    pub(super) slots: Vec<Slot>,
    /// Transactions since the oldest row that is not frozen.
    pub(super) xid_age: i64,
    /// Tables that autovacuum leaves out.
    pub(super) without_autovacuum: Vec<String>,
}

impl Server {
    /// A setting; empty where this major does not have it.
    pub(super) fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    /// A setting that is a number; 0 where this major does not have it.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.setting(name).parse().unwrap_or_default()
    }
}

/// How a session is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Encryption {
    /// Such as `TLSv1.3`.
    pub(super) version: Option<String>,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub(super) cipher: Option<String>,
}

/// A setting of a role, a database, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct RoleSetting {
    /// `None`: all.
    pub(super) role: Option<String>,
    /// `None`: all.
    pub(super) database: Option<String>,
    /// `name=value`.
    pub(super) setting: String,
}

/// A transaction of some session.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Transaction {
    /// The session's process.
    pub(super) pid: i32,
    /// Its role.
    pub(super) role: Option<String>,
    /// What it calls itself.
    pub(super) application: Option<String>,
    /// Its database.
    pub(super) database: Option<String>,
    /// `active`, `idle in transaction`, …
    pub(super) state: Option<String>,
    /// For how long it has been open.
    pub(super) seconds: f64,
}

/// A prepared transaction.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Prepared {
    /// Its name.
    pub(super) name: String,
    /// Its database.
    pub(super) database: Option<String>,
    /// For how long it has been prepared.
    pub(super) seconds: f64,
}

/// A replication slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Slot {
    /// Its name.
    pub(super) name: String,
    /// Whether somebody reads from it.
    pub(super) active: bool,
    /// How many transactions ago that was which it holds back.
    pub(super) xid_age: i64,
}

/// `sql/doctor/installed.sql`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Installed {
    /// What it was installed with.
    pub(super) node_id: i64,
    /// The same.
    pub(super) stride: i64,
    /// The sequence of the UIDs.
    pub(super) uids: Sequence,
    /// That of the mailbox ids.
    pub(super) mailboxes: Sequence,
    /// That of the physmessage ids, which is dbmail's alone.
    pub(super) physmessages: Sequence,
    /// Whether `dbmail_messages.message_idnr` has a default.
    pub(super) uid_has_default: bool,
    /// Whether `dbmail_mailboxes.mailbox_idnr` has a default.
    pub(super) mailbox_has_default: bool,
    /// The indexes in `dbmail_mesh` that can be used.
    pub(super) indexes: Vec<String>,
    /// Rows of the outbox.
    pub(super) outbox_rows: i64,
    /// The age of the oldest.
    pub(super) outbox_oldest_seconds: Option<f64>,
    /// Bytes on disk, indexes included.
    pub(super) outbox_bytes: i64,
    /// Dead rows that wait for a vacuum.
    pub(super) outbox_dead_rows: Option<i64>,
    /// `sql/status/trigger_faults.sql`.
    #[serde(default)]
    pub(super) trigger_faults: Vec<TriggerFault>,
}

/// A sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Sequence {
    /// Where it stands.
    pub(super) last_value: i64,
    /// Its step.
    pub(super) increment: i64,
    /// Numbers that a session draws at once.
    pub(super) cache: i64,
    /// Whether it begins anew at its end.
    pub(super) cycles: bool,
    /// The highest number in use that is this node's own to give.
    pub(super) highest: i64,
}

/// A trigger that is not at work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct TriggerFault {
    /// Its table in `public`.
    pub(super) relation: String,
    /// Its name.
    pub(super) name: String,
    /// Whether it is missing; disabled otherwise.
    pub(super) missing: bool,
}

/// `sql/doctor/rights.sql`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Rights {
    /// Whether the role may do everything.
    pub(super) superuser: bool,
    /// Owners of dbmail's tables or ours that the role is, or is a member of.
    pub(super) owners: Vec<String>,
    /// Whether it may read what is installed.
    pub(super) may_look: bool,
    /// What it lacks, as positions in what the worker needs.
    pub(super) lacks: Vec<usize>,
}

/// How a clock stands against that of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Clock {
    /// Seconds that it is ahead.
    pub(super) ahead_s: f64,
    /// Seconds by which that may be wrong, since the question took its time.
    pub(super) within_s: f64,
}
