//! A node's URL, or `key=value` pairs: where the node is, what says how the way there is protected, and what must not be in it.
//!
//! tokio-postgres reads both forms, but knows fewer parameters than libpq, and fewer modes of `sslmode`. So they are taken apart here,
//! what we read ourselves is taken out, and the rest is handed on. Nothing of a URL is ever shown: a password could be anywhere in one
//! that is mistyped.

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// The parameters that say how a connection is protected, libpq's names. They are keys of a node's table as well.
pub(super) const PROTECTION: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// What tokio-postgres understands besides; `password` is left out on purpose.
const HANDED_ON: [&str; 17] = [
    "user",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// libpq's other parameters: they may be named in a message.
const LIBPQ_ONLY: [&str; 22] = [
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives_count",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
];

const PASSWORD: &str = "has a password in it, which a URL must not: put it into a file and name that by password_file, or \
                        into the environment as DBMAIL_MESH__NODE__<NAME>__PASSWORD";
const NO_URL: &str = "not a PostgreSQL URL, which looks like postgresql://user@host:port/database";

/// How one gets to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By a Unix socket.
    Socket,
    /// By TCP within this machine.
    Loopback,
    /// Over a network.
    Remote,
}

/// What a URL says.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) connection: Config,
    pub(super) reach: Reach,
    /// Values of [`PROTECTION`], in that order.
    pub(super) protection: [Option<String>; 4],
}

/// Reads a URL, or `key=value` pairs.
pub(super) fn read(url: &str) -> Result<Place, String> {
    let mut protection = [const { None }; 4];
    let mut rest = String::new();
    let base = ["postgresql://", "postgres://"].iter().find(|scheme| url.starts_with(**scheme));
    if base.is_some() {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        rest.push_str(base);
        for (at, piece) in query.split('&').filter(|piece| !piece.is_empty()).enumerate() {
            let (key, value) = piece.split_once('=').ok_or(NO_URL)?;
            let decoded = |text| percent_decode_str(text).decode_utf8().map_err(|_| NO_URL.to_owned());
            if !taken(&decoded(key)?, || decoded(value).map(Into::into), &mut protection)? {
                // tokio-postgres takes the first @ anywhere for the end of the credentials.
                let mark = if at == 0 || !rest.contains('?') { '?' } else { '&' };
                rest.push_str(&format!("{mark}{}", piece.replace('@', "%40")));
            }
        }
    } else {
        for (key, value) in pairs(url).ok_or(NO_URL)? {
            if !taken(&key, || Ok(value.clone()), &mut protection)? {
                rest.push_str(&format!("{key}='{}' ", value.replace('\\', r"\\").replace('\'', r"\'")));
            }
        }
    }
    let mut connection: Config = rest.parse().map_err(|_| NO_URL)?;
    if connection.get_password().is_some() {
        return Err(PASSWORD.into());
    }
    let reach = reach(&mut connection)?;
    if connection.get_dbname().is_none_or(str::is_empty) {
        return Err("names no database: put /database behind the host".into());
    }
    connection.application_name("dbmail-mesh");
    Ok(Place { connection, reach, protection })
}

/// Takes a parameter that we read ourselves; says whether it was one. Refuses what nobody reads.
fn taken(
    key: &str,
    value: impl Fn() -> Result<String, String>,
    protection: &mut [Option<String>; 4],
) -> Result<bool, String> {
    if let Some(at) = PROTECTION.iter().position(|name| *name == key) {
        if protection[at].replace(value()?).is_some() {
            return Err(format!("has {key} twice: keep one of them"));
        }
        return Ok(true);
    }
    if HANDED_ON.contains(&key) {
        return Ok(false);
    }
    Err(match key {
        "password" | "sslpassword" => PASSWORD.into(),
        "passfile" | "service" | "servicefile" => format!("has {key}, which this program does not read: {SECRETS}"),
        _ if LIBPQ_ONLY.contains(&key) => {
            format!("has {key}, which libpq knows and this program does not: leave it out")
        }
        _ => "has a parameter that is none of libpq's".into(),
    })
}

const SECRETS: &str = "a password comes from password_file or the environment";

/// `key=value` pairs as libpq reads them: apart by spaces, values in quotes where they have spaces, `\` before what is special.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut letters = after.char_indices().skip(usize::from(quoted));
        let mut end = after.len();
        let mut closed = !quoted;
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => value.push(letters.next()?.1),
                '\'' if quoted => {
                    (end, closed) = (at + 1, true);
                    break;
                }
                space if !quoted && space.is_whitespace() => {
                    end = at;
                    break;
                }
                other => value.push(other),
            }
        }
        if !closed || (value.is_empty() && !quoted) {
            return None;
        }
        pairs.push((key.to_owned(), value));
        rest = after[end..].trim_start();
    }
    Some(pairs)
}

/// How far the hosts of a connection are; all of them have to be of one kind. A host without a name gets its address as one.
fn reach(connection: &mut Config) -> Result<Reach, String> {
    let addresses = connection.get_hostaddrs().to_vec();
    if connection.get_hosts().is_empty() {
        for address in &addresses {
            connection.host(address.to_string());
        }
    }
    let hosts = connection.get_hosts();
    if hosts.is_empty() || hosts.iter().any(|host| *host == Host::Tcp(String::new())) {
        return Err("names no host: put user@host between // and /database".into());
    }
    if !addresses.is_empty() && addresses.len() != hosts.len() {
        return Err("has host and hostaddr, but not as many of one as of the other".into());
    }
    if connection.get_ports().len() > 1 && connection.get_ports().len() != hosts.len() {
        return Err("names a port for some of its hosts: name one for all, or one for each".into());
    }
    // tokio-postgres takes the commas of a URL's host=a,b for part of a name.
    let is_one = |host: &Host| match host {
        Host::Tcp(name) => name.chars().all(|c| c.is_alphanumeric() || ".-_:%".contains(c)),
        Host::Unix(folder) => !folder.as_os_str().as_encoded_bytes().contains(&b','),
    };
    if !hosts.iter().all(is_one) {
        let special =
            "what is special in a user's name is written as %40 and the like, and several hosts between // and /";
        return Err(format!("names a host that cannot be one; {special}"));
    }
    let sockets = hosts.iter().filter(|host| matches!(host, Host::Unix(_))).count();
    if sockets == hosts.len() && addresses.is_empty() {
        return Ok(Reach::Socket);
    }
    if sockets > 0 {
        return Err("names a socket and a host: take one of them".into());
    }
    let is_local = |(at, host): (usize, &Host)| match (addresses.get(at), host) {
        (Some(address), _) => address.to_canonical().is_loopback(),
        (None, Host::Tcp(name)) => {
            let address: Option<std::net::IpAddr> = name.parse().ok();
            address.map_or(name == "localhost", |address| address.to_canonical().is_loopback())
        }
        (None, Host::Unix(_)) => true,
    };
    let local = hosts.iter().enumerate().all(is_local);
    Ok(if local { Reach::Loopback } else { Reach::Remote })
}

/// Where a connection goes: `host[:port]/database`.
pub(super) fn address(connection: &Config) -> String {
    let ports = connection.get_ports();
    let port = |position: usize| match ports.get(position).or(ports.first()) {
        None | Some(5432) => String::new(),
        Some(port) => format!(":{port}"),
    };
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let hosts = connection.get_hosts().iter().map(name).enumerate();
    let hosts: Vec<_> = hosts.map(|(position, host)| host + &port(position)).collect();
    format!("{}/{}", hosts.join(","), connection.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn how_far_a_node_is() {
        for (url, reach) in [
            ("postgresql://u@/d?host=/run/postgresql", Reach::Socket),
            ("host=/run/postgresql dbname=d", Reach::Socket),
            ("postgresql://u@%2Frun%2Fpostgresql/d", Reach::Socket),
            ("postgresql://u@localhost/d", Reach::Loopback),
            ("postgresql://u@127.9.9.9:1/d", Reach::Loopback),
            ("postgresql://u@[::1]/d", Reach::Loopback),
            ("postgresql://u@db.example/d?hostaddr=127.0.0.1", Reach::Loopback),
            ("postgresql://u@localhost/d?hostaddr=10.0.0.1", Reach::Remote),
            ("postgresql://u@localhost,db.example/d", Reach::Remote),
            ("postgresql:///d?hostaddr=10.0.0.1", Reach::Remote),
            ("postgresql://u@localhost.example/d", Reach::Remote),
        ] {
            assert_eq!(read(url).unwrap().reach, reach, "{url}");
        }
    }

    #[test]
    fn what_protects_a_connection_is_read_in_both_forms() {
        for url in [
            "postgresql://u@h:1/d?sslmode=verify-ca&sslrootcert=/a%20b/c@d&connect_timeout=7&application_name=x@y",
            r"user=u host = h port=1 dbname='d' sslrootcert='/a b/c@d' sslmode=verify-ca connect_timeout=7",
        ] {
            let place = read(url).unwrap();
            let given = [Some("verify-ca"), Some("/a b/c@d"), None, None];
            assert_eq!(place.protection, given.map(|given| given.map(str::to_owned)), "{url}");
            assert_eq!((place.connection.get_user(), address(&place.connection)), (Some("u"), "h:1/d".into()), "{url}");
            assert_eq!(place.connection.get_connect_timeout(), Some(&std::time::Duration::from_secs(7)), "{url}");
        }
        let escaped = read(r"host=h dbname='it\'s \\ d'").unwrap();
        assert_eq!(escaped.connection.get_dbname(), Some(r"it's \ d"));
    }

    proptest! {
        #[test]
        fn pairs_are_read_as_they_are_written(given in proptest::collection::vec(("[a-z]{1,8}", "\\PC{0,12}"), 0..5)) {
            let escaped = |value: &str| value.replace('\\', r"\\").replace('\'', r"\'");
            let text: String = given.iter().map(|(key, value)| format!("{key} = '{}'  ", escaped(value))).collect();
            prop_assert_eq!(pairs(&text), Some(given));
        }

        /// What is handed on to tokio-postgres is what it would have read itself.
        #[test]
        fn what_is_handed_on_is_not_changed(
            user in "[a-z%@:]{0,6}",
            host in "[a-z0-9.]{1,8}",
            name in "[a-z/@ ]{1,8}",
            options in "[-a-z=&@? ]{0,12}",
        ) {
            let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
            let url = format!(
                "postgresql://{}@{host}:7/{}?options={}&connect_timeout=3", encoded(&user), encoded(&name), encoded(&options)
            );
            let mut theirs: Config = url.parse().unwrap();
            theirs.application_name("dbmail-mesh");
            for added in ["", "&sslmode=require", "&sslrootcert=/a"] {
                prop_assert_eq!(&read(&format!("{url}{added}")).unwrap().connection, &theirs);
            }
        }

        #[test]
        fn anything_is_read_or_refused(text in "\\PC{0,40}", url in "(postgres://)?[a-z:/@?&=%.,' \\\\]{0,40}") {
            let _ = (read(&text), read(&url));
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (url, reason) in [
            ("postgresql://u:s@h/d", "has a password"),
            ("postgresql://u:@h/d", "has a password"),
            ("postgresql://u:s/t@h/d", "has a password"),
            ("postgresql://u@h/d?password=s", "has a password"),
            ("postgresql://u@h/d?pass%77ord=s", "has a password"),
            ("host=h dbname=d password = s", "has a password"),
            ("postgresql://u@h/d?sslpassword=s", "has a password"),
            ("postgresql://u@s@h/d", "names a host that cannot be one"),
            ("postgresql://u@h/d?passfile=/x", "has passfile, which this program does not read"),
            ("postgresql://u@h/d?sslcrl=/x", "has sslcrl, which libpq knows"),
            ("postgresql://u@h/d?secret=1", "a parameter that is none of libpq's"),
            ("postgresql://u@h/d?sslmode=require&sslmode=disable", "has sslmode twice"),
            ("postgresql://u@h", "names no database"),
            ("postgresql:///d", "names no host"),
            ("postgresql://u@:5432/d", "names no host"),
            ("postgresql://u@/d?host=/x,h", "names a host that cannot be one"),
            ("host=/x,h dbname=d", "names a socket and a host"),
            ("postgresql://u@/d?host=/x&hostaddr=127.0.0.1", "names a socket and a host"),
            ("postgresql://u@a,b/d?hostaddr=127.0.0.1", "not as many"),
            ("host=a,b,c port=1,2 dbname=d", "names a port for some"),
            ("postgresql://u@h/d?sslnegotiation=sometimes", "not a PostgreSQL URL"),
            ("http//x", "not a PostgreSQL URL"),
            ("host", "not a PostgreSQL URL"),
            ("host='h", "not a PostgreSQL URL"),
            ("", "names no host"),
        ] {
            let error = read(url).map(|_| ()).unwrap_err();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
