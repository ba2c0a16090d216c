//! Accounts: what changes in them on several nodes at once.

use super::Mesh;

/// Both orders in which two nodes can learn of each other.
const ORDERS: [[i16; 2]; 2] = [[1, 2], [2, 1]];

const CREATE: &str = "insert into dbmail_users (userid, passwd, encryption_type) values";

/// alice and bob on two nodes, with different numbers there.
async fn alice_and_bob(prefix: &str) -> Mesh {
    let mesh = Mesh::new(prefix, 2, 2).await;
    mesh.run(2, "select setval('dbmail_user_idnr_seq', 100)").await;
    mesh.run(1, &format!("{CREATE} ('alice', 'a', '')")).await;
    mesh.run(1, &format!("{CREATE} ('bob', 'b', '')")).await;
    mesh.settle(&[2, 1]).await;
    mesh
}

async fn userids(mesh: &Mesh, id: i16) -> String {
    mesh.text(
        id,
        "select string_agg(a.account || '=' || u.userid, ', ' order by a.account)
         from dbmail_mesh.account a join dbmail_users u using (user_idnr)
         where u.userid not in ('anyone', '__public__', '__@!internal_delivery_user!@__')",
    )
    .await
}

/// Each node changes other fields of a user, and one both change: that is decided by time, the others all survive.
#[tokio::test]
async fn fields_that_change_on_two_nodes_all_survive() {
    for order in ORDERS {
        let mesh = alice_and_bob("fields").await;
        mesh.run(1, "update dbmail_users set passwd = 'one', encryption_type = 'md5' where userid = 'alice'").await;
        mesh.run(1, "update dbmail_users set maxmail_size = 1 where userid = 'alice'").await;
        mesh.run(1, "update dbmail_users set active = 0 where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set maxmail_size = 2 where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set maxsieve_size = 3, client_idnr = 4 where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set saction = 5 where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set userid = 'alicia' where userid = 'alice'").await;
        mesh.settle(&order).await;
        let fields =
            "select concat_ws(' ', passwd, encryption_type, maxmail_size, maxsieve_size, client_idnr, saction, active)
                      from dbmail_users where userid = 'alicia'";
        assert_eq!(mesh.text(1, fields).await, "one md5 2 3 4 5 0");
        mesh.replay().await;
    }
}

/// Logins (but for the first), the quota and what dbmail writes without a change are nobody else's business; the system users neither.
#[tokio::test]
async fn what_is_a_nodes_own_is_not_noted() {
    let mesh = alice_and_bob("own").await;
    let noted = "select count(*) from dbmail_mesh.outbox where kind = 'u'";
    mesh.run(1, "update dbmail_users set last_login = now()").await;
    let before = mesh.count(1, noted).await;
    mesh.run(1, "update dbmail_users set last_login = now(), curmail_size = 7, cursieve_size = 8").await;
    mesh.run(1, "update dbmail_users set maxmail_size = maxmail_size, passwd = passwd").await;
    mesh.run(1, "update dbmail_users set passwd = 'x' where userid = 'anyone'").await;
    assert_eq!(mesh.count(1, noted).await, before);
    mesh.run(2, "update dbmail_users set passwd = 'y', maxmail_size = 9 where userid in ('anyone', '__public__')")
        .await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(mesh.text(1, "select passwd from dbmail_users where userid = 'anyone'").await, "x");
}

/// Two users get one name at once: the later rename keeps it, the other is set beside it, on all nodes.
#[tokio::test]
async fn two_renames_onto_one_userid() {
    for order in ORDERS {
        let mesh = alice_and_bob("onto").await;
        mesh.run(1, "update dbmail_users set userid = 'carol' where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set userid = 'carol' where userid = 'bob'").await;
        mesh.settle(&order).await;
        assert_eq!(userids(&mesh, 1).await, "alice/1=carol (alice/1), bob/1=carol");
        mesh.replay().await;
    }
}

/// Names that are swapped, and names that move on in a chain, arrive in one batch; the index on userid allows no two of a name at any
/// time.
#[tokio::test]
async fn names_are_swapped_and_move_on_in_a_chain() {
    for order in ORDERS {
        let mesh = alice_and_bob("swap").await;
        mesh.run(1, &format!("{CREATE} ('carol', 'c', '')")).await;
        mesh.settle(&order).await;
        mesh.run(1, "update dbmail_users set userid = 'x' where userid = 'alice'").await;
        mesh.run(1, "update dbmail_users set userid = 'alice' where userid = 'bob'").await;
        mesh.run(1, "update dbmail_users set userid = 'bob' where userid = 'x'").await;
        mesh.settle(&order).await;
        assert_eq!(userids(&mesh, 2).await, "alice/1=bob, bob/1=alice, carol/1=carol");
        // bob to dave, alice to bob, carol to alice: the first has to go first.
        mesh.run(2, "update dbmail_users set userid = 'dave' where userid = 'bob'").await;
        mesh.run(2, "update dbmail_users set userid = 'bob' where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set userid = 'alice' where userid = 'carol'").await;
        mesh.settle(&order).await;
        assert_eq!(userids(&mesh, 1).await, "alice/1=dave, bob/1=bob, carol/1=alice");
        mesh.replay().await;
    }
}

/// One node renames a user to a name that the other gives to a new one.
#[tokio::test]
async fn a_rename_meets_a_new_user() {
    for order in ORDERS {
        let mesh = alice_and_bob("create").await;
        mesh.run(1, "update dbmail_users set userid = 'carol' where userid = 'alice'").await;
        mesh.run(2, &format!("{CREATE} ('carol', 'c', '')")).await;
        mesh.settle(&order).await;
        assert_eq!(userids(&mesh, 2).await, "alice/1=carol, bob/1=bob, carol/1=carol (carol/1)");
        mesh.replay().await;
    }
}

/// A name becomes free by a rename and is given to a new user: that is another account.
#[tokio::test]
async fn a_name_that_is_used_again_is_another_account() {
    for order in ORDERS {
        let mesh = alice_and_bob("again").await;
        mesh.run(1, "update dbmail_users set userid = 'old' where userid = 'alice'").await;
        mesh.run(1, &format!("{CREATE} ('alice', 'new', '')")).await;
        mesh.settle(&order).await;
        assert_eq!(userids(&mesh, 2).await, "alice/1=old, alice/2=alice, bob/1=bob");
        assert_eq!(mesh.text(2, "select passwd from dbmail_users where userid = 'alice'").await, "new");
    }
}

/// Nodes that are cut off from one another create the same user: it is the same account. What nobody has changed since takes the
/// greater value everywhere, whoever learns of whom first.
#[tokio::test]
async fn the_same_user_is_created_on_several_nodes() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mesh = Mesh::new("born", 3, 4).await;
        mesh.run(3, "select setval('dbmail_user_idnr_seq', 300)").await;
        mesh.run(1, &format!("{CREATE} ('alice', 'one', 'md5')")).await;
        mesh.run(2, &format!("{CREATE} ('alice', 'two', 'md5')")).await;
        mesh.run(2, "update dbmail_users set maxmail_size = 2 where userid = 'alice'").await;
        mesh.run(3, &format!("{CREATE} ('alice', 'three', 'md5')")).await;
        mesh.settle(&order).await;
        let fields = "select passwd || ' ' || maxmail_size from dbmail_users where userid = 'alice'";
        assert_eq!(mesh.text(1, fields).await, "two 2");
        mesh.replay().await;
    }
}

/// A user who is deleted on one node while another changes him is dead on both; on the other he stays until his mail is put aside.
/// His name is free there at once.
#[tokio::test]
async fn death_goes_before_every_change() {
    for order in ORDERS {
        let mesh = alice_and_bob("death").await;
        mesh.run(1, "delete from dbmail_users where userid = 'alice'").await;
        mesh.run(2, "update dbmail_users set passwd = 'late' where userid = 'alice'").await;
        for into in order {
            mesh.bring(into).await;
        }
        let state = "select state::text from dbmail_mesh.account_state where account = 'alice/1'";
        assert_eq!(mesh.text(1, state).await, "d");
        let told =
            "select source_xid = $1::text::xid8 and source_id = 1 from dbmail_mesh.account where account = 'alice/1'";
        let gone_in = mesh.text(1, "select gone_in::text from dbmail_mesh.account where account = 'alice/1'").await;
        assert!(mesh.psql(2).await.query_one(told, &[&gone_in]).await.unwrap().get::<_, bool>(0));
        // A change of a peer reaches him no more, he goes, and his name goes to whoever needs it.
        mesh.run(1, &format!("{CREATE} ('alice', 'second', '')")).await;
        mesh.bring(2).await;
        let worker = mesh.work();
        mesh.await_count(
            2,
            "select count(*) from dbmail_mesh.account where died_at is not null and gone_in is null",
            0,
        )
        .await;
        worker.stop().await;
        mesh.bring(1).await;
        assert_eq!(mesh.text(2, state).await, "d");
        assert_eq!(userids(&mesh, 1).await, "alice/2=alice, bob/1=bob");
        assert_eq!(userids(&mesh, 2).await, "alice/2=alice, bob/1=bob");
    }
}

/// Of a user who died before a node ever heard of him only the death is written down: whoever is created there later under that name
/// is another.
#[tokio::test]
async fn the_dead_are_known_where_they_never_lived() {
    let mesh = Mesh::new("never", 2, 2).await;
    mesh.run(1, &format!("{CREATE} ('alice', 'a', '')")).await;
    mesh.run(1, "delete from dbmail_users where userid = 'alice'").await;
    mesh.bring(2).await;
    mesh.run(2, &format!("{CREATE} ('alice', 'b', '')")).await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(userids(&mesh, 1).await, "alice/2=alice");
    mesh.replay().await;
}

/// dbmail creates the user in the very moment in which a link does: the batch is tried again, and neither dbmail nor the link fails.
#[tokio::test]
async fn a_session_creates_the_user_at_that_moment() {
    let mesh = Mesh::new("moment", 2, 2).await;
    mesh.run(1, &format!("{CREATE} ('alice', 'a', '')")).await;
    let mut dbmail = mesh.psql(2).await;
    let open = dbmail.transaction().await.unwrap();
    open.batch_execute(&format!("{CREATE} ('alice', 'b', '')")).await.unwrap();
    let worker = mesh.work_for(&[2]);
    let waits = "select count(*) from (select 1 from pg_stat_activity where datname = current_database()
                 and wait_event_type = 'Lock' limit 1) x";
    mesh.await_count(2, waits, 1).await;
    open.commit().await.unwrap();
    mesh.await_count(2, "select count(*) from dbmail_mesh.cursor where copy_stage is null", 1).await;
    worker.stop().await;
    mesh.settle(&[1, 2]).await;
    assert_eq!(userids(&mesh, 2).await, "alice/1=alice");
    assert_eq!(mesh.text(1, "select passwd from dbmail_users where userid = 'alice'").await, "b");
}
