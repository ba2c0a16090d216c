//! What the catalog says of functions, and of those who are nobody.

use dbmail_mesh::scratch::cluster::{DBMAIL_ROLE, OWNER_ROLE};

use super::{DENIED, Installed, code_of};

#[tokio::test]
async fn functions_look_names_up_in_pg_catalog_only_and_belong_to_the_owner() {
    let node = Installed::new("catalog").await;
    let count = node.texts("select count(*)::text from pg_proc where pronamespace = 'dbmail_mesh'::regnamespace").await;
    assert!(count[0].parse::<i32>().unwrap() > 150, "{count:?}");
    // The temporary schema comes last: where it is not named it comes first.
    let unpinned = "select proname::text from pg_proc where pronamespace = 'dbmail_mesh'::regnamespace
                    and not coalesce(proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']";
    assert_eq!(node.texts(unpinned).await, [""; 0]);
    let foreign = format!(
        "select proname::text from pg_proc where pronamespace = 'dbmail_mesh'::regnamespace and proowner <> '{OWNER_ROLE}'::regrole
         union all
         select relname::text from pg_class where relnamespace = 'dbmail_mesh'::regnamespace and relowner <> '{OWNER_ROLE}'::regrole"
    );
    assert_eq!(node.texts(&foreign).await, [""; 0]);
    let supers = format!("select rolname::text from pg_roles where rolsuper and rolname = '{OWNER_ROLE}'");
    assert_eq!(node.texts(&supers).await, [""; 0]);
    // Triggers that run with the rights of whoever fires them would need rights of dbmail's.
    let invoked = "select tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
                   where p.pronamespace = 'dbmail_mesh'::regnamespace and not p.prosecdef";
    assert_eq!(node.texts(invoked).await, [""; 0]);
}

#[tokio::test]
async fn everybody_may_do_nothing_and_dbmail_no_more() {
    let node = Installed::new("catalog").await;
    let public = "select k.name
                  from (select relname::text as name, relacl as acl, relowner as owner, (case relkind when 'S' then 's' else 'r' end)::\"char\" as kind
                        from pg_class where relnamespace = 'dbmail_mesh'::regnamespace and relkind <> 'i'
                        union all
                        select proname, proacl, proowner, 'f' from pg_proc where pronamespace = 'dbmail_mesh'::regnamespace
                        union all
                        select nspname, nspacl, nspowner, 'n' from pg_namespace where nspname = 'dbmail_mesh') k
                  cross join aclexplode(coalesce(k.acl, acldefault(k.kind, k.owner))) a
                  where a.grantee = 0 or a.grantee = 'dbmail'::regrole";
    assert_eq!(node.texts(public).await, [""; 0]);
    let dbmail = node.client(DBMAIL_ROLE).await;
    for denied in ["select from dbmail_mesh.outbox", "select dbmail_mesh.ring()", "set role dbmail_mesh_owner"] {
        assert_eq!(code_of(&dbmail, denied).await, DENIED, "{denied}");
    }
    dbmail.batch_execute("insert into dbmail_users (userid, passwd) values ('alice', '')").await.unwrap();
    assert_eq!(node.texts("select account from dbmail_mesh.account where born_as = 'alice'").await, ["alice/1"]);
}

/// Text becomes SQL in few places, and there it is a number, or a name that PostgreSQL itself has quoted.
#[test]
fn no_name_becomes_sql_unquoted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let dynamic = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("execute ") && !line.starts_with("execute function"));
        found.extend(dynamic.map(str::to_owned));
    }
    found.sort();
    found.dedup();
    // What PostgreSQL prints of a function of ours, with a text of ours put into it.
    let reprinted = [
        "execute replace(was, 'exception when unique_violation then', $text$",
        "execute regexp_replace(pg_get_functiondef(f), '",
    ];
    for line in found.iter().filter(|line| !reprinted.iter().any(|known| line.starts_with(known))) {
        assert!(line.contains("format('"), "{line}");
        // %s: of a smallint that a column has, of a bigint, of a regclass, which prints itself quoted.
        let known = [
            "increment by %s restart with %s",
            "increment by 1 restart with %s",
            "last_value - %s end from %s",
            "revoke all on %s from %I",
        ];
        assert!(known.iter().any(|known| line.contains(known)) || !line.contains("%s"), "{line}");
    }
    assert!(found.len() >= 4, "{found:#?}");
}
