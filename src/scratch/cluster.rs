//! A throwaway PostgreSQL cluster on a Unix socket, and dbmail databases in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::{Client, Config, NoTls};

use super::binaries::Binaries;
use super::keeper::Keeper;
pub use super::keeper::{SMALL_DISK, small_disks};
use super::place;
use crate::error::{Error, Kind, Result};
use crate::migrate::rights::Roles;

/// The DDL of a dbmail 3.5 database (schema step 35002) with the rows of a fresh installation.
pub const DBMAIL_SCHEMA: &str = include_str!("../../sql/scratch/dbmail_schema.sql");

const TEMPLATE: &str = "dbmail_template";

/// dbmail's own role, which owns its database and tables, and is no superuser.
pub const DBMAIL_ROLE: &str = "dbmail";
/// Who installs.
pub const OWNER_ROLE: &str = crate::migrate::rights::OWNER;
/// What the worker connects as.
pub const WORKER_ROLE: &str = "dbmail_mesh";
/// Who only looks.
pub const READER_ROLE: &str = crate::migrate::rights::READER_ROLE;

const MAKE_DBMAIL_ROLE: &str = "do $$
begin
  if not exists (select from pg_roles where rolname = 'dbmail') then
    create role dbmail login;
  end if;
end
$$";

/// How long a server may take until it answers; crash recovery on a busy machine included.
const READY_MAX: Duration = Duration::from_secs(60);

/// How often a starting server is asked.
const READY_POLL: Duration = Duration::from_millis(20);

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// More settings (name, value), after and hence above ours.
    pub settings: Vec<(String, String)>,
    /// Whether commits survive a crash of the machine. Off by default: a crash of the server alone loses nothing.
    pub durable: bool,
    /// `max_connections`.
    pub max_connections: u16,
    /// A port on 127.0.0.1 to listen on besides the socket.
    pub port: Option<u16>,
    /// The server programs, [`Binaries::find`]'s without.
    pub binaries: Option<Binaries>,
    /// The size in MiB of a disk of the server's own, for a tablespace in [`SMALL_DISK`]; nobody else sees it, and it ends with the server.
    /// Only where [`small_disks`] are to be had.
    pub small_disk_mib: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Vec::new(),
            durable: false,
            max_connections: 200,
            port: None,
            binaries: None,
            small_disk_mib: None,
        }
    }
}

impl Options {
    /// The server's command line, without the directories.
    fn postgres_options(&self) -> Vec<String> {
        let mut settings: Vec<(&str, String)> = vec![
            ("listen_addresses", self.port.map_or("", |_| "127.0.0.1").to_owned()),
            ("max_connections", self.max_connections.to_string()),
            ("log_lock_waits", "on".to_owned()),
            ("log_line_prefix", "%m [%p] %a ".to_owned()),
            ("log_min_error_statement", "error".to_owned()),
        ];
        if let Some(port) = self.port {
            settings.push(("port", port.to_string()));
        }
        if !self.durable {
            settings.push(("fsync", "off".to_owned()));
            settings.push(("full_page_writes", "off".to_owned()));
        }
        let extra = self.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        settings
            .into_iter()
            .chain(extra)
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
            .collect()
    }
}

/// A running cluster. It is gone, files and processes, soon after this is dropped or this process has ended, however
/// that happened.
#[derive(Debug)]
pub struct Cluster {
    keeper: Arc<Mutex<Keeper>>,
    dir: PathBuf,
    log_file: PathBuf,
    port: Option<u16>,
    pid: AtomicU32,
    /// Whether the template database exists. Held while a database is made: a template must have no other user then.
    template: tokio::sync::Mutex<bool>,
}

impl Cluster {
    /// Makes a cluster and waits until it answers. Takes two to three seconds, nearly all of it initdb.
    ///
    /// # Errors
    /// `Kind::Usage` when this machine has no PostgreSQL or no user to run it; `Kind::Internal` with the server's own
    /// words when it does not start.
    pub async fn start(options: Options) -> Result<Self> {
        let binaries = options.binaries.clone().map_or_else(Binaries::find, Ok)?;
        let base = place::base_directory()?;
        let (postgres_options, disk) = (options.postgres_options(), options.small_disk_mib);
        let keeper = blocking(move || Keeper::start(&binaries, &base, &postgres_options, disk)).await?;
        let cluster = Self {
            dir: keeper.dir().to_owned(),
            log_file: keeper.log_file(),
            keeper: Arc::new(Mutex::new(keeper)),
            port: options.port,
            pid: AtomicU32::new(0),
            template: tokio::sync::Mutex::new(false),
        };
        cluster.start_again().await?;
        tracing::debug!(dir = %cluster.dir.display(), pid = cluster.pid(), "throwaway cluster started");
        Ok(cluster)
    }

    /// How to connect to `database` as the superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.dir).user("postgres").dbname(database);
        if let Some(port) = self.port {
            config.port(port);
        }
        config
    }

    /// The same as [`config`](Self::config), as a libpq connection URI that names the socket's directory.
    pub fn url(&self, database: &str) -> String {
        let port = self.port.map(|port| format!("&port={port}")).unwrap_or_default();
        format!("postgresql://postgres@/{database}?host={}{port}", self.dir.display())
    }

    /// The same for the worker's role, as a settings file has it.
    pub fn worker_url(&self, database: &str) -> String {
        self.url(database).replacen("postgres@", &format!("{WORKER_ROLE}@"), 1)
    }

    /// The same for the role that only looks.
    pub fn reader_url(&self, database: &str) -> String {
        self.url(database).replacen("postgres@", &format!("{READER_ROLE}@"), 1)
    }

    /// The cluster's directory: the socket, `data/`, the logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id of the server (the postmaster) that was started last.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// What the server has logged so far, all its starts together. Each line carries `application_name`.
    ///
    /// # Errors
    /// `Kind::Internal` when the file cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = std::fs::read(&self.log_file).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot read {}: {error}", self.log_file.display())).source(error)
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Stops the server as a crash does: no checkpoint, connections cut. The data stays for
    /// [`start_again`](Self::start_again).
    ///
    /// # Errors
    /// `Kind::Internal` when the process that keeps the cluster is gone.
    pub async fn stop_immediate(&self) -> Result<()> {
        self.with_keeper(Keeper::stop_immediate).await
    }

    /// Starts the stopped server, and waits until it has recovered and answers.
    ///
    /// # Errors
    /// `Kind::Internal` with the end of the server's log when it does not come up.
    pub async fn start_again(&self) -> Result<()> {
        let pid = self.with_keeper(Keeper::start_server).await?;
        self.pid.store(pid, Ordering::Relaxed);
        let deadline = Instant::now() + READY_MAX;
        loop {
            let Err(error) = connect(&self.config("postgres")).await else { return Ok(()) };
            let alive = self.with_keeper(Keeper::server_is_alive).await?;
            if !alive || Instant::now() > deadline {
                return Err(self.did_not_start(error));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Makes `database` with the schema of a freshly installed dbmail, and tells how to connect to it. Any number of
    /// tasks may ask at once.
    ///
    /// # Errors
    /// What PostgreSQL says, such as that the database exists.
    pub async fn create_dbmail(&self, database: &str) -> Result<Config> {
        let mut template_made = self.template.lock().await;
        let client = connect(&self.config("postgres")).await?;
        if !*template_made {
            self.make_template(&client).await?;
            *template_made = true;
        }
        drop(template_made);
        self.copy(&client, TEMPLATE, database).await
    }

    /// Makes `database` a copy of another one, to which nobody is connected, and tells how to connect to it.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn copy_dbmail(&self, of: &str, database: &str) -> Result<Config> {
        self.copy(&connect(&self.config("postgres")).await?, of, database).await
    }

    async fn copy(&self, client: &Client, of: &str, database: &str) -> Result<Config> {
        // Rights on a database are not copied with it.
        for statement in [
            format!("create database {} template {} owner {DBMAIL_ROLE}", quoted(database), quoted(of)),
            format!("grant create on database {} to {OWNER_ROLE}", quoted(database)),
        ] {
            client.batch_execute(&statement).await.map_err(|error| Error::from(error).context(statement))?;
        }
        Ok(self.config(database))
    }

    /// Nobody connects to `database` any more: it is there to be copied.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn close(&self, database: &str) -> Result<()> {
        let client = connect(&self.config("postgres")).await?;
        Ok(client.batch_execute(&format!("alter database {} allow_connections false", quoted(database))).await?)
    }

    async fn make_template(&self, client: &Client) -> Result<()> {
        // Two statements: a database cannot be made in the transaction of a multi-statement query.
        client.batch_execute(&format!("drop database if exists {TEMPLATE}")).await?;
        client.batch_execute(MAKE_DBMAIL_ROLE).await?;
        client.batch_execute(&format!("create database {TEMPLATE} owner {DBMAIL_ROLE}")).await?;
        {
            let inside = connect(&self.config(TEMPLATE)).await?;
            let loaded = inside.batch_execute(&format!("set role {DBMAIL_ROLE};\n{DBMAIL_SCHEMA}\nreset role;")).await;
            loaded.map_err(|error| Error::from(error).context("sql/scratch/dbmail_schema.sql"))?;
            let roles = Roles::new(OWNER_ROLE, WORKER_ROLE, READER_ROLE)?;
            inside
                .batch_execute(&format!("begin;\n{}\ncommit;", roles.roles_script()))
                .await
                .map_err(|error| Error::from(error).context("roles"))?;
        }
        // The session above ends a moment after its client; CREATE DATABASE itself waits up to 5 s for that.
        client.batch_execute(&format!("alter database {TEMPLATE} allow_connections false")).await?;
        Ok(())
    }

    async fn with_keeper<T: Send + 'static>(&self, ask: fn(&mut Keeper) -> Result<T>) -> Result<T> {
        let keeper = Arc::clone(&self.keeper);
        blocking(move || ask(&mut keeper.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    fn did_not_start(&self, error: Error) -> Error {
        let log = self.log().unwrap_or_default();
        let from = log.char_indices().rev().nth(2000).map_or(0, |(at, _)| at);
        error.context(format!(
            "the throwaway server in {} does not answer; its log ends: {}",
            self.dir.display(),
            &log[from..]
        ))
    }
}

/// Connects without TLS as the superuser, whomever `config` names, with a task of its own that drives the connection.
///
/// # Errors
/// What PostgreSQL says.
pub async fn connect(config: &Config) -> Result<Client> {
    connect_as("postgres", config).await
}

/// The same as another role.
///
/// # Errors
/// What PostgreSQL says.
pub async fn connect_as(role: &str, config: &Config) -> Result<Client> {
    let (client, connection) = config.clone().user(role).connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a throwaway database ended");
        }
    });
    Ok(client)
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(Kind::Internal, format!("a blocking task failed: {error}")))?
}
