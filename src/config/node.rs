//! A node's settings: its name, its number, and how to reach it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use ::config::Value;
use tokio_postgres::config::{Host, SslMode};

use super::STRIDE_MAX;
use super::problems::Problems;
use super::section::Section;
use crate::domain::ids::{NodeId, Stride};
use crate::error::{Error, Kind, Result};

/// The longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// How long to wait for a node to accept a connection where the URL does not say. Half a minute and more, as TCP has
/// it, would hold up a whole command for one dead node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const KNOWN: [&str; 4] = ["name", "id", "url", "password_file"];

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
    /// How to connect, password included.
    pub connection: tokio_postgres::Config,
    /// `host[:port]/database` for messages; never holds a password.
    pub address: String,
}

impl NodeSettings {
    /// A node at `url`, as a settings file would have it.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the name or the URL cannot be used.
    pub fn new(name: &str, id: NodeId, url: &str) -> Result<Self> {
        let name = NodeName::new(name).ok_or_else(|| Error::new(Kind::Usage, format!("node name {name:?}: {NAME}")))?;
        let connection = connection(url)
            .map_err(|reason| Error::new(Kind::Usage, format!("node {name}: url {:?}: {reason}", redacted(url))))?;
        Ok(Self { address: address(&connection), name, id, connection })
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
    connection: Option<tokio_postgres::Config>,
}

impl Draft {
    /// `host[:port]/database`, as in [`NodeSettings::address`].
    pub(super) fn address(&self) -> Option<String> {
        self.connection.as_ref().map(address)
    }

    /// The node, if all that it needs could be read.
    pub(super) fn finish(self) -> Option<NodeSettings> {
        let address = self.address()?;
        Some(NodeSettings { name: self.name?, id: self.id?, connection: self.connection?, address })
    }
}

/// Reads `[[node]]` number `position`, counted from 1. A relative `password_file` is looked for in `folder`.
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
    let connection = section.required_text("url").and_then(|url| {
        connection(&url).map_err(|reason| section.problem("url", format!("{:?}", redacted(&url)), reason)).ok()
    });
    let connection = with_password(connection, folder, &mut section);
    section.done();
    Draft { name, id, connection }
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

/// The connection that `url` describes, with this program's defaults.
fn connection(url: &str) -> Result<tokio_postgres::Config, String> {
    let mut connection: tokio_postgres::Config = url.parse().map_err(|_| match sslmode(url) {
        Some(mode) if !["disable", "prefer", "require"].contains(&mode) => no_tls(mode),
        _ => "not a PostgreSQL URL, which looks like postgresql://user@host:port/database".into(),
    })?;
    if connection.get_ssl_mode() == SslMode::Require {
        return Err(no_tls("require"));
    }
    if connection.get_dbname().is_none_or(str::is_empty) {
        return Err("names no database: put /database behind the host".into());
    }
    if connection.get_hosts().is_empty() && connection.get_hostaddrs().is_empty() {
        return Err("names no host: put user@host between // and /database".into());
    }
    if connection.get_connect_timeout().is_none() {
        connection.connect_timeout(CONNECT_TIMEOUT);
    }
    connection.application_name("dbmail-mesh");
    Ok(connection)
}

fn no_tls(mode: &str) -> String {
    format!(
        "sslmode={mode} asks for TLS, which this version does not offer to nodes: use sslmode=disable or prefer, over \
         a network that is private by itself (a VPN or a local socket)"
    )
}

/// The value of `sslmode` in a URL or in `key=value` pairs. Only letters and hyphens, so that nothing else slips out.
fn sslmode(url: &str) -> Option<&str> {
    let rest = url.split_once("sslmode=")?.1;
    let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Adds the password: the environment's, or else the file's, or else the URL's.
fn with_password(
    connection: Option<tokio_postgres::Config>,
    folder: &Path,
    section: &mut Section<'_>,
) -> Option<tokio_postgres::Config> {
    let from_env =
        if section.has("password") && section.origin("password").is_some() { section.text("password") } else { None };
    let file = section.text("password_file");
    if let Some(password) = from_env {
        return connection.map(|mut connection| connection.password(password).clone());
    }
    let Some(file) = file else { return connection };
    match read_password(&folder.join(&file)) {
        Err(reason) => section.problem("password_file", format!("{file:?}"), reason),
        Ok(_) if connection.as_ref().is_some_and(|connection| connection.get_password().is_some()) => {
            section.problem("password_file", format!("{file:?}"), "the url has a password as well: keep one of them");
        }
        Ok(password) => return connection.map(|mut connection| connection.password(password).clone()),
    }
    None
}

/// The file's content without its last line end.
pub(crate) fn read_password(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mode = fs::metadata(path).map_err(cannot)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(format!("is open to everybody on this machine (mode {:04o}): chmod o= it", mode & 0o7777));
    }
    let text = fs::read_to_string(path).map_err(cannot)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("is empty".into());
    }
    Ok(password.to_owned())
}

/// Where a connection goes, in the form of [`NodeSettings::address`].
fn address(connection: &tokio_postgres::Config) -> String {
    let ports = connection.get_ports();
    let port = |position: usize| match ports.get(position).or(ports.first()) {
        None | Some(5432) => String::new(),
        Some(port) => format!(":{port}"),
    };
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let mut hosts: Vec<_> = connection.get_hosts().iter().map(name).collect();
    if hosts.is_empty() {
        hosts = connection.get_hostaddrs().iter().map(ToString::to_string).collect();
    }
    let hosts: Vec<_> = hosts.into_iter().enumerate().map(|(position, host)| host + &port(position)).collect();
    format!("{}/{}", hosts.join(","), connection.get_dbname().unwrap_or_default())
}

/// A URL for messages: nothing that could be a password. What cannot be told apart is left out.
fn redacted(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let bare = match url.rfind('@').filter(|at| *at >= start) {
        Some(at) => match url[start..at].find(':') {
            Some(colon) => format!("{}:***{}", &url[..start + colon], &url[at..]),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    };
    match bare.to_ascii_lowercase().find("pass") {
        Some(at) => format!("{}***", bare.get(..at).unwrap_or_default()),
        None => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_ever_shown() {
        for (url, shown) in [
            ("postgresql://u@h/d", "postgresql://u@h/d"),
            ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
            ("postgresql://u:se@cr:et@h/d", "postgresql://u:***@h/d"),
            ("u:secret@h/d", "u:***@h/d"),
            ("postgresql://h/d?password=secret", "postgresql://h/d?***"),
            ("host=h password=secret dbname=d", "host=h ***"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }

    #[test]
    fn an_address_says_where_and_nothing_else() {
        for (url, address) in [
            ("postgresql://u:secret@db.example/mail", "db.example/mail"),
            ("postgresql://u@db.example:5433/mail", "db.example:5433/mail"),
            ("host=/run/postgresql port=5433 dbname=mail user=u", "/run/postgresql:5433/mail"),
        ] {
            assert_eq!(NodeSettings::new("a", NodeId(1), url).unwrap().address, address);
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_says_why() {
        for (url, reason) in [
            ("postgresql://u@h", "names no database"),
            ("postgresql:///d", "names no host"),
            ("http//x", "not a PostgreSQL URL"),
            ("postgresql://u@h/d?sslmode=require", "sslmode=require asks for TLS"),
            ("postgresql://u@h/d?sslmode=verify-full", "sslmode=verify-full asks for TLS"),
        ] {
            let error = NodeSettings::new("a", NodeId(1), url).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(reason), "{url}: {error}");
        }
    }
}
