//! Judges what a server says of itself. Pure.

use std::time::Duration;

use super::Expected;
use super::facts::{RoleSetting, Server};
use super::finding::Findings;
use crate::domain::budget::Level;
use crate::node::connect::sessions_of_a_worker;

/// The last major that the suite runs on.
const TESTED_UP_TO: i32 = 18;
/// A worker that has vanished holds a lock for up to so many times `lock_bound`, which must be over before PostgreSQL looks for
/// deadlocks: it might end dbmail's session to break one.
const HOLDS: u32 = 3;
/// A transaction this old is no longer everyday.
const LONG: f64 = 3600.0;
/// A slot that holds back more transactions than this keeps vacuum from its work.
const SLOT_AGE: i64 = 10_000_000;
/// PostgreSQL stops accepting writes at about 2.1 billion; autovacuum begins to hurry at 0.2.
const XID_AGE: [(i64, Level); 2] = [(1_800_000_000, Level::Critical), (1_000_000_000, Level::Warning)];
/// A statement of dbmail's that waits for a settlement must not be given up before; in milliseconds.
const SHORT_LOCK_TIMEOUT_MS: i64 = 1000;

const LOSES_COMMITS: &str = "a crash of this server can take back UIDs that clients and other nodes have seen, and mail that dbmail \
                             has acknowledged";

/// All that can be told before the install, too.
pub(super) fn judge(server: &Server, expected: Expected<'_>, found: &mut Findings) {
    version(server, found);
    encoding(server, found);
    durability(server, found);
    pooler(server, found);
    vacuum(server, found);
    connections(server, expected.sessions, found);
    deadlock_timeout(server, expected.lock_bound, found);
    time_outs(server, found);
    role_settings(server, found);
    transactions(server, found);
    leftovers(server, found);
}

fn version(server: &Server, found: &mut Findings) {
    let major = server.version_number / 10_000;
    if major > TESTED_UP_TO {
        let what = format!("PostgreSQL {}", server.version);
        let why = "this dbmail-mesh was tested with PostgreSQL 13 to 18";
        found.say(
            Level::Notice,
            "postgresql_version",
            what,
            why,
            "see the changelog for a dbmail-mesh that was tested with it",
        );
    } else if major >= 13 {
        found.ok("postgresql_version", format!("PostgreSQL {}", server.version));
    }
}

fn encoding(server: &Server, found: &mut Findings) {
    if server.encoding == "UTF8" {
        return found.ok("encoding", "UTF8");
    }
    let what = format!("database {} is encoded as {}", server.database, server.encoding);
    let why = "names of mailboxes and users from other nodes may have no form in it";
    found.say(Level::Warning, "encoding", what, why, "dump the database, and restore it into one with encoding UTF8");
}

fn durability(server: &Server, found: &mut Findings) {
    for (name, level, why) in [
        ("synchronous_commit", Level::Warning, LOSES_COMMITS),
        ("fsync", Level::Critical, LOSES_COMMITS),
        ("full_page_writes", Level::Warning, "a crash of this machine can leave pages that are half written"),
    ] {
        let value = server.setting(name);
        if value != "off" {
            found.ok(name, value);
            continue;
        }
        let sql = [format!("alter system set {name} = on"), "select pg_reload_conf()".to_owned()];
        found.mend(level, name, "off", why, sql);
    }
}

fn pooler(server: &Server, found: &mut Findings) {
    if server.program.is_some() {
        return found.ok("pooler", "connected directly");
    }
    let why = "LISTEN, session locks and the bounds that the worker sends with its connections do not get through a transaction pooler";
    let what = "settings that were sent with the connection have not arrived";
    found.say(
        Level::Critical,
        "pooler",
        what,
        why,
        "name the server itself in the node's url, not a pooler such as pgbouncer",
    );
}

fn vacuum(server: &Server, found: &mut Findings) {
    let why = "tables that change all the time, the outbox above all, grow without end and become slow";
    for name in ["autovacuum", "track_counts"] {
        if server.setting(name) == "off" {
            let sql = [format!("alter system set {name} = on"), "select pg_reload_conf()".to_owned()];
            found.mend(Level::Warning, "autovacuum", format!("{name} is off"), why, sql);
        }
    }
    for table in &server.without_autovacuum {
        let sql = [format!("alter table {table} reset (autovacuum_enabled)")];
        found.mend(Level::Warning, "autovacuum", format!("autovacuum leaves {table} out"), why, sql);
    }
    if found.is_well("autovacuum") {
        found.ok("autovacuum", "on");
    }
}

fn connections(server: &Server, sessions: usize, found: &mut Findings) {
    let most_of_a_worker = i64::try_from(sessions_of_a_worker(sessions)).unwrap_or(i64::MAX);
    let most = server.number("max_connections");
    let reserved = server.number("superuser_reserved_connections") + server.number("reserved_connections");
    let left = most - reserved - server.connections_of_others;
    let what = format!(
        "max_connections is {most}: {} in use by others and {reserved} reserved leave {left}; a worker takes up to \
         {most_of_a_worker}",
        server.connections_of_others
    );
    if left >= most_of_a_worker {
        return found.ok("max_connections", what);
    }
    let why = "once there are none left, dbmail's own sessions are refused as well";
    let enough = reserved + server.connections_of_others + 2 * most_of_a_worker;
    let sql = [format!("alter system set max_connections = {}", enough.max(most))];
    found.add(
        "max_connections",
        Level::Warning,
        what,
        why,
        "run what follows as a superuser, then restart the server",
        sql,
    );
}

fn deadlock_timeout(server: &Server, lock_bound: Duration, found: &mut Findings) {
    let (has, bound) = (server.number("deadlock_timeout"), lock_bound.as_millis());
    let held = i64::try_from((lock_bound * HOLDS).as_millis()).unwrap_or(i64::MAX);
    if has > held {
        return found.ok("deadlock_timeout", format!("{has} ms, longer than a lock is held ({held} ms)"));
    }
    let what = format!("{has} ms; with mesh.lock_bound = {bound}ms a lock of the worker's may be held for {held} ms");
    let why = "PostgreSQL may end a session of dbmail's to break a deadlock that would have gone by itself";
    let sql = [
        format!("alter system set deadlock_timeout = {}", (held + 250).max(1000)),
        "select pg_reload_conf()".to_owned(),
    ];
    found.add(
        "deadlock_timeout",
        Level::Warning,
        what,
        why,
        "run what follows as a superuser, or lower mesh.lock_bound",
        sql,
    );
}

/// Settings of the server that dbmail's sessions inherit.
fn time_outs(server: &Server, found: &mut Findings) {
    let lock_ms = server.number("lock_timeout");
    if lock_ms > 0 && lock_ms < SHORT_LOCK_TIMEOUT_MS {
        let why = "a delivery that waits for a settlement's lock is given up, and dbmail swallows the error: the mail is lost";
        let sql = ["alter system reset lock_timeout".to_owned(), "select pg_reload_conf()".to_owned()];
        found.mend(Level::Warning, "time_outs", format!("lock_timeout is {lock_ms} ms"), why, sql);
    }
    let idle_ms = server.number("idle_session_timeout");
    if idle_ms > 0 {
        let why = "the connection by which the worker hears of changes is cut while nothing happens; it polls until it is back";
        let sql = [format!("alter role {} set idle_session_timeout = 0", quoted(&server.role))];
        found.mend(Level::Notice, "time_outs", format!("idle_session_timeout is {idle_ms} ms"), why, sql);
    }
    if server.setting("default_transaction_read_only") == "on" {
        let sql = ["alter system reset default_transaction_read_only".to_owned(), "select pg_reload_conf()".to_owned()];
        let why = "neither dbmail nor the worker can write";
        found.mend(Level::Critical, "time_outs", "default_transaction_read_only is on", why, sql);
    }
    if found.is_well("time_outs") {
        found.ok("time_outs", "no time-out is in the way");
    }
}

/// Settings that somebody gave to dbmail's role: its sessions have them, ours do not.
fn role_settings(server: &Server, found: &mut Findings) {
    for given in &server.role_settings {
        let Some((name, value)) = given.setting.split_once('=') else { continue };
        let (level, why) = match (name, value) {
            ("session_replication_role", "replica") => (
                Level::Critical,
                "no trigger fires in these sessions: what they write gets wrong numbers and is never replicated",
            ),
            ("synchronous_commit" | "fsync", "off") => (Level::Warning, LOSES_COMMITS),
            ("default_transaction_isolation", "repeatable read" | "serializable") => {
                (Level::Warning, "deliveries fail where they meet, and dbmail swallows the error: the mail is lost")
            }
            ("lock_timeout" | "statement_timeout", value) if is_short(value) => (
                Level::Warning,
                "a delivery that waits for a settlement's lock is given up, and dbmail swallows the error: the mail is lost",
            ),
            _ => continue,
        };
        found.mend(level, "role_settings", format!("{}: {}", whose(given), given.setting), why, [reset(given, name)]);
    }
    if found.is_well("role_settings") {
        found.ok("role_settings", "none that is in the way");
    }
}

/// Whether a time as PostgreSQL keeps it (`500`, `500ms`, `2s`) is not 0 and below [`SHORT_LOCK_TIMEOUT_MS`].
fn is_short(value: &str) -> bool {
    let number = value.strip_suffix("ms").unwrap_or(value);
    number.parse().is_ok_and(|ms: i64| ms > 0 && ms < SHORT_LOCK_TIMEOUT_MS)
}

fn whose(given: &RoleSetting) -> String {
    match (&given.role, &given.database) {
        (Some(role), Some(database)) => format!("role {role} in database {database}"),
        (Some(role), None) => format!("role {role}"),
        (None, Some(database)) => format!("database {database}"),
        (None, None) => "all roles".to_owned(),
    }
}

fn reset(given: &RoleSetting, name: &str) -> String {
    match (&given.role, &given.database) {
        (Some(role), Some(database)) => {
            format!("alter role {} in database {} reset {name}", quoted(role), quoted(database))
        }
        (Some(role), None) => format!("alter role {} reset {name}", quoted(role)),
        (None, Some(database)) => format!("alter database {} reset {name}", quoted(database)),
        (None, None) => format!("alter role all reset {name}"),
    }
}

fn transactions(server: &Server, found: &mut Findings) {
    for open in &server.transactions {
        let of = |part: &Option<String>| part.clone().filter(|part| !part.is_empty()).unwrap_or_else(|| "?".to_owned());
        let what = format!(
            "process {} ({}, {}, database {}) has been {} for {:.0} min",
            open.pid,
            of(&open.role),
            of(&open.application),
            of(&open.database),
            if open.state.as_deref() == Some("active") { "in a transaction" } else { "idle in a transaction" },
            open.seconds / 60.0
        );
        let level = if open.seconds >= LONG { Level::Warning } else { Level::Notice };
        let why =
            "rows that are gone cannot be removed meanwhile, the outbox grows, and migrate up cannot get its locks";
        let sql = [format!("select pg_terminate_backend({})", open.pid)];
        let mend = "let it end if it is a dump; else run what follows";
        found.add("long_transactions", level, what, why, mend, sql);
    }
    if !server.sees_others {
        let what = format!("role {} does not see what other roles' sessions do", server.role);
        let why = "long transactions of others are not found";
        let sql = [format!("grant pg_read_all_stats to {}", quoted(&server.role))];
        found.mend(Level::Notice, "long_transactions", what, why, sql);
    }
    if found.is_well("long_transactions") {
        found.ok("long_transactions", "none");
    }
}

/// What is left behind and keeps vacuum from its work.
fn leftovers(server: &Server, found: &mut Findings) {
    let why = "rows that are gone cannot be removed as long as it is there, and its locks may keep dbmail waiting";
    for prepared in &server.prepared {
        let place = prepared.database.as_deref().unwrap_or("?");
        let what = format!(
            "transaction {:?} in database {place} was prepared {:.0} min ago and never ended",
            prepared.name,
            prepared.seconds / 60.0
        );
        let sql = [format!("rollback prepared '{}'", prepared.name.replace('\'', "''"))];
        let mend = "ask whoever prepared it whether it is to be committed; else run what follows in that database";
        found.add("prepared_transactions", Level::Warning, what, why, mend, sql);
    }
    if found.is_well("prepared_transactions") {
        found.ok("prepared_transactions", "none");
    }
    for slot in server.slots.iter().filter(|slot| slot.xid_age > SLOT_AGE) {
        let what = format!(
            "slot {}, {}, holds back the last {} transactions",
            slot.name,
            if slot.active { "in use" } else { "which nobody reads" },
            slot.xid_age
        );
        let sql = [format!("select pg_drop_replication_slot('{}')", slot.name.replace('\'', "''"))];
        let why = "rows that are gone cannot be removed as long as it is there";
        let mend = "bring its reader back, or run what follows if there is none any more";
        found.add("replication_slots", Level::Warning, what, why, mend, sql);
    }
    if found.is_well("replication_slots") {
        found.ok("replication_slots", "none that holds anything back");
    }
    let what = format!("{} transactions since the oldest that is not frozen", server.xid_age);
    match XID_AGE.iter().find(|(age, _)| server.xid_age >= *age) {
        Some((_, level)) => {
            let why = "at about 2.1 billion PostgreSQL stops accepting writes";
            found.mend(*level, "xid_age", what, why, ["vacuum (freeze)".to_owned()]);
        }
        None => found.ok("xid_age", what),
    }
}

/// An identifier, quoted where SQL needs it.
pub(super) fn quoted(name: &str) -> String {
    crate::migrate::quoted(name)
}
