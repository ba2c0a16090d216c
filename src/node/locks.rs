//! How a transaction of the worker's begins, and how long it may keep dbmail waiting. All of it is bounded by the server, so a worker that
//! vanishes holds nobody up.

use deadpool_postgres::GenericClient;

use super::ask;
use crate::error::Result;

/// Bounds what follows in a transaction: see [`guard`].
pub const GUARD: &str = include_str!("../../sql/target/guard.sql");

/// How long a node's server waits for a lock, and lets a statement or a pause between two last, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct LockPatience {
    /// For a lock.
    pub wait_ms: i32,
    /// For a statement, and for a pause while locks are held.
    pub hold_ms: i32,
}

impl LockPatience {
    /// The same for both.
    pub fn of(lock_ms: i32) -> Self {
        Self { wait_ms: lock_ms, hold_ms: lock_ms }
    }
}

/// Marks a transaction as the worker's own and bounds its lock waits.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn begin_apply(transaction: &impl GenericClient, lock_ms: i32) -> Result<()> {
    ask::row(transaction, include_str!("../../sql/target/begin_apply.sql"), &[&lock_ms]).await?;
    Ok(())
}

/// The same for one that writes what is no message: links into a node do that one after the other.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn begin_apply_alone(transaction: &impl GenericClient, lock_ms: i32) -> Result<()> {
    begin_apply(transaction, lock_ms).await?;
    ask::row(transaction, include_str!("../../sql/target/lock_parents.sql"), &[]).await?;
    Ok(())
}

/// Has [`guard`] asked at once when it is, and before all that is asked after it.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn ready_to_guard(transaction: &impl GenericClient) -> Result<()> {
    transaction.prepare_cached(GUARD).await?;
    Ok(())
}

/// Begins the part of a transaction that holds locks which dbmail may want.
///
/// # Errors
/// `Unreachable`, `Transient`.
pub async fn guard(transaction: &impl GenericClient, patience: LockPatience) -> Result<()> {
    ask::row(transaction, GUARD, &[&patience.wait_ms, &patience.hold_ms]).await?;
    Ok(())
}
