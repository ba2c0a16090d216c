//! A PostgreSQL that speaks TLS, with whatever certificate a test wants.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::Instant;

use dbmail_mesh::scratch::cluster::{Cluster, Options, connect};
use tempfile::TempDir;

use super::certificates::{Authority, Flaws, GOOD, self_signed};
use crate::mesh::DEADLINE;

/// Who may come over TCP, and how. `certified` and `mesh` need a certificate of authority `ours`.
const HBA: &str = "\
local   all all                      trust
hostssl all certified,mesh,dbmail_mesh 127.0.0.1/32 cert
hostssl all scrammed  127.0.0.1/32 scram-sha-256
host    all clear     127.0.0.1/32 scram-sha-256
host    all postgres  127.0.0.1/32 trust
";

pub struct Server {
    pub cluster: Cluster,
    pub port: u16,
    files: TempDir,
}

impl Server {
    /// With every certificate of this suite beside it, and none in use: TLS is off.
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Cluster::start(Options { port: Some(port), ..Options::default() }).await.unwrap();
        let files = tempfile::Builder::new().tempdir_in(cluster.dir().parent().unwrap()).unwrap();
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
        certificates(files.path());
        fs::write(cluster.dir().join("data/pg_hba.conf"), HBA).unwrap();
        let server = Self { cluster, port, files };
        for entry in fs::read_dir(server.folder()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            // Keys of clients stay ours.
            if name.ends_with(".key") && !name.starts_with("client-") {
                server.give(&name);
            }
        }
        server.run("create role certified login; create role mesh login; grant postgres to mesh").await;
        server
            .run(
                "create role scrammed login password 'correct horse'; create role clear login password 'correct horse'",
            )
            .await;
        server.run(&format!("alter system set ssl_ca_file = '{}'", server.file("ours.pem"))).await;
        server.run("select pg_reload_conf()").await;
        server
    }

    /// Makes a file the server's own: it takes no key that others can read.
    pub fn give(&self, name: &str) {
        let owner = fs::metadata(self.cluster.dir()).unwrap();
        chown(self.folder().join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// The path of one of the files.
    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    pub fn folder(&self) -> &Path {
        self.files.path()
    }

    pub async fn run(&self, sql: &str) {
        let client = connect(&self.cluster.config("postgres")).await.unwrap();
        client.batch_execute(sql).await.unwrap();
    }

    /// From now on the server shows this certificate, or speaks no TLS.
    pub async fn show(&self, certificate: Option<&str>) {
        let (pem, key) = certificate.map_or_else(Default::default, |name| {
            (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")))
        });
        for (name, value) in [
            ("ssl_cert_file", pem.as_str()),
            ("ssl_key_file", key.as_str()),
            ("ssl", if certificate.is_some() { "on" } else { "off" }),
        ] {
            // One by one: a server with ssl on needs the files.
            if !value.is_empty() {
                self.run(&format!("alter system set {name} = '{value}'")).await;
            }
        }
        self.run("select pg_reload_conf()").await;
        // A session that is new sees what the postmaster sees.
        let begun = Instant::now();
        loop {
            let client = connect(&self.cluster.config("postgres")).await.unwrap();
            let row = client
                .query_one("select current_setting('ssl') = 'on', current_setting('ssl_cert_file')", &[])
                .await
                .unwrap();
            if row.get::<_, bool>(0) == certificate.is_some() && (certificate.is_none() || row.get::<_, &str>(1) == pem)
            {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{}", self.cluster.log().unwrap());
        }
    }

    /// A URL of a node there, by `host`, which need not have an address.
    pub fn url(&self, user: &str, host: &str, database: &str, parameters: &str) -> String {
        format!("postgresql://{user}@{host}:{}/{database}?hostaddr=127.0.0.1{parameters}", self.port)
    }
}

fn certificates(folder: &Path) {
    let right = ("db.example", ["db.example", "127.0.0.1"].as_slice());
    let ours = Authority::new(folder, "ours");
    let theirs = Authority::new(folder, "theirs");
    let between = ours.below("between");
    ours.sign(folder, "good", right, GOOD, &[]);
    ours.sign(folder, "elsewhere", ("elsewhere.example", &["elsewhere.example"]), GOOD, &[]);
    ours.sign(folder, "nameless", ("db.example", &[]), GOOD, &[]);
    ours.sign(folder, "expired", right, Flaws { expired: true, ..GOOD }, &[]);
    ours.sign(folder, "early", right, Flaws { early: true, ..GOOD }, &[]);
    between.sign(folder, "chained", right, GOOD, &[&between]);
    between.sign(folder, "unchained", right, GOOD, &[]);
    self_signed(folder, "own", right, GOOD);
    self_signed(folder, "own_authority", right, Flaws { authority: true, ..GOOD });
    self_signed(folder, "own_expired", right, Flaws { expired: true, ..GOOD });
    self_signed(folder, "own_early", right, Flaws { early: true, ..GOOD });
    ours.sign(folder, "client-certified", ("certified", &[]), GOOD, &[]);
    ours.sign(folder, "client-mesh", ("mesh", &[]), GOOD, &[]);
    theirs.sign(folder, "client-stranger", ("certified", &[]), GOOD, &[]);
}
