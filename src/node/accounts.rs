//! The target's side of accounts: users by what the mesh knows them by.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::ask;
use super::locks::{self, LockPatience};
use super::parents::Joining;
use super::state::{UserState, account_of, fields_of};
use crate::domain::account::{self, AccountId, Held, USERID, Write};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};

/// Joins accounts that came over a link; returns whether anything was written. Idempotent. When there is nothing to write, no lock is taken.
///
/// # Errors
/// `Transient` when a lock cannot be had in time, or a session of dbmail takes a name at this moment; `Unreachable`, `Data`.
pub async fn join(target: &impl GenericClient, joining: Joining, users: &[UserState]) -> Result<bool> {
    if users.is_empty() {
        return Ok(false);
    }
    let here = joining.here;
    let incoming: Vec<_> = users.iter().map(|user| (user.account.clone(), user.incoming.clone())).collect();
    let mut around = Around::of(users);
    if around.decide(target, &incoming, here, false).await?.is_empty() {
        return Ok(false);
    }
    locks::guard(target, LockPatience::of(joining.lock_ms)).await?;
    let writes = around.decide(target, &incoming, here, true).await?;
    if writes.is_empty() {
        return Ok(false);
    }
    let gone_in =
        |id: &AccountId| users.iter().find(|user| user.account == *id).and_then(|user| user.gone_in.as_deref());
    let rows: Vec<Value> =
        writes.iter().map(|(id, write)| row_of(id, write, gone_in(id), write.displaced || joining.is_own)).collect();
    let plan = json!({"origin": joining.source.0, "relayed": joining.is_own, "rows": rows});
    ask::row(target, include_str!("../../sql/target/write_accounts.sql"), &[&plan]).await?;
    Ok(true)
}

/// A row of the plan that `dbmail_mesh.write_accounts` takes.
fn row_of(id: &AccountId, write: &Write, gone_in: Option<&str>, own: bool) -> Value {
    let values = write.fields.as_ref().map(|fields| fields.each_ref().map(|field| field.value.as_str()));
    let stamps = write.fields.as_ref().map(|fields| fields.each_ref().map(|field| field.stamp.0));
    json!({
        "born_as": id.born_as, "generation": id.generation, "is_new": write.is_new, "dies": write.dies, "own": own,
        "gone_in": gone_in, "vals": values, "stamps": stamps,
    })
}

/// Whom a batch is about: the accounts that come, and whoever holds a name that may be needed.
struct Around {
    births: Vec<String>,
    generations: Vec<i32>,
    userids: BTreeSet<String>,
}

impl Around {
    fn of(users: &[UserState]) -> Self {
        let userids = users.iter().filter_map(|user| match &user.incoming {
            account::Incoming::Alive(fields) => Some(fields[USERID].value.clone()),
            account::Incoming::Dead => None,
        });
        Self {
            births: users.iter().map(|user| user.account.born_as.clone()).collect(),
            generations: users.iter().map(|user| user.account.generation).collect(),
            userids: userids.collect(),
        }
    }

    /// Looks, under locks or without, and decides; again as long as the decision needs names whose holders it has not looked at.
    async fn decide(
        &mut self,
        target: &impl GenericClient,
        incoming: &[(AccountId, account::Incoming)],
        here: NodeId,
        locked: bool,
    ) -> Result<BTreeMap<AccountId, Write>> {
        loop {
            let held = self.look(target, locked).await?;
            let writes = account::join(&held, incoming, here);
            let fields = writes.values().filter_map(|write| write.fields.as_ref());
            let needed: BTreeSet<String> = fields.map(|fields| fields[USERID].value.clone()).collect();
            if needed.is_subset(&self.userids) {
                return Ok(writes);
            }
            self.userids.extend(needed);
        }
    }

    async fn look(&self, target: &impl GenericClient, locked: bool) -> Result<BTreeMap<AccountId, Held>> {
        let userids: Vec<&str> = self.userids.iter().map(String::as_str).collect();
        if locked {
            let lock = include_str!("../../sql/target/lock_accounts.sql");
            ask::row(target, lock, &[&self.births, &self.generations, &userids]).await?;
        }
        let view = include_str!("../../sql/target/view_accounts.sql");
        let rows = ask::rows(target, view, &[&self.births, &self.generations, &userids]).await?;
        rows.iter().map(|row| Ok((account_of(row)?, held_of(row)?))).collect()
    }
}

fn held_of(row: &Row) -> Result<Held> {
    match row.get::<_, i8>("state") as u8 {
        b'a' => Ok(Held::Alive(fields_of(row)?)),
        b'p' => Ok(Held::Dying(fields_of(row)?)),
        b'd' => Ok(Held::Dead),
        other => Err(Error::new(Kind::Internal, format!("account {} has an unknown state {other}", account_of(row)?))),
    }
}
