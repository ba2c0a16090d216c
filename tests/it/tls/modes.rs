//! `sslmode` against certificates of all kinds, as a table.

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::NodeId;
use dbmail_mesh::error::Kind;

use super::server::Server;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Encrypted,
    Clear,
    /// Refused, with these words in the reason.
    Refused(&'static str),
}

use Outcome::{Clear, Encrypted, Refused};

const SIGNER: &str = " (name the certificate of the authority that signed it";
const NAME: &str = "(connect by a name that the certificate has as subjectAltName";
const DATES: &str = "(renew the server's certificate";
const PLAIN: &str = "server does not support TLS (set ssl = on there";

/// The server's certificate, the host that it is asked for by, `sslmode` and `sslrootcert`, and what becomes of it.
const CASES: [(Option<&str>, &str, &str, Outcome); 46] = [
    (None, "db.example", "disable", Clear),
    (None, "db.example", "require", Refused(PLAIN)),
    (None, "db.example", "verify-ca ours", Refused(PLAIN)),
    (None, "db.example", "verify-full ours", Refused(PLAIN)),
    (None, "db.example", "verify-full system", Refused(PLAIN)),
    (Some("good"), "db.example", "disable", Clear),
    (Some("good"), "db.example", "require", Encrypted),
    (Some("good"), "wrong.example", "require", Encrypted),
    (Some("good"), "db.example", "require ours", Encrypted),
    // With a file, `require` is `verify-ca`.
    (Some("good"), "db.example", "require theirs", Refused(SIGNER)),
    (Some("good"), "wrong.example", "require ours", Encrypted),
    (Some("good"), "db.example", "verify-ca ours", Encrypted),
    (Some("good"), "db.example", "verify-ca theirs", Refused(SIGNER)),
    (Some("good"), "wrong.example", "verify-ca ours", Encrypted),
    (Some("good"), "db.example", "verify-full ours", Encrypted),
    (Some("good"), "127.0.0.1", "verify-full ours", Encrypted),
    (Some("good"), "wrong.example", "verify-full ours", Refused(NAME)),
    (Some("good"), "127.0.0.2", "verify-full ours", Refused(NAME)),
    (Some("good"), "db.example", "verify-full theirs", Refused(SIGNER)),
    (Some("good"), "db.example", "verify-full system", Refused(SIGNER)),
    (Some("elsewhere"), "db.example", "verify-ca ours", Encrypted),
    (Some("elsewhere"), "db.example", "verify-full ours", Refused(NAME)),
    (Some("elsewhere"), "127.0.0.1", "verify-full ours", Refused(NAME)),
    (Some("nameless"), "db.example", "verify-ca ours", Encrypted),
    (Some("nameless"), "db.example", "verify-full ours", Refused(NAME)),
    (Some("expired"), "db.example", "require", Encrypted),
    (Some("expired"), "db.example", "verify-ca ours", Refused(DATES)),
    (Some("expired"), "db.example", "verify-full ours", Refused(DATES)),
    (Some("early"), "db.example", "verify-ca ours", Refused(DATES)),
    (Some("early"), "db.example", "verify-full ours", Refused(DATES)),
    (Some("chained"), "db.example", "verify-full ours", Encrypted),
    (Some("chained"), "wrong.example", "verify-ca ours", Encrypted),
    (Some("unchained"), "db.example", "verify-full ours", Refused(SIGNER)),
    (Some("own"), "db.example", "require", Encrypted),
    (Some("own"), "db.example", "verify-ca ours", Refused(SIGNER)),
    (Some("own"), "db.example", "verify-full ours", Refused(SIGNER)),
    // Named itself, it is believed as far as it goes.
    (Some("own"), "wrong.example", "verify-ca own", Encrypted),
    (Some("own"), "db.example", "verify-full own", Encrypted),
    (Some("own"), "wrong.example", "verify-full own", Refused(NAME)),
    (Some("own"), "db.example", "verify-full own_authority", Refused(SIGNER)),
    (Some("own_authority"), "db.example", "verify-full own_authority", Encrypted),
    (Some("own_authority"), "db.example", "verify-full ours", Refused("(the certificate cannot be used as it is")),
    (Some("own_expired"), "db.example", "verify-ca own_expired", Refused(DATES)),
    (Some("own_expired"), "db.example", "verify-full own_expired", Refused(DATES)),
    (Some("own_early"), "db.example", "verify-ca own_early", Refused(DATES)),
    (Some("own_early"), "db.example", "require", Encrypted),
];

/// Connects as a command does; says whether the server sees the session encrypted.
async fn encrypted(node: &NodeSettings) -> Result<bool, String> {
    let connected = node.tls.connect(&node.connection).await;
    let (client, connection) = connected.map_err(|error| {
        assert_eq!(error.kind(), Kind::Unreachable, "{error}");
        error.to_string()
    })?;
    tokio::spawn(connection);
    let ask = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    client.query_one(ask, &[]).await.map(|row| row.get(0)).map_err(|error| error.to_string())
}

fn node(url: &str) -> NodeSettings {
    NodeSettings::new("ams", NodeId(1), url).unwrap()
}

#[tokio::test]
async fn each_mode_believes_whom_it_should() {
    let server = Server::start().await;
    let mut shown = None;
    for (certificate, host, protection, outcome) in CASES {
        if certificate.is_some() && shown != Some(certificate) {
            server.show(certificate).await;
            shown = Some(certificate);
        }
        let (mode, root) = protection.split_once(' ').unwrap_or((protection, ""));
        let root = match root {
            "" => String::new(),
            "system" => "&sslrootcert=system".into(),
            file => format!("&sslrootcert={}", server.file(&format!("{file}.pem"))),
        };
        let url = server.url("postgres", host, "postgres", &format!("&sslmode={mode}{root}"));
        let found = encrypted(&node(&url)).await;
        let case = format!("{certificate:?} as {host}, {protection}: {outcome:?} and not {found:?}");
        match outcome {
            Encrypted => assert_eq!(found, Ok(true), "{case}"),
            Clear => assert_eq!(found, Ok(false), "{case}"),
            Refused(words) => assert!(found.is_err_and(|error| error.contains(words)), "{case}"),
        }
    }
    // Once it speaks no TLS any more, nobody goes on without.
    server.show(None).await;
    let url = server.url("postgres", "db.example", "postgres", &format!("&sslrootcert={}", server.file("ours.pem")));
    assert!(encrypted(&node(&url)).await.is_err_and(|error| error.contains(PLAIN)));
}

#[tokio::test]
async fn the_server_learns_who_we_are_by_a_certificate() {
    let server = Server::start().await;
    server.show(Some("good")).await;
    let root = format!("&sslmode=verify-full&sslrootcert={}", server.file("ours.pem"));
    let with = |user: &str, certificate: &str, key: &str| {
        let files = format!("&sslcert={}&sslkey={}", server.file(certificate), server.file(key));
        server.url(user, "db.example", "postgres", &format!("{root}{files}"))
    };
    let certified = with("certified", "client-certified.pem", "client-certified.key");
    assert_eq!(encrypted(&node(&certified)).await, Ok(true));
    let another = with("certified", "client-mesh.pem", "client-mesh.key");
    assert!(encrypted(&node(&another)).await.is_err_and(|error| error.contains("SQLSTATE 28000")));
    let nobody = server.url("certified", "db.example", "postgres", &root);
    assert!(encrypted(&node(&nobody)).await.is_err_and(|error| error.contains("SQLSTATE 28000")));
    let stranger = encrypted(&node(&with("certified", "client-stranger.pem", "client-stranger.key"))).await;
    assert!(stranger.as_ref().is_err_and(|error| error.contains("UnknownCA (sslcert and sslkey")), "{stranger:?}");

    let refused = |url: &str| NodeSettings::new("ams", NodeId(1), url).map(|_| ()).unwrap_err().to_string();
    let mixed = refused(&with("certified", "client-certified.pem", "client-mesh.key"));
    assert!(mixed.contains("node.ams.sslcert") && mixed.contains("the key does not belong"), "{mixed}");
    let no_key = refused(&with("certified", "client-certified.pem", "client-certified.pem"));
    assert!(no_key.contains("node.ams.sslkey"), "{no_key}");
    let no_certificate = refused(&with("certified", "client-certified.key", "client-certified.key"));
    assert!(no_certificate.contains("has no certificate in it"), "{no_certificate}");
    std::fs::write(server.folder().join("nonsense"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let nonsense = refused(&with("certified", "nonsense", "client-certified.key"));
    assert!(nonsense.contains("nonsense\": is not PEM"), "{nonsense}");
    std::fs::write(server.folder().join("empty.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let root = server.url("certified", "db.example", "postgres", &format!("&sslrootcert={}", server.file("empty.pem")));
    assert!(refused(&root).contains("its certificate number 1 cannot be used"), "{}", refused(&root));
}

/// libpq's rule: 0600, or 0640 where root owns it.
#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let server = Server::start().await;
    let key = server.folder().join("client-certified.key");
    let files = format!("&sslcert={}&sslkey={}", server.file("client-certified.pem"), key.display());
    let url = server.url("certified", "db.example", "postgres", &format!("&sslmode=require{files}"));
    let is_roots = std::fs::metadata(&key).unwrap().uid() == 0;
    for (mode, good) in
        [(0o600, true), (0o400, true), (0o640, is_roots), (0o660, false), (0o604, false), (0o644, false)]
    {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        match NodeSettings::new("ams", NodeId(1), &url) {
            Ok(_) => assert!(good, "{mode:o}"),
            Err(error) => {
                assert!(
                    !good && error.to_string().contains(&format!("can be read by others (mode {mode:04o})")),
                    "{error}"
                );
            }
        }
    }
}

/// The password proves to each side that the other one is at the same end of the same encrypted connection.
#[tokio::test]
async fn a_password_is_bound_to_the_channel() {
    let server = Server::start().await;
    server.show(Some("own")).await;
    let with = |user: &str, password: &str, parameters: &str| {
        let mut node = node(&server.url(user, "db.example", "postgres", parameters));
        node.connection.password(password);
        node
    };
    let bound = "&sslmode=require&channel_binding=require";
    assert_eq!(encrypted(&with("scrammed", "correct horse", bound)).await, Ok(true));
    assert!(encrypted(&with("scrammed", "wrong", bound)).await.is_err_and(|error| error.contains("SQLSTATE 28P01")));
    assert_eq!(
        encrypted(&with("scrammed", "correct horse", "&sslmode=require&channel_binding=disable")).await,
        Ok(true)
    );
    // A server that asks for nothing proves nothing.
    let unproven = encrypted(&with("postgres", "", bound)).await;
    assert!(unproven.as_ref().is_err_and(|error| error.contains("channel binding")), "{unproven:?}");
    assert_eq!(encrypted(&with("clear", "correct horse", "&sslmode=disable")).await, Ok(false));
}
