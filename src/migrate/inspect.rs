//! What a node is: whether it is dbmail's, whether we may change it, and what was installed on it.

use futures_util::future::join_all;
use tokio_postgres::{GenericClient, Row};

use super::history::{self, Applied, Fault};
use super::report::together;
use super::session::Session;
use super::set::MigrationSet;
use crate::config::NodeSettings;
use crate::domain::ids::{NodeId, Stride};
use crate::error::{Error, Kind, Result};

/// The oldest PostgreSQL, as `server_version_num`: 13 has `pg_snapshot` and `xid8`.
const SERVER_VERSION_MIN: i32 = 130_000;

/// The oldest step of dbmail's own schema.
const DBMAIL_STEP_MIN: i64 = 32_001;

/// Who a database was installed as: the row of `dbmail_mesh.local_node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// The number it was installed with.
    pub id: NodeId,
    /// The name it was installed with.
    pub name: String,
    /// The stride it was installed with.
    pub stride: Stride,
}

/// What the server says of itself and of our role.
#[derive(Clone, Debug)]
pub(super) struct Server {
    version: i32,
    standby: bool,
    database: String,
    role: String,
    may_use_public: bool,
    may_create_schema: bool,
    /// None where nothing is installed.
    schema_owner: Option<String>,
}

/// What a problem of the install is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The server is too old.
    PostgresqlVersion,
    /// The server is a standby.
    Standby,
    /// The database is not dbmail's.
    Dbmail,
    /// The role lacks rights.
    Rights,
    /// dbmail is too old.
    DbmailVersion,
    /// What was installed is not what this program has.
    Migrations,
    /// The schema is newer than this program.
    NewerSchema,
    /// The settings do not fit the installation.
    Settings,
}

impl Subject {
    /// In one word, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostgresqlVersion => "postgresql_version",
            Self::Standby => "standby",
            Self::Dbmail => "dbmail_tables",
            Self::Rights => "rights",
            Self::DbmailVersion => "dbmail_version",
            Self::Migrations => "migrations",
            Self::NewerSchema => "schema_version",
            Self::Settings => "settings",
        }
    }
}

/// Everything that decides whether a node can be migrated.
#[derive(Clone, Debug)]
pub(super) struct Inspection {
    server: Server,
    /// What dbmail would have and this database has not.
    missing: Vec<String>,
    /// Owner, and what of dbmail's is out of our reach because it is theirs.
    foreign: Vec<(String, Vec<String>)>,
    dbmail_step: Option<i64>,
    pub(super) applied: Vec<Applied>,
    pub(super) local: Option<LocalNode>,
}

impl Inspection {
    /// Looks at a node without changing anything.
    pub(super) async fn of(session: &Session<'_>) -> Result<Self> {
        let server = server(session).await?;
        let mut inspection = Self {
            server,
            missing: Vec::new(),
            foreign: Vec::new(),
            dbmail_step: None,
            applied: applied(session).await?,
            local: local_node(session).await?,
        };
        if !inspection.server.may_use_public {
            return Ok(inspection);
        }
        let missing = many(session, include_str!("../../sql/migrate/missing_relations.sql")).await?;
        inspection.missing = missing.iter().map(|row| row.get("name")).collect();
        let foreign = many(session, include_str!("../../sql/migrate/foreign_relations.sql")).await?;
        inspection.foreign = foreign.iter().map(|row| (row.get("owner"), row.get("relations"))).collect();
        let reads = inspection.foreign.is_empty() || inspection.server.schema_owner.is_some();
        if inspection.missing.is_empty() && reads {
            let rows = many(session, include_str!("../../sql/migrate/schema_step.sql")).await?;
            inspection.dbmail_step = rows.first().and_then(|row| row.get("step"));
        }
        Ok(inspection)
    }

    /// Looks at all of `sessions` at once, and judges what it sees.
    pub(super) async fn of_all(sessions: &[Session<'_>], set: &MigrationSet, stride: Stride) -> Result<Vec<Self>> {
        let mut inspections = Vec::new();
        let mut errors = Vec::new();
        for (seen, session) in join_all(sessions.iter().map(Self::of)).await.into_iter().zip(sessions) {
            match seen {
                Ok(inspection) => {
                    errors.extend(inspection.problems(session.node, set, stride));
                    inspections.push(inspection);
                }
                Err(error) => errors.push(error),
            }
        }
        together("nothing was changed", errors)?;
        Ok(inspections)
    }

    /// Everything that keeps us from migrating this node. Pure.
    pub(super) fn problems(&self, node: &NodeSettings, set: &MigrationSet, stride: Stride) -> Vec<Error> {
        let mut problems = self.subjects(node, set, stride);
        if self.is_for_others(set) {
            problems.extend(self.missing_rights());
        }
        problems.into_iter().map(|(_, problem)| problem.context(node)).collect()
    }

    /// The same for somebody who only looks: whoever does not own what was installed need not, as long as nothing is to be run.
    pub(super) fn seen(&self, node: &NodeSettings, set: &MigrationSet, stride: Stride) -> Vec<Error> {
        self.subjects(node, set, stride).into_iter().map(|(_, problem)| problem.context(node)).collect()
    }

    /// Whether everything is installed, and another role owns it.
    fn is_for_others(&self, set: &MigrationSet) -> bool {
        let Server { ref schema_owner, may_create_schema, .. } = self.server;
        schema_owner.is_some() && !may_create_schema && history::judge(&self.applied, set).0 >= set.latest()
    }

    /// What [`seen`](Self::seen) tells with what each is about, and without the node's name.
    pub(super) fn subjects(&self, node: &NodeSettings, set: &MigrationSet, stride: Stride) -> Vec<(Subject, Error)> {
        let mut problems = self.not_a_node();
        if problems.is_empty() && !self.is_for_others(set) {
            problems = self.missing_rights();
        }
        if problems.is_empty() && self.dbmail_step.unwrap_or(0) < DBMAIL_STEP_MIN {
            let step = self.dbmail_step.map_or("unknown".into(), |step| step.to_string());
            let what = format!("dbmail's schema is at step {step}, older than {DBMAIL_STEP_MIN}");
            problems.push((Subject::DbmailVersion, Error::refused(what, "upgrade dbmail to 3.5.6 or later first")));
        }
        let (_, faults) = history::judge(&self.applied, set);
        problems.extend(faults.iter().map(|fault| {
            let subject = if matches!(fault, Fault::Newer { .. }) { Subject::NewerSchema } else { Subject::Migrations };
            (subject, Error::refused(fault.to_string(), fault.remedy()))
        }));
        let differences = self.local.iter().flat_map(|local| differences(local, node, stride));
        problems.extend(differences.map(|error| (Subject::Settings, error)));
        problems
    }

    fn not_a_node(&self) -> Vec<(Subject, Error)> {
        let Server { version, standby, ref database, ref role, may_use_public, .. } = self.server;
        let mut problems = Vec::new();
        if version < SERVER_VERSION_MIN {
            let what = format!("PostgreSQL {} is older than 13", version / 10_000);
            problems.push((Subject::PostgresqlVersion, Error::refused(what, "upgrade PostgreSQL")));
        }
        if standby {
            let error = Error::refused("this server is a standby", "name the primary in the url");
            problems.push((Subject::Standby, error));
        }
        if !may_use_public {
            let grant = format!("grant usage on schema public to {}", quoted(role));
            let what = format!("role {role} may not use schema public");
            problems.push((Subject::Rights, Error::refused(what, grant)));
        } else if !self.missing.is_empty() {
            let what = format!("database {database} is not dbmail's: schema public lacks {}", self.missing.join(", "));
            let remedy = "correct the url, or create dbmail's schema first";
            problems.push((Subject::Dbmail, Error::refused(what, remedy)));
        }
        problems
    }

    fn missing_rights(&self) -> Vec<(Subject, Error)> {
        let Server { ref database, ref role, may_create_schema, ref schema_owner, .. } = self.server;
        let mut problems = Vec::new();
        if let Some(owner) = schema_owner.as_ref().filter(|_| !may_create_schema) {
            let remedy = format!("connect as its owner: --user {}", quoted(owner));
            let problem = Error::refused(format!("role {role} does not own schema dbmail_mesh"), remedy);
            return vec![(Subject::Rights, problem)];
        } else if !may_create_schema {
            let grant = format!(
                "name the role that installs by --user, or as the database's owner: grant create on database {} to {}",
                quoted(database),
                quoted(role)
            );
            problems.push(Error::refused(format!("role {role} may not create a schema in database {database}"), grant));
        }
        for (owner, relations) in &self.foreign {
            let what = format!("role {role} may not alter {}, owned by {owner}", some(relations));
            let grant = format!("as a superuser: grant {} to {}", quoted(owner), quoted(role));
            problems.push(Error::refused(what, grant));
        }
        problems.into_iter().map(|error| (Subject::Rights, error)).collect()
    }
}

/// Where the settings are not what the node was installed with.
pub(super) fn differences(local: &LocalNode, node: &NodeSettings, stride: Stride) -> Vec<Error> {
    let mut differences = Vec::new();
    let installed = "an installed node keeps its number and its stride for ever: correct the settings, or its url";
    if local.id != node.id {
        let what = format!("node.{}.id = {}: it was installed with id {}", node.name, node.id, local.id);
        differences.push(Error::new(Kind::Usage, what).remedy(installed));
    }
    if local.stride != stride {
        let what = format!("mesh.stride = {stride}: it was installed with stride {}", local.stride);
        differences.push(Error::new(Kind::Usage, what).remedy(installed));
    }
    differences
}

/// The first few of `names`.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match names.len() {
        0..=SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}

/// An identifier, quoted where SQL needs it.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn server(session: &Session<'_>) -> Result<Server> {
    let rows = many(session, include_str!("../../sql/migrate/server.sql")).await?;
    let row =
        rows.first().ok_or_else(|| session.error(Error::new(Kind::Internal, "the server told nothing of itself")))?;
    Ok(Server {
        version: row.get("version"),
        standby: row.get("standby"),
        database: row.get("database"),
        role: row.get("role"),
        may_use_public: row.get("may_use_public"),
        may_create_schema: row.get("may_create_schema"),
        schema_owner: row.get("schema_owner"),
    })
}

pub(super) async fn applied(session: &Session<'_>) -> Result<Vec<Applied>> {
    if !has_relation(&session.client, "migration").await.map_err(|error| session.error(error))? {
        return Ok(Vec::new());
    }
    let rows = many(session, include_str!("../../sql/migrate/applied.sql")).await?;
    let read =
        |row: &Row| Applied { version: row.get("version"), name: row.get("name"), checksum: row.get("checksum") };
    Ok(rows.iter().map(read).collect())
}

/// Who the node was installed as; none before it was.
pub(super) async fn local_node(session: &Session<'_>) -> Result<Option<LocalNode>> {
    if !has_relation(&session.client, "local_node").await.map_err(|error| session.error(error))? {
        return Ok(None);
    }
    let rows = many(session, include_str!("../../sql/migrate/local_node.sql")).await?;
    Ok(rows.first().map(|row| LocalNode {
        id: NodeId(row.get("node_id")),
        name: row.get("node_name"),
        stride: Stride(row.get("stride")),
    }))
}

/// Whether schema `dbmail_mesh` has a relation called `name`.
pub(super) async fn has_relation(client: &impl GenericClient, name: &str) -> Result<bool> {
    let row = client.query_one(include_str!("../../sql/migrate/has_relation.sql"), &[&name]).await?;
    Ok(row.get("found"))
}

async fn many(session: &Session<'_>, sql: &str) -> Result<Vec<Row>> {
    session.client.query(sql, &[]).await.map_err(|error| session.error(error))
}

/// Everything that keeps us from migrating a node, and what it is about. Changes nothing.
///
/// # Errors
/// When it cannot be asked.
pub async fn problems_of(node: &NodeSettings, set: &MigrationSet, stride: Stride) -> Result<Vec<(Subject, Error)>> {
    let session = Session::open(node).await?;
    Ok(Inspection::of(&session).await?.subjects(node, set, stride))
}
