//! Members that come, go, and come back: `join` and `leave`, as people run them.

use std::time::{Duration, Instant};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{MailboxId, NodeId, Uid};
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags};

use super::{DEADLINE, Mesh};
use crate::cli::{Ended, File};

/// What a mailbox shows, with what is in it.
const SHOWN: &str = "select coalesce(string_agg(line, e'\\n' order by line), '') from (
    select format('%s %s %s %s', g.message_idnr, g.unique_id, g.flagged_flag,
                  (select string_agg(p.hash, ',' order by l.part_key, l.part_depth, l.part_order)
                   from dbmail_partlists l join dbmail_mimeparts p on p.id = l.part_id
                   where l.physmessage_id = g.physmessage_id)) as line
    from dbmail_messages g where g.status < 2 and g.message_idnr < 281474976710656) x";
/// The same without UIDs.
const NAMES: &str = "select coalesce(string_agg(unique_id, ' ' order by unique_id), '') from dbmail_messages
    where status < 2 and message_idnr < 281474976710656";

impl Mesh {
    /// The command, with the nodes of this mesh in its settings.
    pub(super) async fn command(&self, arguments: &str) -> Ended {
        let mut text = format!(
            "[mesh]\nstride = {}\nsettle_after = \"200ms\"\npatience = \"1s\"\npresence = \"always\"\n",
            self.mesh.stride
        );
        for node in &self.nodes {
            let url = super::url_of(node);
            text += &format!("[[node]]\nname = \"{}\"\nid = {}\nurl = {url:?}\n", node.name, node.id);
        }
        let arguments = arguments.to_owned();
        tokio::task::spawn_blocking(move || File::with_text(&text).run(&arguments)).await.unwrap()
    }

    async fn give(&self, id: i16, inbox: MailboxId, name: &str) -> Uid {
        self.dbmail(id).await.deliver(inbox, &Mail::named(name)).await.unwrap()
    }

    /// Everything that is shown is the same on all nodes, and it is these messages.
    async fn await_all(&self, names: &[&str]) -> String {
        let mut names = names.to_vec();
        names.sort_unstable();
        let expected = names.join(" ");
        for node in &self.nodes {
            let sql = format!("select count(*) from ({NAMES}) x(names) where names = '{expected}'");
            self.await_count(node.id.0, &sql, 1).await;
        }
        let begun = Instant::now();
        loop {
            let mut shown = Vec::new();
            for node in &self.nodes {
                shown.push(self.text(node.id.0, SHOWN).await);
            }
            if shown.iter().all(|one| *one == shown[0]) && self.late().await == 0 {
                return shown.swap_remove(0);
            }
            assert!(begun.elapsed() < DEADLINE, "not equal: {shown:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A copy of a node's database as it is now, and what brings it back.
    async fn back_up(&self, id: i16) -> Backup {
        let name = self.node(id).connection.get_dbname().unwrap().to_owned();
        let backup = Backup { copy: format!("{name}_backup"), name };
        backup.copy_database(&backup.name, &backup.copy).await;
        backup
    }

    /// The settings of a further node.
    async fn add(&mut self, id: i16, database: &str) {
        let url = shared_cluster().await.unwrap().worker_url(database);
        self.nodes.push(NodeSettings::new(&super::name_of(id), NodeId(id), &url).unwrap());
    }
}

struct Backup {
    name: String,
    copy: String,
}

impl Backup {
    async fn copy_database(&self, from: &str, to: &str) {
        let client = connect(&shared_cluster().await.unwrap().config("postgres")).await.unwrap();
        for database in [from, to] {
            let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
            client.execute(end, &[&database]).await.unwrap();
        }
        client.batch_execute(&format!("drop database if exists {to}")).await.unwrap();
        client.batch_execute(&format!("create database {to} template {from}")).await.unwrap();
        // Rights on a database are not copied with it.
        client.batch_execute(&format!("grant create on database {to} to dbmail_mesh_owner")).await.unwrap();
    }

    async fn restore(&self) {
        self.copy_database(&self.copy, &self.name).await;
    }
}

fn deleted() -> StoreFlags {
    StoreFlags::add(Flags { deleted: true, ..Flags::NONE })
}

fn says(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    for text in texts {
        assert!(ended.out.contains(text) || ended.err.contains(text), "{text:?} is not in {ended:?}");
    }
}

const REFUSED: &str = "select count(*) from dbmail_mesh.link_status where state = 'refused' and last_error like '%dbmail-mesh join --node b%'";

/// The node forgets three deliveries that its peer has, and hands out their UIDs again before any worker has seen it. Its numbers were used
/// up by others meanwhile, so nothing else gives it away.
#[tokio::test]
async fn a_node_that_was_restored_is_refused_and_joins_again_without_a_loss() {
    let (mesh, inbox) = Mesh::with_inbox("restored", 2, 4).await;
    let worker = mesh.work();
    mesh.give(1, inbox, "a1").await;
    mesh.give(2, inbox, "b1").await;
    mesh.await_all(&["a1", "b1"]).await;
    worker.stop().await;
    let backup = mesh.back_up(2).await;
    let worker = mesh.work();
    let mut forgotten = Vec::new();
    for name in ["b2", "b3", "b4"] {
        forgotten.push(mesh.give(2, inbox, name).await);
    }
    mesh.await_all(&["a1", "b1", "b2", "b3", "b4"]).await;
    // Expunged by whoever reads on the other node: it is to stay so.
    let gone = [forgotten[1]];
    let mut client = mesh.dbmail(1).await;
    client.store(inbox, &gone, &deleted()).await.unwrap();
    client.expunge(inbox).await.unwrap();
    mesh.await_all(&["a1", "b1", "b2", "b4"]).await;
    worker.stop().await;

    backup.restore().await;
    let again = [mesh.give(2, inbox, "after1").await, mesh.give(2, inbox, "after2").await];
    assert_eq!(again, [forgotten[0], forgotten[1]], "nothing of ours was there to see it");
    let worker = mesh.work();
    mesh.await_count(1, REFUSED, 1).await;
    mesh.await_count(
        2,
        "select count(*) from dbmail_mesh.local_node where left_at is not null and left_why is not null",
        1,
    )
    .await;
    // From here on no number is handed out twice.
    let fenced = mesh.give(2, inbox, "fenced").await;
    assert!(fenced > forgotten[2], "{fenced:?}");
    let higher: i64 = mesh.count(1, "select (dbmail_mesh.highest_known(2::smallint)).uid").await;
    assert!(fenced.0 > higher, "{fenced} is not above {higher}");
    assert_eq!(mesh.text(1, NAMES).await, "a1 b1 b2 b4", "nothing has crossed");

    let joined = mesh.command("join --node b").await;
    says(&joined, 0, &["b has gone back in time", "b is caught up with a"]);
    for uid in &again {
        says(&joined, 0, &[&format!("UID {uid} belongs to another message")]);
    }
    let shown = mesh.await_all(&["a1", "b1", "b2", "b4", "after1", "after2", "fenced"]).await;
    // Clients of the one node know b2 under this UID, those of the other after1: it is neither any more.
    for uid in &again {
        assert!(!shown.lines().any(|line| line.starts_with(&format!("{uid} "))), "{uid}: {shown}");
    }
    assert_eq!(mesh.uids(1, inbox).await, mesh.uids(2, inbox).await);
    mesh.give(2, inbox, "later").await;
    mesh.await_all(&["a1", "b1", "b2", "b4", "after1", "after2", "fenced", "later"]).await;
    worker.stop().await;
    says(&mesh.command("join --node b").await, 0, &["b is a member", "b is caught up with a"]);
}

/// The ids of its mailboxes come again, too: the two are different mailboxes.
#[tokio::test]
async fn a_mailbox_id_that_comes_again_is_another_mailbox() {
    let (mesh, inbox) = Mesh::with_inbox("boxes", 2, 4).await;
    let worker = mesh.work();
    mesh.give(2, inbox, "before").await;
    mesh.await_all(&["before"]).await;
    worker.stop().await;
    let backup = mesh.back_up(2).await;
    let worker = mesh.work();
    let work = mesh.dbmail(2).await.create_mailbox("alice", "Work").await.unwrap();
    mesh.give(2, work, "at work").await;
    mesh.await_all(&["before", "at work"]).await;
    worker.stop().await;
    backup.restore().await;
    let mut client = mesh.dbmail(2).await;
    let play = client.create_mailbox("alice", "Play").await.unwrap();
    assert_eq!(play, work, "the id was handed out before");
    client.subscribe("alice", play).await.unwrap();
    drop(client);
    mesh.give(2, play, "at play").await;
    says(
        &mesh.command("join --node b").await,
        0,
        &[&format!("mailbox id {play} belongs to another mailbox; here it is ")],
    );
    mesh.settle_shown(&["before", "at work", "at play"]).await;
    let named = "select string_agg(concat_ws(' ', m.mailbox_idnr, m.name, g.unique_id, s.user_id is not null), ', ' order by m.name)
                 from dbmail_mailboxes m join dbmail_messages g using (mailbox_idnr) left join dbmail_subscription s on s.mailbox_id = m.mailbox_idnr
                 where g.status < 2 and g.message_idnr < 281474976710656";
    assert_eq!(mesh.text(1, named).await, mesh.text(2, named).await);
    let named = mesh.text(1, named).await;
    assert!(named.contains(&format!("{work} Work at work f")) && named.contains("Play at play t"), "{named}");
}

/// A node that does after the restore what it did before counts the same ids and transactions.
#[tokio::test]
async fn the_same_counts_at_another_time_are_no_witness() {
    let (mesh, inbox) = Mesh::with_inbox("witness", 2, 4).await;
    let worker = mesh.work();
    mesh.give(2, inbox, "m").await;
    mesh.await_all(&["m"]).await;
    // It may have come with the first copy, which knows no row of the outbox.
    mesh.await_count(1, "select count(witness_id) from dbmail_mesh.cursor", 1).await;
    worker.stop().await;
    mesh.run(2, "update dbmail_mesh.outbox set at = at + interval '1 s'").await;
    mesh.run(2, "delete from dbmail_mesh.acknowledged").await;
    mesh.run(1, "delete from dbmail_mesh.link_status").await;
    let worker = mesh.work();
    mesh.await_count(1, REFUSED, 1).await;
    worker.stop().await;
}

/// A number that was a node's is given to a new, empty database.
#[tokio::test]
async fn a_new_database_takes_over_a_number() {
    let (mesh, inbox) = Mesh::with_inbox("number", 2, 4).await;
    let worker = mesh.work();
    mesh.give(2, inbox, "theirs").await;
    mesh.await_all(&["theirs"]).await;
    worker.stop().await;
    let mut anew = Mesh::of(vec![mesh.node(1).clone()], 4);
    anew.add(2, fresh_dbmail("number").await.unwrap().get_dbname().unwrap()).await;
    install(&anew.nodes[1..], &anew.nodes, anew.mesh.stride).await.unwrap();
    let worker = anew.work();
    anew.await_count(1, REFUSED, 1).await;
    says(
        &anew.command("join --node b").await,
        0,
        &["b was installed anew under a number that was in use", "b is caught up"],
    );
    let own = anew.give(2, inbox, "own").await;
    assert!(NodeId(2).owns(own, anew.mesh.stride), "{own} is another node's");
    anew.await_all(&["own", "theirs"]).await;
    worker.stop().await;
    let reused = "select count(*) - count(distinct origin_id) from dbmail_mesh.content where origin_node = 2";
    assert_eq!(anew.count(1, reused).await, 0);
}

/// The content ids of a restored node come again, too: what is new must not be taken for what its peers have under that id.
#[tokio::test]
async fn a_content_id_that_comes_again_is_no_known_content() {
    let (mesh, inbox) = Mesh::with_inbox("contents", 2, 4).await;
    let worker = mesh.work();
    mesh.give(2, inbox, "before").await;
    mesh.await_all(&["before"]).await;
    worker.stop().await;
    let backup = mesh.back_up(2).await;
    let worker = mesh.work();
    let mut client = mesh.dbmail(2).await;
    // One delivery that was never anywhere else takes a UID; one whose content is known takes none of them.
    let lost = client.deliver(inbox, &Mail::named("shipped")).await.unwrap();
    mesh.await_all(&["before", "shipped"]).await;
    worker.stop().await;
    drop(client);
    backup.restore().await;
    // The UIDs are above, the contents' ids are not.
    mesh.run(2, "select dbmail_mesh.next_uid(1000)").await;
    let uid = mesh.give(2, inbox, "other").await;
    assert!(uid > lost);
    says(&mesh.command("join --node b").await, 0, &["b has gone back in time"]);
    mesh.settle_shown(&["before", "shipped", "other"]).await;
}

impl Mesh {
    async fn settle_shown(&self, names: &[&str]) -> String {
        let worker = self.work();
        let shown = self.await_all(names).await;
        worker.stop().await;
        shown
    }
}

/// A further node from a copy of a member, while both go on.
#[tokio::test]
async fn a_copy_of_a_member_becomes_a_node() {
    let (mut mesh, inbox) = Mesh::with_inbox("copied", 2, 4).await;
    let worker = mesh.work();
    for n in 0..5 {
        mesh.give(1 + n % 2, inbox, &format!("m{n}")).await;
    }
    mesh.await_all(&["m0", "m1", "m2", "m3", "m4"]).await;
    worker.stop().await;
    let backup = mesh.back_up(1).await;
    let worker = mesh.work();
    mesh.give(1, inbox, "since").await;
    mesh.give(2, inbox, "too").await;
    mesh.add(3, &backup.copy).await;
    says(&mesh.command("status --node c").await, 0, &["c"]);
    let joined = mesh.command("join --node c --json").await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let joined: serde_json::Value = serde_json::from_str(&joined.out).unwrap();
    assert_eq!((&joined["node"], &joined["was"]), (&"c".into(), &"copy".into()));
    worker.stop().await;
    let worker = mesh.work();
    let all = ["m0", "m1", "m2", "m3", "m4", "since", "too"];
    mesh.await_all(&all).await;
    let uid = mesh.give(3, inbox, "own").await;
    assert!(NodeId(3).owns(uid, mesh.mesh.stride));
    mesh.await_all(&[&all[..], &["own"]].concat()).await;
    worker.stop().await;
    let contents = "select count(*) from dbmail_physmessage";
    // What came since may come over two links at once: one of the two then stays for dbmail-util to purge.
    let (copied, original) = (mesh.count(3, contents).await, mesh.count(1, contents).await);
    assert!(copied <= original + 2, "what was in the copy was shipped again: {copied} contents for {original}");
}

/// A new, empty node.
#[tokio::test]
async fn an_empty_node_is_filled_while_the_others_take_mail() {
    let (mut mesh, inbox) = Mesh::with_inbox("grown", 2, 4).await;
    let worker = mesh.work();
    let mut names = Vec::new();
    for n in 0..20 {
        names.push(format!("m{n:02}"));
        mesh.give(1 + n % 2, inbox, &names[usize::try_from(n).unwrap()]).await;
    }
    let config = fresh_dbmail("grown").await.unwrap();
    mesh.add(3, config.get_dbname().unwrap()).await;
    says(&mesh.command("join --node c").await, 4, &["dbmail-mesh is not installed", "migrate up"]);
    install(&mesh.nodes[2..], &mesh.nodes, mesh.mesh.stride).await.unwrap();
    let joining = mesh.command("join --node c");
    let (joined, ()) = tokio::join!(joining, async {
        mesh.give(1, inbox, "meanwhile").await;
    });
    says(&joined, 0, &["c is new", "c is caught up with a, b: "]);
    names.push("meanwhile".into());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    worker.stop().await;
    mesh.settle_shown(&names).await;
}

/// Its peer has cut off what it had not taken over: it is told so, and comes back by the same command. What it did meanwhile is kept.
#[tokio::test]
async fn a_node_that_was_away_for_too_long_is_brought_back() {
    let (mesh, inbox) = Mesh::with_inbox("trimmed", 2, 4).await;
    let worker = mesh.work();
    let first = mesh.give(1, inbox, "first").await;
    mesh.await_all(&["first"]).await;
    worker.stop().await;
    mesh.give(2, inbox, "away").await;
    mesh.dbmail(1).await.store(inbox, &[first], &deleted()).await.unwrap();
    mesh.dbmail(1).await.expunge(inbox).await.unwrap();
    for name in ["one", "two"] {
        mesh.give(1, inbox, name).await;
    }
    let trimmed: i64 = mesh.count(1, "select dbmail_mesh.purge_outbox('0', 1)").await;
    assert!(trimmed > 0);
    let worker = mesh.work();
    mesh.await_count(2, &REFUSED.replace("--node b", "--node"), 1).await;
    assert_eq!(mesh.text(2, NAMES).await, "away first", "nothing was taken over with a gap");
    says(&mesh.command("join --node b").await, 0, &["b was away for longer", "b is caught up with a"]);
    mesh.await_all(&["away", "one", "two"]).await;
    worker.stop().await;
}

/// Who is current does not notice that the outbox is cut.
#[tokio::test]
async fn who_is_current_does_not_notice_a_cut() {
    let (mesh, inbox) = Mesh::with_inbox("cut", 2, 4).await;
    let worker = mesh.work();
    for n in 0..3 {
        mesh.give(1, inbox, &format!("m{n}")).await;
    }
    mesh.await_all(&["m0", "m1", "m2"]).await;
    mesh.give(1, inbox, "m3").await;
    mesh.await_all(&["m0", "m1", "m2", "m3"]).await;
    let unheard = "select count(*) from dbmail_mesh.outbox o left join dbmail_mesh.acknowledged a on a.target_id = 2
                   where o.kind = 'm' and (a.target_id is null or not pg_visible_in_snapshot(o.txid, a.snapshot))";
    mesh.await_count(1, unheard, 0).await;
    mesh.run(1, "select dbmail_mesh.purge_outbox('0', 1)").await;
    mesh.give(1, inbox, "m4").await;
    mesh.await_all(&["m0", "m1", "m2", "m3", "m4"]).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_node_leaves_and_comes_back() {
    let (mesh, inbox) = Mesh::with_inbox("leaves", 3, 4).await;
    let worker = mesh.work();
    mesh.give(3, inbox, "m1").await;
    mesh.await_all(&["m1"]).await;
    worker.stop().await;
    // It gives what it has before it goes.
    mesh.give(3, inbox, "last").await;
    says(
        &mesh.command("leave --node c").await,
        0,
        &["c has left the mesh; a, b keep nothing for it", "out of the settings"],
    );
    for id in [1, 2] {
        assert_eq!(mesh.text(id, NAMES).await, "last m1");
        assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.acknowledged where target_id = 3").await, 0);
    }
    let worker = mesh.work();
    mesh.await_count(
        3,
        "select count(*) from dbmail_mesh.link_status where last_error like '%takes no part in the mesh%'",
        2,
    )
    .await;
    mesh.give(1, inbox, "without").await;
    mesh.give(3, inbox, "alone").await;
    mesh.await_count(2, "select count(*) from dbmail_messages where unique_id = 'without' and status < 2", 1).await;
    // The outbox does not wait for it.
    mesh.await_count(1, "select count(*) from dbmail_mesh.acknowledged where target_id = 2", 1).await;
    assert_eq!(mesh.count(1, "select count(*) from dbmail_mesh.acknowledged where target_id = 3").await, 0);
    assert_eq!(mesh.text(3, NAMES).await, "alone last m1");
    says(&mesh.command("join --node c").await, 0, &["c had left and comes back"]);
    mesh.await_all(&["alone", "last", "m1", "without"]).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_named() {
    let (mut mesh, _) = Mesh::with_inbox("asked", 2, 4).await;
    mesh.add(3, "no_such_database").await;
    says(&mesh.command("join --node c").await, 3, &["node c: cannot connect"]);
    says(&mesh.command("join --node b").await, 3, &["node c: cannot connect", "leave --lost --node c"]);
    says(&mesh.command("leave --node c").await, 3, &["node c: cannot connect", "--lost"]);
    says(&mesh.command("leave --lost --node c").await, 0, &["c has left the mesh"]);
    says(&mesh.command("join --node d").await, 2, &["no such node"]);
}
