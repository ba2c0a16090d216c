//! `dbmail_mesh.settle` is `write_plan` for what most settlements consist of: it leaves the same behind.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::{Flags, Mail, StoreFlags, StoreMode};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::Mesh;

/// Everything that either of them writes, but for times.
const LEFT: &str = "select json_build_object(
    'messages', (select json_agg(to_jsonb(g) order by g.message_idnr) from public.dbmail_messages g),
    'keywords', (select json_agg(to_jsonb(k) order by k.message_idnr, k.keyword) from public.dbmail_keywords k),
    'mailboxes', (select json_agg(to_jsonb(m) order by m.mailbox_idnr) from public.dbmail_mailboxes m),
    'users', (select json_agg(to_jsonb(u) order by u.user_idnr) from public.dbmail_users u),
    'numbers', (select json_agg(to_jsonb(n) order by n.uid) from dbmail_mesh.number n),
    'late', (select json_agg(to_jsonb(l) order by l.birth_uid) from dbmail_mesh.late l),
    'lines', (select json_agg(to_jsonb(l) - 'raised_at' order by l.mailbox_idnr) from dbmail_mesh.line l),
    'registers', (select json_agg(to_jsonb(r) order by r.birth_uid) from dbmail_mesh.message_register r),
    'log', (select json_agg(to_jsonb(r) - 'id' - 'applied_at' order by r.new_uid) from dbmail_mesh.renumber_log r),
    'outbox', (select json_agg(to_jsonb(o) - 'id' - 'txid' - 'at' order by o.kind, o.key, o.id) from dbmail_mesh.outbox o))";

/// What is to be settled here, with numbers for it: all that is late, and what of this node is late elsewhere.
const DUE: &str = "select v.birth_uid, v.row_idnr, v.uid as old_uid,
        (select max(r.uid) from dbmail_mesh.reserve($1, array[v.birth_uid], 1000) r) as uid,
        case when v.row_idnr >= 281474976710656 then v.row_mailbox else $1 end as row_mailbox
    from dbmail_mesh.view_held((select array_agg(b) from (
        select g.message_idnr from public.dbmail_messages g where g.mailbox_idnr = $1 union select l.birth_uid from dbmail_mesh.late l) b(b))) v
    where v.state in ('v', 'h') order by v.uid";

/// Writes by one of the two, and returns what is left behind, and then takes it back.
async fn left_by(
    client: &mut Client,
    inbox: MailboxId,
    write: &str,
    plan: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Value {
    let transaction = client.transaction().await.unwrap();
    transaction.query("select dbmail_mesh.guard(1000, 1000)", &[]).await.unwrap();
    transaction.query("select dbmail_mesh.lock_and_view(array[$1::bigint], '{}', 0)", &[&inbox.0]).await.unwrap();
    transaction.query(write, plan).await.unwrap();
    let left = transaction.query_one(LEFT, &[]).await.unwrap().get(0);
    transaction.rollback().await.unwrap();
    left
}

#[tokio::test]
async fn a_settlement_leaves_behind_what_a_plan_does() {
    let (mesh, inbox) = Mesh::with_inbox("alike", 2, 4).await;
    let keyword = |name: &str| Mail { keywords: vec!["work".to_owned()], flags: Flags::SEEN, ..Mail::named(name) };
    for n in 0..3 {
        for id in [2, 1] {
            mesh.dbmail(id).await.deliver(inbox, &keyword(&format!("{n}-{id}"))).await.unwrap();
        }
    }
    mesh.dbmail(1).await.deliver(inbox, &keyword("above all")).await.unwrap();
    let mut slow = mesh.options(&[1, 2]);
    slow.mesh.settle_after = std::time::Duration::from_secs(600);
    let worker = dbmail_mesh::worker::Worker::start(slow).unwrap();
    mesh.await_count(1, "select count(*) from dbmail_mesh.late where row_idnr >= 281474976710656", 3).await;
    worker.stop().await;

    let mut client = mesh.psql(1).await;
    let due = client.query(DUE, &[&inbox.0]).await.unwrap();
    assert_eq!(due.len(), 7);
    // One is expunged before it is written: it stays where it is.
    let dying: i64 = due.iter().map(|row| row.get::<_, i64>("row_idnr")).min().unwrap();
    let mut dbmail = mesh.dbmail(1).await;
    let deleted =
        StoreFlags { mode: StoreMode::Add, flags: Flags::DELETED, keywords: Vec::new(), unchanged_since: None };
    dbmail.store(inbox, &[Uid(dying)], &deleted).await.unwrap();
    dbmail.expunge(inbox).await.unwrap();

    let column = |name: &str| due.iter().map(|row| row.get::<_, i64>(name)).collect::<Vec<i64>>();
    let (births, rows, old, new) = (column("birth_uid"), column("row_idnr"), column("old_uid"), column("uid"));
    let at = "2026-01-01 00:00:00+00";
    let of = |n: usize| {
        let number = json!({"uid": new[n], "birth": births[n], "decided_by": 1, "decided_at": at});
        let row = json!({"row_idnr": rows[n], "row_mailbox": column("row_mailbox")[n]});
        let moved =
            json!({"birth": births[n], "mailbox": inbox.0, "row_idnr": rows[n], "old_uid": old[n], "uid": new[n]});
        (number, row, moved)
    };
    let all: Vec<_> = (0..due.len()).map(of).collect();
    let list = |choose: fn(&(Value, Value, Value)) -> &Value| all.iter().map(choose).collect::<Vec<_>>();
    let plan = json!({"steps_back": true, "numbers": list(|one| &one.0), "rows": list(|one| &one.1), "move": list(|one| &one.2)});
    let by_plan = left_by(&mut client, inbox, "select dbmail_mesh.write_plan($1)", &[&plan]).await;

    let (by, ats) = (vec![1_i16; due.len()], vec![at; due.len()]);
    let settle = include_str!("../../../sql/target/settle.sql");
    let by_settlement =
        left_by(&mut client, inbox, settle, &[&inbox.0, &births, &rows, &old, &new, &new, &births, &by, &ats, &false])
            .await;
    assert_eq!(by_settlement, by_plan);
    let shown = by_plan["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| new.contains(&row["message_idnr"].as_i64().unwrap()));
    assert_eq!(shown.count(), 6, "all but the one that was expunged");
}

/// What dbmail has moved or removed meanwhile is not written; nor is a number of which nothing is known.
#[tokio::test]
async fn a_settlement_that_does_not_fit_any_more_is_refused() {
    let (mesh, inbox) = Mesh::with_inbox("unfit", 1, 4).await;
    let mut dbmail = mesh.dbmail(1).await;
    let other = dbmail.create_mailbox("alice", "Other").await.unwrap();
    let uid = dbmail.deliver(other, &Mail::named("elsewhere")).await.unwrap().0;
    let here = dbmail.deliver(inbox, &Mail::named("here")).await.unwrap().0;
    let client = mesh.psql(1).await;
    for (row, number, code) in [(uid, 1000_i64, "40001"), (999, 1000, "40001"), (here, 2000, "P0001")] {
        let refused = client
            .query(
                "select dbmail_mesh.settle($1, array[$2::bigint], array[$3::bigint], array[$2::bigint], array[1000], array[$4::bigint],
                    array[$2::bigint], array[1::smallint], array['2026-01-01'], false)",
                &[&inbox.0, &here, &row, &number],
            )
            .await
            .unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some(code), "{row}: {refused:?}");
    }
}

#[tokio::test]
async fn numbers_that_are_drawn_at_once_are_of_the_class_ascending_and_above() {
    let (mesh, _) = Mesh::with_inbox("drawn", 1, 4).await;
    let client = mesh.psql(1).await;
    let draw = async |above: i64, many: i64| {
        let rows = client.query("select dbmail_mesh.draw_uids($1, $2)", &[&above, &many]).await.unwrap();
        rows.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<i64>>()
    };
    let drawn = draw(10_000, 50).await;
    assert_eq!(drawn, (0..50).map(|n| 10_001 + 4 * n).collect::<Vec<_>>());
    assert_eq!(draw(0, 2).await, [10_201, 10_205], "never back");
    assert_eq!((draw(0, 0).await.len(), draw(0, 1).await.len()), (0, 1));
    let held = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1684169069 and objid = 2";
    assert_eq!(mesh.count(1, held).await, 0, "nobody is kept from moving the sequence");
}
