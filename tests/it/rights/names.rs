//! Names that would be SQL if anybody let them: users, mailboxes, keywords and reasons go through everything unharmed.

use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};
use tokio_postgres::Client;

use super::super::cli::File;
use super::super::mesh::Mesh;

/// Each as a user's name, a mailbox's and a keyword.
const NAMES: [&str; 8] = [
    "'; drop table dbmail_messages; --",
    "\"; drop schema dbmail_mesh cascade; --",
    "a\\'b\\\\c\\",
    "$1 $$ %s %I %L {0} \\u0041",
    "ünïcode 💥 \u{202e}",
    "tab\tbell\u{7}del\u{7f}",
    "{\"json\": [1, \"x\"]}",
    "select/%_*.\\%",
];

/// What operators' views and functions say of somebody, as long as it can be compared.
async fn told(client: &Client, user: &str) -> (i64, i64) {
    let events = "select count(*) from dbmail_mesh.mail_events($1, '-infinity')";
    let lines = "select count(*) from dbmail_mesh.reported_lines where owner = $1";
    let count = async |sql: &str| client.query_one(sql, &[&user]).await.unwrap().get::<_, i64>(0);
    (count(events).await, count(lines).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_never_read_as_sql() {
    let mesh = Mesh::new("names", 2, 8).await;
    let mut ams = mesh.dbmail(1).await;
    let mut boxes = Vec::new();
    for name in NAMES {
        ams.create_user(name).await.unwrap();
        let inbox = ams.create_mailbox(name, "INBOX").await.unwrap();
        let own = ams.create_mailbox(name, name).await.unwrap();
        boxes.push((inbox, own));
    }
    let count = i64::try_from(NAMES.len()).unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_mailboxes where seq >= 0 and owner_idnr in (select user_idnr from dbmail_users where userid !~ '^__')", 2 * count).await;
    worker.stop().await;
    // Apart: each box gets mail on both sides, which is renumbered.
    let mut fra = mesh.dbmail(2).await;
    for (name, (inbox, own)) in NAMES.iter().zip(&boxes) {
        for session in [&mut ams, &mut fra] {
            session.login(name).await.unwrap();
            let uid = session.deliver(*inbox, &Mail::named(name)).await.unwrap();
            session.store(*inbox, &[uid], &StoreFlags::add(Flags::default()).keywords(&[name])).await.unwrap();
            session.deliver(*own, &Mail::named(name)).await.unwrap();
            session.put_script(name, name, name).await.unwrap();
            session.add_alias(name, name).await.unwrap();
        }
    }
    let worker = mesh.work();
    for (inbox, own) in &boxes {
        mesh.await_equal(*inbox, 2).await;
        mesh.await_equal(*own, 2).await;
    }
    assert!(mesh.count(1, "select count(*) from dbmail_mesh.renumbers").await > 0);
    for (at, (name, (_, own))) in NAMES.iter().zip(&boxes).enumerate() {
        let to = NAMES[(at + 1) % NAMES.len()];
        fra.rename_mailbox(*own, &format!("to {to}")).await.unwrap();
        fra.rename_user(name, &format!("is {name}")).await.unwrap();
    }
    let renamed = "select count(*) from dbmail_users u join dbmail_mailboxes m on m.owner_idnr = u.user_idnr
                   where u.userid like 'is %' and m.name like 'to %'";
    mesh.await_count(1, renamed, count).await;

    let reader =
        dbmail_mesh::scratch::cluster::connect_as("dbmail_mesh_reader", &mesh.node(1).connection).await.unwrap();
    for name in NAMES {
        let (events, lines) = told(&reader, &format!("is {name}")).await;
        assert!(events > 0 && lines == 2, "{name:?}: {events}, {lines}");
    }
    let urls: Vec<String> = mesh.nodes.iter().map(super::super::mesh::url_of).collect();
    let text: String = mesh
        .nodes
        .iter()
        .zip(&urls)
        .map(|(node, url)| format!("[[node]]\nname = \"{}\"\nid = {}\nurl = {url:?}\n", node.name, node.id))
        .collect();
    let file = File::with_text(&format!("[mesh]\nstride = 8\npresence = \"always\"\n{text}"));
    tokio::task::spawn_blocking(move || {
        let run = |arguments: &[&str]| super::super::cli::ended(file.command("").args(arguments));
        let verify = run(&["verify", "--json"]);
        assert_eq!(verify.code, 0, "{verify:?}");
        let mailbox = format!("is {}/INBOX", NAMES[0]);
        let one = run(&["verify", "--mailbox", &mailbox]);
        assert_eq!(one.code, 0, "{one:?}");
        for name in NAMES {
            let paused = run(&["pause", "--node", "a", "--reason", name]);
            assert_eq!(paused.code, 0, "{paused:?}");
            let json: serde_json::Value = serde_json::from_str(&run(&["status", "--json"]).out).unwrap();
            assert!(
                json.to_string().contains(serde_json::Value::from(name).to_string().trim_matches('"')),
                "{name:?}: {json}"
            );
            let resumed = run(&["resume", "--node", "a"]);
            assert_eq!(resumed.code, 0, "{resumed:?}");
        }
    })
    .await
    .unwrap();

    for name in NAMES {
        assert!(ams.delete_user(&format!("is {name}")).await.unwrap(), "{name:?}");
    }
    mesh.await_count(2, "select count(*) from dbmail_users where userid like 'is %'", 0).await;
    worker.stop().await;
    for id in [1, 2] {
        let still = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
                     where n.nspname in ('public', 'dbmail_mesh') and c.relname in ('dbmail_messages', 'outbox')";
        assert_eq!(mesh.count(id, still).await, 2);
    }
}
