//! Which nodes and mailboxes are compared, and what is said of those that cannot be.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Rig, differences, set, urls};
use crate::cli::NOWHERE;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_down_is_named() {
    let mut rig = Rig::new("down", 2, 2).await;
    let mut nodes = urls(&rig.mesh).await;
    nodes.push(NOWHERE.to_owned());
    rig.with_nodes(&nodes);
    let (code, report) = rig.json("").await;
    assert_eq!((code, differences(&report)), (3, set(&[])), "{report:#}");
    assert_eq!((&report["nodes"][2]["name"], &report["nodes"][2]["compared"]), (&"nyc".into(), &false.into()));
    assert!(report["nodes"][2]["error"].as_str().unwrap().contains("cannot connect"), "{report:#}");
    assert_eq!(rig.run("--node ams --node fra").await.code, 0, "it was not asked for");

    rig.behind(2, &format!("update dbmail_messages set draft_flag = 1 where message_idnr = {}", rig.uid(0))).await;
    let (code, report) = rig.json("").await;
    assert_eq!((code, differences(&report)), (1, set(&[format!("message {}: flags", rig.uid(0))])), "{report:#}");

    rig.with_nodes(&[nodes[0].clone(), NOWHERE.to_owned()]);
    let alone = rig.run("").await;
    assert_eq!(alone.code, 3, "{alone:?}");
    assert!(alone.out.contains("nothing was compared") && alone.out.contains("not compared"), "{}", alone.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mailboxes_by_name_and_by_id() {
    let rig = Rig::new("scope", 2, 2).await;
    rig.behind(2, &format!("update dbmail_messages set seen_flag = 1 where message_idnr = {}", rig.uid(0))).await;
    rig.behind(2, &format!("update dbmail_mailboxes set permission = 1 where mailbox_idnr = {}", rig.folder.0)).await;
    let in_inbox = set(&[format!("message {}: flags", rig.uid(0))]);
    for wanted in ["alice/INBOX".to_owned(), rig.inbox.0.to_string()] {
        let (code, report) = rig.json(&format!("--mailbox {wanted}")).await;
        assert_eq!((code, differences(&report)), (1, in_inbox.clone()), "{wanted}: {report:#}");
        assert_eq!(report["nodes"][0]["mailboxes"], 1);
    }
    assert_eq!(rig.json("--mailbox bob/INBOX").await.0, 0);
    let (_, report) = rig.json("--mailbox alice/INBOX --mailbox alice/Folder").await;
    assert_eq!(report["differences_total"], 2, "{report:#}");
    for (arguments, complaint) in [
        ("--mailbox alice/Nonsense", "no node has a mailbox alice/Nonsense"),
        ("--mailbox alice/INBOX --mailbox 4711", "no node has a mailbox 4711"),
        ("--node ams", "nothing to compare it with"),
        ("--node rome", "the nodes are ams, fra"),
        ("--wait soon", "--wait"),
    ] {
        let wrong = rig.run(arguments).await;
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{arguments}: {wrong:?}");
        assert!(wrong.err.contains(complaint), "{arguments}: {}", wrong.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_field_of_the_json_is_in_the_docs() {
    let rig = Rig::new("fields", 2, 3).await;
    rig.behind(2, &format!("update dbmail_messages set seen_flag = 1 where message_idnr = {}", rig.uid(0))).await;
    rig.mesh.run(1, &format!("update dbmail_messages set seen_flag = 1 where message_idnr = {}", rig.uid(1))).await;
    let (_, report) = rig.json("--repair --wait 300ms").await;
    assert_eq!(report["in_flight_total"], 2, "{report:#}");
    rig.behind(2, "update dbmail_users set passwd = 'topsecret' where userid = 'bob'").await;
    let (_, of_bob) = rig.json("--wait 300ms").await;
    let docs = include_str!("../../../docs/verify.md");
    let documented: BTreeSet<&str> = docs.split('`').skip(1).step_by(2).collect();
    let mut fields: BTreeSet<&str> = BTreeSet::new();
    let user = &of_bob["in_flight"][0];
    for object in [&report, &report["nodes"][0], &report["in_flight"][0], &report["repair"], user] {
        fields.extend(object.as_object().unwrap_or_else(|| panic!("{report:#}")).keys().map(String::as_str));
    }
    let missing: Vec<_> = fields.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the docs: {missing:?}");
    assert!(!of_bob.to_string().contains("topsecret"));
    let _: &Value = user;
}
