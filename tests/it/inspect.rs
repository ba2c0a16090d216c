//! `sql/inspect/`: ready files for psql, run as a DBA runs them, on a mesh in which there is something to see; and the page that shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dbmail_mesh::config::{NodeSettings, Presence};
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::binaries::Binaries;
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::mesh::Mesh;

const AMS: i16 = 1;
const FRA: i16 = 2;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/inspect")
}

/// The files, by their names, with their text.
fn files() -> BTreeMap<String, String> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// psql, beside the server's programs or where Debian has it; `None`: there is none.
pub fn psql() -> Option<PathBuf> {
    let beside = Binaries::find().ok()?.dir().join("psql");
    [beside, "/usr/bin/psql".into()].into_iter().find(|path| path.exists())
}

/// What a file prints, with these variables, to a role that may only look. Nothing may go wrong, and no warning be given.
fn run(node: &NodeSettings, url: &str, file: &str, variables: &[&str]) -> String {
    let mut command = Command::new(psql().unwrap());
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]).env("PGTZ", "UTC").env("LC_ALL", "C.UTF-8");
    for variable in variables {
        command.args(["-v", variable]);
    }
    let output = command.arg("-f").arg(root().join(file)).arg(url).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.is_empty(), "{file} on {}: {error}", node.name);
    String::from_utf8(output.stdout).unwrap()
}

/// A line between headings and rows: `----+----`.
fn is_rule(line: &str) -> bool {
    line.contains("--") && line.chars().all(|c| c == '-' || c == '+')
}

/// The headings of all tables in some output, and how many rows each has.
fn tables(output: &str) -> Vec<(Vec<String>, usize)> {
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    let mut tables = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(at, line)| *at > 0 && is_rule(line)) {
        let headings = lines[at - 1].split('|').map(|heading| heading.trim().to_owned()).collect();
        let rows = lines[at + 1..].iter().take_while(|line| !line.starts_with('(')).count();
        tables.push((headings, rows));
    }
    tables
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/inspect.md")).unwrap()
}

/// The part of the page that is about a file: from its heading to the next.
fn section<'a>(page: &'a str, file: &str) -> &'a str {
    let heading = format!("\n## {file}\n");
    let rest = page.split_once(&heading).map(|(_, rest)| rest);
    rest.unwrap_or_else(|| panic!("{file} is not in docs/inspect.md")).split("\n## ").next().unwrap()
}

#[test]
fn every_file_says_what_it_answers_and_is_on_the_page() {
    let (files, page) = (files(), page());
    assert!(files.len() >= 15, "{:?}", files.keys());
    for (name, text) in &files {
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with("-- ")).collect();
        assert!(
            comment.len() >= 3,
            "{name} must begin with a comment: what it answers, how to read it, how to call it"
        );
        assert!(comment[0].contains('?'), "{name}: its first line is the question that it answers");
        assert!(comment.iter().any(|line| line.contains(&format!("-f sql/inspect/{name}"))), "{name}: how to call it");
        for variable in text.lines().filter_map(|line| line.strip_prefix("\\if :{?")?.strip_suffix('}')) {
            assert!(comment.iter().any(|line| line.contains(variable)), "{name}: {variable} is not in its comment");
        }
        assert!(text.ends_with('\n') && text.lines().all(|line| line.chars().count() <= 150), "{name}");
        assert!(section(&page, name).contains("```text\n"), "{name} is not shown in docs/inspect.md");
    }
    for shown in page.lines().filter_map(|line| line.strip_prefix("## ")).filter(|name| name.ends_with(".sql")) {
        assert!(files.contains_key(shown), "{shown} is in docs/inspect.md, and nowhere else");
    }
}

/// Two nodes that were apart, the first one's URL, and a UID that is gone: messages renumbered on both, one expunged, a mailbox that both made, a deleted user with mail that is kept, a
/// message that waits, a row that could not be joined, and a link that is paused.
async fn eventful_mesh() -> (Mesh, String, i64) {
    let (mut nodes, mut urls) = (Vec::new(), Vec::new());
    for (name, id) in [("ams", AMS), ("fra", FRA)] {
        let config = fresh_dbmail("inspect").await.unwrap();
        let cluster = shared_cluster().await.unwrap();
        urls.push(cluster.reader_url(config.get_dbname().unwrap()));
        nodes.push(NodeSettings::new(name, NodeId(id), &cluster.worker_url(config.get_dbname().unwrap())).unwrap());
    }
    install(&nodes, &nodes, Stride(8)).await.unwrap();
    let mut mesh = Mesh::of(nodes, 8);
    mesh.mesh.presence = Presence::For(Duration::from_secs(30 * 86_400));
    let (mut at_ams, mut at_fra) = (mesh.dbmail(AMS).await, mesh.dbmail(FRA).await);
    for user in ["alice", "bob"] {
        at_ams.create_user(user).await.unwrap();
    }
    let inbox = at_ams.create_mailbox("alice", "INBOX").await.unwrap();
    let bobs = at_ams.create_mailbox("bob", "INBOX").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(FRA, "select count(*) from dbmail_mailboxes where name = 'INBOX' and seq >= 0", 2).await;
    worker.stop().await;
    // Apart.
    at_ams.login("alice").await.unwrap();
    at_fra.login("alice").await.unwrap();
    let low = at_ams.deliver(inbox, &Mail::named("low")).await.unwrap();
    for n in 0..3 {
        at_fra.deliver(inbox, &Mail::named(&format!("high{n}"))).await.unwrap();
    }
    at_ams.deliver(bobs, &Mail::named("contract")).await.unwrap();
    at_fra.delete_user("bob").await.unwrap();
    for session in [&mut at_ams, &mut at_fra] {
        session.create_mailbox("alice", "Work").await.unwrap();
    }
    let worker = mesh.work();
    let settled = "select (count(*) = 1 and not exists (select from dbmail_mesh.late_messages))::integer::bigint
                   from dbmail_mesh.number";
    for id in [AMS, FRA] {
        mesh.await_count(id, settled, 1).await;
        mesh.await_count(id, "select count(*) from dbmail_mesh.kept_messages", 1).await;
        mesh.await_count(id, "select count(*) from dbmail_mesh.mailbox_conflict", 1).await;
    }
    let seen = at_ams.search_above(inbox, low).await.unwrap();
    let lowest = seen.iter().map(|listed| listed.uid).min().unwrap();
    at_ams.store(inbox, &[lowest], &StoreFlags::add(Flags { deleted: true, ..Flags::NONE })).await.unwrap();
    at_ams.expunge(inbox).await.unwrap();
    mesh.await_count(FRA, "select count(*) from dbmail_mesh.tombstone", 1).await;
    worker.stop().await;
    let trouble = "insert into dbmail_mesh.set_aside (source_id, kind, key, reason) values (2, 'm', 18, 'mailbox 9 is not here');
        insert into dbmail_mesh.pause (source_id, paused_by, reason) values (2, 'dba@ams', 'new switch');
        insert into dbmail_mesh.late (birth_uid, mailbox_idnr, uid, row_idnr) values (34, MAILBOX, 34, 281474976711111);
        insert into dbmail_mesh.moved_reader (user_idnr, node_id, lost_at, messages, complete)
          select user_idnr, 2, now() - interval '1 min', 2, true from dbmail_users where userid = 'alice';
        update dbmail_mesh.number_sample set at = at - interval '1 day', uid = 0;
        insert into dbmail_mesh.number_sample (uid, physmessage_id, mailbox_idnr) select * from dbmail_mesh.numbers_in_use();";
    mesh.psql(AMS).await.batch_execute(&trouble.replace("MAILBOX", &inbox.0.to_string())).await.unwrap();
    (mesh, urls.swap_remove(0), low.0)
}

/// A file, its variables, the fewest rows of each table (0: none), and words that are to be seen.
type Case<'a> = (&'a str, &'a [&'a str], &'a [usize], &'a [&'a str]);

/// Every file, as it is and narrowed, prints what it is there for, under the headings that the page shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_runs_and_prints_what_the_page_shows() {
    if psql().is_none() {
        println!("skipped: there is no psql on this machine");
        return;
    }
    let (mesh, url, low) = eventful_mesh().await;
    let (node, url) = (mesh.node(AMS), url.as_str());
    let uid = format!("uid={low}");
    let expected: &[Case<'_>] = &[
        ("aside.sql", &[], &[1], &["fra", "message", "mailbox 9 is not here"]),
        ("conflicts.sql", &[], &[1, 1, 1], &["merged", "bob", "fra"]),
        ("expunged.sql", &[], &[1], &["alice", "INBOX", "there"]),
        ("expunged.sql", &["user=bob"], &[0], &[]),
        ("late.sql", &[], &[1], &["alice"]),
        ("late.sql", &["user=alice", "mailbox=inbox", "rows=1"], &[1], &[]),
        ("late.sql", &["mailbox=Sent"], &[0], &[]),
        ("links.sql", &[], &[2], &["paused", "new switch", "1 rows set aside"]),
        ("mailboxes_renumbered.sql", &[], &[1], &["alice", "INBOX", "ams 1", "its owner has logged in"]),
        ("mailboxes_renumbered.sql", &["days=0"], &[0], &[]),
        ("numbers.sql", &[], &[3, 2], &["UIDs", "physmessage ids", "mailbox ids"]),
        ("outbox.sql", &[], &[1, 1], &["fra"]),
        ("overview.sql", &[], &[1, 2, 3, 3, 5], &["ams", "member", "new switch", "late messages"]),
        ("readers.sql", &["user=alice", "mailbox=INBOX"], &[1], &["its owner has logged in"]),
        ("readers.sql", &[], &[2], &[]),
        ("renumbers.sql", &[], &[1], &["alice", "INBOX", "ams"]),
        ("renumbers.sql", &["node=fra"], &[0], &[]),
        ("renumbers.sql", &["node=ams", "user=alice", "mailbox=INBOX", "days=1", "rows=1"], &[1], &[]),
        ("renumbers_by_day.sql", &[], &[1], &["ams 1"]),
        ("renumbers_by_node.sql", &[], &[1], &["ams"]),
        ("renumbers_by_user.sql", &[], &[1], &["alice"]),
        ("uid.sql", &[&uid], &[4], &["born", "new UID decided", "renumbered here", "visible in alice / INBOX"]),
        ("uid.sql", &[], &[1], &["Which one?", "no message here has had this UID"]),
        (
            "user.sql",
            &["user=alice"],
            &[5],
            &["renumbered", "expunged", "mailbox merged", "came from a lost node", "late"],
        ),
        ("user.sql", &["user=alice", "mailbox=INBOX", "days=1", "rows=2"], &[2], &[]),
        ("user.sql", &[], &[0], &["Whose?"]),
        ("waiting.sql", &[], &[3], &["paused", "mailbox 9 is not here", "late messages"]),
    ];
    let mut run_names: Vec<&str> = expected.iter().map(|(file, ..)| *file).collect();
    run_names.dedup();
    assert_eq!(run_names, files().keys().map(String::as_str).collect::<Vec<_>>(), "each file is run");
    let (mut wrong, page) = (Vec::new(), page());
    for (file, variables, rows, words) in expected {
        let output = run(node, url, file, variables);
        if std::env::var_os("MESH_SHOW_INSPECT").is_some() {
            println!("=== {file} {variables:?}\n{output}");
        }
        let printed = tables(&output);
        let counts: Vec<usize> = printed.iter().map(|(_, rows)| *rows).collect();
        let enough = counts.len() == rows.len() && counts.iter().zip(*rows).all(|(count, least)| count >= least);
        let none_too_many = rows.iter().zip(&counts).all(|(least, count)| *least > 0 || *count == 0);
        if !enough || !none_too_many || !words.iter().all(|word| output.contains(word)) {
            wrong.push(format!("{file} {variables:?}: not {rows:?} and {words:?} but\n{output}"));
        }
        let shown: Vec<Vec<String>> = tables(section(&page, file)).into_iter().map(|(headings, _)| headings).collect();
        let headings: Vec<Vec<String>> = printed.into_iter().map(|(headings, _)| headings).collect();
        if shown != headings {
            wrong.push(format!("docs/inspect.md shows {file} with headings {shown:?}, but they are {headings:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A bad day is no time for a file that fails where there is nothing to see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_runs_on_a_node_that_has_met_no_other() {
    if psql().is_none() {
        println!("skipped: there is no psql on this machine");
        return;
    }
    let config = fresh_dbmail("inspect").await.unwrap();
    let cluster = shared_cluster().await.unwrap();
    let url = cluster.reader_url(config.get_dbname().unwrap());
    let worker = cluster.worker_url(config.get_dbname().unwrap());
    let node = [NodeSettings::new("ams", NodeId(1), &worker).unwrap()];
    install(&node, &node, Stride(8)).await.unwrap();
    for file in files().keys() {
        run(&node[0], &url, file, &[]);
    }
}
