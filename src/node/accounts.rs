//! The target's side of accounts: users by what the mesh knows them by.

use deadpool_postgres::GenericClient;

use super::ask;
use super::state::UserState;
use crate::error::Result;

/// Creates users that are not here. Idempotent.
///
/// # Errors
/// `Unreachable`, `Transient`, `Data`.
pub async fn join(target: &impl GenericClient, users: &[UserState]) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let texts = |pick: fn(&UserState) -> &str| -> Vec<&str> { users.iter().map(pick).collect() };
    let numbers = |pick: fn(&UserState) -> i64| -> Vec<i64> { users.iter().map(pick).collect() };
    let smalls = |pick: fn(&UserState) -> i16| -> Vec<i16> { users.iter().map(pick).collect() };
    ask::run(
        target,
        include_str!("../../sql/target/create_users.sql"),
        &[
            &texts(|user| &user.born_as),
            &users.iter().map(|user| user.generation).collect::<Vec<i32>>(),
            &texts(|user| &user.userid),
            &texts(|user| &user.passwd),
            &numbers(|user| user.client_idnr),
            &numbers(|user| user.maxmail_size),
            &numbers(|user| user.maxsieve_size),
            &texts(|user| &user.encryption_type),
            &texts(|user| &user.spasswd),
            &smalls(|user| user.saction),
            &smalls(|user| user.active),
        ],
    )
    .await?;
    Ok(())
}
