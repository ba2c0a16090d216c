//! The worker's rights are enough for every statement in `sql/`, and each of them is needed by one.

use std::collections::BTreeSet;

use dbmail_mesh::migrate::rights::{Right, worker_rights};
use dbmail_mesh::scratch::cluster::WORKER_ROLE;
use tokio_postgres::Client;

use super::super::sql_files::files;
use super::{DENIED, Installed, code_of};

/// What only the owner runs.
const OWNERS: [&str; 2] = ["migrate/forget.sql", "migrate/set_checksum.sql"];

/// Rights on sequences are looked at only when a number is drawn, which these do before any constraint is looked at; and what a function
/// calls that runs with its caller's rights, only when it is called.
const DRAWS: [(&str, &str); 4] = [
    ("envelope", "insert into public.dbmail_envelope (physmessage_id, envelope) values (-1, '')"),
    ("headername", "insert into public.dbmail_headername (headername) values ('x')"),
    ("referencesfield", "insert into public.dbmail_referencesfield (physmessage_id, referencesfield) values (-1, '')"),
    ("begin_term", "select term from dbmail_mesh.seek_term('a worker', '1 min')"),
];

/// Prepares everything that the worker runs, and makes of it what has PostgreSQL look at the rights and do nothing.
async fn probes(client: &Client) -> Vec<(String, String, String)> {
    client
        .batch_execute("set plan_cache_mode = force_generic_plan; set search_path = pg_catalog, pg_temp")
        .await
        .unwrap();
    let mut probes = Vec::new();
    for (at, (name, sql)) in files().into_iter().filter(|(name, _)| !OWNERS.contains(&name.as_str())).enumerate() {
        client
            .batch_execute(&format!("prepare p{at} as {sql}"))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let parameters = "select cardinality(parameter_types) from pg_prepared_statements where name = $1";
        let count: i32 = client.query_one(parameters, &[&format!("p{at}")]).await.unwrap().get(0);
        let nulls = vec!["null"; usize::try_from(count).unwrap()].join(", ");
        let call = if count > 0 { format!("({nulls})") } else { String::new() };
        probes.push((name, sql, format!("explain execute p{at}{call}")));
    }
    let draws = DRAWS.map(|(name, sql)| (name.to_owned(), sql.to_owned(), format!("begin; {sql}")));
    probes.extend(draws);
    probes
}

/// The first probe that is denied; those that speak of `name` are asked first.
async fn first_denied(client: &Client, probes: &[(String, String, String)], name: &str) -> Option<String> {
    let bare = name.rsplit('.').next().unwrap_or(name);
    let bare = bare.trim_start_matches("dbmail_").split("_id").next().unwrap_or(bare);
    let (likely, others): (Vec<_>, Vec<_>) = probes.iter().partition(|(_, sql, _)| sql.contains(bare));
    for (file, _, probe) in likely.into_iter().chain(others) {
        let code = code_of(client, probe).await;
        client.batch_execute("rollback").await.unwrap();
        if code == DENIED {
            return Some(file.clone());
        }
    }
    None
}

fn granted(right: &Right) -> String {
    let kind = match (right.verb.as_str(), right.name.contains('.')) {
        ("execute", _) => "function ",
        (_, false) => "schema ",
        _ => "",
    };
    format!("{} on {kind}{}", right.verb, right.name)
}

#[tokio::test]
async fn every_right_of_the_worker_is_needed_by_a_statement_and_all_together_are_enough() {
    let node = Installed::new("least").await;
    let worker = node.client(WORKER_ROLE).await;
    let probes = probes(&worker).await;
    assert!(probes.len() > 100, "{}", probes.len());
    assert_eq!(first_denied(&worker, &probes, "").await, None, "the rights are not enough");
    let mut needless = Vec::new();
    for right in worker_rights() {
        let right_on = granted(&right);
        node.admin.batch_execute(&format!("revoke {right_on} from {WORKER_ROLE}")).await.unwrap();
        if first_denied(&worker, &probes, &right.name).await.is_none() {
            needless.push(right_on.clone());
        }
        node.admin.batch_execute(&format!("grant {right_on} to {WORKER_ROLE}")).await.unwrap();
    }
    assert!(needless.is_empty(), "no statement needs {needless:#?}");
}

/// What the catalog says is what the script says, and no more.
#[tokio::test]
async fn the_worker_has_what_its_script_says_and_no_more() {
    let node = Installed::new("least").await;
    let found: BTreeSet<String> = node
        .texts(&format!(
            "select lower(a.privilege_type) || ' on ' || k.name
             from (select n.nspname || '.' || c.relname as name, c.relacl as acl from pg_class c join pg_namespace n on n.oid = c.relnamespace
                   union all
                   select 'function ' || n.nspname || '.' || p.proname, p.proacl from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                   union all
                   select 'column ' || t.attname, t.attacl from pg_attribute t
                   union all
                   select 'schema ' || n.nspname, n.nspacl from pg_namespace n) k
             cross join aclexplode(k.acl) a
             where a.grantee = '{WORKER_ROLE}'::regrole"
        ))
        .await
        .into_iter()
        .collect();
    let said: BTreeSet<String> = worker_rights().iter().map(granted).collect();
    assert_eq!(found, said);
    let member = format!("select roleid::regrole::text from pg_auth_members where member = '{WORKER_ROLE}'::regrole");
    assert!(node.texts(&member).await.is_empty());
}
