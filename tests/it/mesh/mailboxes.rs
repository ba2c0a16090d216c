//! Mailboxes that are made, renamed, changed and deleted on several nodes, and what becomes of those that want one name.

use std::time::Instant;

use dbmail_mesh::domain::ids::MailboxId;

use super::{DEADLINE, Mesh};

/// alice's mailboxes that have not ended, by name.
const NAMES: &str = "select coalesce(string_agg(m.name, ', ' order by m.name collate \"C\"), '')
    from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
    where u.userid = 'alice' and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = m.mailbox_idnr)";

/// All that the nodes must agree on.
const AGREED: &str = "select coalesce(string_agg(x, ' ' order by x), '') from (
    select format('%s %s %s %s %s %s %s', m.mailbox_idnr, dbmail_mesh.account_of(m.owner_idnr), m.name, m.no_select, m.permission,
                  array[m.seen_flag, m.answered_flag, m.deleted_flag, m.flagged_flag, m.recent_flag, m.draft_flag, m.no_inferiors],
                  array[r.name_stamp, r.renamed::int, r.no_select_stamp, r.permission_stamp, r.rest_stamp]) as x
    from dbmail_mailboxes m left join dbmail_mesh.mailbox_register r using (mailbox_idnr)
    where not dbmail_mesh.is_staging_owner(m.owner_idnr)
      and not exists (select from dbmail_mesh.mailbox_fate f where f.mailbox_idnr = m.mailbox_idnr)
    union all select format('%s > %s', f.mailbox_idnr, f.merged_into) from dbmail_mesh.mailbox_fate f) x";

/// What of mailboxes is on a node, to see whether anything was written.
const ROWS: &str = "select string_agg(x, ' ' order by x) from (
    select format('%s %s %s', mailbox_idnr, xmin, seq) as x from dbmail_mailboxes
    union all select format('%s %s', mailbox_idnr, xmin) from dbmail_mesh.mailbox_register
    union all select format('%s %s', mailbox_idnr, xmin) from dbmail_mesh.mailbox_fate
    union all select format('conflict %s', id) from dbmail_mesh.mailbox_conflict) x";

impl Mesh {
    /// Waits until all nodes agree, on these names.
    async fn await_names(&self, expected: &str) {
        let begun = Instant::now();
        loop {
            let mut seen = Vec::new();
            for node in &self.nodes {
                seen.push((self.text(node.id.0, NAMES).await, self.text(node.id.0, AGREED).await));
            }
            if seen.iter().all(|one| one.0 == expected && one.1 == seen[0].1) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "not {expected}, or not equal: {seen:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Runs SQL on a node as an admin would.
    async fn sql(&self, id: i16, sql: &str) {
        self.psql(id).await.batch_execute(sql).await.unwrap();
    }

    /// Mailboxes that are made on this node from now on have higher ids than those of others.
    async fn raise_ids(&self, id: i16) {
        self.sql(id, "select nextval('dbmail_mailbox_idnr_seq') from generate_series(1, 10)").await;
    }

    async fn rename(&self, id: i16, mailbox: MailboxId, name: &str) {
        self.sql(id, &format!("update dbmail_mailboxes set name = '{name}' where mailbox_idnr = {mailbox}")).await;
    }

    async fn create(&self, id: i16, name: &str) -> MailboxId {
        self.dbmail(id).await.create_mailbox("alice", name).await.unwrap()
    }

    /// Links come back: first only those into one node, until it has all that another has noted, then all.
    async fn reconnect(&self, first: i16, expected: &str) {
        let source = if first == 1 { 2 } else { 1 };
        let last = "select coalesce(max(txid::text::bigint), 0) from dbmail_mesh.outbox where origin is null";
        let has_all = format!(
            "select count(*) from dbmail_mesh.cursor c
             where c.source_id = {source} and c.copy_stage is null and c.to_snapshot is null
               and pg_visible_in_snapshot('{}'::xid8, c.from_snapshot)",
            self.count(source, last).await
        );
        let worker = self.work_for(&[first]);
        self.await_count(first, &has_all, 1).await;
        worker.stop().await;
        let worker = self.work();
        self.await_names(expected).await;
        self.await_ends().await;
        worker.stop().await;
    }

    /// Waits until mailboxes that have ended are gone from all nodes.
    async fn await_ends(&self) {
        for node in &self.nodes {
            self.await_count(node.id.0, "select count(*) from dbmail_mesh.mailbox_fate where gone_in is null", 0).await;
        }
    }

    /// Waits until HIGHESTMODSEQ is the same on all nodes: a client may go to any of them with it.
    async fn await_seqs(&self) {
        let seqs =
            "select string_agg(format('%s %s', mailbox_idnr, seq), ' ' order by mailbox_idnr) from dbmail_mailboxes";
        let begun = Instant::now();
        loop {
            let mut seen = Vec::new();
            for node in &self.nodes {
                seen.push(self.text(node.id.0, seqs).await);
            }
            if seen.iter().all(|one| *one == seen[0]) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "not equal: {seen:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn fate(&self, id: i16, mailbox: MailboxId) -> String {
        let fate =
            "select coalesce((select coalesce('merged into ' || merged_into, 'deleted') from dbmail_mesh.mailbox_fate
                                     where mailbox_idnr = $1), 'alive')";
        self.psql(id).await.query_one(fate, &[&mailbox.0]).await.unwrap().get(0)
    }

    async fn name(&self, id: i16, mailbox: MailboxId) -> Option<String> {
        let name = "select name::text from dbmail_mailboxes where mailbox_idnr = $1";
        self.psql(id).await.query_opt(name, &[&mailbox.0]).await.unwrap().map(|row| row.get(0))
    }

    async fn seq(&self, id: i16, mailbox: MailboxId) -> i64 {
        self.count(id, &format!("select seq from dbmail_mailboxes where mailbox_idnr = {mailbox}")).await
    }

    /// Lets the first copy of all links begin anew.
    async fn forget_cursors(&self) {
        for node in &self.nodes {
            self.sql(node.id.0, "delete from dbmail_mesh.cursor").await;
        }
    }
}

#[tokio::test]
async fn what_is_done_to_a_mailbox_is_done_on_the_other_node() {
    let (mesh, _) = Mesh::with_inbox("changes", 2, 2).await;
    let worker = mesh.work();
    let work = mesh.create(1, "Work").await;
    mesh.await_names("INBOX, Work").await;
    let before = mesh.seq(1, work).await;
    mesh.rename(2, work, "Done").await;
    mesh.await_names("Done, INBOX").await;
    assert_eq!(mesh.seq(1, work).await, before + 1, "open sessions look at seq, once");
    mesh.sql(1, &format!("update dbmail_mailboxes set no_select = 1 where mailbox_idnr = {work}")).await;
    mesh.await_count(2, &format!("select no_select::bigint from dbmail_mailboxes where mailbox_idnr = {work}"), 1)
        .await;
    mesh.sql(
        2,
        &format!(
            "update dbmail_mailboxes set no_select = 0, permission = 1, no_inferiors = 1 where mailbox_idnr = {work}"
        ),
    )
    .await;
    let changed = format!(
        "select count(*) from dbmail_mailboxes
         where mailbox_idnr = {work} and no_select = 0 and permission = 1 and no_inferiors = 1"
    );
    mesh.await_count(1, &changed, 1).await;
    mesh.await_names("Done, INBOX").await;
    // A bump of seq alone is no change.
    let notes = "select count(*) from dbmail_mesh.outbox where kind <> 's'";
    let noted = mesh.count(1, notes).await;
    mesh.sql(1, "update dbmail_mailboxes set seq = seq + 1, name = name").await;
    assert_eq!(mesh.count(1, notes).await, noted);
    assert!(mesh.dbmail(1).await.delete_mailbox(work).await.unwrap());
    mesh.await_names("INBOX").await;
    assert_eq!(mesh.fate(2, work).await, "deleted");
    worker.stop().await;
    let told = "select count(*) from dbmail_mesh.mailbox_fate f where f.source_id = 1 and f.source_xid is not null
                and (f.gone_in is null) = exists (select from dbmail_mailboxes m where m.mailbox_idnr = f.mailbox_idnr)";
    assert_eq!(mesh.count(2, told).await, 1);
}

#[tokio::test]
async fn renaming_a_parent_renames_its_children_everywhere() {
    let (mesh, _) = Mesh::with_inbox("children", 2, 2).await;
    let mut boxes = Vec::new();
    for name in ["a", "a/b", "a/b/c"] {
        boxes.push(mesh.create(1, name).await);
    }
    let worker = mesh.work();
    mesh.await_names("INBOX, a, a/b, a/b/c").await;
    for (mailbox, name) in [(2, "z/b/c"), (1, "z/b"), (0, "z")] {
        mesh.rename(2, boxes[mailbox], name).await;
    }
    mesh.await_names("INBOX, z, z/b, z/b/c").await;
    worker.stop().await;
}

#[tokio::test]
async fn two_nodes_create_one_name_and_the_lower_is_merged_into_the_higher() {
    for first in [1, 2] {
        let (mesh, _) = Mesh::with_inbox("merge", 2, 2).await;
        mesh.raise_ids(2).await;
        let (low, high) = (mesh.create(1, "Work").await, mesh.create(2, "Work").await);
        assert!(low < high);
        mesh.reconnect(first, "INBOX, Work").await;
        for id in [1, 2] {
            assert_eq!(mesh.fate(id, low).await, format!("merged into {high}"), "node {id}");
            assert_eq!(mesh.name(id, high).await.unwrap(), "Work", "node {id}");
            let mailbox_of = format!("select dbmail_mesh.mailbox_of({low})");
            assert_eq!(mesh.count(id, &mailbox_of).await, high.0);
            let told = "select string_agg(concat_ws(' ', what, owner, name, other_is_now, decided_on is not null), ',') \
                        from dbmail_mesh.mailbox_conflicts";
            assert_eq!(mesh.text(id, told).await, "merged alice Work Work t", "node {id}, {first} first");
        }
        assert_eq!(mesh.name(1, low).await, None);
        assert_eq!(mesh.name(2, low).await, None);
        assert_eq!(
            mesh.count(
                2,
                &format!("select count(*) from dbmail_mesh.line where mailbox_idnr = {low} and owner_idnr is not null")
            )
            .await,
            1
        );
    }
}

#[tokio::test]
async fn three_nodes_create_one_name() {
    for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let (mesh, _) = Mesh::with_inbox("three", 3, 4).await;
        let mut boxes = Vec::new();
        for id in 1..=3 {
            boxes.push(mesh.create(id, "Work").await);
        }
        // Joined by one node after the other, and then by all.
        for id in order {
            let worker = mesh.work_for(&[id]);
            mesh.await_count(id, "select count(distinct mailbox_idnr) - 1 from dbmail_mesh.mailbox_fate", 1).await;
            worker.stop().await;
        }
        let worker = mesh.work();
        mesh.await_names("INBOX, Work").await;
        worker.stop().await;
        let highest = *boxes.iter().max().unwrap();
        for id in 1..=3 {
            assert_eq!(mesh.fate(id, highest).await, "alive");
            for mailbox in &boxes {
                assert_eq!(
                    mesh.count(id, &format!("select dbmail_mesh.mailbox_of({mailbox})")).await,
                    highest.0,
                    "node {id}"
                );
            }
        }
    }
}

#[tokio::test]
async fn inbox_is_one_however_it_is_written() {
    let mesh = Mesh::new("inboxes", 2, 2).await;
    let worker = mesh.work();
    mesh.dbmail(1).await.create_user("alice").await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_users where userid = 'alice'", 1).await;
    worker.stop().await;
    mesh.raise_ids(2).await;
    let (low, high) = (mesh.create(1, "INBOX").await, mesh.create(2, "Inbox").await);
    mesh.reconnect(1, "Inbox").await;
    for id in [1, 2] {
        assert_eq!(mesh.fate(id, low).await, format!("merged into {high}"));
    }
    assert_eq!(mesh.name(1, low).await, None);
}

#[tokio::test]
async fn of_two_renamed_to_one_name_the_later_keeps_it() {
    for first in [1, 2] {
        let (mesh, _) = Mesh::with_inbox("onto", 2, 2).await;
        let (one, two) = (mesh.create(1, "One").await, mesh.create(1, "Two").await);
        let worker = mesh.work();
        mesh.await_names("INBOX, One, Two").await;
        worker.stop().await;
        mesh.rename(2, two, "Same").await;
        mesh.rename(1, one, "Same").await;
        mesh.reconnect(first, &format!("INBOX, Same, Same ({two})")).await;
        for id in [1, 2] {
            assert_eq!(mesh.name(id, one).await.unwrap(), "Same");
            assert_eq!(mesh.fate(id, two).await, "alive");
        }
        let told =
            "select string_agg(format('%s %s %s', what, name, new_name), ',') from dbmail_mesh.mailbox_conflicts";
        assert_eq!(mesh.text(first, told).await, format!("displaced Same Same ({two})"));
    }
}

#[tokio::test]
async fn a_rename_onto_a_name_that_was_just_created_merges_nothing() {
    for rename_is_later in [true, false] {
        for first in [1, 2] {
            let (mesh, _) = Mesh::with_inbox("created", 2, 2).await;
            let old = mesh.create(1, "Old").await;
            let worker = mesh.work();
            mesh.await_names("INBOX, Old").await;
            worker.stop().await;
            let new = if rename_is_later {
                let new = mesh.create(2, "Name").await;
                mesh.rename(1, old, "Name").await;
                new
            } else {
                mesh.rename(1, old, "Name").await;
                mesh.create(2, "Name").await
            };
            let (keeper, displaced) = if rename_is_later { (old, new) } else { (new, old) };
            mesh.reconnect(first, &format!("INBOX, Name, Name ({displaced})")).await;
            for id in [1, 2] {
                assert_eq!(mesh.name(id, keeper).await.unwrap(), "Name");
                assert_eq!(mesh.count(id, "select count(*) from dbmail_mesh.mailbox_fate").await, 0);
            }
        }
    }
}

/// The unique index on owner and name looks at every single row.
#[tokio::test]
async fn names_can_be_swapped_in_one_batch_and_row_by_row() {
    for rows in [200, 1] {
        let (mut mesh, _) = Mesh::with_inbox("swap", 2, 2).await;
        mesh.worker.batch_messages = rows;
        let (a, b, c) = (mesh.create(1, "A").await, mesh.create(1, "B").await, mesh.create(1, "C").await);
        let worker = mesh.work();
        mesh.await_names("A, B, C, INBOX").await;
        worker.stop().await;
        for (mailbox, name) in [(a, "x"), (b, "A"), (a, "B"), (c, "D"), (b, "C"), (c, "A")] {
            mesh.rename(1, mailbox, name).await;
        }
        let conflicts = "select count(*) from dbmail_mesh.mailbox_conflict";
        mesh.reconnect(2, "A, B, C, INBOX").await;
        for id in [1, 2] {
            for (mailbox, name) in [(a, "B"), (b, "C"), (c, "A")] {
                assert_eq!(mesh.name(id, mailbox).await.unwrap(), name, "node {id}, {rows} rows");
            }
        }
        assert_eq!(mesh.count(2, conflicts).await, 0, "{rows} rows: the source was asked for those in the way");
    }
}

#[tokio::test]
async fn deleted_is_deleted_whatever_else_was_done_to_it() {
    for change in ["name = 'Renamed'", "permission = 1"] {
        for first in [1, 2] {
            let (mesh, _) = Mesh::with_inbox("deleted", 2, 2).await;
            let work = mesh.create(1, "Work").await;
            let worker = mesh.work();
            mesh.await_names("INBOX, Work").await;
            worker.stop().await;
            mesh.dbmail(1).await.delete_mailbox(work).await.unwrap();
            mesh.sql(2, &format!("update dbmail_mailboxes set {change} where mailbox_idnr = {work}")).await;
            mesh.reconnect(first, "INBOX").await;
            assert_eq!(mesh.name(1, work).await, None);
            assert_eq!((mesh.fate(1, work).await.as_str(), mesh.fate(2, work).await.as_str()), ("deleted", "deleted"));
        }
    }
}

#[tokio::test]
async fn what_two_nodes_change_of_one_mailbox_at_once_both_remains() {
    for first in [1, 2] {
        let (mesh, _) = Mesh::with_inbox("both", 2, 2).await;
        let work = mesh.create(1, "Work").await;
        let worker = mesh.work();
        mesh.await_names("INBOX, Work").await;
        worker.stop().await;
        mesh.sql(1, &format!("update dbmail_mailboxes set permission = 1 where mailbox_idnr = {work}")).await;
        mesh.rename(2, work, "Done").await;
        mesh.sql(2, &format!("update dbmail_mailboxes set seen_flag = 0 where mailbox_idnr = {work}")).await;
        mesh.reconnect(first, "Done, INBOX").await;
        for id in [1, 2] {
            let all = "select count(*) from dbmail_mailboxes where name = 'Done' and permission = 1 and seen_flag = 0";
            assert_eq!(mesh.count(id, all).await, 1, "node {id}");
        }
    }
}

/// A name that was given up and taken again is two mailboxes, not twins: whichever row comes first, and also when that of the old one
/// comes much later.
#[tokio::test]
async fn a_name_that_is_taken_again_merges_nothing() {
    for give_up in [
        "update dbmail_mailboxes set name = 'Old' where mailbox_idnr =",
        "delete from dbmail_mailboxes where mailbox_idnr =",
    ] {
        let (mut mesh, _) = Mesh::with_inbox("again", 2, 2).await;
        mesh.worker.batch_messages = 1;
        let old = mesh.create(1, "Work").await;
        let worker = mesh.work();
        mesh.await_names("INBOX, Work").await;
        worker.stop().await;
        mesh.sql(1, &format!("{give_up} {old}")).await;
        let new = mesh.create(1, "Work").await;
        // The last note of the old one is late. Those before it have been seen: a node that has them no more has gone back in time.
        mesh.sql(
            1,
            &format!(
                "update dbmail_mesh.outbox set id = default
                 where id = (select max(o.id) from dbmail_mesh.outbox o where o.key = {old} and o.kind = 'b')"
            ),
        )
        .await;
        let deleted = give_up.starts_with("delete");
        mesh.reconnect(2, if deleted { "INBOX, Work" } else { "INBOX, Old, Work" }).await;
        assert_eq!(mesh.name(2, new).await.unwrap(), "Work");
        assert_eq!(mesh.fate(2, old).await, if deleted { "deleted" } else { "alive" });
        assert_eq!(
            mesh.count(2, "select count(*) from dbmail_mesh.mailbox_fate where merged_into is not null").await,
            0
        );
    }
}

/// The first copy once more: all states come again, and nothing is written.
#[tokio::test]
async fn what_is_told_again_changes_nothing() {
    let (mesh, _) = Mesh::with_inbox("again", 2, 2).await;
    let (keeps, goes) = (mesh.create(1, "Keeps").await, mesh.create(1, "Goes").await);
    mesh.create(2, "Twin").await;
    mesh.create(1, "Twin").await;
    let worker = mesh.work();
    mesh.await_names("Goes, INBOX, Keeps, Twin").await;
    mesh.rename(2, keeps, "Kept").await;
    mesh.dbmail(1).await.delete_mailbox(goes).await.unwrap();
    mesh.await_names("INBOX, Kept, Twin").await;
    mesh.await_ends().await;
    mesh.await_seqs().await;
    worker.stop().await;
    let before = (mesh.text(1, ROWS).await, mesh.text(2, ROWS).await);
    mesh.forget_cursors().await;
    let worker = mesh.work();
    for id in [1, 2] {
        mesh.await_count(id, "select count(*) from dbmail_mesh.cursor where copy_stage is null", 1).await;
    }
    worker.stop().await;
    assert_eq!((mesh.text(1, ROWS).await, mesh.text(2, ROWS).await), before);
}

/// dbmail makes a mailbox while one of that name is being joined: the batch is tried again, sees it, and merges.
#[tokio::test]
async fn a_name_that_dbmail_takes_at_that_moment_is_seen_by_the_next_try() {
    let (mesh, _) = Mesh::with_inbox("moment", 2, 2).await;
    mesh.raise_ids(2).await;
    let low = mesh.create(1, "Work").await;
    let mut client = mesh.psql(2).await;
    let open = client.transaction().await.unwrap();
    let create = "insert into dbmail_mailboxes (name, owner_idnr) select 'Work', user_idnr from dbmail_users where userid = 'alice'
                  returning mailbox_idnr";
    let high: i64 = open.query_one(create, &[]).await.unwrap().get(0);
    let worker = mesh.work();
    let waiting = "select count(*) from pg_locks where locktype = 'transactionid' and not granted
                   and pid in (select pid from pg_stat_activity where datname = current_database())";
    mesh.await_count(2, waiting, 1).await;
    open.commit().await.unwrap();
    mesh.await_names("INBOX, Work").await;
    worker.stop().await;
    assert_eq!(mesh.fate(2, low).await, format!("merged into {high}"));
    assert_eq!(mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await, 0);
}

/// A change of a mailbox raises HIGHESTMODSEQ, and a client may bring that number: the peers are told, whether or not the batch looks at
/// numbers.
#[tokio::test]
async fn a_change_that_raises_highestmodseq_is_noted() {
    let (mesh, inbox) = Mesh::with_inbox("raises", 1, 2).await;
    let (before, noted) =
        (mesh.seq(1, inbox).await, "select count(*) from dbmail_mesh.outbox where kind = 's' and origin is null");
    assert_eq!(mesh.count(1, noted).await, 0);
    let stamp = mesh.count(1, "select name_stamp from dbmail_mesh.mailbox_register").await;
    let plan = rename_plan(inbox, "Other", [stamp, 0, 0, 0]);
    let mut client = mesh.psql(1).await;
    let link = client.transaction().await.unwrap();
    link.execute("select set_config('dbmail_mesh.applying', 'on', true)", &[]).await.unwrap();
    link.execute("select dbmail_mesh.write_mailboxes($1)", &[&plan]).await.unwrap();
    link.commit().await.unwrap();
    assert_eq!(mesh.name(1, inbox).await.unwrap(), "Other");
    assert_eq!((mesh.seq(1, inbox).await, mesh.count(1, noted).await), (before + 1, 1));
}

/// What a link writes to rename a mailbox of which it has read these stamps.
fn rename_plan(mailbox: MailboxId, name: &str, stamps_before: [i64; 4]) -> serde_json::Value {
    serde_json::json!({
        "rows": [{"id": mailbox.0, "is_new": false, "is_moved": true, "is_shown": true, "stamps_before": stamps_before, "owner": "alice/1",
                  "name": name, "renamed": true, "name_stamp": 5, "no_select": 0, "no_select_stamp": 0, "permission": 2,
                  "permission_stamp": 0, "seen": 0, "answered": 0, "deleted": 0, "flagged": 0, "recent": 0, "draft": 0,
                  "no_inferiors": 0, "rest_stamp": 0, "seq": 0}],
        "fates": [], "conflicts": [], "notes": [],
    })
}

/// The plan was made for what dbmail has changed since.
#[tokio::test]
async fn a_plan_for_what_has_changed_since_is_refused() {
    let (mesh, inbox) = Mesh::with_inbox("stale", 1, 2).await;
    let plan = rename_plan(inbox, "Other", [1, 0, 0, 0]);
    let refused = mesh.psql(1).await.execute("select dbmail_mesh.write_mailboxes($1)", &[&plan]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "40001");
    assert_eq!(mesh.name(1, inbox).await.unwrap(), "INBOX");
}

#[tokio::test]
async fn a_mailbox_changes_hands_and_ends_with_its_owner() {
    let (mesh, _) = Mesh::with_inbox("hands", 2, 2).await;
    let work = mesh.create(1, "Work").await;
    mesh.dbmail(1).await.create_user("bob").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, "select count(*) from dbmail_users where userid = 'bob'", 1).await;
    mesh.await_names("INBOX, Work").await;
    let hand_over = "update dbmail_mailboxes m set owner_idnr = u.user_idnr from dbmail_users u where u.userid = 'bob' and m.name = 'Work'";
    mesh.sql(2, hand_over).await;
    mesh.await_names("INBOX").await;
    for id in [1, 2] {
        let of_bob = format!(
            "select count(*) from dbmail_mailboxes m join dbmail_mesh.line l using (mailbox_idnr) join dbmail_users u on u.userid = 'bob'
             where m.mailbox_idnr = {work} and m.owner_idnr = u.user_idnr and l.owner_idnr = u.user_idnr"
        );
        mesh.await_count(id, &of_bob, 1).await;
    }
    worker.stop().await;
    // bob is dead and gone on node 2, and has made a mailbox on node 1.
    mesh.sql(
        2,
        "begin; set local dbmail_mesh.applying = 'on';
         update dbmail_mesh.account set died_at = now(), gone_in = pg_current_xact_id() where born_as = 'bob';
         delete from dbmail_users where userid = 'bob'; commit",
    )
    .await;
    let late = mesh.dbmail(1).await.create_mailbox("bob", "Late").await.unwrap();
    let worker = mesh.work();
    mesh.await_count(2, &format!("select count(*) from dbmail_mesh.mailbox_fate where mailbox_idnr = {late}"), 1).await;
    mesh.await_count(1, &format!("select count(*) from dbmail_mesh.mailbox_fate where mailbox_idnr = {late}"), 1).await;
    worker.stop().await;
    assert_eq!((mesh.fate(1, late).await.as_str(), mesh.fate(2, late).await.as_str()), ("deleted", "deleted"));
    assert_eq!(mesh.fate(2, work).await, "deleted");
}

/// Only the highest counts, along all merges.
#[tokio::test]
async fn merges_are_followed_to_the_last() {
    let mesh = Mesh::new("chain", 1, 2).await;
    mesh.sql(
        1,
        "insert into dbmail_mesh.mailbox_fate (mailbox_idnr, merged_into) values (2, 5), (5, 9), (9, null), (3, null)",
    )
    .await;
    for (id, expected) in [(2, 9), (5, 9), (9, 9), (3, 3), (4, 4)] {
        assert_eq!(mesh.count(1, &format!("select dbmail_mesh.mailbox_of({id})")).await, expected);
    }
}
