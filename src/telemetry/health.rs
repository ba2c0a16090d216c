//! The listener: `/metrics`, `/healthz`, `/readyz`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Telemetry;
use super::knowledge::Knowledge;
use super::metrics::{self, gauges};
use crate::config::{duration, show_duration};
use crate::domain::ids::NodeId;
use crate::error::{Error, Kind, Result};

/// A node that may be asked for.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: NodeId,
    /// Whether this worker drives the links into it.
    pub is_served: bool,
}

/// What the answers are made of.
#[derive(Debug)]
pub struct Health {
    /// What the worker tells of itself.
    pub telemetry: Arc<Telemetry>,
    /// What is known of the nodes.
    pub knowledge: Arc<Knowledge>,
    /// All nodes of the settings.
    pub nodes: Vec<Known>,
}

/// Takes the port, so that a command which cannot have it ends before it has begun.
///
/// # Errors
/// `Unreachable` when it is taken, or the address is not there (yet): whoever starts the command anew gets it later. Else `Usage`.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => Kind::Unreachable,
            _ => Kind::Usage,
        };
        Error::new(kind, format!("health.listen = \"{address}\": cannot listen there: {error}"))
            .remedy("choose another port, or \"\" for none; another dbmail-mesh run may have it")
            .source(error)
    })
}

/// Answers, for ever.
pub async fn serve(listener: TcpListener, health: Health) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "answering /metrics, /healthz and /readyz");
    }
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz?node=<name or id>"))
        .with_state(Arc::new(health));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!(%error, "no more answers to /metrics, /healthz and /readyz");
    }
}

type Asked = State<Arc<Health>>;

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n")).into_response()
}

fn problem(status: StatusCode, error: &str) -> Response {
    answer(status, &json!({ "error": error }))
}

fn ok_if(is: bool) -> StatusCode {
    if is { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn show_health(State(health): Asked) -> Response {
    let checkup = health.telemetry.vitals.check();
    answer(ok_if(checkup.healthy), &json!(checkup))
}

async fn show_metrics(State(health): Asked) -> Response {
    let mut families = health.telemetry.counters.gather();
    if let Some((reading, age)) = health.knowledge.last() {
        families.extend(reading.families.iter().cloned());
        families.extend(gauges::age(age.as_secs_f64()).unwrap_or_default());
    }
    match metrics::render(&families) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn show_readiness(State(health): Asked, query: Query<Vec<(String, String)>>) -> Response {
    let question = match Question::of(&query, &health) {
        Ok(question) => question,
        Err((status, error)) => return problem(status, &error),
    };
    let age = health.knowledge.last().map(|(_, age)| age.as_secs_f64());
    let (max_lag, age_seconds) = (question.max_lag.as_secs_f64(), age.map(|age| (age * 1000.0).round() / 1000.0));
    let about = json!({ "max_lag_seconds": max_lag, "age_seconds": age_seconds });
    let readiness = |node: &Known| health.knowledge.readiness(&node.name, question.max_lag);
    if let Some(node) = question.node {
        let one = readiness(node);
        return answer(ok_if(one.ready), &merged(json!(one), about));
    }
    let all: Vec<_> = health.nodes.iter().filter(|node| node.is_served).map(readiness).collect();
    let ready = all.iter().all(|one| one.ready);
    answer(ok_if(ready), &merged(json!({ "ready": ready, "nodes": all }), about))
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// What `/readyz` was asked.
struct Question<'a> {
    /// `None`: all nodes that this worker serves.
    node: Option<&'a Known>,
    max_lag: Duration,
}

impl<'a> Question<'a> {
    fn of(query: &[(String, String)], health: &'a Health) -> Result<Self, (StatusCode, String)> {
        let bad = |text: String| (StatusCode::BAD_REQUEST, text);
        let ready_lag = health.knowledge.ready_lag();
        let (mut node, mut max_lag) = (None, None);
        for (key, value) in query {
            let seen_before = match key.as_str() {
                "node" => {
                    let is_it = |known: &&Known| known.name == *value || known.id.to_string() == *value;
                    let unknown = || (StatusCode::NOT_FOUND, format!("no node {value:?} in the settings"));
                    node.replace(health.nodes.iter().find(is_it).ok_or_else(unknown)?).is_some()
                }
                "max_lag" => {
                    let lag = duration(value).map_err(|reason| bad(format!("max_lag={value}: {reason}")))?;
                    if lag > ready_lag {
                        let most = show_duration(ready_lag);
                        return Err(bad(format!("max_lag={value}: at most health.ready_lag, which is {most}")));
                    }
                    max_lag.replace(lag).is_some()
                }
                _ => return Err(bad(format!("{key}: unknown; known here are node, max_lag"))),
            };
            if seen_before {
                return Err(bad(format!("{key} was given twice")));
            }
        }
        Ok(Self { node, max_lag: max_lag.unwrap_or(ready_lag) })
    }
}
