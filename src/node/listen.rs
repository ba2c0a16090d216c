//! The doorbell of a node: LISTEN on a connection of its own, forwarded to whoever waits.
//!
//! A notification only wakes; the outbox is the truth and polling the floor. While a link of this worker sleeps, the listener
//! holds an advisory lock shared, by which the triggers know that they have to ring.

use std::sync::Arc;

use futures_util::future::poll_fn;
use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use super::Endpoint;
use crate::error::{Error, Kind, Result};

/// The doorbell as its listeners see it: a number that rises with each ring.
pub type Doorbell = watch::Receiver<u64>;

/// Listens until the connection ends. `asleep` tells how many links sleep on this node: while there are any, the lock is held.
///
/// # Errors
/// Always ends with one: the connection is gone or was refused. The caller connects anew.
pub async fn listen(
    endpoint: &Endpoint,
    bell: Arc<watch::Sender<u64>>,
    mut asleep: watch::Receiver<usize>,
) -> Result<()> {
    let (client, mut connection) = endpoint.connect_listener().await?;
    let ring = bell.clone();
    let mut pump = tokio::spawn(async move {
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(_))) => {
                    ring.send_modify(|count| *count += 1);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Error::from(error),
                None => return Error::new(Kind::Unreachable, "the listener's connection was closed"),
            }
        }
    });
    let result = async {
        client.batch_execute("listen dbmail_mesh").await?;
        // Whatever was rung while nobody listened.
        bell.send_modify(|count| *count += 1);
        let mut holding = false;
        loop {
            let wanted = *asleep.borrow_and_update() > 0;
            if wanted != holding {
                client.batch_execute(if wanted { LOCK } else { UNLOCK }).await?;
                holding = wanted;
                // A change that was committed before the lock was seen has not rung: look once more.
                if wanted {
                    bell.send_modify(|count| *count += 1);
                }
            }
            tokio::select! {
                changed = asleep.changed() => if changed.is_err() { return Ok(()) },
                ended = &mut pump => return Err(ended.unwrap_or_else(|_| Error::new(Kind::Internal, "the listener broke off"))),
            }
        }
    }
    .await;
    pump.abort();
    result.map_err(|error: Error| error.context(format!("{endpoint}: listener")))
}

const LOCK: &str = "select pg_advisory_lock_shared(1684169069, 1)";
const UNLOCK: &str = "select pg_advisory_unlock_shared(1684169069, 1)";
