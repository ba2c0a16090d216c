//! What the nodes have of candidates, one by one.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;
use tokio_postgres::Row;

use super::Scope;
use super::judge::Subject;
use super::session::{Node, Nodes};
use crate::domain::comparison::{Found, Values};
use crate::domain::marks::FLAGS;
use crate::error::{Error, Result};
use crate::node::ask;

/// So many are looked at in one statement.
pub(super) const AT_ONCE: usize = 500;
/// So many rows that were set aside are asked for.
const ASIDE_MAX: i64 = 10_000;

/// What every compared node has of each subject, in the order of the nodes.
pub(super) async fn look(nodes: &Nodes, scope: &Scope, subjects: &[Subject]) -> Result<Vec<Vec<Found>>> {
    let of_nodes = try_join_all(nodes.compared.iter().map(|node| look_at(node, scope, subjects))).await?;
    let of =
        |subject: &Subject| of_nodes.iter().map(|found| found.get(subject).cloned().unwrap_or(Found::Absent)).collect();
    Ok(subjects.iter().map(of).collect())
}

async fn look_at(node: &Node, scope: &Scope, subjects: &[Subject]) -> Result<HashMap<Subject, Found>> {
    let births: Vec<i64> = subjects.iter().filter_map(Subject::message).collect();
    let mut found = HashMap::new();
    if !births.is_empty() {
        let sql = include_str!("../../../sql/verify/messages.sql");
        for row in ask::rows(&node.client, sql, &[&births, &scope.bodies]).await? {
            found.insert(Subject::Message(row.get("birth_uid")), message(node, &row));
        }
    }
    let (kinds, keys): (Vec<&str>, Vec<&str>) = subjects.iter().filter_map(Subject::kind_and_key).unzip();
    if !kinds.is_empty() {
        for row in ask::rows(&node.client, include_str!("../../../sql/verify/ended.sql"), &[&kinds, &keys]).await? {
            found.insert(Subject::thing(row.get("kind"), row.get("key")), Found::Dead);
        }
        let sql = include_str!("../../../sql/verify/things.sql");
        for row in ask::rows(&node.client, sql, &[&kinds, &Some(keys), &scope.mailboxes]).await? {
            found.insert(Subject::thing(row.get("kind"), row.get("key")), thing(node, &row)?);
        }
    }
    Ok(found)
}

fn message(node: &Node, row: &Row) -> Found {
    let state: i8 = row.get("state");
    match state as u8 {
        b'd' => return Found::Dead,
        b'h' | b'w' => return Found::Waiting(format!("late on {}: it waits for a new UID", node.endpoint.name)),
        _ if row.get("mailbox_ended") => {
            return Found::Waiting(format!("its mailbox has ended on {}, and is being emptied", node.endpoint.name));
        }
        _ => {}
    }
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
    let number = |column: &str| row.get::<_, Option<i64>>(column).map(|number| number.to_string()).unwrap_or_default();
    let flags: Vec<Option<i16>> = row.get("flags");
    let set = FLAGS.iter().zip(flags).filter(|(_, value)| value.is_some_and(|value| value != 0));
    let mut values: Values = [
        ("uid", number("row_idnr")),
        ("mailbox", number("row_mailbox")),
        ("flags", set.map(|(flag, _)| *flag).collect::<Vec<_>>().join(" ")),
        ("keywords", text("keywords")),
        ("unique_id", text("unique_id")),
        ("content", text("content")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let rows: i64 = row.get("visible_rows");
    if rows > 1 {
        values.insert("rows".into(), rows.to_string());
    }
    Found::Here(values)
}

fn thing(node: &Node, row: &Row) -> Result<Found> {
    if row.get("pending") {
        return Ok(Found::Waiting(format!(
            "it has ended on {}, and its messages are being taken out",
            node.endpoint.name
        )));
    }
    let value: serde_json::Value = serde_json::from_str(row.get("value"))
        .map_err(|error| Error::new(crate::error::Kind::Data, format!("dbmail_mesh.comparable: {error}")))?;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let values = value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value)));
    Ok(Found::Here(values.collect()))
}

/// Why rows were set aside on a compared node.
pub(super) async fn set_aside(nodes: &Nodes) -> Result<BTreeMap<Subject, String>> {
    let mut reasons = BTreeMap::new();
    for target in &nodes.compared {
        let rows = ask::rows(&target.client, include_str!("../../../sql/verify/aside.sql"), &[&ASIDE_MAX]).await?;
        let mut small: HashMap<i16, Vec<(String, i64, String)>> = HashMap::new();
        for row in &rows {
            let reason = format!("set aside on {}: {}", target.endpoint.name, row.get::<_, &str>("reason"));
            let (kind, key): (i8, i64) = (row.get("kind"), row.get("key"));
            match kind as u8 {
                b'm' | b'n' => {
                    reasons.insert(Subject::Message(key), reason);
                }
                b'b' => {
                    reasons.insert(Subject::thing("mailbox", &key.to_string()), reason);
                }
                kind => {
                    let kind = char::from(kind).to_string();
                    small.entry(row.get("source_id")).or_default().push((kind, key, reason));
                }
            }
        }
        for source in nodes.all() {
            let Some(rows) = small.get(&source.endpoint.id.0) else { continue };
            reasons.extend(named(source, rows).await?);
        }
    }
    Ok(reasons)
}

/// Accounts and entries go by the numbers that they have on their source.
async fn named(source: &Node, rows: &[(String, i64, String)]) -> Result<Vec<(Subject, String)>> {
    let kinds: Vec<&str> = rows.iter().map(|(kind, ..)| kind.as_str()).collect();
    let ids: Vec<i64> = rows.iter().map(|(_, id, _)| *id).collect();
    let found = ask::rows(&source.client, include_str!("../../../sql/verify/aside_keys.sql"), &[&kinds, &ids]).await?;
    let reason = |row: &Row| {
        let (kind, id): (&str, i64) = (row.get("kind"), row.get("id"));
        rows.iter().find(|(its_kind, its_id, _)| its_kind == kind && *its_id == id).map(|(.., reason)| reason.clone())
    };
    Ok(found.iter().filter_map(|row| Some((Subject::thing(row.get("thing"), row.get("key")), reason(row)?))).collect())
}

/// Owner and name of mailboxes, from whichever node has them.
pub(super) async fn mailbox_names(nodes: &Nodes, ids: &[i64]) -> Result<HashMap<i64, (String, String)>> {
    let mut names = HashMap::new();
    for node in &nodes.compared {
        let sql = include_str!("../../../sql/verify/mailbox_names.sql");
        for row in ask::rows(&node.client, sql, &[&ids]).await? {
            names.entry(row.get("mailbox_idnr")).or_insert((row.get("owner"), row.get("name")));
        }
    }
    Ok(names)
}
