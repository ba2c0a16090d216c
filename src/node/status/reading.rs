//! The questions.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Pool};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::Row;

use super::{Asked, LinkState, LinkStatus, NodeStatus, PHYSMESSAGE_ID_LAST, UID_LAST, numbers, percent};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};
use crate::node::ask;
use crate::node::connect::checkout;
use crate::node::pause::{self, Pause, WHOLE_NODE};
use crate::node::schema::{Fit, SCHEMA, Schema};

/// How long a node may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first packet until it is ready for a statement. A hung server completes the TCP handshake, so that the connection's own
    /// time-out does not see it.
    pub(super) connect: Duration,
    /// Then for all it is asked. The server itself ends each statement after this.
    pub(super) answer: Duration,
}

/// What one node answered, and a connection for what only it knows.
pub(super) struct Answer<'a> {
    pub(super) asked: &'a Asked,
    pub(super) status: NodeStatus,
    incoming: HashMap<i16, Incoming>,
    /// By the source; of the node itself by [`WHOLE_NODE`].
    pauses: HashMap<i16, Pause>,
    pub(super) session: Option<Client>,
}

/// A link as its target knows it.
struct Incoming {
    /// Names, numbers and lag are not filled in.
    link: LinkStatus,
    /// `None` while the link has not begun.
    position: Option<Position>,
}

/// `dbmail_mesh.cursor` as far as the lag depends on it; all in text form but the id.
struct Position {
    from: String,
    to: Option<String>,
    last_id: i64,
}

/// What a source says of a target.
pub(super) struct Lag {
    messages: i64,
    seconds: f64,
    changes: i64,
    oldest_at: Option<Timestamp>,
    oldest_seconds: f64,
    modseq_seconds: f64,
}

/// All nodes' answers, in their order.
pub(super) async fn answers<'a>(
    nodes: impl Iterator<Item = (&'a Asked, Result<&'a Pool, &'a Error>)>,
    schema_version_expected: i32,
    patience: Patience,
) -> Vec<Answer<'a>> {
    let nodes: Vec<_> = nodes.collect();
    let sources: Vec<i16> = nodes.iter().map(|(asked, _)| asked.endpoint.id.0).collect();
    let all = nodes.iter().map(|&(asked, pool)| answer(asked, pool, &sources, schema_version_expected, patience));
    join_all(all).await
}

async fn answer<'a>(
    asked: &'a Asked,
    pool: Result<&Pool, &Error>,
    sources: &[i16],
    schema_version_expected: i32,
    patience: Patience,
) -> Answer<'a> {
    let Asked { endpoint, address, .. } = asked;
    let status = NodeStatus {
        name: endpoint.name.clone(),
        id: endpoint.id.0,
        address: address.clone(),
        ..NodeStatus::default()
    };
    let mut answer = Answer { asked, status, incoming: HashMap::new(), pauses: HashMap::new(), session: None };
    let pool = match pool {
        Ok(pool) => pool,
        Err(error) => {
            answer.status.error = Some(plain(asked, error));
            return answer;
        }
    };
    let session = match within(patience.connect, checkout(endpoint, pool)).await {
        Ok(session) => session,
        Err(error) => {
            answer.status.error = Some(plain(asked, &error));
            return answer;
        }
    };
    answer.status.reachable = true;
    let filled = fill(&mut answer, &session, sources, schema_version_expected, patience.answer);
    if let Err(error) = within(patience.answer, filled).await {
        answer.fail(&error, session);
        return answer;
    }
    answer.session = answer.status.is_known().then_some(session);
    answer
}

impl Answer<'_> {
    /// The node could be connected to, and did not answer everything. Its session is given up: an answer may still come.
    fn fail(&mut self, error: &Error, session: Client) {
        let text = plain(self.asked, error);
        let remedy = "dbmail-mesh migrate rights prints what this role needs, after dbmail-mesh migrate up";
        let refused = error.kind() == Kind::Refused;
        self.status.error = Some(if refused { format!("{text} ({remedy})") } else { text });
        drop(Client::take(session));
    }

    /// Also asks for what changes slowly, and costs more the more there is.
    pub(super) async fn ask_totals(&mut self, patience: Patience) {
        let Some(session) = self.session.take() else { return };
        match within(patience.answer, fill_totals(&mut self.status, &session)).await {
            Ok(()) => self.session = Some(session),
            Err(error) => self.fail(&error, session),
        }
    }
}

/// The error without the node's name: it stands beside it.
fn plain(asked: &Asked, error: &Error) -> String {
    error.to_string().replace(&format!("{}: ", asked.endpoint), "")
}

async fn within<T>(bound: Duration, asking: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(bound, asking).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Unreachable, format!("no answer within {} s", bound.as_secs()))
            .remedy("look at the load, the locks and the network there"))
    })
}

/// Asks step by step: what the next step needs may not be there.
async fn fill(
    answer: &mut Answer<'_>,
    client: &Client,
    sources: &[i16],
    schema_version_expected: i32,
    bound: Duration,
) -> Result<()> {
    (answer.status.clock_offset_seconds, answer.status.clock_error_seconds) = clock(client, bound).await?;
    let found = ask::row(client, include_str!("../../../sql/migrate/has_relation.sql"), &[&"migration"]).await?;
    answer.status.installed = Some(found.get("found"));
    if answer.status.installed == Some(false) {
        return Ok(());
    }
    let schema = Schema::from_row(&ask::row(client, SCHEMA, &[]).await?);
    answer.status.schema_version = Some(schema.version);
    if !matches!(schema.fit(schema_version_expected), Fit::Same | Fit::Newer) {
        return Ok(());
    }
    for row in ask::rows(client, include_str!("../../../sql/status/links.sql"), &[&sources]).await? {
        answer.incoming.insert(row.get("source_id"), incoming(&row));
    }
    let sources: Vec<NodeId> = sources.iter().copied().map(NodeId).chain([WHOLE_NODE]).collect();
    answer.pauses = pause::pauses(client, &sources).await?.into_iter().map(|(of, pause)| (of.0, pause)).collect();
    answer.status.paused = answer.pauses.get(&WHOLE_NODE.0).cloned();
    let row = ask::row(client, include_str!("../../../sql/status/node.sql"), &[]).await?;
    fill_node(&mut answer.status, &row);
    Ok(())
}

/// How far the node's clock is ahead of ours, and by how much that may be wrong: its answer was given at some moment between the question
/// and its arrival.
async fn clock(client: &Client, bound: Duration) -> Result<(Option<f64>, Option<f64>)> {
    let statement = client.prepare_cached(include_str!("../../../sql/status/clock.sql")).await?;
    let (asked_at, asked) = (Timestamp::now(), Instant::now());
    let row = client.query_one(&statement, &[&bound.as_millis().to_string()]).await?;
    let half = asked.elapsed().as_secs_f64() / 2.0;
    let there: Timestamp = row.get("now");
    Ok((Some(there.duration_since(asked_at).as_secs_f64() - half), Some(half)))
}

fn fill_node(status: &mut NodeStatus, row: &Row) {
    status.asked_at = row.get("asked_at");
    status.installed_id = row.get("installed_id");
    status.installed_stride = row.get("installed_stride");
    status.mesh_id = row.get("mesh_id");
    status.out_reason = row.get("out_reason");
    status.dismissed = row.get("dismissed");
    status.began_at = row.get("began_at");
    status.came_with_mail = row.get("came_with_mail");
    status.worker_active = row.get("worker_active");
    status.worker_since = row.get("worker_since");
    status.worker_name = row.get("worker_name");
    status.worker_term = row.get("worker_term");
    status.late_messages = row.get("late_messages");
    status.late_longest_seconds = row.get("late_longest_seconds");
    status.set_aside_rows = row.get("set_aside_rows");
    status.set_aside_oldest_seconds = row.get("set_aside_oldest_seconds");
    status.readers_waiting = row.get("readers_waiting");
}

async fn fill_totals(status: &mut NodeStatus, client: &Client) -> Result<()> {
    let faults = ask::rows(client, include_str!("../../../sql/status/trigger_faults.sql"), &[]).await?;
    let row = ask::row(client, include_str!("../../../sql/status/totals.sql"), &[]).await?;
    status.renumbers_total = row.get("renumbers_total");
    status.renumbers_last_hour = row.get("renumbers_last_hour");
    status.outbox_rows = row.get("outbox_rows");
    status.outbox_bytes = row.get("outbox_bytes");
    status.kept_messages = row.get("kept_messages");
    status.numbers_reserved = row.get("numbers_reserved");
    status.mailboxes_merged = row.get("mailboxes_merged");
    status.mailboxes_displaced = row.get("mailboxes_displaced");
    status.accounts_displaced = row.get("accounts_displaced");
    status.uid_highest = row.get("uid_highest");
    status.uid_used_percent = status.uid_highest.map(|highest| percent(highest, UID_LAST));
    status.physmessage_id_highest = row.get("physmessage_id_highest");
    status.physmessage_id_used_percent =
        status.physmessage_id_highest.map(|highest| percent(highest, PHYSMESSAGE_ID_LAST));
    status.trigger_faults = Some(trigger_faults(&faults, row.get("uid_has_default")));
    let samples = ask::rows(client, include_str!("../../../sql/status/samples.sql"), &[]).await?;
    let history = numbers::history(&row, &samples);
    status.numbers = Some(numbers::of_node(&history));
    status.history = Some(history);
    Ok(())
}

fn trigger_faults(rows: &[Row], uid_has_default: bool) -> Vec<String> {
    let fault = |row: &Row| {
        let (relation, name): (&str, &str) = (row.get("relation"), row.get("name"));
        if row.get("missing") {
            format!("trigger {name} on {relation} is missing (create it again as the files in migrations/ do)")
        } else {
            format!("trigger {name} on {relation} is disabled (alter table {relation} enable trigger {name})")
        }
    };
    let default = uid_has_default.then(|| {
        "column message_idnr of dbmail_messages has a default, which burns UIDs \
         (alter table dbmail_messages alter column message_idnr drop default)"
            .to_owned()
    });
    rows.iter().map(fault).chain(default).collect()
}

fn incoming(row: &Row) -> Incoming {
    let from: Option<String> = row.get("from_snapshot");
    let position = from.map(|from| Position { from, to: row.get("to_snapshot"), last_id: row.get("last_id") });
    let link = LinkStatus {
        state: LinkState::of(row.get("state"), position.is_some()),
        since: row.get("since"),
        copy_stage: row.get("copy_stage"),
        copy_position: row.get("copy_position"),
        applied_at: row.get("applied_at"),
        set_aside_rows: row.get("set_aside_rows"),
        last_error: row.get("last_error"),
        last_error_at: row.get("last_error_at"),
        behind_since: row.get("behind_since"),
        behind_seconds: row.get("behind_seconds"),
        relays: row.get("relays"),
        ..LinkStatus::default()
    };
    Incoming { link, position }
}

/// What each source says of the selected targets, in the order of the answers.
pub(super) async fn lags(answers: &[Answer<'_>], patience: Patience) -> Vec<Result<HashMap<i16, Lag>>> {
    join_all(answers.iter().map(|source| within(patience.answer, lags_of(source, answers)))).await
}

async fn lags_of(source: &Answer<'_>, answers: &[Answer<'_>]) -> Result<HashMap<i16, Lag>> {
    let Some(client) = &source.session else {
        return Err(Error::new(Kind::Unreachable, why_unknown(&source.status)));
    };
    let begun = |target: &&Answer<'_>| target.asked.selected && target.status.id != source.status.id;
    let positions: Vec<(i16, &Position)> = answers
        .iter()
        .filter(begun)
        .filter_map(|target| Some((target.status.id, target.incoming.get(&source.status.id)?.position.as_ref()?)))
        .collect();
    let targets: Vec<i16> = positions.iter().map(|(target, _)| *target).collect();
    let from: Vec<&str> = positions.iter().map(|(_, position)| position.from.as_str()).collect();
    let to: Vec<Option<&str>> = positions.iter().map(|(_, position)| position.to.as_deref()).collect();
    let ids: Vec<i64> = positions.iter().map(|(_, position)| position.last_id).collect();
    let sql = include_str!("../../../sql/status/lag.sql");
    let rows = ask::rows(client, sql, &[&targets, &from, &to, &ids]).await?;
    let lag = |row: &Row| Lag {
        messages: row.get("lag_messages"),
        seconds: row.get("lag_seconds"),
        changes: row.get("changes_waiting"),
        oldest_at: row.get("oldest_change_at"),
        oldest_seconds: row.get("oldest_change_seconds"),
        modseq_seconds: row.get("oldest_modseq_seconds"),
    };
    Ok(rows.iter().map(|row| (row.get("target_id"), lag(row))).collect())
}

fn why_unknown(source: &NodeStatus) -> String {
    match (&source.error, source.installed) {
        (Some(error), _) => error.clone(),
        (None, Some(false)) => "dbmail-mesh is not installed".into(),
        (None, _) => "its schema is at a version that this program does not work with".into(),
    }
}

/// The links into the selected nodes.
pub(super) fn links(answers: &[Answer<'_>], lags: &[Result<HashMap<i16, Lag>>]) -> Vec<LinkStatus> {
    let into = |target: &Answer<'_>| {
        let others = answers.iter().zip(lags).filter(|(source, _)| source.status.id != target.status.id);
        others.map(|(source, lags)| link(source, target, lags)).collect::<Vec<_>>()
    };
    answers.iter().filter(|target| target.asked.selected).flat_map(into).collect()
}

fn link(of: &Answer<'_>, target: &Answer<'_>, lags: &Result<HashMap<i16, Lag>>) -> LinkStatus {
    let source = &of.status;
    let incoming = target.incoming.get(&source.id);
    let mut link = incoming.map(|incoming| incoming.link.clone()).unwrap_or_default();
    (link.source, link.source_id) = (source.name.clone(), source.id);
    (link.target, link.target_id) = (target.status.name.clone(), target.status.id);
    if incoming.is_some_and(|incoming| incoming.position.is_some()) {
        let unknown = |why: &dyn Display| Some(format!("node {}: {why}", source.name));
        match lags.as_ref().map(|lags| lags.get(&target.status.id)) {
            Ok(Some(lag)) => {
                (link.lag_messages, link.lag_seconds) = (Some(lag.messages), Some(lag.seconds));
                (link.changes_waiting, link.oldest_change_at) = (Some(lag.changes), lag.oldest_at);
                link.oldest_change_seconds = Some(lag.oldest_seconds);
                link.oldest_modseq_seconds = Some(lag.modseq_seconds);
            }
            Ok(None) => link.lag_error = unknown(&"it did not answer for this link"),
            Err(error) => link.lag_error = unknown(error),
        }
    }
    let pauses = [target.pauses.get(&source.id), target.status.paused.as_ref(), of.status.paused.as_ref()];
    if let Some(first) = pauses.into_iter().flatten().min_by_key(|pause| pause.since) {
        (link.state, link.since, link.paused) = (LinkState::Paused, Some(first.since), Some(first.clone()));
    }
    link
}
