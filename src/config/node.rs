//! A node's settings: its name, its number, and how to reach it.

use std::fmt;
use std::path::Path;

use ::config::{Map, Value, ValueKind};

use super::problems::Problems;
use super::section::Section;
use super::session::SessionSettings;
use super::url::{self, Reach};
use super::{STRIDE_MAX, protection, secret};
use crate::domain::ids::{NodeId, Stride};
use crate::error::{Error, Result};
use crate::tls::{Mode, Tls};

/// The longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

const KNOWN: [&str; 8] = ["name", "id", "url", "password_file", "sslmode", "sslrootcert", "sslcert", "sslkey"];

/// A node's name: 1 to 32 of a-z, 0-9, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// `name`, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        ((1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(good)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One node: a PostgreSQL database that is used by one dbmail.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// What people call it.
    pub name: NodeName,
    /// Its number in the mesh.
    pub id: NodeId,
    /// How to connect, password included, which `Debug` does not show.
    pub connection: tokio_postgres::Config,
    /// How the connection is protected.
    pub tls: Tls,
    /// How far it is.
    pub reach: Reach,
    /// `host[:port]/database` for messages; never holds a password.
    pub address: String,
    /// What bounds each session with it.
    pub session: SessionSettings,
}

impl NodeSettings {
    /// A node at `url`, as a settings file would have it. Relative names of files are looked for where the program runs.
    ///
    /// # Errors
    /// [`Kind::Usage`](crate::error::Kind) when the name, the number or the URL cannot be used.
    pub fn new(name: &str, id: NodeId, url: &str) -> Result<Self> {
        let keys: [(&str, ValueKind); 3] = [("name", name.into()), ("id", i64::from(id.0).into()), ("url", url.into())];
        let keys = keys.map(|(key, kind)| (key.to_owned(), Value::new(None, kind)));
        let table = Value::new(None, ValueKind::Table(Map::from_iter(keys)));
        let mut problems = Problems::new("node");
        let draft = read(1, table, None, Path::new("."), &mut problems);
        let mut node = draft.finish().filter(|_| problems.is_empty()).ok_or_else(|| Error::from(problems))?;
        node.bound(&SessionSettings::default());
        Ok(node)
    }

    /// Whether mail and password go over a network in clear text.
    pub fn is_open(&self) -> bool {
        self.reach == Reach::Remote && self.tls.mode() == Mode::Disable
    }

    /// Bounds its sessions. How long to wait for a connection says the URL, if it does: half a minute and more, as TCP has it, would hold
    /// up a whole command for one dead node.
    pub(super) fn bound(&mut self, session: &SessionSettings) {
        self.session = session.clone();
        if self.connection.get_connect_timeout().is_none() {
            self.connection.connect_timeout(session.connect_timeout);
        }
    }
}

impl NodeSettings {
    /// The same node, connected to as another role. What the settings have as a password is not that role's: it is left out.
    #[must_use]
    pub fn connecting_as(&self, user: &str, password: Option<&str>) -> Self {
        let mut other = self.clone();
        other.connection.user(user).password(password.unwrap_or_default());
        other
    }
}

impl fmt::Display for NodeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({})", self.name, self.address)
    }
}

const NAME: &str = "must be 1 to 32 of a-z, 0-9, _ and -";

/// What could be read of a node.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: Option<NodeName>,
    pub(super) id: Option<NodeId>,
    /// `host[:port]/database`, as in [`NodeSettings::address`].
    pub(super) address: Option<String>,
    way: Option<(tokio_postgres::Config, Tls, Reach)>,
}

impl Draft {
    /// The node, if all that it needs could be read.
    pub(super) fn finish(self) -> Option<NodeSettings> {
        let (connection, tls, reach) = self.way?;
        let session = SessionSettings::default();
        Some(NodeSettings { name: self.name?, id: self.id?, connection, tls, reach, address: self.address?, session })
    }
}

/// Reads `[[node]]` number `position`, counted from 1. Relative names of files are looked for in `folder`.
pub(super) fn read(
    position: usize,
    value: Value,
    stride: Option<Stride>,
    folder: &Path,
    problems: &mut Problems,
) -> Draft {
    let path = path(position, &value);
    let mut section = Section::new(&path, Some(value), &KNOWN, problems);
    let name = name(&mut section);
    let id = id(&mut section, stride);
    let url = section.required_text("url");
    let mut place = url.and_then(|url| url::read(&url).map_err(|reason| section.problem("url", None, reason)).ok());
    let tls = place.as_mut().and_then(|place| protection::read(place, folder, &mut section));
    if place.is_none() {
        // How to get to a place that is not known is not judged.
        url::PROTECTION.iter().for_each(|key| section.pass_over(key));
    }
    let password = secret::password(folder, &mut section);
    section.done();
    let address = place.as_ref().map(|place| url::address(&place.connection));
    let way = place.zip(tls).map(|(mut place, tls)| {
        if let Some(password) = password {
            place.connection.password(password);
        }
        (place.connection, tls, place.reach)
    });
    Draft { name, id, address, way }
}

/// `node.<name>` where the name can be used as one, `node[N]` otherwise.
fn path(position: usize, value: &Value) -> String {
    let name = value.clone().into_table().ok().and_then(|mut table| table.remove("name")?.into_string().ok());
    match name.as_deref().and_then(NodeName::new) {
        Some(name) => format!("node.{name}"),
        None => format!("node[{position}]"),
    }
}

fn name(section: &mut Section<'_>) -> Option<NodeName> {
    let text = section.required_text("name")?;
    let name = NodeName::new(&text);
    if name.is_none() {
        section.problem("name", format!("{text:?}"), NAME);
    }
    name
}

fn id(section: &mut Section<'_>, stride: Option<Stride>) -> Option<NodeId> {
    let id = section.required_number("id", i64::MIN..=i64::MAX)?;
    let highest = stride.map_or(STRIDE_MAX, |stride| stride.0);
    if !(1..=i64::from(highest)).contains(&id) {
        section.problem("id", id.to_string(), format!("must be 1 to mesh.stride, which is {highest}"));
        return None;
    }
    i16::try_from(id).ok().map(NodeId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn an_address_says_where_and_nothing_else() {
        for (url, address) in [
            ("postgresql://u@db.example/mail", "db.example/mail"),
            ("postgresql://u@db.example:5433/mail", "db.example:5433/mail"),
            ("host=/run/postgresql port=5433 dbname=mail user=u", "/run/postgresql:5433/mail"),
            ("hostaddr=10.1.2.3 dbname=mail", "10.1.2.3/mail"),
        ] {
            assert_eq!(NodeSettings::new("a", NodeId(1), url).unwrap().address, address);
        }
    }

    #[test]
    fn a_node_that_cannot_be_used_says_why() {
        for (name, id, url, reason) in [
            ("a", 1, "postgresql://u@h", "node.a.url: names no database"),
            ("A", 1, "postgresql://u@h/d", "node[1].name = \"A\": must be 1 to 32"),
            ("a", 0, "postgresql://u@h/d", "node.a.id = 0: must be 1 to"),
            ("a", 1, "postgresql://u@h/d?sslmode=prefer", "node.a.sslmode = \"prefer\": goes on in clear text"),
            ("a", 1, "postgresql://u@h/d?sslmode=on", "node.a.sslmode: must be disable, require,"),
            ("a", 1, "postgresql://u@h/d?sslmode=verify-ca", "node.a.sslrootcert: missing"),
            ("a", 1, "postgresql://u@h/d?sslmode=require&sslrootcert=system", "only sslmode=verify-full makes sense"),
            ("a", 1, "postgresql://u@h/d?sslmode=disable&sslrootcert=/x", "sslmode = \"disable\": uses no certificate"),
            ("a", 1, "postgresql://u@h/d?sslrootcert=/nowhere", "sslrootcert = \"/nowhere\": cannot be read: there is"),
            ("a", 1, "postgresql://u@h/d?sslcert=/nowhere", "node.a.sslkey: missing"),
            ("a", 1, "postgresql://u@h/d?sslkey=/nowhere", "node.a.sslcert: missing"),
            ("a", 1, "postgresql://u@h/d?sslmode=disable&channel_binding=require", "needs TLS"),
            ("a", 1, "postgresql://u@localhost/d?sslnegotiation=direct", "needs TLS"),
        ] {
            let error = NodeSettings::new(name, NodeId(id), url).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(reason), "{url}: {error}");
        }
    }

    #[test]
    fn without_sslmode_only_what_leaves_the_machine_is_encrypted() {
        for (url, mode) in [
            ("postgresql://u@db.example/d", Mode::VerifyFull),
            ("postgresql://u@10.0.0.1/d", Mode::VerifyFull),
            ("postgresql://u@localhost/d", Mode::Disable),
            ("postgresql://u@localhost/d?sslrootcert=system", Mode::VerifyFull),
            ("postgresql://u@/d?host=/run/postgresql", Mode::Disable),
            // As in libpq, sslmode says nothing about sockets.
            ("postgresql://u@/d?host=/run/postgresql&sslmode=verify-full", Mode::Disable),
            ("postgresql://u@db.example/d?sslmode=require", Mode::Require),
            ("postgresql://u@db.example/d?sslmode=disable", Mode::Disable),
        ] {
            let node = NodeSettings::new("a", NodeId(1), url).unwrap();
            assert_eq!(node.tls.mode(), mode, "{url}");
            assert_eq!(node.is_open(), url.ends_with("db.example/d?sslmode=disable"), "{url}");
        }
    }
}
