//! The least rights: who owns what was installed, as whom the worker connects, and who may only look.
//!
//! What each role gets is in `sql/rights`, as psql scripts that a DBA can read and run. Here names are filled in, and the scripts are run.
//! Who has such rights is told by the catalog, not by a table of ours: a role that may execute `write_plan` is a worker, one that may read
//! `local_node` a reader. So an upgrade knows to whom it has to give rights on what is new.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::history;
use super::inspect::{applied, quoted};
use super::report::together;
use super::session::Session;
use super::set::{MigrationSet, SCHEMA_VERSION};
use crate::config::NodeSettings;
use crate::error::{Error, Kind, Result};

const ROLES: &str = include_str!("../../sql/rights/roles.sql");
const WORKER: &str = include_str!("../../sql/rights/worker.sql");
const READER: &str = include_str!("../../sql/rights/reader.sql");
const KNOWN: &str = include_str!("../../sql/migrate/roles_with_rights.sql");

/// Who owns what was installed, unless somebody says otherwise.
pub const OWNER: &str = "dbmail_mesh_owner";
/// Who may only look, unless somebody says otherwise.
pub const READER_ROLE: &str = "dbmail_mesh_reader";

/// PostgreSQL cuts longer names off.
const NAME_BYTES_MAX: usize = 63;

/// The three roles of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Owns schema `dbmail_mesh`; a member of the role that owns dbmail's tables.
    pub owner: String,
    /// What the worker connects as.
    pub worker: String,
    /// Looks, and changes nothing.
    pub reader: String,
}

impl Roles {
    /// Three names, if they can be used.
    ///
    /// # Errors
    /// [`Kind::Usage`] when one cannot be a role's name, or two are the same.
    pub fn new(owner: &str, worker: &str, reader: &str) -> Result<Self> {
        for (what, name) in [("owner", owner), ("worker", worker), ("reader", reader)] {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                let what =
                    format!("{what} {name:?}: a role's name has 1 to {NAME_BYTES_MAX} bytes and no control characters");
                return Err(Error::new(Kind::Usage, what).remedy("name another with --owner, --worker or --reader"));
            }
        }
        if owner == worker || owner == reader || worker == reader {
            let what = format!("owner {owner:?}, worker {worker:?} and reader {reader:?} must be three roles");
            return Err(Error::new(Kind::Usage, what).remedy("name others with --owner, --worker or --reader"));
        }
        Ok(Self { owner: owner.into(), worker: worker.into(), reader: reader.into() })
    }

    fn filled(&self, script: &str) -> String {
        fill(script, &[("owner", &self.owner), ("worker", &self.worker), ("reader", &self.reader)])
    }

    /// What makes the roles, as statements for one transaction.
    pub fn roles_script(&self) -> String {
        self.filled(ROLES)
    }

    /// All of it as a script for psql. It does what can be done: before the install that is the roles alone.
    pub fn script(&self, node: &NodeSettings) -> String {
        let NodeSettings { name, address, .. } = node;
        format!(
            "-- node {name} ({address}): for psql, in this database, as a superuser\n\
             \\set ON_ERROR_STOP on\n\
             begin;\n\n\
             {}\n\
             select to_regnamespace('dbmail_mesh') is not null as installed \\gset\n\
             \\if :installed\n\
             select max(version) = {SCHEMA_VERSION} as fits from dbmail_mesh.migration \\gset\n\
             \\if :fits\n\n\
             {}\n{}\n\
             \\else\n\
             \\warn 'The schema is not at version {SCHEMA_VERSION}: run \"dbmail-mesh migrate up\", which gives rights as well.'\n\
             \\endif\n\
             \\else\n\
             \\warn 'Nothing is installed yet: run \"dbmail-mesh migrate up\", which gives rights as well.'\n\
             \\endif\n\
             commit;\n",
            self.filled(ROLES),
            self.filled(WORKER),
            self.filled(READER),
        )
    }
}

/// What was done on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Roles and rights.
    All,
    /// The roles; nothing is installed, or not what this program gives rights on.
    RolesOnly,
}

/// Gives the roles of a node what they need.
///
/// # Errors
/// What the role that we connect as may not do, or what is wrong with the roles; nothing was changed then.
pub async fn apply(node: &NodeSettings, roles: &Roles) -> Result<Given> {
    let mut session = Session::open(node).await?;
    session.lock().await?;
    let given = apply_locked(&mut session, roles).await;
    session.unlock().await;
    given.map_err(|error| error.context(node))
}

async fn apply_locked(session: &mut Session<'_>, roles: &Roles) -> Result<Given> {
    let set = MigrationSet::embedded()?;
    let (installed, faults) = match applied(session).await {
        Ok(applied) => history::judge(&applied, &set),
        // Whoever may not even read this is told below what is missing.
        Err(_) => (SCHEMA_VERSION, Vec::new()),
    };
    let faults = faults.iter().map(|fault| Error::refused(fault.to_string(), fault.remedy())).collect();
    together("no rights were given", faults)?;
    let scripts = if installed == SCHEMA_VERSION { &[ROLES, WORKER, READER][..] } else { &[ROLES] };
    let transaction = session.client.transaction().await?;
    for script in scripts {
        run(&transaction, &roles.filled(script)).await?;
    }
    transaction.commit().await?;
    Ok(if installed == SCHEMA_VERSION { Given::All } else { Given::RolesOnly })
}

/// The scripts that give all who have rights on an installed node those that they need now. `worker` is whom the settings name: on a node
/// that was installed this minute nobody has any yet.
pub(super) async fn renewals(session: &Session<'_>, worker: Option<&str>) -> Result<Vec<String>> {
    let known = session.client.query(KNOWN, &[&worker, &READER_ROLE]).await.map_err(|error| session.error(error))?;
    let script = |row: &tokio_postgres::Row| {
        let (name, works): (&str, bool) = (row.get("role"), row.get("works"));
        if works { fill(WORKER, &[("worker", name)]) } else { fill(READER, &[("reader", name)]) }
    };
    Ok(known.iter().map(script).collect())
}

/// Runs them, all or none.
pub(super) async fn renew(session: &mut Session<'_>, worker: Option<&str>) -> Result<()> {
    let scripts = renewals(session, worker).await?;
    if scripts.is_empty() {
        return Ok(());
    }
    let node = session.node;
    let transaction = session.client.transaction().await.map_err(|error| Error::from(error).context(node))?;
    for script in scripts {
        run(&transaction, &script).await.map_err(|error| error.context(node))?;
    }
    transaction.commit().await.map_err(|error| Error::from(error).context(node))
}

async fn run(transaction: &Transaction<'_>, script: &str) -> Result<()> {
    transaction.batch_execute(script).await.map_err(|error| {
        let hint = error.as_db_error().and_then(|db| db.hint()).map(str::to_owned);
        let forbidden = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let error = Error::from(error).context("no rights were given");
        match hint.or_else(|| forbidden.then(|| "run it as a superuser: --user postgres".to_owned())) {
            Some(remedy) => Error::refused(error.to_string(), remedy),
            None => error,
        }
    })
}

/// A right that the worker's role has: `select` on `dbmail_mesh.line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// In lower case.
    pub verb: String,
    /// With its schema; a schema's own name has no dot.
    pub name: String,
}

/// All that the worker's role needs.
pub fn worker_rights() -> Vec<Right> {
    rights_of(WORKER)
}

/// The rights that a script grants.
fn rights_of(script: &str) -> Vec<Right> {
    let lines: Vec<&str> = script.lines().filter(|line| !line.starts_with("--")).collect();
    let mut rights = Vec::new();
    for statement in lines.join(" ").split(';') {
        let parts = statement.trim().strip_prefix("grant ").and_then(|rest| rest.split_once(" on "));
        let Some((verbs, (names, _))) = parts.and_then(|(verbs, rest)| Some((verbs, rest.split_once(" to :")?))) else {
            continue;
        };
        let names = names.trim_start_matches("function ").trim_start_matches("schema ");
        for name in names.split(',') {
            let right = |verb: &str| Right { verb: verb.trim().to_owned(), name: name.trim().to_owned() };
            rights.extend(verbs.split(',').map(right));
        }
    }
    rights
}

/// The statements that grant `rights` to a role, one a verb and kind of thing.
pub(crate) fn grants(rights: &[Right], role: &str) -> Vec<String> {
    let mut statements: Vec<(String, Vec<&str>)> = Vec::new();
    for Right { verb, name } in rights {
        let kind = match (verb.as_str(), name.contains('.')) {
            ("execute", _) => "function ",
            (_, false) => "schema ",
            _ => "",
        };
        let head = format!("grant {verb} on {kind}");
        match statements.iter_mut().find(|(known, _)| *known == head) {
            Some((_, names)) => names.push(name),
            None => statements.push((head, vec![name])),
        }
    }
    statements.iter().map(|(head, names)| format!("{head}{} to {}", names.join(", "), quoted(role))).collect()
}

/// Fills in names as psql does: `:"name"` an identifier, `:'name'` a literal. One pass, so that a name is never looked at as a script.
fn fill(script: &str, names: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = script;
    while let Some(at) = rest.find(':') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = names.iter().find_map(|(key, name)| {
            let identifier = rest.strip_prefix(&format!(":\"{key}\"")).map(|after| (identifier(name), after));
            identifier.or_else(|| rest.strip_prefix(&format!(":'{key}'")).map(|after| (literal(name), after)))
        });
        let (text, after) = found.unwrap_or_else(|| (":".to_owned(), &rest[1..]));
        filled.push_str(&text);
        rest = after;
    }
    filled + rest
}

/// Always in quotes: a role may be called `user`.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Means the same whatever `standard_conforming_strings` says.
fn literal(name: &str) -> String {
    let mark = if name.contains('\\') { " E" } else { "" };
    format!("{mark}'{}'", name.replace('\'', "''").replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_as_psql_does_and_never_read_as_a_script() {
        let names = [("worker", r#"a"b'c\d :"reader" :'reader'"#), ("reader", "user")];
        let script = "grant x to :\"worker\", :\"reader\"; select :'worker', :'reader', a::text, :other;";
        let filled = r#"grant x to "a""b'c\d :""reader"" :'reader'", "user"; select  E'a"b''c\\d :"reader" :''reader''', 'user', a::text, :other;"#;
        assert_eq!(fill(script, &names), filled);
    }

    #[test]
    fn a_name_that_postgresql_would_cut_off_or_that_is_used_twice_is_refused() {
        let long = "x".repeat(64);
        for (owner, worker, reader, why) in [
            ("", "w", "r", "owner \"\""),
            ("o", long.as_str(), "r", "1 to 63 bytes"),
            ("o", "w", "r\ns", "reader \"r\\ns\""),
            ("o", "o", "r", "must be three roles"),
            ("o", "w", "w", "must be three roles"),
        ] {
            let error = Roles::new(owner, worker, reader).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn the_rights_of_the_worker_are_read_from_its_script() {
        let rights = worker_rights();
        let has = |verb: &str, name: &str| rights.contains(&Right { verb: verb.into(), name: name.into() });
        assert!(
            has("usage", "dbmail_mesh")
                && has("delete", "dbmail_mesh.pause")
                && has("insert", "public.dbmail_envelope")
        );
        assert!(has("execute", "dbmail_mesh.write_plan") && has("usage", "public.dbmail_headername_id_seq"));
        assert!(!has("delete", "public.dbmail_messages") && rights.len() > 100, "{}", rights.len());
    }

    #[test]
    fn grants_are_told_in_few_statements() {
        let right = |verb: &str, name: &str| Right { verb: verb.into(), name: name.into() };
        let rights = [right("usage", "a"), right("select", "a.x"), right("execute", "a.f"), right("select", "a.y")];
        let told = [
            "grant usage on schema a to \"W\"",
            "grant select on a.x, a.y to \"W\"",
            "grant execute on function a.f to \"W\"",
        ];
        assert_eq!(grants(&rights, "W"), told);
    }
}
