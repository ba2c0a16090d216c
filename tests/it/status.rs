//! `dbmail-mesh status`, driven as people run it: nodes in states that tests write into the tables.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::{Mail, Session};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::cli::{Ended, File, NOWHERE};

/// Two installed nodes, a superuser's connection to each, and a settings file with both.
struct Pair {
    file: File,
    urls: Vec<String>,
    ams: Client,
    fra: Client,
}

impl Pair {
    async fn installed() -> Self {
        let mut urls = Vec::new();
        let mut nodes = Vec::new();
        for (name, id) in [("ams", 1), ("fra", 2)] {
            let config = fresh_dbmail("status").await.unwrap();
            urls.push(shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap()));
            nodes.push(NodeSettings::new(name, NodeId(id), urls.last().unwrap()).unwrap());
        }
        install(&nodes, &nodes, Stride(8)).await.unwrap();
        let (ams, fra) = (connect(&nodes[0].connection).await.unwrap(), connect(&nodes[1].connection).await.unwrap());
        Self { file: File::with_nodes(&urls), urls, ams, fra }
    }

    /// Two members of one mesh whose links are current and have nothing to do.
    async fn at_rest() -> Self {
        let pair = Self::installed().await;
        for (node, peer, source) in [(&pair.ams, 2, &pair.fra), (&pair.fra, 1, &pair.ams)] {
            let joined = "update dbmail_mesh.local_node set mesh_id = 'cf04b2a5-55b5-4b45-ae4f-7f4c5d44d3a4'";
            node.batch_execute(joined).await.unwrap();
            // This connection stands for the worker.
            node.batch_execute("select pg_advisory_lock(1684169070, 0)").await.unwrap();
            begin(node, peer, &snapshot(source).await).await;
            let reported = format!("insert into dbmail_mesh.link_status (source_id, state) values ({peer}, 'current')");
            node.batch_execute(&reported).await.unwrap();
        }
        pair
    }

    /// A stand-in for dbmail on `ams`, with a mailbox.
    async fn mail(&self) -> (Session, dbmail_mesh::domain::ids::MailboxId) {
        let mut session = Session::connect(&self.urls[0].parse().unwrap()).await.unwrap();
        session.create_user("ann").await.unwrap();
        let inbox = session.find_or_create_mailbox("ann", "INBOX").await.unwrap();
        (session, inbox)
    }

    fn json(&self, arguments: &str) -> Value {
        let status = self.file.run(&format!("status --json {arguments}"));
        serde_json::from_str(&status.out).unwrap_or_else(|error| panic!("{error}: {status:?}"))
    }

    /// The codes of what is wrong, and the command's own verdict.
    fn codes(&self, arguments: &str) -> Vec<String> {
        let status = self.file.run(&format!("status --check --json {arguments}"));
        let seen: Value = serde_json::from_str(&status.out).unwrap();
        let problems = seen["problems"].as_array().unwrap();
        assert_eq!(status.code, i32::from(!problems.is_empty()), "{status:?}");
        problems.iter().map(|problem| problem["code"].as_str().unwrap().to_owned()).collect()
    }
}

async fn snapshot(node: &Client) -> String {
    node.query_one("select pg_current_snapshot()::text", &[]).await.unwrap().get(0)
}

/// Gives `target` a cursor behind everything that `from` sees on source number `source`.
async fn begin(target: &Client, source: i16, from: &str) {
    let sql = "insert into dbmail_mesh.cursor (source_id, from_snapshot) values ($1, $2::text::pg_snapshot)
               on conflict (source_id) do update set from_snapshot = excluded.from_snapshot, to_snapshot = null";
    target.execute(sql, &[&source, &from]).await.unwrap();
}

/// Sets `fra`'s cursor for `ams` to a position within a large range.
async fn within(target: &Client, to: &str, id: i64) {
    let sql = "update dbmail_mesh.cursor set to_snapshot = $1::text::pg_snapshot, last_id = $2";
    target.execute(sql, &[&to, &id]).await.unwrap();
}

fn link<'a>(status: &'a Value, source: &str, target: &str) -> &'a Value {
    let is_it = |link: &&Value| link["source"] == source && link["target"] == target;
    status["links"].as_array().unwrap().iter().find(is_it).unwrap()
}

fn says(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.out.contains(word), "{word:?} is not in:\n{}{}", ended.out, ended.err);
    }
}

#[tokio::test]
async fn nothing_is_wrong_with_nodes_that_no_worker_has_met_yet() {
    let pair = Pair::installed().await;
    let status = pair.file.run("status --check");
    assert_eq!(status.code, 0, "{status:?}");
    says(&status, &["not admitted", "fra -> ams  not begun", "ams -> fra  not begun", "\nnothing is wrong\n"]);
    let seen = pair.json("");
    assert_eq!(seen["nodes"][0]["uid_highest"], 0, "the sequence stands at a number that was not handed out");
    assert_eq!(link(&seen, "ams", "fra")["state"], "not_begun");
    assert_eq!(link(&seen, "ams", "fra")["lag_messages"], Value::Null);

    let joined = "update dbmail_mesh.local_node set mesh_id = gen_random_uuid()";
    pair.ams.batch_execute(joined).await.unwrap();
    let codes = ["no_worker", "link_not_begun", "link_not_begun"];
    assert_eq!(pair.codes(""), codes, "once there is a mesh, it is one");
}

#[tokio::test]
async fn every_field_of_the_json_is_documented() {
    let pair = Pair::at_rest().await;
    pair.fra.batch_execute("update dbmail_mesh.link_status set state = 'failing'").await.unwrap();
    let seen = pair.json("");
    let section = |text: &'static str, from: &str| text.split(from).nth(1).unwrap();
    let contracts = [
        section(include_str!("../../docs/status.md"), "## JSON"),
        section(include_str!("../../docs/pause.md"), "### In status"),
    ];
    let documented: BTreeSet<&str> =
        contracts.iter().flat_map(|contract| contract.split('`').skip(1).step_by(2)).collect();
    let mut fields = BTreeSet::new();
    for object in [&seen, &seen["nodes"][0], &seen["nodes"][0]["numbers"][0], &seen["links"][0], &seen["problems"][0]] {
        fields.extend(object.as_object().unwrap().keys().map(String::as_str));
    }
    let missing: Vec<_> = fields.difference(&documented).collect();
    assert!(missing.is_empty(), "in neither docs/status.md nor docs/pause.md: {missing:?}");
    assert!(fields.len() > 40, "{fields:?}");
}

#[tokio::test]
async fn a_mesh_at_rest_is_read_at_a_glance() {
    let pair = Pair::at_rest().await;
    let status = pair.file.run("status --check");
    assert_eq!(status.code, 0, "{status:?}");
    says(&status, &["ams   1   member", "mesh cf04b2a5-55b5-4b45-ae4f-7f4c5d44d3a4: ams, fra", "fra -> ams  current"]);
    let widest = status.out.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{}", status.out);
    let seen = pair.json("");
    let lag = |source, target| {
        let link = link(&seen, source, target);
        (link["lag_messages"].clone(), link["lag_seconds"].clone(), link["copy_stage"].clone())
    };
    assert_eq!(lag("ams", "fra"), (json!(0), json!(0.0), Value::Null));
    assert_eq!(lag("fra", "ams"), (json!(0), json!(0.0), Value::Null));
}

#[tokio::test]
async fn the_lag_counts_what_the_cursor_has_not_seen() {
    let pair = Pair::at_rest().await;
    let (mut session, inbox) = pair.mail().await;
    for name in ["one", "two", "three"] {
        session.deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    let seen = pair.json("");
    assert_eq!(link(&seen, "ams", "fra")["lag_messages"], 3, "a user and a mailbox are changes, but no messages");
    assert_eq!(link(&seen, "fra", "ams")["lag_messages"], 0);
    assert_eq!(seen["nodes"][0]["outbox_rows"], 8, "each delivery also raised HIGHESTMODSEQ");
    assert_eq!(pair.codes(""), [""; 0], "nothing has been waiting for a minute yet");

    let older = "update dbmail_mesh.outbox set at = at - interval '90 s'
                 where id = (select max(id) from dbmail_mesh.outbox where kind = 'm')";
    pair.ams.batch_execute(older).await.unwrap();
    let seconds = link(&pair.json(""), "ams", "fra")["lag_seconds"].as_f64().unwrap();
    assert!((90.0..600.0).contains(&seconds), "{seconds}");
    assert_eq!(pair.codes(""), ["lag"]);
    assert_eq!(pair.codes("--max-lag 1h"), [""; 0]);
    assert_eq!(pair.codes("--node ams"), [""; 0], "only links into the named nodes count");
    let status = pair.file.run("status --check --node fra");
    says(&status, &["3 (9", "link ams -> fra: changes that wait: 3, the first for 9"]);

    begin(&pair.fra, 1, &snapshot(&pair.ams).await).await;
    assert_eq!(link(&pair.json(""), "ams", "fra")["lag_messages"], 0);
}

/// Within a large range the cursor has a position, and a count of what lies behind the position alone forgets the transaction
/// that was open when the range's snapshot was taken: it has a lower number than the position, and was not read.
#[tokio::test]
async fn a_position_within_a_range_leaves_out_what_is_done_and_nothing_else() {
    let mut pair = Pair::at_rest().await;
    let (mut session, inbox) = pair.mail().await;
    let open = pair.ams.transaction().await.unwrap();
    open.batch_execute("insert into dbmail_mesh.outbox (kind, key) values ('m', 1000001)").await.unwrap();
    for name in ["one", "two", "three"] {
        session.deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    let beside = connect(&pair.urls[0].parse().unwrap()).await.unwrap();
    let to = snapshot(&beside).await;
    let second = "select id from dbmail_mesh.outbox where kind = 'm' order by id offset 1 limit 1";
    let second = beside.query_one(second, &[]).await.unwrap();
    within(&pair.fra, &to, second.get(0)).await;
    let lag = |pair: &Pair| link(&pair.json(""), "ams", "fra")["lag_messages"].clone();

    open.commit().await.unwrap();
    assert_eq!(lag(&pair), 2, "the third delivery, and what committed later");
    session.deliver(inbox, &Mail::named("four")).await.unwrap();
    assert_eq!(lag(&pair), 3);
}

#[tokio::test]
async fn every_fault_is_told_with_a_line_and_a_code() {
    let pair = Pair::at_rest().await;
    let faults = "
        insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr, first_seen)
          values (17, 9, 17, 281474976710664, now() - interval '5 min'), (25, 9, 25, 281474976710665, now());
        insert into dbmail_mesh.set_aside (source_id, kind, key, reason) values (2, 'm', 18, 'mailbox 9 is not here');
        insert into dbmail_mesh.renumber_log (birth_uid, old_uid, new_uid, mailbox_idnr, was_visible, decided_by, decided_at, applied_at)
          values (1, 1, 9, 9, false, 1, now(), now() - interval '3 h'), (3, 3, 17, 9, true, 1, now(), now());
        insert into dbmail_mesh.reservation (uid, mailbox_idnr, birth_uid) values (33, 9, 25);
        alter table public.dbmail_messages disable trigger _900_dbmail_mesh_expunged;
        drop trigger _900_dbmail_mesh_new on public.dbmail_users;
        alter table public.dbmail_messages alter column message_idnr set default nextval('public.dbmail_message_idnr_seq');
        select setval('public.dbmail_message_idnr_seq', 4000000001);
        insert into public.dbmail_physmessage (id) values (2000000000);
        update dbmail_mesh.link_status set state = 'refused', last_error = E'other mail\\nthan here', last_error_at = now();";
    pair.ams.batch_execute(faults).await.unwrap();
    let expected = [
        "trigger_fault",
        "trigger_fault",
        "trigger_fault",
        "late_waiting",
        "rows_set_aside",
        "uid_space",
        "physmessage_id_space",
        "link_refused",
    ];
    assert_eq!(pair.codes(""), expected);
    assert_eq!(pair.codes("--node fra"), [""; 0]);
    assert!(!pair.codes("--max-late 10min").contains(&"late_waiting".to_owned()));

    let node = &pair.json("")["nodes"][0];
    assert_eq!((&node["late_messages"], &node["set_aside_rows"]), (&json!(2), &json!(1)));
    assert_eq!((&node["renumbers_total"], &node["renumbers_last_hour"]), (&json!(2), &json!(1)));
    assert_eq!(node["numbers_reserved"], 1);
    assert_eq!((&node["uid_highest"], &node["uid_used_percent"]), (&json!(4_000_000_001_i64), &json!(93.13)));
    assert_eq!(node["physmessage_id_used_percent"], json!(93.13));

    let status = pair.file.run("status --check");
    assert_eq!(node["numbers"][0]["level"], "warning");
    assert_eq!(node["numbers"][2]["space"], "mailbox_ids");
    let lines = [
        "node ams: warning: 93.13 % of the UIDs up to 4294967294 are used; above, clients accept no new mail (plan",
        "node ams: warning: 93.13 % of the ids of dbmail_physmessage up to 2147483647 are used; above, dbmail loses mail",
        "node ams: trigger _900_dbmail_mesh_expunged on dbmail_messages is disabled (alter table",
        "node ams: trigger _900_dbmail_mesh_new on dbmail_users is missing (",
        "node ams: column message_idnr of dbmail_messages has a default",
        "node ams: late messages that wait for a new UID: 2, the first for 30",
        "node ams: rows that could not be joined, and are tried again: 1 (",
        "link fra -> ams: refused: other mail than here\n",
    ];
    says(&status, &lines);
    assert_eq!(pair.file.run("status").code, 0, "without --check it tells, and does not judge");
}

#[tokio::test]
async fn failing_links_and_a_first_copy_are_shown() {
    let pair = Pair::at_rest().await;
    let copying = "delete from dbmail_mesh.link_status;
                   update dbmail_mesh.cursor set copy_stage = 'm', copy_position = 4711;";
    pair.fra.batch_execute(copying).await.unwrap();
    let failing = "update dbmail_mesh.link_status
                   set state = 'failing', last_error = 'cannot connect', last_error_at = now() - interval '10 min'";
    pair.ams.batch_execute(failing).await.unwrap();
    let seen = pair.json("");
    let copy = link(&seen, "ams", "fra");
    assert_eq!((&copy["state"], &copy["copy_stage"]), (&json!("working"), &json!("messages")));
    assert_eq!(copy["copy_position"], 4711);
    let status = pair.file.run("status");
    says(&status, &["messages, at 4711", "fra -> ams, 10min ago: cannot connect"]);
    assert_eq!(pair.codes(""), ["link_failing"]);
}

#[tokio::test]
async fn every_trigger_of_an_installed_node_is_watched() {
    let pair = Pair::at_rest().await;
    let triggers = pair.ams.query(
        "select format('drop trigger %I on %s', tgname, tgrelid::regclass) from pg_trigger
                                   where tgname like '%dbmail\\_mesh%' and not tgisinternal",
        &[],
    );
    let drops: Vec<String> = triggers.await.unwrap().iter().map(|row| row.get(0)).collect();
    for drop in &drops {
        pair.ams.batch_execute(drop).await.unwrap();
    }
    assert!(drops.len() >= 6);
    assert_eq!(pair.codes("--node ams"), vec!["trigger_fault"; drops.len()], "{drops:?}");
}

#[tokio::test]
async fn nodes_that_cannot_be_asked_do_not_stop_the_others() {
    let pair = Pair::at_rest().await;
    let bare = fresh_dbmail("status").await.unwrap();
    let bare = shared_cluster().await.unwrap().worker_url(bare.get_dbname().unwrap());

    let file = File::with_nodes(&[pair.urls[0].clone(), NOWHERE.to_owned(), bare.clone()]);
    let status = file.run("status");
    assert_eq!(status.code, 0, "{status:?}");
    let lines = [
        "ams   1   member",
        "fra   2   unreachable",
        "nyc   3   not installed",
        "fra (/nonexistent/mail): cannot connect",
    ];
    says(&status, &lines);
    says(&status, &["fra -> ams  current", "ams -> fra  unknown"]);
    assert!(!status.out.contains("the lag is not known"), "the node's own line says it: {}", status.out);

    let check = file.run("status --check");
    assert_eq!(check.code, 1);
    says(
        &check,
        &[
            "\nnode fra: unreachable: cannot connect",
            "\nnode nyc: dbmail-mesh is not installed (run dbmail-mesh migrate up)",
        ],
    );
    let check = file.run("status --check --node ams");
    says(
        &check,
        &["\nlink fra -> ams: the lag is not known: node fra: cannot connect", "\nlink nyc -> ams: not begun"],
    );

    assert_eq!(file.run("status --node fra").code, 3, "no node at all could be asked");
    assert_eq!(file.run("status --node fra --check").code, 1);
    assert_eq!(file.run("status --node rome").code, 2);
    assert_eq!(file.run("status --max-lag soon").code, 2);
}

#[tokio::test]
async fn a_schema_or_settings_that_do_not_fit_are_told() {
    let pair = Pair::at_rest().await;
    let installed = "insert into dbmail_mesh.migration (version, name) values (9999, 'later')";
    pair.fra.batch_execute(installed).await.unwrap();
    assert_eq!(pair.codes("--node fra"), ["schema_version"]);
    says(&pair.file.run("status --check"), &["other schema", "version 9999", "(use the newer dbmail-mesh)"]);
    assert_eq!(pair.codes("--node ams"), ["lag_unknown"], "its source speaks another language");
    pair.fra.batch_execute("delete from dbmail_mesh.migration where version > 1").await.unwrap();
    says(&pair.file.run("status --check"), &["its schema is at version 1,", "(run dbmail-mesh migrate up)"]);

    let check = pair.file.run("status --check --node ams --set node.ams.id=5 --set mesh.stride=16");
    assert_eq!(check.code, 1);
    says(&check, &["its id is 5 in the settings, but it was installed with 1", "mesh.stride is 16 in the settings"]);
}

#[tokio::test]
async fn a_role_without_rights_is_told() {
    let pair = Pair::at_rest().await;
    pair.ams.batch_execute("create role status_stranger login").await.unwrap();
    let stranger = pair.urls[0].replace("dbmail_mesh@", "status_stranger@");
    let file = File::with_nodes(&[stranger, pair.urls[1].clone()]);
    let status = file.run("status");
    assert_eq!(status.code, 0, "{status:?}");
    says(&status, &["ams   1   failing", "permission denied", "migrate up)\n", "fra   2   member"]);
    let check = file.run("status --check --json");
    let seen: Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!((&seen["problems"][0]["code"], check.code), (&json!("node_failing"), 1));
}

/// A server that hangs, or a firewall that swallows packets, completes the TCP handshake or not even that.
#[tokio::test]
async fn a_node_that_never_answers_is_waited_for_some_seconds() {
    let pair = Pair::at_rest().await;
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://postgres@127.0.0.1:{}/mail", mute.local_addr().unwrap().port());
    let file = File::with_nodes(&[pair.urls[0].clone(), url]);
    let started = Instant::now();
    let status = file.run("status --check");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(status.code, 1);
    says(&status, &["ams   1   member", "node fra: unreachable: no answer within 5 s"]);
}

/// `status` and `plan` are critical long before numbers end; half of a space is worth a line, and no alarm.
#[tokio::test]
async fn numbers_that_run_out_are_told_at_50_80_and_95_percent() {
    let pair = Pair::at_rest().await;
    let set = async |uid: i64| {
        pair.ams.batch_execute(&format!("select setval('public.dbmail_message_idnr_seq', {uid})")).await.unwrap();
    };
    for (uid, level, code) in [
        (2_147_483_609, "ok", 0),
        (2_147_483_649, "notice", 0),
        (3_435_973_841, "warning", 1),
        (4_080_218_937, "critical", 1),
        (4_294_967_297, "critical", 1),
    ] {
        set(uid).await;
        let status = pair.file.run("status --check");
        assert_eq!(status.code, code, "{status:?}");
        assert_eq!(status.out.contains(&format!("node ams: {level}: ")), level != "ok", "{}", status.out);
        let seen = pair.json("--node ams");
        assert_eq!(seen["nodes"][0]["numbers"][0]["level"], level);
        assert_eq!(seen["problems"].get(0).map_or(&json!("ok"), |problem| &problem["level"]), level);
        assert_eq!(pair.file.run("plan").code, code);
    }
    pair.ams.batch_execute("select setval('public.dbmail_mailbox_idnr_seq', 4200000001)").await.unwrap();
    set(9).await;
    assert_eq!(pair.codes(""), ["mailbox_id_space"]);
}

/// The date is that of the longest time over which something is known.
#[tokio::test]
async fn the_end_is_told_by_the_rate_that_was_measured() {
    let pair = Pair::at_rest().await;
    let samples = "delete from dbmail_mesh.number_sample;
        select setval('public.dbmail_message_idnr_seq', 3000000001), setval('public.dbmail_physmessage_id_seq', 300000000);
        insert into dbmail_mesh.number_sample (at, uid, physmessage_id, mailbox_idnr)
        select now() - age, uid, physmessage_id, 0
        from (values (interval '200 days', 1000000001::bigint, 100000000::bigint), ('31 days', 2690000001, 145000000),
                     ('7 days 1 min', 2999999001, 299999000)) s(age, uid, physmessage_id);";
    pair.ams.batch_execute(samples).await.unwrap();
    let node = &pair.json("")["nodes"][0];
    let uids = &node["numbers"][0];
    assert_eq!(uids["measured_over"], json!("30 days"));
    let per_day = uids["per_day"].as_i64().unwrap();
    assert!((9_999_000..=10_000_000).contains(&per_day), "310000000 in 31 days and the seconds since: {per_day}");
    let ends: jiff::Timestamp = uids["ends_at"].as_str().unwrap().parse().unwrap();
    let days = ends.duration_since(jiff::Timestamp::now()).as_hours() / 24;
    assert!((128..=129).contains(&days), "1294967293 numbers at 10000000 a day: {days} days");
    assert_eq!(node["numbers"][2]["ends_at"], Value::Null);
    let status = pair.file.run("status");
    says(&status, &["NUMBERS  UIDS ", "69.8% notice", "over 30 days", "never"]);

    let plan = pair.file.run("plan --json");
    assert_eq!(plan.code, 0, "{plan:?}");
    let plan: Value = serde_json::from_str(&plan.out).unwrap();
    let line = &plan["lines"][0];
    assert_eq!((&line["space"], &line["node"]), (&json!("uids"), &Value::Null));
    assert_eq!(line["numbers_per_message"], json!(2.0), "310000000 UIDs and 155000000 physmessages");
    assert_eq!(line["messages_left"], json!((4_294_967_294_i64 - 3_000_000_001) / 2));
    let rates: Vec<_> = line["rates"].as_array().unwrap().iter().map(|rate| rate["measured_over"].clone()).collect();
    assert_eq!(rates, ["30 days", "7 days", "1 day", "install"]);
    assert_eq!(plan["lines"].as_array().unwrap().len(), 4, "two nodes count their physmessage ids by themselves");
    says(&pair.file.run("plan"), &["physmessage ids  ams", "The rates were measured over 30 days.\n"]);
}

#[tokio::test]
async fn a_plan_is_made_of_the_nodes_that_answer() {
    let pair = Pair::at_rest().await;
    let plan = File::with_nodes(&[pair.urls[0].clone(), NOWHERE.to_owned()]).run("plan");
    assert_eq!(plan.code, 1, "{plan:?}");
    says(&plan, &["physmessage ids  ams", "\nnode fra: cannot connect", "No rate is known yet"]);
    let plan = File::with_nodes(&[NOWHERE.to_owned()]).run("plan");
    assert_eq!((plan.code, plan.out.as_str()), (3, ""), "{plan:?}");
}

/// However many changes wait, to look at them costs the same.
#[tokio::test]
async fn a_large_backlog_is_counted_up_to_a_bound() {
    let pair = Pair::at_rest().await;
    let fill = "insert into dbmail_mesh.outbox (kind, key) select 'm', g from generate_series(1, 100500) g";
    pair.ams.batch_execute(fill).await.unwrap();
    let seen = pair.json("");
    let link = link(&seen, "ams", "fra");
    assert_eq!((&link["lag_messages"], &link["changes_waiting"]), (&json!(100_001), &json!(100_001)));
    assert!(link["oldest_change_at"].is_string() && link["lag_error"].is_null(), "{link}");
}

/// It was taken out, or has gone back in time.
#[tokio::test]
async fn a_node_that_is_out_is_shown_as_such() {
    let pair = Pair::at_rest().await;
    pair.fra.batch_execute("select dbmail_mesh.stay_out('it has gone back in time')").await.unwrap();
    let seen = pair.json("");
    assert_eq!((&seen["nodes"][0]["out_reason"], &seen["nodes"][1]["mesh_id"]), (&Value::Null, &Value::Null));
    assert_eq!(seen["nodes"][1]["out_reason"], "it has gone back in time");
    let status = pair.file.run("status --check");
    says(&status, &["fra: out of the mesh: it has gone back in time", "(run dbmail-mesh join --node fra)"]);
    assert_eq!(pair.codes(""), ["node_out"]);
}
