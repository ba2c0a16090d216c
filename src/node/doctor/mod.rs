//! `dbmail-mesh doctor`: whether nodes are fit to be a mesh, and how to mend what is not.
//!
//! Facts are read in `reading`; what they mean is decided by pure functions (`server`, `installed`, `clocks`, `dbmail_conf`), so that
//! every case can be told in a table. What the install refuses is asked of [`crate::migrate`], in the words of `migrate up`.

mod clocks;
mod dbmail_conf;
mod encryption;
mod facts;
mod finding;
mod installed;
mod reading;
mod rights;
mod server;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

pub use finding::Finding;

use crate::config::{NodeSettings, Reach};
use crate::domain::budget::Level;
use crate::domain::ids::Stride;
use crate::error::Error;
use crate::migrate::rights::worker_rights;
use crate::migrate::{MigrationSet, Subject};
use crate::tls::Mode;
use facts::{Clock, Installed, Rights, Server};
use finding::Findings;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The nodes, in the settings' order.
    pub nodes: Vec<Examined>,
    /// All findings, those of nodes first; also what is well.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of all findings.
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or_default()
    }
}

/// A node that was to be examined.
#[derive(Clone, Debug, Serialize)]
pub struct Examined {
    /// Its name.
    pub name: String,
    /// Whether it could be asked.
    pub reachable: bool,
    /// PostgreSQL's version.
    pub postgresql: Option<String>,
    /// The version of our schema; 0 where it is not installed.
    pub schema_version: Option<i32>,
}

/// What one node answered. What could not be asked is `None`, or an error.
#[derive(Debug, Default)]
struct Answers {
    /// How far the node is, and how the settings protect the way.
    way: Option<(Reach, Mode)>,
    /// Why it could not be asked at all.
    unreachable: Option<Error>,
    /// Whether the install was asked, and what it says.
    is_inspected: bool,
    problems: Vec<(Subject, Error)>,
    server: Option<Server>,
    clock: Option<Clock>,
    schema: Option<crate::node::schema::Schema>,
    rights: Option<Rights>,
    installed: Option<Installed>,
    /// Why something could not be asked.
    errors: Vec<Error>,
}

/// What is expected of the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The migrations of this program.
    pub set: &'a MigrationSet,
    /// The settings' stride.
    pub stride: Stride,
    /// The settings' bound of locks.
    pub lock_bound: Duration,
    /// The settings' most sessions of a worker for reading, and for writing.
    pub sessions: usize,
}

/// Examines nodes, all at once. Changes nothing and never fails: what could not be asked is a finding.
pub async fn examine(nodes: &[&NodeSettings], expected: Expected<'_>, dbmail_conf: Option<&Path>) -> Report {
    let answers = join_all(nodes.iter().map(|node| reading::ask_node(node, expected))).await;
    let mut report = Report { nodes: Vec::new(), findings: Vec::new() };
    let mut clocks = Vec::new();
    for (node, answers) in nodes.iter().zip(answers) {
        let name = node.name.to_string();
        clocks.extend(answers.clock.map(|clock| (name.clone(), clock)));
        report.findings.extend(judge(&name, &answers, expected));
        report.nodes.push(Examined {
            reachable: answers.unreachable.is_none(),
            postgresql: answers.server.as_ref().map(|server| server.version.clone()),
            schema_version: answers.schema.map(|schema| schema.version),
            name,
        });
    }
    report.findings.extend(clocks::judge(&clocks));
    let file = dbmail_conf.and_then(|path| Some((path.display().to_string(), std::fs::read(path).ok()?)));
    let file = file.map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()));
    report.findings.extend(dbmail_conf::judge(file.as_ref().map(|(path, text)| (path.as_str(), text.as_str()))));
    let order = |finding: &Finding| nodes.iter().position(|node| finding.node.as_deref() == Some(node.name.as_str()));
    report.findings.sort_by_key(|finding| order(finding).unwrap_or(nodes.len()));
    report
}

/// Everything about one node but its clock. Pure.
fn judge(name: &str, answers: &Answers, expected: Expected<'_>) -> Vec<Finding> {
    let mut found = Findings::about(Some(name));
    if let Some(error) = &answers.unreachable {
        let mend = error.to_do().unwrap_or("see that the server runs, and that the url and the password are right");
        found.say(
            Level::Critical,
            "reachable",
            what(name, error),
            "the other nodes go on, and this one falls behind",
            mend,
        );
        return found.all;
    }
    found.ok("reachable", "yes");
    install(name, answers, expected, &mut found);
    if let Some(server) = &answers.server {
        if let Some((reach, mode)) = answers.way {
            encryption::judge(reach, mode, server.tls.as_ref(), &mut found);
        }
        server::judge(server, expected, &mut found);
    }
    if let (Some(rights), Some(server)) = (&answers.rights, &answers.server) {
        rights::judge(rights, &server.role, &worker_rights(), &mut found);
    }
    if let Some(installed) = &answers.installed {
        installed::judge(installed, expected.set, &mut found);
    }
    for error in &answers.errors {
        let mend = error.to_do().unwrap_or("see the load there, and dbmail-mesh migrate rights if a right is missing");
        found.say(Level::Warning, "answers", what(name, error), "some checks could not be made", mend);
    }
    found.all
}

/// What `migrate up` would say, and what a worker would.
fn install(name: &str, answers: &Answers, expected: Expected<'_>, found: &mut Findings) {
    for (subject, error) in &answers.problems {
        // How program and schema stand to each other is told below.
        if *subject == Subject::NewerSchema {
            continue;
        }
        let mend = error.to_do().unwrap_or_default();
        let why = "dbmail-mesh refuses to work with this node as it is";
        // "as a superuser: grant dbmail to mesh"
        let sql = mend.find("grant ").map(|at| mend[at..].to_owned());
        match sql.filter(|_| *subject == Subject::Rights) {
            Some(sql) => found.mend(Level::Critical, subject.as_str(), what(name, error), why, [sql]),
            None => found.say(Level::Critical, subject.as_str(), what(name, error), why, mend),
        }
    }
    if answers.is_inspected {
        well(&answers.problems, found);
    }
    match answers.schema {
        None => {}
        Some(schema) if schema.version == 0 => {
            let why = "until then mail here stays here";
            found.say(
                Level::Notice,
                "schema_version",
                "dbmail-mesh is not installed",
                why,
                "run dbmail-mesh migrate up",
            );
        }
        Some(schema) => schema_version(schema, expected, found),
    }
}

fn schema_version(schema: crate::node::schema::Schema, expected: Expected<'_>, found: &mut Findings) {
    use crate::node::schema::Fit;
    let (version, program) = (schema.version, expected.set.latest());
    let what = format!("version {version}; this program works with {program}");
    match schema.fit(program) {
        Fit::Same => found.ok("schema_version", format!("version {version}")),
        Fit::Newer => {
            let why = "this program goes on; what is new is not used yet";
            found.say(Level::Notice, "schema_version", what, why, "upgrade dbmail-mesh on this machine");
        }
        Fit::TooNew => {
            let why = "this program does not work with the node; more of it was not checked";
            found.say(Level::Critical, "schema_version", what, why, "upgrade dbmail-mesh on this machine");
        }
        Fit::TooOld => {
            let why = "this program does not work with the node; more of it was not checked";
            found.say(Level::Critical, "schema_version", what, why, "run dbmail-mesh migrate up");
        }
    }
}

/// What the install has nothing against. Each of these is looked at only where all before it are well, but for the last two.
fn well(problems: &[(Subject, Error)], found: &mut Findings) {
    let mut reached = true;
    for (subject, text) in [
        (Subject::Standby, "this is the primary"),
        (Subject::Dbmail, "all there"),
        (Subject::Rights, "sufficient"),
        (Subject::DbmailVersion, "dbmail's schema is new enough"),
    ] {
        reached &= !problems.iter().any(|(other, _)| *other == subject);
        if reached {
            found.ok(subject.as_str(), text);
        }
    }
    for (subject, text) in [(Subject::Migrations, "as this program has them"), (Subject::Settings, "id and stride fit")]
    {
        if !problems.iter().any(|(other, _)| *other == subject) {
            found.ok(subject.as_str(), text);
        }
    }
}

/// An error in one line without the node and what to do, which stand beside it.
fn what(name: &str, error: &Error) -> String {
    let remedy = error.to_do().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
    let text = error.to_string();
    let text = text.strip_suffix(&remedy).unwrap_or(&text).replacen(&format!("node {name}: "), "", 1);
    crate::node::status::check::one_line(&text)
}
