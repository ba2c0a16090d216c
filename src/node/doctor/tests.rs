//! What facts mean, as a table: each case spoils one thing of a healthy node.

use super::facts::{Prepared, RoleSetting, Sequence, Slot, Transaction, TriggerFault};
use super::*;
use crate::node::schema::Schema;

fn healthy_server() -> Server {
    let settings = [
        ("synchronous_commit", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("autovacuum", "on"),
        ("track_counts", "on"),
        ("max_connections", "100"),
        ("superuser_reserved_connections", "3"),
        ("deadlock_timeout", "1000"),
        ("lock_timeout", "0"),
    ];
    Server {
        version: "15.4".into(),
        version_number: 150_004,
        database: "dbmail".into(),
        role: "mesh".into(),
        encoding: "UTF8".into(),
        sees_others: true,
        program: Some("20".into()),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        xid_age: 1000,
        ..Server::default()
    }
}

fn healthy_node(set: &MigrationSet) -> Installed {
    let strided = Sequence { last_value: 801, increment: 8, cache: 1, cycles: false, highest: 801 };
    let indexes = set.above(0).iter().flat_map(|migration| migration.up.split_whitespace().map(str::to_owned));
    Installed {
        node_id: 1,
        stride: 8,
        uids: strided,
        mailboxes: Sequence { last_value: 17, highest: 9, ..strided },
        physmessages: Sequence { increment: 1, last_value: 100, highest: 100, ..strided },
        mailbox_has_default: true,
        // Every word of the migrations, hence every name.
        indexes: indexes.collect(),
        ..Installed::default()
    }
}

/// What is not well, as `check: level`.
fn told(server: Server, node: Option<Installed>, schema: Schema) -> Vec<(String, Level, Vec<String>)> {
    let set = MigrationSet::embedded().unwrap();
    let expected = Expected { set: &set, stride: Stride(8), lock_bound: Duration::from_millis(250), sessions: 8 };
    let answers = Answers {
        is_inspected: true,
        server: Some(server),
        installed: node,
        schema: Some(schema),
        ..Answers::default()
    };
    let bad = |finding: &Finding| finding.level > Level::Ok;
    let findings = judge("ams", &answers, expected);
    for finding in &findings {
        assert_eq!(bad(finding), !finding.why.is_empty() && !finding.mend.is_empty(), "{finding:?}");
        assert_eq!(finding.node.as_deref(), Some("ams"));
    }
    findings.into_iter().filter(bad).map(|finding| (finding.check.to_owned(), finding.level, finding.sql)).collect()
}

fn current() -> Schema {
    let version = MigrationSet::embedded().unwrap().latest();
    Schema { version, needs: version }
}

#[test]
fn a_healthy_node_is_well() {
    let set = MigrationSet::embedded().unwrap();
    assert_eq!(told(healthy_server(), Some(healthy_node(&set)), current()), []);
}

#[test]
fn each_fault_of_a_server_is_told_with_what_mends_it() {
    type Spoil = fn(&mut Server);
    fn set(server: &mut Server, name: &str, value: &str) {
        server.settings.insert(name.into(), value.into());
    }
    fn given(role: Option<&str>, database: Option<&str>, setting: &str) -> RoleSetting {
        RoleSetting { role: role.map(Into::into), database: database.map(Into::into), setting: setting.into() }
    }
    let cases: [(Spoil, &str, Level, &str); 27] = [
        (|s| s.version_number = 190_001, "postgresql_version", Level::Notice, ""),
        (|s| s.encoding = "SQL_ASCII".into(), "encoding", Level::Warning, ""),
        (|s| set(s, "fsync", "off"), "fsync", Level::Critical, "alter system set fsync = on"),
        (
            |s| set(s, "synchronous_commit", "off"),
            "synchronous_commit",
            Level::Warning,
            "alter system set synchronous_commit = on",
        ),
        (
            |s| set(s, "full_page_writes", "off"),
            "full_page_writes",
            Level::Warning,
            "alter system set full_page_writes = on",
        ),
        (|s| s.program = None, "pooler", Level::Critical, ""),
        (|s| set(s, "autovacuum", "off"), "autovacuum", Level::Warning, "alter system set autovacuum = on"),
        (|s| set(s, "track_counts", "off"), "autovacuum", Level::Warning, "alter system set track_counts = on"),
        (
            |s| s.without_autovacuum = vec!["dbmail_mesh.outbox".into()],
            "autovacuum",
            Level::Warning,
            "alter table dbmail_mesh.outbox reset (autovacuum_enabled)",
        ),
        (|s| s.connections_of_others = 80, "max_connections", Level::Warning, "alter system set max_connections = 127"),
        (
            |s| set(s, "reserved_connections", "80"),
            "max_connections",
            Level::Warning,
            "alter system set max_connections = 127",
        ),
        (
            |s| set(s, "deadlock_timeout", "750"),
            "deadlock_timeout",
            Level::Warning,
            "alter system set deadlock_timeout = 1000",
        ),
        (|s| set(s, "lock_timeout", "100"), "time_outs", Level::Warning, "alter system reset lock_timeout"),
        (
            |s| set(s, "idle_session_timeout", "60000"),
            "time_outs",
            Level::Notice,
            "alter role mesh set idle_session_timeout = 0",
        ),
        (
            |s| set(s, "default_transaction_read_only", "on"),
            "time_outs",
            Level::Critical,
            "alter system reset default_transaction_read_only",
        ),
        (
            |s| s.role_settings = vec![given(Some("dbmail"), None, "session_replication_role=replica")],
            "role_settings",
            Level::Critical,
            "alter role dbmail reset session_replication_role",
        ),
        (
            |s| s.role_settings = vec![given(Some("Mail"), Some("dbmail"), "synchronous_commit=off")],
            "role_settings",
            Level::Warning,
            "alter role \"Mail\" in database dbmail reset synchronous_commit",
        ),
        (
            |s| s.role_settings = vec![given(None, Some("dbmail"), "default_transaction_isolation=serializable")],
            "role_settings",
            Level::Warning,
            "alter database dbmail reset default_transaction_isolation",
        ),
        (
            |s| s.role_settings = vec![given(None, None, "lock_timeout=200ms")],
            "role_settings",
            Level::Warning,
            "alter role all reset lock_timeout",
        ),
        (
            |s| s.transactions = vec![Transaction { pid: 7, seconds: 400.0, ..Transaction::default() }],
            "long_transactions",
            Level::Notice,
            "select pg_terminate_backend(7)",
        ),
        (
            |s| s.transactions = vec![Transaction { pid: 7, seconds: 4000.0, ..Transaction::default() }],
            "long_transactions",
            Level::Warning,
            "select pg_terminate_backend(7)",
        ),
        (|s| s.sees_others = false, "long_transactions", Level::Notice, "grant pg_read_all_stats to mesh"),
        (
            |s| s.prepared = vec![Prepared { name: "it's".into(), ..Prepared::default() }],
            "prepared_transactions",
            Level::Warning,
            "rollback prepared 'it''s'",
        ),
        (
            |s| s.slots = vec![Slot { name: "old".into(), active: false, xid_age: 50_000_000 }],
            "replication_slots",
            Level::Warning,
            "select pg_drop_replication_slot('old')",
        ),
        (|s| s.xid_age = 1_000_000_000, "xid_age", Level::Warning, "vacuum (freeze)"),
        (|s| s.xid_age = 1_900_000_000, "xid_age", Level::Critical, "vacuum (freeze)"),
        (
            |s| s.role_settings = vec![given(Some("dbmail"), None, "statement_timeout=500")],
            "role_settings",
            Level::Warning,
            "alter role dbmail reset statement_timeout",
        ),
    ];
    let migrations = MigrationSet::embedded().unwrap();
    for (spoil, check, level, sql) in cases {
        let mut server = healthy_server();
        spoil(&mut server);
        let told = told(server, Some(healthy_node(&migrations)), current());
        let [(found, at, statements)] = told.as_slice() else { panic!("{check}: {told:?}") };
        let first = statements.first().map_or("", String::as_str);
        assert_eq!((found.as_str(), *at, first), (check, level, sql));
    }
}

/// What is given to a role, and harmless.
#[test]
fn settings_that_are_in_nobodys_way_are_not_told() {
    let mut server = healthy_server();
    for setting in [
        "search_path=public",
        "lock_timeout=0",
        "lock_timeout=5000",
        "statement_timeout=1h",
        "synchronous_commit=local",
    ] {
        server.role_settings.push(RoleSetting { setting: setting.into(), ..RoleSetting::default() });
    }
    server.slots = vec![Slot { name: "standby".into(), active: true, xid_age: 100 }];
    assert_eq!(told(server, None, Schema { version: 0, needs: 0 }).len(), 1, "only that nothing is installed");
}

#[test]
fn each_fault_of_an_installation_is_told_with_what_mends_it() {
    type Spoil = fn(&mut Installed);
    let uids = "public.dbmail_message_idnr_seq";
    let setval = |to: i64| format!("select pg_advisory_xact_lock(1684169069, 2), setval('{uids}', {to})");
    let fault =
        |missing| TriggerFault { relation: "dbmail_acl".into(), name: "_900_dbmail_mesh_shared".into(), missing };
    let disabled = healthy_with(|node| node.trigger_faults = vec![fault(false)]);
    let missing = healthy_with(|node| node.trigger_faults = vec![fault(true)]);
    let spoilt = |spoil: Spoil| healthy_with(spoil);
    for (node, check, level, sql) in [
        (
            spoilt(|n| n.uids.increment = 1),
            "uid_sequence",
            Level::Critical,
            format!("alter sequence {uids} increment by 8"),
        ),
        (spoilt(|n| n.uids.highest = 817), "uid_sequence", Level::Critical, setval(817)),
        (spoilt(|n| n.uids.last_value = 802), "uid_sequence", Level::Critical, setval(809)),
        (
            spoilt(|n| n.uids.cache = 20),
            "uid_sequence",
            Level::Warning,
            format!("alter sequence {uids} cache 1 no cycle"),
        ),
        (
            spoilt(|n| n.mailboxes.last_value = 1),
            "mailbox_sequence",
            Level::Critical,
            "select pg_advisory_xact_lock(1684169069, 2), setval('public.dbmail_mailbox_idnr_seq', 9)".to_owned(),
        ),
        (
            spoilt(|n| n.physmessages.increment = 8),
            "physmessage_sequence",
            Level::Warning,
            "alter sequence public.dbmail_physmessage_id_seq increment by 1".to_owned(),
        ),
        (
            spoilt(|n| n.physmessages.highest = 101),
            "physmessage_sequence",
            Level::Critical,
            "select setval('public.dbmail_physmessage_id_seq', 101)".to_owned(),
        ),
        (
            spoilt(|n| n.uid_has_default = true),
            "column_defaults",
            Level::Warning,
            "alter table public.dbmail_messages alter column message_idnr drop default".to_owned(),
        ),
        (
            spoilt(|n| n.mailbox_has_default = false),
            "column_defaults",
            Level::Critical,
            "alter table public.dbmail_mailboxes alter column mailbox_idnr set default \
             nextval('public.dbmail_mailbox_idnr_seq'::regclass)"
                .to_owned(),
        ),
        (
            spoilt(|n| n.indexes.retain(|name| name != "outbox_by_txid")),
            "indexes",
            Level::Warning,
            "drop index if exists dbmail_mesh.outbox_by_txid".to_owned(),
        ),
        (spoilt(|n| n.outbox_rows = 2_000_000), "outbox", Level::Warning, String::new()),
        (spoilt(|n| n.outbox_oldest_seconds = Some(100_000.0)), "outbox", Level::Warning, String::new()),
        (
            spoilt(|n| n.outbox_dead_rows = Some(2_000_000)),
            "outbox",
            Level::Warning,
            "vacuum dbmail_mesh.outbox".to_owned(),
        ),
        (
            disabled,
            "triggers",
            Level::Critical,
            "alter table public.dbmail_acl enable trigger _900_dbmail_mesh_shared".to_owned(),
        ),
        (missing, "triggers", Level::Critical, String::from("create trigger _900_dbmail_mesh_shared")),
    ] {
        let told = told(healthy_server(), Some(node), current());
        let (found, at, statements) = &told[0];
        let first = statements.first().map_or("", String::as_str);
        assert_eq!((found.as_str(), *at), (check, level), "{told:?}");
        assert!(first.starts_with(&sql) && first.is_empty() == sql.is_empty(), "{first} is not {sql}");
    }
}

fn healthy_with(spoil: impl FnOnce(&mut Installed)) -> Installed {
    let mut node = healthy_node(&MigrationSet::embedded().unwrap());
    spoil(&mut node);
    node
}

#[test]
fn program_and_schema_are_compared() {
    let latest = current().version;
    for (version, needs, level) in [
        (0, 0, Level::Notice),
        (latest - 1, latest - 1, Level::Critical),
        (latest + 1, latest, Level::Notice),
        (latest + 1, latest + 1, Level::Critical),
    ] {
        let told = told(healthy_server(), None, Schema { version, needs });
        assert_eq!((told.len(), told[0].0.as_str(), told[0].1), (1, "schema_version", level), "version {version}");
    }
}

#[test]
fn a_node_that_does_not_answer_is_one_finding() {
    let set = MigrationSet::embedded().unwrap();
    let expected = Expected { set: &set, stride: Stride(8), lock_bound: Duration::from_millis(250), sessions: 8 };
    let error = Error::new(crate::error::Kind::Unreachable, "node ams: cannot connect");
    let answers = Answers { unreachable: Some(error), ..Answers::default() };
    let findings = judge("ams", &answers, expected);
    assert_eq!((findings.len(), findings[0].check, findings[0].level), (1, "reachable", Level::Critical));
}
