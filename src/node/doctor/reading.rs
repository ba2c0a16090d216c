//! Asks a node. It takes no locks, and the server itself ends what takes too long.

use std::time::{Duration, Instant, SystemTime};

use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::facts::{Clock, Installed, Rights, TriggerFault};
use super::{Answers, Expected};
use crate::config::NodeSettings;
use crate::error::{Error, Kind, Result};
use crate::migrate::problems_of;
use crate::migrate::rights::worker_rights;
use crate::node::Endpoint;
use crate::node::schema::{Fit, SCHEMA, Schema};

/// How long a node may take for all it is asked.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long for one statement, in milliseconds.
const STATEMENT_MAX_MS: u32 = 10_000;
/// From so many seconds on a transaction is told.
const LONG_S: f64 = 300.0;
/// How often a clock is asked: the quickest answer tells most.
const CLOCK_TRIES: usize = 3;

/// Everything that can be asked of a node.
pub(super) async fn ask_node(node: &NodeSettings, expected: Expected<'_>) -> Answers {
    let mut answers = Answers { way: Some((node.reach, node.tls.mode())), ..Answers::default() };
    let asked = timeout(ANSWER_MAX, fill(node, expected, &mut answers)).await;
    let late = || {
        Err(Error::new(Kind::Unreachable, format!("no answer within {} s", ANSWER_MAX.as_secs()))
            .remedy("look at the load, the locks and the network there"))
    };
    if let Err(error) = asked.unwrap_or_else(|_| late()) {
        let known = answers.server.is_some();
        if known { answers.errors.push(error) } else { answers.unreachable = Some(error) }
    }
    answers
}

async fn fill(node: &NodeSettings, expected: Expected<'_>, answers: &mut Answers) -> Result<()> {
    let client = Endpoint::from(node).connect_plainly("doctor").await?;
    // The server's bounds, as dbmail's sessions have them.
    answers.server = Some(one(&client, include_str!("../../../sql/doctor/server.sql"), &[&LONG_S]).await?);
    client.batch_execute(&format!("set statement_timeout = {STATEMENT_MAX_MS}")).await?;
    answers.clock = Some(clock(&client).await?);
    if is_installed(&client).await? {
        let rights = rights(&client).await?;
        let may_look = rights.may_look;
        answers.rights = Some(rights);
        // Everything else would only say so once more.
        if !may_look {
            return Ok(());
        }
    }
    match problems_of(node, expected.set, expected.stride).await {
        Ok(problems) => (answers.is_inspected, answers.problems) = (true, problems),
        Err(error) => answers.errors.push(error),
    }
    answers.schema = Some(schema(&client).await?);
    let program = expected.set.latest();
    if answers.schema.is_some_and(|schema| matches!(schema.fit(program), Fit::Same | Fit::Newer)) {
        let sql = include_str!("../../../sql/doctor/installed.sql");
        let mut installed: Installed = one(&client, sql, &[]).await?;
        installed.trigger_faults = trigger_faults(&client).await?;
        answers.installed = Some(installed);
    }
    Ok(())
}

async fn is_installed(client: &Client) -> Result<bool> {
    let found = client.query_one(include_str!("../../../sql/migrate/has_relation.sql"), &[&"migration"]).await?;
    Ok(found.get("found"))
}

async fn rights(client: &Client) -> Result<Rights> {
    let (names, verbs): (Vec<String>, Vec<String>) =
        worker_rights().into_iter().map(|right| (right.name, right.verb)).unzip();
    one(client, include_str!("../../../sql/doctor/rights.sql"), &[&names, &verbs]).await
}

async fn schema(client: &Client) -> Result<Schema> {
    if !is_installed(client).await? {
        return Ok(Schema { version: 0, needs: 0 });
    }
    Ok(Schema::from_row(&client.query_one(SCHEMA, &[]).await?))
}

async fn clock(client: &Client) -> Result<Clock> {
    let statement = client.prepare(include_str!("../../../sql/doctor/clock.sql")).await?;
    let mut best: Option<Clock> = None;
    for _ in 0..CLOCK_TRIES {
        let (begun, begun_at) = (Instant::now(), SystemTime::now());
        let at_s: f64 = client.query_one(&statement, &[]).await?.get("at_s");
        let half = begun.elapsed().as_secs_f64() / 2.0;
        let here_s = begun_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64() + half;
        let clock = Clock { ahead_s: at_s - here_s, within_s: half };
        best = Some(best.filter(|best| best.within_s <= half).unwrap_or(clock));
    }
    Ok(best.unwrap_or_default())
}

async fn trigger_faults(client: &Client) -> Result<Vec<TriggerFault>> {
    let rows = client.query(include_str!("../../../sql/status/trigger_faults.sql"), &[]).await?;
    let fault = |row: &tokio_postgres::Row| TriggerFault {
        relation: row.get("relation"),
        name: row.get("name"),
        missing: row.get("missing"),
    };
    Ok(rows.iter().map(fault).collect())
}

/// The JSON object that a statement returns.
async fn one<T: DeserializeOwned>(
    client: &Client,
    sql: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<T> {
    let facts: serde_json::Value = client.query_one(sql, params).await?.get("facts");
    serde_json::from_value(facts)
        .map_err(|error| Error::new(Kind::Internal, format!("what the node says cannot be read: {error}")))
}
