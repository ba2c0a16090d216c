//! When a message becomes visible on a node: asked again and again, by the same prepared query for every contender.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use dbmail_mesh::scratch::cluster::connect;
use tokio::sync::oneshot;
use tokio_postgres::{Client, Config, Statement};

/// A message that does not come is an error.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions of a watcher that has a thread for itself. The rest of a processor is left to those that are measured.
const PAUSE: Duration = Duration::from_micros(50);
/// So exact a lag is, as a part of it.
const PART: u32 = 20;

/// A session that looks for messages.
pub struct Watcher {
    client: Client,
    seen: Statement,
}

impl Watcher {
    pub async fn connect(node: &Config) -> Result<Self> {
        let client = connect(node).await?;
        let seen = client.prepare(include_str!("seen.sql")).await?;
        Ok(Self { client, seen })
    }

    async fn sees(&self, unique_id: &str) -> Result<bool> {
        Ok(self.client.query_opt(&self.seen, &[&unique_id]).await?.is_some())
    }

    /// Waits for a message, to the millisecond and to the twentieth part of the wait.
    pub async fn await_message(&self, unique_id: &str) -> Result<Instant> {
        let begun = Instant::now();
        while !self.sees(unique_id).await? {
            if begun.elapsed() > PATIENCE {
                bail!("{unique_id} does not come");
            }
            tokio::time::sleep(Duration::from_millis(1).max(begun.elapsed() / PART)).await;
        }
        Ok(Instant::now())
    }
}

/// A message to look for, and whom to tell.
type Asked = (String, oneshot::Sender<Result<Instant>>);

/// A watcher with a thread for itself, exact to a tenth of a millisecond.
pub struct Lookout {
    asked: Option<mpsc::Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl Lookout {
    pub fn on(node: &Config) -> Result<Self> {
        let (asked, asking) = mpsc::channel::<Asked>();
        let (node, runtime) = (node.clone(), tokio::runtime::Builder::new_current_thread().enable_all().build()?);
        let thread = std::thread::spawn(move || {
            let mut watcher = runtime.block_on(Watcher::connect(&node));
            for (unique_id, told) in asking {
                let seen = match &mut watcher {
                    Ok(watcher) => watch_closely(&runtime, watcher, &unique_id),
                    Err(error) => Err(anyhow::anyhow!("{error:#}")),
                };
                // Whoever has asked may have given up.
                drop(told.send(seen));
            }
        });
        Ok(Self { asked: Some(asked), thread: Some(thread) })
    }

    /// Begins to look for a message. What it gives is when it was there.
    pub fn watch(&self, unique_id: &str) -> Result<oneshot::Receiver<Result<Instant>>> {
        let (told, seen) = oneshot::channel();
        self.asked
            .as_ref()
            .and_then(|asked| asked.send((unique_id.to_owned(), told)).ok())
            .context("the lookout has ended")?;
        Ok(seen)
    }
}

fn watch_closely(runtime: &tokio::runtime::Runtime, watcher: &Watcher, unique_id: &str) -> Result<Instant> {
    let begun = Instant::now();
    while !runtime.block_on(watcher.sees(unique_id))? {
        if begun.elapsed() > PATIENCE {
            bail!("{unique_id} does not come");
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Instant::now())
}

impl Drop for Lookout {
    fn drop(&mut self) {
        drop(self.asked.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
