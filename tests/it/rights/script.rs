//! `migrate rights`: from a bare database to a worker with the least rights, by psql and by the command; and what is refused.

use std::io::Write as _;
use std::process::{Command, Stdio};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::migrate::MigrationSet;
use dbmail_mesh::scratch::cluster::{OWNER_ROLE, connect, connect_as};
use dbmail_mesh::scratch::install::install_set;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use tokio_postgres::{Client, Config};

use super::super::cli::{Ended, File, ended};
use super::super::inspect::psql;

/// A database of dbmail's, the superuser's connection to it, and settings whose url names `worker`.
async fn bare(worker: &str) -> (Config, Client, File) {
    let config = fresh_dbmail("script").await.unwrap();
    let url = shared_cluster().await.unwrap().url(config.get_dbname().unwrap());
    let encoded: String = worker.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let file = File::with_nodes(&[url.replace("postgres@", &format!("{encoded}@"))]);
    let admin = connect(&config).await.unwrap();
    (config, admin, file)
}

fn run(file: &File, arguments: &[&str]) -> Ended {
    ended(file.command("migrate").args(arguments))
}

/// Runs a script as the superuser, and returns what psql complains of.
fn by_psql(config: &Config, script: &str) -> (bool, String) {
    let tokio_postgres::config::Host::Unix(host) = &config.get_hosts()[0] else { panic!("not on a socket") };
    let mut child = Command::new(psql().unwrap())
        .args(["-X", "-q", "-U", "postgres", "-d", config.get_dbname().unwrap()])
        .env("PGHOST", host)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

async fn is_true(client: &Client, sql: &str, parameters: &[&str]) -> bool {
    let parameters: Vec<_> = parameters.iter().map(|text| text as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
    client.query_one(sql, &parameters).await.unwrap().get(0)
}

const MAY_WRITE_MAIL: &str = "select has_table_privilege($1::text::name, 'public.dbmail_envelope', 'insert')";
const MAY_LOOK: &str = "select has_table_privilege($1::text::name, 'dbmail_mesh.lag', 'select')";
const MAY_ANALYZE: &str =
    "select has_function_privilege($1::text::name, 'dbmail_mesh.refresh_statistics()', 'execute')";

/// As in the README, with the worst names there are: what is printed goes through psql before the install and after it, twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_makes_a_worker_that_can_work() {
    if psql().is_none() {
        println!("skipped: there is no psql on this machine");
        return;
    }
    let (owner, worker, reader) = ("o\"x'; drop table dbmail_users; --", "w \\' \"user\" $$ :'owner'", "user");
    let (config, admin, file) = bare(worker).await;
    let rights = ["rights", "--owner", owner, "--reader", reader];
    let printed = run(&file, &rights);
    assert_eq!(printed.code, 0, "{printed:?}");
    for _ in 0..2 {
        let (done, said) = by_psql(&config, &printed.out);
        assert!(done && said.contains("Nothing is installed yet") && !said.contains("ERROR"), "{said}");
    }
    // Without the owner's role nothing can be installed, and it is told how.
    let up = run(&file, &["up"]);
    assert_eq!(up.code, 4, "{up:?}");
    let dry = run(&file, &["up", "--dry-run", "--user", owner]);
    assert!(dry.code == 0 && dry.out.contains("0029_rights.up.sql"), "{dry:?}");
    let up = run(&file, &["up", "--user", owner]);
    assert_eq!(up.code, 0, "{up:?}");
    assert!(is_true(&admin, MAY_WRITE_MAIL, &[worker]).await, "the worker of the settings gets its rights at once");
    for _ in 0..2 {
        let (done, said) = by_psql(&config, &printed.out);
        assert!(done && said.is_empty(), "{said}");
    }
    for arguments in ["status", "config check --connect", "migrate status"] {
        let ended = file.run(arguments);
        assert_eq!(ended.code, 0, "{arguments}: {ended:?}");
    }
    let doctor = file.run("doctor --all");
    assert!(doctor.out.contains("is no superuser, owns nothing, and may do what the worker does"), "{doctor:?}");
    let looking = connect_as(reader, &config).await.unwrap();
    looking.batch_execute("select * from dbmail_mesh.lag").await.unwrap();

    // The worker may not give rights, nor migrate, and it is told who may.
    let apply = run(&file, &["rights", "--owner", owner, "--reader", reader, "--apply"]);
    assert!(apply.code == 4 && apply.err.contains("may not give rights on what"), "{apply:?}");
    let down = run(&file, &["down"]);
    assert!(
        down.code == 4 && down.err.contains("does not own schema dbmail_mesh") && down.err.contains("--user"),
        "{down:?}"
    );
    // The owner and the superuser may.
    for user in [owner, "postgres"] {
        let apply = run(&file, &["rights", "--owner", owner, "--reader", reader, "--apply", "--user", user]);
        assert!(apply.code == 0 && apply.out.contains("roles and rights"), "{apply:?}");
    }
    // Nothing is left of it on dbmail's tables when it goes.
    let down = run(&file, &["down", "--user", owner]);
    assert_eq!(down.code, 0, "{down:?}");
    for role in [worker, reader] {
        let any = "select exists (select from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'S')
                                  and c.relname like 'dbmail\\_%' and c.relacl::text like '%' || $1 || '%')
                   or has_any_column_privilege($1::text::name, 'public.dbmail_users', 'select')";
        assert!(!is_true(&admin, any, &[role]).await, "{role}");
    }
}

/// A node of an earlier version, on which the rights were given by hand: an upgrade gives whoever works or looks what it needs now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_gives_rights_on_what_is_new() {
    let (config, admin, file) = bare("dbmail_mesh").await;
    let all = MigrationSet::embedded().unwrap();
    let files: Vec<_> = all.up_to(28).iter().map(|one| (one.stem(), one.up.as_str(), one.down.as_str())).collect();
    let files: Vec<_> = files.iter().map(|(stem, up, down)| (stem.as_str(), *up, *down)).collect();
    let earlier = MigrationSet::new(&files).unwrap();
    let url = shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap());
    let nodes = [NodeSettings::new("ams", NodeId(1), &url).unwrap()];
    install_set(&earlier, &nodes, &nodes, Stride(8)).await.unwrap();
    let (worker, reader) = ("script_worker", "script_reader");
    let by_hand = format!(
        "create role {worker} login; create role {reader} login;
         grant execute on function dbmail_mesh.write_plan to {worker}; grant select on dbmail_mesh.local_node to {reader}, {worker}"
    );
    admin.batch_execute(&by_hand).await.unwrap();
    let up = run(&file, &["up", "--user", OWNER_ROLE]);
    assert_eq!(
        (up.code, up.out.as_str()),
        (
            0,
            "ams: 0029_rights.up.sql\nams: 0030_shared_content.up.sql\nams: 0031_bulk.up.sql\nams: 0032_mailboxes_by_key.up.sql\nams: 0033_settling.up.sql\nams: 0034_kept_plans.up.sql\nams: 0035_short_plans.up.sql\n"
        ),
        "{up:?}"
    );
    assert!(is_true(&admin, MAY_ANALYZE, &[worker]).await && is_true(&admin, MAY_WRITE_MAIL, &[worker]).await);
    assert!(is_true(&admin, MAY_LOOK, &[reader]).await && !is_true(&admin, MAY_ANALYZE, &[reader]).await);
    assert!(is_true(&admin, MAY_ANALYZE, &["dbmail_mesh"]).await, "whom the settings name");
    // What was taken away in between comes back with the next run, which has nothing else to do.
    admin
        .batch_execute(&format!("revoke execute on function dbmail_mesh.refresh_statistics from {worker}"))
        .await
        .unwrap();
    let up = run(&file, &["up", "--user", OWNER_ROLE]);
    assert_eq!((up.code, up.out.as_str()), (0, "nothing to do\n"), "{up:?}");
    assert!(is_true(&admin, MAY_ANALYZE, &[worker]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_could_do_too_much_are_refused() {
    let (_, admin, file) = bare("dbmail_mesh").await;
    let say = |arguments: &[&str], code: i32, words: &str| {
        let ended = run(&file, arguments);
        assert!(ended.code == code && ended.err.contains(words), "{words}: {ended:?}");
    };
    say(&["rights", "--worker", "a", "--reader", "a"], 2, "must be three roles");
    say(&["rights", "--reader", ""], 2, "1 to 63 bytes");
    say(&["status", "--password-file", "/dev/null"], 2, "--user");
    say(&["status", "--user", "x", "--password-file", "/nonexistent"], 2, "--password-file /nonexistent");
    let apply = |more: &'static [&'static str]| [&["rights", "--apply", "--user", "postgres"], more].concat();
    say(&apply(&["--worker", "postgres"]), 4, "role postgres is a superuser");
    say(&apply(&["--worker", "dbmail"]), 4, "role dbmail is a member of dbmail");
    say(
        &["rights", "--apply", "--worker", "script_none"],
        4,
        "role script_none does not exist, and role dbmail_mesh may not create it",
    );
    assert_eq!(run(&file, &["up", "--user", OWNER_ROLE]).code, 0);
    say(
        &apply(&["--owner", "script_other"]),
        4,
        "schema dbmail_mesh belongs to role dbmail_mesh_owner, not to script_other",
    );
    admin.batch_execute("create role script_member login; grant dbmail_mesh_owner to script_member").await.unwrap();
    let words = "(Name another, or: revoke dbmail_mesh_owner from script_member)";
    say(&apply(&["--worker", "script_member"]), 4, words);
    admin.batch_execute("alter table dbmail_users owner to postgres").await.unwrap();
    say(&apply(&[]), 4, "a superuser, of which nobody should be a member");
    admin.batch_execute("alter table dbmail_users owner to dbmail").await.unwrap();
    let done = run(&file, &apply(&[]));
    assert!(
        done.code == 0 && done.out.contains("worker dbmail_mesh, reader dbmail_mesh_reader: roles and rights"),
        "{done:?}"
    );
}
