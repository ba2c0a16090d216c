//! Who may do what: an owner, a worker that owns nothing, a reader that sees no mail, and dbmail, which gets no right at all. That the
//! worker can work as its role is shown by every test of `mesh`, which runs it so.

mod catalog;
mod hostile;
mod least;
mod names;
mod reader;
mod script;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::cluster::{connect, connect_as};
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};
use tokio_postgres::{Client, Config};

/// A node with dbmail's schema and ours.
struct Installed {
    config: Config,
    /// The superuser.
    admin: Client,
}

impl Installed {
    async fn new(prefix: &str) -> Self {
        let config = fresh_dbmail(prefix).await.unwrap();
        let url = shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap());
        let node = [NodeSettings::new("ams", NodeId(1), &url).unwrap()];
        install(&node, &node, Stride(8)).await.unwrap();
        let admin = connect(&config).await.unwrap();
        Self { config, admin }
    }

    async fn client(&self, role: &str) -> Client {
        connect_as(role, &self.config).await.unwrap()
    }

    /// The texts that a query finds.
    async fn texts(&self, sql: &str) -> Vec<String> {
        self.admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// The code of what went wrong; empty where nothing did.
async fn code_of(client: &Client, sql: &str) -> String {
    match client.batch_execute(sql).await {
        Ok(()) => String::new(),
        Err(error) => error.code().map(|code| code.code().to_owned()).unwrap_or_else(|| error.to_string()),
    }
}

/// What PostgreSQL says to somebody who lacks a right.
const DENIED: &str = "42501";
