//! `dbmail-mesh doctor`, driven as people run it: a node is broken in each way, and mended by the statements that the doctor prints.

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::cluster::{Cluster, Options, WORKER_ROLE, connect};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::standin::{Mail, Session};
use serde_json::Value;
use tokio_postgres::Client;

use super::cli::{Ended, File, NOWHERE};

/// A server that nothing is wrong with, and settings that name it as `ams`.
struct Patient {
    cluster: Cluster,
    file: File,
    node: NodeSettings,
    client: Client,
}

impl Patient {
    /// With dbmail's schema and no more; examined by whoever is going to install.
    async fn new() -> Self {
        Self::examined_as("postgres").await
    }

    /// Installed, and examined by the worker's role.
    async fn installed() -> Self {
        let patient = Self::examined_as(WORKER_ROLE).await;
        patient.install().await;
        // As the doctor itself would say.
        patient.run(&format!("grant pg_read_all_stats to {WORKER_ROLE}")).await;
        patient
    }

    async fn examined_as(role: &str) -> Self {
        let settings = vec![("max_prepared_transactions".to_owned(), "2".to_owned())];
        let cluster = Cluster::start(Options { durable: true, settings, ..Options::default() }).await.unwrap();
        let config = cluster.create_dbmail("dbmail").await.unwrap();
        let url = cluster.url("dbmail").replace("postgres@", &format!("{role}@"));
        let file = File::with_nodes(std::slice::from_ref(&url));
        let node = NodeSettings::new("ams", NodeId(1), &url).unwrap();
        let client = connect(&config).await.unwrap();
        Self { cluster, file, node, client }
    }

    async fn install(&self) {
        let nodes = std::slice::from_ref(&self.node);
        install(nodes, nodes, Stride(8)).await.unwrap();
    }

    fn examine(&self) -> (Ended, Vec<Value>) {
        let ended = self.file.run("doctor --json");
        let whole: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        (ended, whole["findings"].as_array().unwrap().clone())
    }

    /// Breaks something, and mends it by what the doctor says, until the check is well again.
    async fn breaks_and_mends(&self, by: &str, check: &str, level: &str) {
        self.run(by).await;
        let (ended, findings) = self.examine();
        let mine: Vec<&Value> =
            findings.iter().filter(|finding| finding["check"] == check && finding["level"] != "ok").collect();
        assert!(mine.iter().any(|finding| finding["level"] == level), "{by}: {mine:?}");
        let others = findings.iter().filter(|finding| is_bad(finding) && finding["check"] != check);
        assert_eq!(others.count(), 0, "{by}: {ended:?}");
        assert_eq!(ended.code, i32::from(level != "notice"));
        for finding in mine {
            assert!(!finding["why"].as_str().unwrap().is_empty());
            for statement in finding["sql"].as_array().unwrap() {
                self.run(statement.as_str().unwrap()).await;
            }
        }
        // A configuration file is read again a moment after pg_reload_conf() has returned.
        let begun = std::time::Instant::now();
        loop {
            let (ended, findings) = self.examine();
            if !findings.iter().any(is_bad) {
                assert_eq!(ended.code, 0);
                return;
            }
            assert!(begun.elapsed() < super::mesh::DEADLINE, "{by}: not mended: {ended:?}");
        }
    }

    /// Statements one by one: some must not be in a transaction.
    async fn run(&self, sql: &str) {
        for statement in sql.split(";\n") {
            self.client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }
}

fn is_bad(finding: &Value) -> bool {
    finding["level"] == "warning" || finding["level"] == "critical"
}

/// The names of the checks that found nothing wrong.
fn well(findings: &[Value]) -> Vec<&str> {
    let ok = findings.iter().filter(|finding| finding["level"] == "ok");
    ok.map(|finding| finding["check"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_server_is_examined_before_the_install_and_mended() {
    let patient = Patient::new().await;
    let (ended, findings) = patient.examine();
    assert_eq!(ended.code, 0, "{ended:?}");
    let notices: Vec<_> = findings.iter().filter(|finding| finding["level"] == "notice").collect();
    assert_eq!((notices.len(), &notices[0]["check"]), (2, &"schema_version".into()), "{notices:?}");
    assert_eq!(notices[1]["check"], "dbmail_conf");
    for check in ["fsync", "rights", "dbmail_version", "max_connections", "clock", "pooler", "long_transactions"] {
        assert!(well(&findings).contains(&check), "{check}: {:?}", well(&findings));
    }
    for (by, check, level) in [
        ("alter system set synchronous_commit = off;\nselect pg_reload_conf()", "synchronous_commit", "warning"),
        ("alter system set deadlock_timeout = '500ms';\nselect pg_reload_conf()", "deadlock_timeout", "warning"),
        ("alter system set autovacuum = off;\nselect pg_reload_conf()", "autovacuum", "warning"),
        ("alter table dbmail_messages set (autovacuum_enabled = off)", "autovacuum", "warning"),
        ("alter role all set session_replication_role = replica", "role_settings", "critical"),
        ("begin;\nselect pg_current_xact_id();\nprepare transaction 'left'", "prepared_transactions", "warning"),
    ] {
        patient.breaks_and_mends(by, check, level).await;
    }
    let old = "delete from dbmail_upgrade_steps where to_version > 32000;\n
               insert into dbmail_upgrade_steps (from_version, to_version) values (0, 31001) on conflict do nothing";
    patient.run(old).await;
    let (ended, findings) = patient.examine();
    let version = findings.iter().find(|finding| finding["check"] == "dbmail_version").unwrap();
    assert_eq!((ended.code, &version["level"]), (1, &"critical".into()));
    assert!(version["mend"].as_str().unwrap().contains("3.5.6"), "{version}");
}

#[tokio::test]
async fn what_numbering_and_capturing_need_is_examined_and_mended() {
    let patient = Patient::installed().await;
    let mut session = Session::connect(&patient.node.connection).await.unwrap();
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    for n in 0..3 {
        session.deliver(inbox, &Mail::named(&format!("m{n}"))).await.unwrap();
    }
    let (ended, findings) = patient.examine();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(findings.iter().filter(|finding| finding["level"] != "ok").count(), 1, "only dbmail.conf: {ended:?}");
    for (by, check, level) in [
        ("alter table dbmail_messages disable trigger _900_dbmail_mesh_flags", "triggers", "critical"),
        ("drop trigger _100_dbmail_mesh_number on dbmail_messages", "triggers", "critical"),
        ("drop trigger _900_dbmail_mesh_entry on dbmail_acl", "triggers", "critical"),
        ("alter sequence dbmail_message_idnr_seq increment by 1", "uid_sequence", "critical"),
        ("select setval('dbmail_message_idnr_seq', 1)", "uid_sequence", "critical"),
        ("select setval('dbmail_message_idnr_seq', 1000)", "uid_sequence", "critical"),
        ("alter sequence dbmail_mailbox_idnr_seq increment by 1", "mailbox_sequence", "critical"),
        ("select setval('dbmail_physmessage_id_seq', 1)", "physmessage_sequence", "critical"),
        (
            "alter table dbmail_messages alter column message_idnr set default nextval('dbmail_message_idnr_seq')",
            "column_defaults",
            "warning",
        ),
        ("alter table dbmail_mailboxes alter column mailbox_idnr drop default", "column_defaults", "critical"),
        ("drop index dbmail_mesh.outbox_by_txid", "indexes", "warning"),
        ("revoke insert on dbmail_envelope from dbmail_mesh", "worker_role", "critical"),
        (
            "revoke all on all functions in schema dbmail_mesh from dbmail_mesh;\nrevoke all on all tables in schema dbmail_mesh from dbmail_mesh",
            "worker_role",
            "critical",
        ),
        ("revoke usage on schema dbmail_mesh from dbmail_mesh", "worker_role", "critical"),
    ] {
        patient.breaks_and_mends(by, check, level).await;
    }
    // Mended for good: the next delivery gets a number of the node's class above all others.
    let uid = session.deliver(inbox, &Mail::named("after")).await.unwrap();
    assert!(uid.0 > 1000 && uid.0 % 8 == 1, "{uid}");
}

/// The role that the settings name, and what it may not do.
#[tokio::test]
async fn rights_that_are_missing_are_told_with_the_grants() {
    let patient = Patient::new().await;
    patient.run("create role mesh login").await;
    let url = patient.cluster.url("dbmail").replace("postgres@", "mesh@");
    let file = File::with_nodes(std::slice::from_ref(&url));
    for _ in 0..3 {
        let ended = file.run("doctor --json");
        let whole: Value = serde_json::from_str(&ended.out).unwrap();
        let findings = whole["findings"].as_array().unwrap();
        let statements: Vec<&str> = findings
            .iter()
            .filter(|finding| finding["check"] == "rights" || finding["check"] == "long_transactions")
            .flat_map(|finding| finding["sql"].as_array().unwrap())
            .map(|sql| sql.as_str().unwrap())
            .collect();
        if statements.is_empty() {
            assert_eq!(ended.code, 0, "{ended:?}");
            return;
        }
        for statement in statements {
            patient.run(statement).await;
        }
    }
    panic!("still not enough: {:?}", file.run("doctor --json"));
}

#[tokio::test]
async fn a_node_that_does_not_answer_keeps_no_other_from_being_examined() {
    let patient = Patient::new().await;
    let file = File::with_nodes(&[patient.cluster.url("dbmail"), NOWHERE.to_owned()]);
    let doctor = file.run("doctor");
    assert_eq!(doctor.code, 1, "{doctor:?}");
    for words in [" ams   1", " fra   -", "node fra: critical: reachable: cannot connect", "why: ", "mend: "] {
        assert!(doctor.out.contains(words), "{words:?} is not in {}", doctor.out);
    }
    assert!(!doctor.out.contains("node ams: critical"), "{}", doctor.out);
    assert_eq!(file.run("doctor --node fra").code, 3);
    let conf = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(conf.path(), "[IMAP]\nmailbox_update_strategy = 2\n").unwrap();
    let doctor = file.run(&format!("doctor --node ams --dbmail-conf {}", conf.path().display()));
    assert_eq!(doctor.code, 1);
    assert!(doctor.out.contains("mailbox_update_strategy = 2"), "{}", doctor.out);
    assert_eq!(file.run("doctor --dbmail-conf /nonexistent").code, 2);
    let all = file.run("doctor --node ams --all");
    assert!(all.out.contains("node ams: ok: fsync: on"), "{}", all.out);
}
