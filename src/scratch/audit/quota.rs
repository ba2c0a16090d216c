//! The quota counters.

use tokio_postgres::Config;

use crate::error::Result;
use crate::scratch::cluster::connect;
use crate::scratch::standin::INTERNAL_USER;

const QUOTA: &str = include_str!("../../../sql/scratch/audit_quota.sql");

/// Checks on each node that `curmail_size` of each account is the size of the visible messages in its mailboxes. A line
/// for each account where it is not; no part of [`audit`](super::audit), for dbmail itself lets it drift:
///
/// - APPEND, COPY, EXPUNGE and the DELETE that leaves a name count for the account of the session, not for the owner of
///   the mailbox: whatever is done in a shared or public mailbox.
/// - UID EXPUNGE of some messages subtracts the size of all that have \Deleted. So do two sessions that expunge at once,
///   each.
/// - What a session adds or subtracts it writes after the change, in another transaction; if it ends in between, never.
/// - The counter does not go below 0, so what is subtracted too often is lost.
/// - Messages that an admin moves or deletes in SQL, and a mailbox that changes its owner, are not counted.
///
/// `dbmail-util` and POP3's QUIT count anew. A mesh must not add to this: what it applies changes the counter by as much.
///
/// # Errors
/// `Kind::Unreachable` when a node cannot be asked.
pub async fn quota(nodes: &[(String, Config)]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (node, config) in nodes {
        let context = |error: crate::error::Error| error.context(format!("quota of node {node}"));
        let client = connect(config).await.map_err(context)?;
        for row in client.query(QUOTA, &[&INTERNAL_USER]).await? {
            let (userid, noted, used): (&str, i64, i64) = (row.get(0), row.get(1), row.get(2));
            wrong.push(format!(
                "{node}: curmail_size of {userid} is {noted}, and the visible messages have {used} bytes"
            ));
        }
    }
    Ok(wrong)
}
