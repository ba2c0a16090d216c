//! A role that looks. That it can run all files of `sql/inspect` is shown in `inspect`, which runs them so.

use std::time::Instant;

use dbmail_mesh::scratch::cluster::READER_ROLE;
use dbmail_mesh::scratch::shared::shared_cluster;

use super::super::cli::File;
use super::super::mesh::{DEADLINE, Mesh};
use super::{DENIED, Installed, code_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_how_the_mesh_is_doing() {
    let (mesh, _) = Mesh::with_inbox("reader", 2, 8).await;
    let worker = mesh.work();
    let cluster = shared_cluster().await.unwrap();
    let urls: Vec<_> =
        mesh.nodes.iter().map(|node| cluster.reader_url(node.connection.get_dbname().unwrap())).collect();
    let mut text = "[mesh]\nstride = 8\n".to_owned();
    for (node, url) in mesh.nodes.iter().zip(&urls) {
        text += &format!("[[node]]\nname = \"{}\"\nid = {}\nurl = {url:?}\n", node.name, node.id);
    }
    let file = File::with_text(&text);
    tokio::task::spawn_blocking(move || {
        // Who is at work there, and since when: a worker that has just been started is not yet.
        let begun = Instant::now();
        let status = loop {
            let status = file.run("status");
            assert_eq!(status.code, 0, "{status:?}");
            let worker = status
                .out
                .split_once(" a     1   member  ")
                .map(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
            if worker == Some(true) {
                break status;
            }
            assert!(begun.elapsed() < DEADLINE, "{status:?}");
        };
        assert!(!status.out.contains("denied"), "{status:?}");
        let json: serde_json::Value = serde_json::from_str(&file.run("status --json").out).unwrap();
        assert_eq!(json["nodes"][0]["worker_active"], true, "{json}");
        for command in ["migrate status", "config check --connect"] {
            let ended = file.run(command);
            assert_eq!(ended.code, 0, "{command}: {ended:?}");
        }
        let doctor = file.run("doctor --all");
        assert!(doctor.out.contains("worker_role: role dbmail_mesh_reader may look, and not work"), "{doctor:?}");
        assert!(!doctor.out.contains("critical: answers") && !doctor.out.contains("denied"), "{doctor:?}");
        // It says why, and that it is the right that is missing.
        let verify = file.run("verify");
        assert!(verify.code != 0 && format!("{verify:?}").contains("permission denied"), "{verify:?}");
    })
    .await
    .unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn a_reader_sees_no_mail_no_password_and_no_script_and_writes_nothing() {
    let node = Installed::new("reader").await;
    let reader = node.client(READER_ROLE).await;
    for denied in [
        "select from public.dbmail_messageblks",
        "select from public.dbmail_mimeparts",
        "select from public.dbmail_partlists",
        "select from public.dbmail_header",
        "select from public.dbmail_headervalue",
        "select from public.dbmail_envelope",
        "select from public.dbmail_sievescripts",
        "select from public.dbmail_auto_replies",
        "select passwd from public.dbmail_users",
        "select spasswd from public.dbmail_users",
        "select * from public.dbmail_users",
        "select unique_id from public.dbmail_messages",
        "select from dbmail_mesh.entry",
        "select from dbmail_mesh.comparable",
        "select from dbmail_mesh.account_state",
        "select from dbmail_mesh.message_digest",
        "select from dbmail_mesh.incoming_slice",
        "select dbmail_mesh.body_digest(1)",
        "select dbmail_mesh.view_accounts('{}', '{}', '{}')",
        "select nextval('public.dbmail_message_idnr_seq')",
        "select setval('public.dbmail_message_idnr_seq', 9)",
        "delete from dbmail_mesh.pause",
        "select dbmail_mesh.write_plan('{}')",
        "create table dbmail_mesh.mine ()",
    ] {
        assert_eq!(code_of(&reader, denied).await, DENIED, "{denied}");
    }
    let written = format!(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('public', 'dbmail_mesh')
           and case c.relkind when 'S' then has_sequence_privilege('{READER_ROLE}', c.oid, 'usage, update')
                              when 'i' then false
                              else has_any_column_privilege('{READER_ROLE}', c.oid, 'insert, update, references')
                                   or has_table_privilege('{READER_ROLE}', c.oid, 'delete, truncate, trigger') end"
    );
    assert_eq!(node.texts(&written).await, [""; 0]);
    let acts = format!(
        "select p.proname::text from pg_proc p
         where p.pronamespace = 'dbmail_mesh'::regnamespace and p.provolatile = 'v' and has_function_privilege('{READER_ROLE}', p.oid, 'execute')"
    );
    assert_eq!(node.texts(&acts).await, [""; 0], "a function that can write");
}
