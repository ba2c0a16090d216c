//! The migration runner, on a small set of migrations of its own.

use std::time::Duration;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::error::{Error, Kind};
use dbmail_mesh::migrate::{Direction, MIGRATION_LOCK, MigrationSet, Runner, State, Step};
use dbmail_mesh::scratch::catalog::catalog;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use tokio_postgres::Client;

const STRIDE: Stride = Stride(8);

/// Notes what it was given, so that tests can ask for it.
const ONE_UP: &str = "
create schema dbmail_mesh;
create table dbmail_mesh.migration (
  version integer primary key, name text not null, checksum text, applied_at timestamptz not null default now()
);
create table dbmail_mesh.local_node (node_id smallint, node_name text, stride smallint, uid bigint, mailbox bigint);
insert into dbmail_mesh.local_node
select current_setting('dbmail_mesh.node_id')::smallint, current_setting('dbmail_mesh.node_name'),
       current_setting('dbmail_mesh.stride')::smallint, current_setting('dbmail_mesh.uid_floor')::bigint,
       current_setting('dbmail_mesh.mailbox_floor')::bigint;
insert into dbmail_mesh.migration (version, name) values (1, 'one');
";
const TWO_UP: &str = "
alter table public.dbmail_messages alter column message_idnr drop default;
insert into dbmail_mesh.migration (version, name) values (2, 'two');
";
const TWO_DOWN: &str = "alter table public.dbmail_messages alter column message_idnr set default nextval('public.dbmail_message_idnr_seq');";

const ONE: (&str, &str, &str) = ("0001_one", ONE_UP, "drop schema dbmail_mesh cascade;");
const TWO: (&str, &str, &str) = ("0002_two", TWO_UP, TWO_DOWN);

fn set() -> MigrationSet {
    MigrationSet::new(&[ONE, TWO]).unwrap()
}

/// A new dbmail database as node `name`.
async fn dbmail(name: &str, id: i16) -> NodeSettings {
    let config = fresh_dbmail("migrate").await.unwrap();
    let url = shared_cluster().await.unwrap().url(config.get_dbname().unwrap());
    NodeSettings::new(name, NodeId(id), &url).unwrap()
}

async fn two_nodes() -> Vec<NodeSettings> {
    vec![dbmail("ams", 1).await, dbmail("fra", 2).await]
}

async fn client(node: &NodeSettings) -> Client {
    connect(&node.connection).await.unwrap()
}

fn runner<'a>(set: &'a MigrationSet, nodes: &'a [NodeSettings]) -> Runner<'a> {
    Runner::new(set, STRIDE, nodes.iter().collect(), nodes)
}

async fn up(set: &MigrationSet, nodes: &[NodeSettings]) -> Result<Vec<String>, Error> {
    let mut steps = Vec::new();
    runner(set, nodes).up(&mut |step: &Step| steps.push(format!("{} {}", step.node, step.file))).await?;
    Ok(steps)
}

async fn down(set: &MigrationSet, nodes: &[NodeSettings]) -> Result<Vec<String>, Error> {
    let mut steps = Vec::new();
    runner(set, nodes).down(&mut |step: &Step| steps.push(format!("{} {}", step.node, step.file))).await?;
    Ok(steps)
}

async fn is_installed(node: &NodeSettings) -> bool {
    let sql = "select to_regnamespace('dbmail_mesh') is not null";
    client(node).await.query_one(sql, &[]).await.unwrap().get(0)
}

/// A node that cannot be reached: nobody listens in this folder.
fn nowhere(name: &str, id: i16) -> NodeSettings {
    NodeSettings::new(name, NodeId(id), "postgresql://postgres@/mail?host=/nonexistent").unwrap()
}

fn refused(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    says(error, words);
}

fn says(error: &Error, words: &[&str]) {
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test]
async fn up_down_up() {
    let (set, nodes) = (set(), two_nodes().await);
    let before = catalog(&client(&nodes[0]).await).await.unwrap();

    let all = ["ams 0001_one.up.sql", "ams 0002_two.up.sql", "fra 0001_one.up.sql", "fra 0002_two.up.sql"];
    assert_eq!(up(&set, &nodes).await.unwrap(), all);
    assert_eq!(up(&set, &nodes).await.unwrap(), [""; 0], "nothing is left to do");
    let sql = "select format('%s %s %s', node_id, node_name, stride) from dbmail_mesh.local_node";
    let told: String = client(&nodes[1]).await.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(told, "2 fra 8");
    let sql = "select checksum from dbmail_mesh.migration order by version";
    let rows = client(&nodes[0]).await.query(sql, &[]).await.unwrap();
    let checksums: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(checksums, [set.get(1).unwrap().checksum(), set.get(2).unwrap().checksum()]);

    let all = ["ams 0002_two.down.sql", "ams 0001_one.down.sql", "fra 0002_two.down.sql", "fra 0001_one.down.sql"];
    assert_eq!(down(&set, &nodes).await.unwrap(), all);
    assert_eq!(catalog(&client(&nodes[0]).await).await.unwrap(), before);
    assert_eq!(down(&set, &nodes).await.unwrap(), [""; 0]);
    assert_eq!(up(&set, &nodes).await.unwrap().len(), 4);
}

#[tokio::test]
async fn floors_lie_above_the_numbers_of_every_node() {
    let (set, nodes) = (set(), two_nodes().await);
    // A sequence whose last value was not given out yet, and a row above it; staging rows are out of the way.
    let sql = "
        select setval('dbmail_message_idnr_seq', 500, false), setval('dbmail_mailbox_idnr_seq', 40, true);
        insert into dbmail_physmessage (id) values (1);
        insert into dbmail_mailboxes (mailbox_idnr, owner_idnr, name) values (30, 1, 'INBOX');
        insert into dbmail_messages (message_idnr, mailbox_idnr, physmessage_id, unique_id)
        values (9, 30, 1, 'a'), (281474976710663, 30, 1, 'b');";
    client(&nodes[1]).await.batch_execute(sql).await.unwrap();

    let steps = up(&set, &nodes).await.unwrap();
    assert_eq!(steps[0], "fra 0001_one.up.sql", "the node with the highest numbers comes first");
    for node in &nodes {
        let row = client(node).await.query_one("select uid, mailbox from dbmail_mesh.local_node", &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (499, 40), "{node}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_chosen_still_counts_and_must_be_reachable() {
    let set = set();
    let mut all = vec![dbmail("ams", 1).await, dbmail("fra", 2).await];
    client(&all[1]).await.batch_execute("select setval('dbmail_message_idnr_seq', 77)").await.unwrap();
    Runner::new(&set, STRIDE, vec![&all[0]], &all).up(&mut |_| {}).await.unwrap();
    let row = client(&all[0]).await.query_one("select uid from dbmail_mesh.local_node", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 77);
    assert!(!is_installed(&all[1]).await);

    all.push(nowhere("nyc", 3));
    let error = Runner::new(&set, STRIDE, vec![&all[1]], &all).up(&mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    says(&error, &["node nyc (/nonexistent/mail): cannot connect", "the numbers in use on every node must be known"]);
    assert!(!is_installed(&all[1]).await);
    // Where nothing is to be installed nobody needs to know the numbers.
    Runner::new(&set, STRIDE, vec![&all[0]], &all).up(&mut |_| {}).await.unwrap();
}

#[tokio::test]
async fn one_node_that_is_not_fit_keeps_all_from_being_changed() {
    let set = set();
    let cluster = shared_cluster().await.unwrap();
    let plain = NodeSettings::new("fra", NodeId(2), &cluster.url("postgres")).unwrap();
    let old = dbmail("old", 3).await;
    client(&old).await.batch_execute("delete from dbmail_upgrade_steps where to_version > 32000").await.unwrap();
    client(&old)
        .await
        .batch_execute("insert into dbmail_upgrade_steps (from_version, to_version) values (0, 31009)")
        .await
        .unwrap();
    let nodes = vec![dbmail("ams", 1).await, plain, old];
    let error = up(&set, &nodes).await.unwrap_err();
    refused(&error, &["node fra (", "database postgres is not dbmail's: schema public lacks dbmail_acl, "]);
    refused(&error, &["node old (", "dbmail's schema is at step 31009, older than 32001 (upgrade dbmail"]);
    assert!(!is_installed(&nodes[0]).await);
}

#[tokio::test]
async fn missing_rights_are_named_with_the_grant_that_mends_them() {
    let (set, owner) = (set(), dbmail("ams", 1).await);
    let admin = client(&owner).await;
    let database = owner.connection.get_dbname().unwrap();
    let role = format!("mesh_{database}");
    let dbmail_role = format!("dbmail_{database}");
    admin.batch_execute(&format!("create role {role} login; create role {dbmail_role}")).await.unwrap();
    let reassign = format!(
        "do $$ declare r record; begin
           for r in select relname from pg_class
             where relnamespace = 'public'::regnamespace and relname like 'dbmail\\_%' and relkind = 'r' loop
             execute format('alter table %I owner to {dbmail_role}', r.relname);
           end loop;
           for r in select relname from pg_class
             where relnamespace = 'public'::regnamespace and relname like 'dbmail\\_%' and relkind = 'S' loop
             execute format('alter sequence %I owner to {dbmail_role}', r.relname);
           end loop;
         end $$"
    );
    admin.batch_execute(&reassign).await.unwrap();
    let url = shared_cluster().await.unwrap().url(database).replace("postgres@", &format!("{role}@"));
    let nodes = [NodeSettings::new("ams", NodeId(1), &url).unwrap()];

    let error = up(&set, &nodes).await.unwrap_err();
    let create = format!("grant create on database {database} to {role}");
    let member = format!("grant {dbmail_role} to {role}");
    refused(&error, &[&create, "may not alter dbmail_", " more, owned by ", &member]);

    // The grants are not only named: they are enough.
    admin.batch_execute(&format!("{create}; {member}")).await.unwrap();
    up(&set, &nodes).await.unwrap();
    down(&set, &nodes).await.unwrap();
}

#[tokio::test]
async fn the_second_of_two_runners_is_refused() {
    let (set, nodes) = (set(), two_nodes().await);
    let other = client(&nodes[1]).await;
    other.query_one("select pg_advisory_lock($1)::text", &[&MIGRATION_LOCK]).await.unwrap();
    refused(&up(&set, &nodes).await.unwrap_err(), &["node fra (", "somebody else is migrating this node"]);
    refused(&down(&set, &nodes).await.unwrap_err(), &["somebody else is migrating this node"]);
    assert!(!is_installed(&nodes[0]).await);

    other.query_one("select pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await.unwrap();
    // Of runners that start together one does the work. The others are refused, or come late and find it done.
    let results = futures_util::future::join_all((0..4).map(|_| up(&set, &nodes))).await;
    let steps: usize = results.iter().flatten().map(Vec::len).sum();
    assert_eq!(steps, 4);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        refused(error, &["somebody else is migrating this node"]);
    }
}

#[tokio::test]
async fn a_history_that_is_not_ours_is_refused() {
    let (set, nodes) = (set(), [dbmail("ams", 1).await]);
    up(&set, &nodes).await.unwrap();

    let edited = MigrationSet::new(&[ONE, ("0002_two", "select 2", TWO_DOWN)]).unwrap();
    let (was, is) = (set.get(2).unwrap().checksum(), edited.get(2).unwrap().checksum());
    for error in [up(&edited, &nodes).await.unwrap_err(), down(&edited, &nodes).await.unwrap_err()] {
        refused(&error, &["0002_two.up.sql has changed since it was run", &was, &is]);
    }
    let older = MigrationSet::new(&[ONE]).unwrap();
    let words = ["is at version 2, this program knows versions up to 1"];
    refused(&up(&older, &nodes).await.unwrap_err(), &words);
    refused(&down(&older, &nodes).await.unwrap_err(), &words);

    client(&nodes[0]).await.batch_execute("delete from dbmail_mesh.migration where version = 1").await.unwrap();
    refused(&up(&set, &nodes).await.unwrap_err(), &["lacks version 1, though it has later ones"]);
    let status = runner(&set, &nodes).status().await;
    assert_eq!((status[0].state, status[0].installed), (State::Wrong, Some(2)));
}

#[tokio::test]
async fn a_node_keeps_the_number_and_the_stride_that_it_was_installed_with() {
    let (set, nodes) = (set(), [dbmail("ams", 1).await]);
    up(&set, &nodes).await.unwrap();
    let mut other = nodes.clone();
    other[0].id = NodeId(4);
    let error = Runner::new(&set, Stride(16), other.iter().collect(), &other).up(&mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    says(&error, &["node.ams.id = 4: it was installed with id 1", "mesh.stride = 16: it was installed with stride 8"]);
}

#[tokio::test]
async fn an_error_in_a_file_tells_the_line_and_rolls_the_file_back() {
    let broken = "create table dbmail_mesh.half (id int);\n\nselect 1 from dbmail_mesh.none;";
    let bad = MigrationSet::new(&[ONE, ("0002_bad", broken, "")]).unwrap();
    let nodes = [dbmail("ams", 1).await];
    let error = up(&bad, &nodes).await.unwrap_err();
    says(&error, &["node ams (", "0002_bad.up.sql line 3: relation \"dbmail_mesh.none\" does not exist"]);
    let sql = "select to_regclass('dbmail_mesh.half') is null and (select max(version) from dbmail_mesh.migration) = 1";
    assert!(client(&nodes[0]).await.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));

    // The file can be mended and run: what it did not finish was not noted.
    assert_eq!(up(&set(), &nodes).await.unwrap(), ["ams 0002_two.up.sql"]);
    let silent = MigrationSet::new(&[ONE, TWO, ("0003_silent", "select 1", "")]).unwrap();
    says(&up(&silent, &nodes).await.unwrap_err(), &["0003_silent.up.sql has not noted itself"]);
}

#[tokio::test]
async fn a_migration_steps_back_from_dbmails_locks_and_tries_again() {
    let (set, nodes) = (set(), [dbmail("ams", 1).await]);
    let mut busy = client(&nodes[0]).await;
    let reader = busy.transaction().await.unwrap();
    reader.batch_execute("lock table dbmail_messages in access share mode").await.unwrap();
    let error = runner(&set, &nodes).lock_patience(Duration::ZERO).up(&mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    says(&error, &["0002_two.up.sql: other sessions hold dbmail's tables", "pg_stat_activity"]);

    let runner = runner(&set, &nodes);
    let watcher = client(&nodes[0]).await;
    let mut nothing = |_: &Step| {};
    let both = async {
        tokio::join!(runner.up(&mut nothing), async {
            // Once it has been seen waiting, the reader gets out of its way.
            let waits = "select exists (select from pg_locks where not granted and database =
                           (select oid from pg_database where datname = current_database()))";
            while !watcher.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
                tokio::task::yield_now().await;
            }
            reader.commit().await.unwrap();
        })
    };
    let (done, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    done.unwrap();
}

#[tokio::test]
async fn what_psql_ran_is_taken_as_it_is() {
    let (set, nodes) = (set(), [dbmail("ams", 1).await]);
    let parameters = "set dbmail_mesh.node_id = 1; set dbmail_mesh.node_name = 'ams'; set dbmail_mesh.stride = 8;
                      set dbmail_mesh.uid_floor = 0; set dbmail_mesh.mailbox_floor = 0;";
    client(&nodes[0]).await.batch_execute(&format!("{parameters}{ONE_UP}")).await.unwrap();
    assert_eq!(up(&set, &nodes).await.unwrap(), ["ams 0002_two.up.sql"]);
    let status = runner(&set, &nodes).status().await;
    assert_eq!((status[0].state, status[0].detail.as_str()), (State::Current, "run by psql, hence not compared: 1"));
    assert_eq!(down(&set, &nodes).await.unwrap().len(), 2);
}

#[tokio::test]
async fn status_tells_every_state_at_once() {
    let set = set();
    let nodes = vec![dbmail("ams", 1).await, dbmail("fra", 2).await, nowhere("nyc", 3)];
    Runner::new(&set, STRIDE, vec![&nodes[0]], &nodes[..1]).up(&mut |_| {}).await.unwrap();
    let status = runner(&set, &nodes).status().await;
    let told: Vec<_> = status.iter().map(|line| (line.node.as_str(), line.installed, line.state)).collect();
    let expected =
        [("ams", Some(2), State::Current), ("fra", Some(0), State::Pending), ("nyc", None, State::Unreachable)];
    assert_eq!(told, expected);
    assert_eq!(status[1].detail, "to run: 0001_one, 0002_two");
    assert!(status[2].detail.starts_with("cannot connect: "), "{}", status[2].detail);
}

#[tokio::test]
async fn a_dry_run_is_a_script_that_does_the_same_and_touches_nothing() {
    let (set, nodes) = (set(), [dbmail("ams", 1).await]);
    client(&nodes[0]).await.batch_execute("select setval('dbmail_message_idnr_seq', 5)").await.unwrap();
    let plan = runner(&set, &nodes).plan(Direction::Up).await.unwrap();
    assert!(!is_installed(&nodes[0]).await);
    assert!(plan[0].script().contains("set_config('dbmail_mesh.uid_floor', '5', true)"), "{}", plan[0].script());
    for step in &plan {
        client(&nodes[0]).await.batch_execute(&step.script()).await.unwrap();
    }
    assert_eq!(runner(&set, &nodes).status().await[0].state, State::Current);
    assert_eq!(runner(&set, &nodes).status().await[0].detail, "", "the script fills in the checksums");
    let plan = runner(&set, &nodes).plan(Direction::Down).await.unwrap();
    assert_eq!(
        plan.iter().map(|step| step.file.as_str()).collect::<Vec<_>>(),
        ["0002_two.down.sql", "0001_one.down.sql"]
    );
    assert!(is_installed(&nodes[0]).await);
}
