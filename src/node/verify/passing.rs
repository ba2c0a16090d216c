//! How far the links are: what is under way is no difference.

use futures_util::future::try_join_all;
use tokio::time::{Duration, Instant, sleep};

use super::session::{Node, Nodes};
use crate::domain::ids::NodeId;
use crate::domain::snapshot::Snapshot;
use crate::error::Result;
use crate::node::ask;
use crate::node::cursor::Cursor;

/// How often the cursors are looked at while something is under way.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What each compared node still has to take over: reasons; empty: it has all.
pub(super) type Lacks = Vec<Option<String>>;

/// A moment on each node that can be asked: what it sees by then, its targets have to have.
pub(super) struct Moment(Vec<(NodeId, String)>);

impl Moment {
    /// Takes it.
    pub(super) async fn now(nodes: &Nodes) -> Result<Self> {
        let of = async |node: &Node| {
            let row = ask::row(&node.client, include_str!("../../../sql/node/committed.sql"), &[]).await?;
            Ok::<_, crate::error::Error>((node.endpoint.id, row.get(0)))
        };
        Ok(Self(try_join_all(nodes.all().map(of)).await?))
    }

    /// Waits until every compared node has all that the others had by then, or until the deadline.
    pub(super) async fn pass(&self, nodes: &Nodes, deadline: Instant) -> Result<Lacks> {
        loop {
            let lacks = self.lacks(nodes).await?;
            if lacks.iter().all(Option::is_none) || Instant::now() >= deadline {
                return Ok(lacks);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn lacks(&self, nodes: &Nodes) -> Result<Lacks> {
        let mut lacks = Vec::new();
        for target in &nodes.compared {
            let mut lack = None;
            for source in nodes.all().filter(|source| source.endpoint.id != target.endpoint.id) {
                lack = lack.or(self.lack(source, target).await?);
            }
            for source in &nodes.silent {
                lack = lack.or(behind_others(nodes, source.id, &source.name, target).await?);
            }
            lacks.push(lack);
        }
        Ok(lacks)
    }

    /// What `target` lacks of a source that can be asked.
    async fn lack(&self, source: &Node, target: &Node) -> Result<Option<String>> {
        let link = format!("link {} -> {}", source.endpoint.name, target.endpoint.name);
        let Some(cursor) = Cursor::read(&target.client, source.endpoint.id).await? else {
            return Ok(Some(format!("{link} has not begun")));
        };
        if cursor.copy.is_some() {
            return Ok(Some(format!("{link} is at its first copy")));
        }
        let Some((_, snapshot)) = self.0.iter().find(|(id, _)| *id == source.endpoint.id) else { return Ok(None) };
        let sql = include_str!("../../../sql/verify/unapplied.sql");
        let found: bool = ask::row(&source.client, sql, &[&cursor.from, snapshot]).await?.get("found");
        Ok(found.then(|| format!("{link} has not brought everything")))
    }
}

/// What `target` may lack of a source that cannot be asked: what other nodes have of it.
async fn behind_others(nodes: &Nodes, source: NodeId, name: &str, target: &Node) -> Result<Option<String>> {
    let sql = include_str!("../../../sql/verify/brought.sql");
    let cursor = Cursor::read(&target.client, source).await?;
    for other in nodes.compared.iter().filter(|other| other.endpoint.id != target.endpoint.id) {
        let Some(theirs) = Cursor::read(&other.client, source).await? else { continue };
        let lack = Some(format!(
            "{} has more of {name} than {}, and {name} cannot be asked",
            other.endpoint.name, target.endpoint.name
        ));
        let Some(ours) = cursor.as_ref().filter(|ours| ours.copy.is_none()) else { return Ok(lack) };
        if ours.from.parse::<Snapshot>()?.covers(&theirs.from.parse()?) && theirs.to.is_none() {
            continue;
        }
        if ask::row(&other.client, sql, &[&source.0, &ours.from]).await?.get("found") {
            return Ok(lack);
        }
    }
    Ok(None)
}
