//! Each kind of difference is found exactly, and mended, or it is told what to do.

use super::{Rig, differences, set};

/// Everything that the join can mend, produced behind the triggers' back, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_kind_of_difference_is_found_and_mended() {
    let rig = Rig::new("mend", 2, 10).await;
    let (alice, folder, inbox) =
        ("(select user_idnr from dbmail_users where userid = 'alice')", rig.folder.0, rig.inbox.0);
    rig.mesh.run(1, &format!("insert into dbmail_subscription values ({alice}, {inbox})")).await;
    let script = format!("insert into dbmail_sievescripts (owner_idnr, name, script) values ({alice}, 's', 'keep;')");
    rig.mesh.run(1, &script).await;
    let worker = rig.mesh.work();
    rig.mesh.await_count(2, "select count(*) from dbmail_sievescripts", 1).await;
    let (code, report) = rig.json("").await;
    assert_eq!((code, differences(&report)), (0, set(&[])), "{report:#}");
    assert_eq!((&report["nodes"][0]["messages"], &report["nodes"][1]["mailboxes"]), (&10.into(), &3.into()));

    let uid = |which| rig.uid(which);
    let renumbered = uid(9) + 8;
    for (node, sql) in [
        (2, format!("delete from dbmail_keywords where message_idnr = {0}; delete from dbmail_messages where message_idnr = {0}", uid(0))),
        (2, format!("update dbmail_messages set seen_flag = 1 where message_idnr = {}", uid(1))),
        (1, format!("insert into dbmail_keywords values ({}, 'urgent')", uid(2))),
        (2, format!("update dbmail_messages set mailbox_idnr = {folder} where message_idnr = {}", uid(3))),
        (1, format!("insert into dbmail_mesh.number values ({renumbered}, {0}, 1, now()); delete from dbmail_keywords where message_idnr = {0};
                     update dbmail_messages set message_idnr = {renumbered} where message_idnr = {0};
                     insert into dbmail_keywords values ({renumbered}, 'work')", uid(4))),
        (1, format!("update dbmail_messages set status = 2 where message_idnr = {}", uid(5))),
        (2, format!("delete from dbmail_keywords where message_idnr = {}", uid(6))),
        (2, "update dbmail_users set maxmail_size = 4711 where userid = 'bob'".into()),
        (2, format!("update dbmail_mailboxes set name = 'Renamed', permission = 1 where mailbox_idnr = {folder}")),
        (2, "delete from dbmail_subscription".into()),
        (2, "update dbmail_sievescripts set script = 'stop;'".into()),
        (1, "insert into dbmail_aliases (alias, deliver_to, client_idnr) values ('a@x', 'b@y', 0)".into()),
    ] {
        rig.behind(node, &sql).await;
    }
    let expected = set(&[
        format!("message {}: missing", uid(0)),
        format!("message {}: flags", uid(1)),
        format!("message {}: keywords", uid(2)),
        format!("message {}: mailbox", uid(3)),
        format!("message {}: uid", uid(4)),
        format!("message {}: missing", uid(5)),
        format!("message {}: keywords", uid(6)),
        "user bob/1: maxmail_size".into(),
        format!("mailbox {folder}: name permission"),
        "subscription: missing".into(),
        "script: script".into(),
        "alias: missing".into(),
    ]);
    let (code, report) = rig.json("").await;
    assert_eq!((code, differences(&report)), (1, expected.clone()), "{report:#}");
    let text = rig.run("").await;
    assert!(text.out.contains("12 differences") && text.out.contains("alice/INBOX"), "{}", text.out);

    let (code, report) = rig.json("--repair --wait 120s").await;
    assert_eq!((code, differences(&report)), (0, expected), "{report:#}");
    assert_eq!(report["repair"]["mended"], 12, "{report:#}");
    let (code, report) = rig.json("").await;
    assert_eq!((code, differences(&report)), (0, set(&[])), "{report:#}");
    worker.stop().await;

    for id in [1, 2] {
        assert_eq!(
            rig.mesh.count(id, "select count(*) from dbmail_messages where status < 2").await,
            9,
            "one was dead"
        );
        let dead = format!("select count(*) from dbmail_messages where message_idnr = {} and status < 2", uid(5));
        assert_eq!(rig.mesh.count(id, &dead).await, 0, "an expunge wins");
        let seen = format!("select count(*) from dbmail_messages where message_idnr = {} and seen_flag = 1", uid(1));
        assert_eq!(rig.mesh.count(id, &seen).await, 1, "of equal stamps the flag that is set wins");
        assert_eq!(rig.mesh.count(id, "select count(*) from dbmail_subscription").await, 1, "nobody unsubscribed");
        let new = format!("select count(*) from dbmail_messages where message_idnr = {renumbered} and status < 2");
        assert_eq!(rig.mesh.count(id, &new).await, 1, "the highest UID wins");
    }
}

/// Of content, and of a number that somebody made up, nothing says what is right: the repair leaves it alone and says so. Then what
/// docs/verify.md tells to do about a content.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_join_cannot_mend_is_told() {
    let rig = Rig::new("left", 2, 4).await;
    let [content, name, number] = [0, 1, 2].map(|which| rig.uid(which));
    let by_hand = number + 800;
    rig.behind(2, &format!("update dbmail_physmessage p set rfcsize = rfcsize + 1 from dbmail_messages g where g.physmessage_id = p.id and g.message_idnr = {content}")).await;
    rig.behind(2, &format!("update dbmail_messages set unique_id = 'other' where message_idnr = {name}")).await;
    rig.behind(2, &format!("delete from dbmail_keywords where message_idnr = {number}; update dbmail_messages set message_idnr = {by_hand} where message_idnr = {number}")).await;
    let worker = rig.mesh.work();
    let expected = set(&[
        format!("message {content}: content"),
        format!("message {name}: unique_id"),
        format!("message {number}: missing"),
        format!("message {by_hand}: missing"),
    ]);
    let (code, report) = rig.json("--repair --wait 120s").await;
    assert_eq!((code, differences(&report)), (1, expected), "{report:#}");
    assert_eq!((&report["repair"]["marked"], &report["repair"]["not_mended"]), (&0.into(), &4.into()));
    assert!(report["differences"].as_array().unwrap().iter().all(|it| it["advice"].is_string()), "{report:#}");
    let shown = rig.run("").await;
    assert!(shown.out.contains("docs/verify.md") && shown.out.contains("under two numbers"), "{}", shown.out);

    rig.mesh.run(2, &format!("begin; set local dbmail_mesh.applying = 'on'; delete from dbmail_messages where message_idnr in ({content}, {name}); update dbmail_messages set message_idnr = {number} where message_idnr = {by_hand}; commit")).await;
    let (code, report) = rig.json("--repair --wait 120s").await;
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(rig.json("--content").await.0, 0);
    worker.stop().await;
}

/// A hash of dbmail's says what a body was when it was stored; what it is now is told by reading it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_that_has_rotted_is_found_by_reading_it() {
    let rig = Rig::new("rotten", 2, 3).await;
    let worker = rig.mesh.work();
    assert_eq!(rig.json("--content").await.0, 0);
    rig.behind(2, &format!("update dbmail_mimeparts set data = set_byte(data, 0, get_byte(data, 0) # 1) where id = (select l.part_id from dbmail_partlists l join dbmail_messages g using (physmessage_id) where g.message_idnr = {} and l.is_header = 0)", rig.uid(1))).await;
    assert_eq!(rig.json("").await.0, 0, "the hash is what it was");
    let (code, report) = rig.json("--content").await;
    assert_eq!((code, differences(&report)), (1, set(&[format!("message {}: content", rig.uid(1))])), "{report:#}");
    worker.stop().await;
}

/// A row that is left over under a number that the message had: clients would see it twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_that_stands_twice_is_found() {
    let rig = Rig::new("twice", 2, 2).await;
    let (uid, other) = (rig.uid(0), rig.uid(1) + 8);
    for node in [1, 2] {
        let keep = if node == 1 { "" } else { "delete from dbmail_messages where message_idnr = " };
        let gone = if node == 1 {
            String::new()
        } else {
            format!("{keep}{uid}; delete from dbmail_keywords where message_idnr = {uid};")
        };
        rig.behind(node, &format!("insert into dbmail_mesh.number values ({other}, {uid}, 1, now());
            insert into dbmail_messages select {other}, mailbox_idnr, physmessage_id, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag, draft_flag, unique_id, status, seq from dbmail_messages where message_idnr = {uid};
            {gone} insert into dbmail_keywords values ({other}, 'work')")).await;
    }
    let worker = rig.mesh.work();
    let (code, report) = rig.json("--repair --wait 120s").await;
    assert_eq!((code, differences(&report)), (1, set(&[format!("message {uid}: rows")])), "{report:#}");
    worker.stop().await;
}

/// Between looking and marking, somebody moves a message and unsubscribes: that is later than what the repair has to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_changed_during_a_repair_wins() {
    let rig = Rig::new("meanwhile", 2, 2).await;
    let (uid, folder, inbox) = (rig.uid(0), rig.folder.0, rig.inbox.0);
    let subscribe =
        format!("insert into dbmail_subscription select user_idnr, {inbox} from dbmail_users where userid = 'alice'");
    rig.mesh.run(1, &subscribe).await;
    let worker = rig.mesh.work();
    rig.mesh.await_count(2, "select count(*) from dbmail_subscription", 1).await;
    worker.stop().await;

    rig.mesh.run(1, &format!("update dbmail_messages set mailbox_idnr = {folder} where message_idnr = {uid}")).await;
    rig.mesh.run(1, "delete from dbmail_subscription").await;
    rig.mesh.run(2, &format!("select dbmail_mesh.restamp_place({uid}, {uid}, {inbox}, 0)")).await;
    let restamp = "select dbmail_mesh.restamp_entry(e.kind, e.key, true, e.value, e.stamp, e.stamp) from dbmail_mesh.entry e where e.kind = 'subscription'";
    rig.mesh.run(2, restamp).await;

    let worker = rig.mesh.work();
    let moved = format!("select count(*) from dbmail_messages where message_idnr = {uid} and mailbox_idnr = {folder}");
    rig.mesh.await_count(2, &moved, 1).await;
    rig.mesh.await_count(2, "select count(*) from dbmail_subscription", 0).await;
    rig.mesh.await_equal(rig.inbox, 1).await;
    worker.stop().await;
    assert_eq!(rig.mesh.count(1, "select count(*) from dbmail_subscription").await, 0);
}

/// That no script is active is what the user said last; a script that is active behind the triggers' back is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn that_no_script_is_active_is_a_value() {
    let rig = Rig::new("inactive", 2, 1).await;
    let script = "insert into dbmail_sievescripts (owner_idnr, name, script, active)
                  select user_idnr, 's', 'keep;', 1 from dbmail_users where userid = 'alice'";
    rig.mesh.run(1, script).await;
    let worker = rig.mesh.work();
    let active = "select count(*) from dbmail_sievescripts where active = 1";
    rig.mesh.await_count(2, active, 1).await;
    rig.mesh.run(1, "update dbmail_sievescripts set active = 0").await;
    rig.mesh.await_count(2, active, 0).await;
    rig.behind(2, "update dbmail_sievescripts set active = 1").await;
    let (code, report) = rig.json("--repair --wait 120s").await;
    assert_eq!((code, report["repair"]["mended"].as_i64()), (0, Some(1)), "{report:#}");
    assert_eq!((rig.mesh.count(1, active).await, rig.mesh.count(2, active).await), (0, 0));
    worker.stop().await;
}
