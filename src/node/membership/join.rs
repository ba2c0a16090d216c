//! Making a node a member (again).

use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use tokio_postgres::Row;

use super::suspects::Suspects;
use super::{Member, committed, fence, look};
use crate::domain::membership::{FENCE_GAP, Facts, Misfit, Standing};
use crate::error::{Error, Kind, Result};
use crate::node::{ask, locks};

/// How long transactions are waited for that were open when the sequences were raised.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// How long a statement waits for a lock that dbmail may hold, and how often it is tried.
const LOCK_MS: i32 = 250;
const LOCK_TRIES: u32 = 50;
/// Rows of the outbox that are removed at once.
const ROWS_AT_ONCE: i64 = 10_000;

/// What was done to a node before its links begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What it was.
    pub standing: Standing,
    /// Messages that got another UID: the first UID, and the new one.
    pub born_again: Vec<(i64, i64)>,
    /// Mailboxes that got another id: the old one, and the new one.
    pub found_again: Vec<(i64, i64)>,
    /// How many contents got another address.
    pub readdressed: usize,
}

/// Does what has to be done before links may touch `node` (again). `peers` are all other nodes of the mesh. May be done again after it
/// broke off.
///
/// # Errors
/// `Refused` when it cannot become a member, with what to do; `Unreachable`, `Transient`.
pub async fn prepare(node: &mut Member, peers: &[Member]) -> Result<Joined> {
    if !ask::row(&node.client, include_str!("../../../sql/node/lock_join.sql"), &[]).await?.get::<_, bool>("locked") {
        return Err(Error::refused(
            format!("another join of {} is under way", node.endpoint),
            "wait until it has ended",
        ));
    }
    let facts = look(node, peers).await?;
    let standing = facts.standing().map_err(|misfit| refusal(node, &facts, &misfit))?;
    let (born_again, found_again) = (Vec::new(), Vec::new());
    let mut joined = Joined { standing: standing.clone(), born_again, found_again, readdressed: 0 };
    match &standing {
        Standing::New | Standing::Member => return Ok(joined),
        Standing::Copy { of } => {
            let why = format!("it was a copy of node {of}");
            fence::stay_out(&node.client, Some(&why)).await?;
            renew(node, peers, &why).await?;
        }
        Standing::Restored { why } => {
            fence::stay_out(&node.client, Some(why)).await?;
            // From here on it hands out nothing that anybody knows; what it has handed out so far is looked at then.
            raise(node, peers, FENCE_GAP).await?;
            await_open_transactions(node).await?;
            mend(node, peers, facts.moved, &mut joined).await?;
            renew(node, peers, why).await?;
        }
        Standing::Anew if node.identity.adopted_uid > 0 => {
            return Err(Error::refused(
                format!("{} had mail before it was installed, and its number was another database's", node.endpoint),
                "empty its dbmail database, then migrate down and up; or give it a number that was never used",
            ));
        }
        Standing::Anew => {
            fence::stay_out(&node.client, Some("it was installed under a number that was in use")).await?;
            raise(node, peers, FENCE_GAP).await?;
            await_open_transactions(node).await?;
            let own = ask::rows(&node.client, include_str!("../../../sql/node/own_contents.sql"), &[]).await?;
            let own: Vec<i64> = own.iter().map(|row| row.get(0)).collect();
            ask::row(&node.client, include_str!("../../../sql/node/readdress.sql"), &[&own]).await?;
            joined.readdressed = own.len();
            // It is empty, which is all that admission would prove.
            let mesh = peers.iter().find_map(|peer| peer.identity.mesh_id.clone());
            ask::run(&node.client, include_str!("../../../sql/node/join_mesh.sql"), &[&mesh]).await?;
        }
        // It has forgotten nothing; what others know of its numbers is raised above all the same.
        Standing::Left | Standing::TooLongAway => raise(node, peers, 0).await?,
        Standing::Renewed => {}
    }
    let is_unaware = |peer: &&Member| {
        let known = facts.peers.iter().find(|says| says.id == peer.identity.id.0).and_then(|says| says.knows.as_ref());
        standing != Standing::Renewed || known.is_some_and(|known| facts.former.contains(known))
    };
    // Whoever joins again knows how far it is with nobody, and nobody with it. The peer first: while the node has a position, what it has
    // told of that one is no contradiction.
    for peer in peers.iter().filter(is_unaware) {
        readmit(peer, node).await?;
        readmit(node, peer).await?;
    }
    // Last: until here no link touches it.
    ask::row(&node.client, include_str!("../../../sql/node/come_back.sql"), &[]).await?;
    Ok(joined)
}

/// `host` takes `guest` as a member, with which it is nowhere yet.
async fn readmit(host: &Member, guest: &Member) -> Result<()> {
    let (id, name) = (guest.endpoint.id.0, &guest.endpoint.name);
    let sql = include_str!("../../../sql/node/readmit.sql");
    ask::row(&host.client, sql, &[&id, name, &guest.identity.incarnation]).await?;
    Ok(())
}

async fn raise(node: &Member, peers: &[Member], gap: i64) -> Result<()> {
    for peer in peers {
        fence::raise(&peer.client, &node.client, node.endpoint.id, gap).await?;
    }
    Ok(())
}

/// A delivery that drew its number before the sequences were raised may commit later: it is waited for.
async fn await_open_transactions(node: &Member) -> Result<()> {
    let then = committed(node).await?;
    let begun = Instant::now();
    while ask::row(&node.client, include_str!("../../../sql/node/still_open.sql"), &[&then]).await?.get("still_open") {
        if begun.elapsed() > OPEN_MAX {
            let what = format!("a transaction on {} has been open for longer than {OPEN_MAX:?}", node.endpoint);
            return Err(Error::refused(what, "end it (pg_stat_activity tells which), and call join again"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Looks at what a forgetful node has delivered and created under numbers that may belong to others, each in a short transaction of its
/// own: dbmail may be at work. What was mended is no suspect any more when this is done again.
async fn mend(node: &mut Member, peers: &[Member], moved: bool, joined: &mut Joined) -> Result<()> {
    let suspects = Suspects::find(node, moved).await?;
    for id in suspects.other_mailboxes(peers).await? {
        let new = under_guard(node, include_str!("../../../sql/node/found_again.sql"), &[&id]).await?;
        joined.found_again.extend(new.get::<_, Option<i64>>(0).map(|new| (id, new)));
    }
    let (cleared, shared) = suspects.clear(peers).await?;
    let forgotten: Vec<i64> = cleared.forgotten.iter().map(|birth| birth.0).collect();
    under_guard(node, include_str!("../../../sql/node/forget_death.sql"), &[&forgotten]).await?;
    under_guard(node, include_str!("../../../sql/node/readdress.sql"), &[&cleared.readdressed]).await?;
    joined.readdressed = cleared.readdressed.len();
    for birth in cleared.born_again {
        let new = under_guard(node, include_str!("../../../sql/node/bear_again.sql"), &[&birth.0]).await?;
        let Some(new) = new.get::<_, Option<i64>>(0) else { continue };
        joined.born_again.push((birth.0, new));
        for peer in shared.get(&birth).into_iter().flatten().filter_map(|&at| peers.get(at)) {
            let sql = include_str!("../../../sql/node/is_born_as.sql");
            if !under_guard_of(&peer.client, sql, &[&birth.0, &new]).await?.get::<_, bool>(0) {
                tracing::warn!(
                    node = peer.endpoint.name,
                    uid = birth.0,
                    "has another number by now; it stays there twice"
                );
            }
        }
    }
    Ok(())
}

async fn under_guard(node: &Member, sql: &str, params: ask::Params<'_>) -> Result<Row> {
    under_guard_of(&node.client, sql, params).await
}

/// In a transaction as the worker's are: bounded by the server, and tried again where a lock could not be had.
async fn under_guard_of(client: &Client, sql: &str, params: ask::Params<'_>) -> Result<Row> {
    let mut tries = 0;
    loop {
        match try_under_guard(client, sql, params).await {
            Err(error) if error.kind() == Kind::Transient && tries < LOCK_TRIES => tries += 1,
            done => return done,
        }
        client.batch_execute("rollback").await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn try_under_guard(client: &Client, sql: &str, params: ask::Params<'_>) -> Result<Row> {
    client.batch_execute("begin").await?;
    locks::begin_apply(client, LOCK_MS).await?;
    let row = ask::row(client, sql, params).await?;
    client.batch_execute("commit").await?;
    Ok(row)
}

/// Makes it another incarnation without any progress; a copy also another node.
async fn renew(node: &mut Member, peers: &[Member], why: &str) -> Result<()> {
    while ask::row(&node.client, include_str!("../../../sql/node/forget_changes.sql"), &[&ROWS_AT_ONCE])
        .await?
        .get::<_, i64>(0)
        > 0
    {}
    ask::row(&node.client, include_str!("../../../sql/node/forget_progress.sql"), &[]).await?;
    let (id, name) = (node.endpoint.id.0, node.endpoint.name.as_str());
    let row = ask::row(&node.client, include_str!("../../../sql/node/become.sql"), &[&id, &name, &why]).await?;
    node.identity.incarnation = row.get(0);
    // A copy counts in its own class only from here on.
    raise(node, peers, FENCE_GAP).await
}

fn refusal(node: &Member, facts: &Facts, misfit: &Misfit) -> Error {
    let it = &node.endpoint;
    match misfit {
        Misfit::OtherNumber => Error::refused(
            format!(
                "{it} has id {} in the settings but is node {}, and no copy of a member",
                facts.wanted_id, facts.id
            ),
            "correct its id in the settings; a copy has to be one of a node that is a member now",
        ),
        Misfit::OtherMesh(peer) => Error::refused(
            format!("{it} and node {peer} belong to two different meshes"),
            "two meshes cannot be united; take the wrong node out of the settings",
        ),
        Misfit::OtherDatabase(peer) => Error::refused(
            format!("{it} is not the database that {peer} knows under this number, and it has been a member since"),
            "if it is a copy of that one which went on by itself, use the one that is a member; else empty it, and migrate down and up",
        ),
    }
}
