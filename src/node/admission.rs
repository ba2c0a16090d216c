//! Admission: a node becomes a member when it is empty, or a copy that is proven equal. Anything else is refused before a single
//! row is joined, for on independent nodes UID 5 and mailbox 7 are different people's.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::ask::{self, Columns as _, corrupt_peer};
use super::{Endpoint, connect};
use crate::domain::ids::{NodeId, Stride};
use crate::error::{Error, Result};

/// How many messages of a copy are tied to their originals at a time.
const CONTENTS_PER_STATEMENT: i64 = 10_000;

/// Who a node says it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number.
    pub id: NodeId,
    /// Its name at install.
    pub name: String,
    /// Its stride.
    pub stride: Stride,
    /// Drawn at install.
    pub incarnation: String,
    /// The mesh that it belongs to, if any.
    pub mesh_id: Option<String>,
    /// Highest UID of the mail that it had at install; 0: none.
    pub adopted_uid: i64,
    /// Every UID that it has given out is above this.
    pub uid_floor: i64,
    /// Whether it has given out any.
    pub handed_out: bool,
    /// Whether it is in another cluster than at install.
    pub moved: bool,
    /// Whether it has mail in the storage format of dbmail 2.
    pub has_old_blocks: bool,
    /// Whether no link may touch it until it joins (again).
    pub stays_out: bool,
    /// Why, unless it was taken out by `leave`.
    pub why_out: Option<String>,
    /// What it was before it joined anew.
    pub former: Vec<String>,
}

/// What to do about a node that has gone back in time.
pub fn remedy_for_the_past(node: &str) -> String {
    format!("it was restored from a backup or lost its last transactions: dbmail-mesh join --node {node}")
}

impl Identity {
    /// Asks a node.
    ///
    /// # Errors
    /// `Refused` when dbmail-mesh is not installed there; `Unreachable`.
    pub async fn read(endpoint: &Endpoint, client: &impl GenericClient) -> Result<Self> {
        let row = ask::row(client, include_str!("../../sql/node/identity.sql"), &[]).await.map_err(|error| {
            let error = error.context(format!("{endpoint}: dbmail-mesh is not installed, or this role may not use it"));
            if error.kind() == crate::error::Kind::Refused {
                error.remedy("run dbmail-mesh migrate up, or see dbmail-mesh migrate rights for what this role needs")
            } else {
                error
            }
        })?;
        Self::from_row(&row).map_err(|error| corrupt_peer(error).context(endpoint))
    }

    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: NodeId(row.read("node_id")?),
            name: row.read("node_name")?,
            stride: Stride(row.read("stride")?),
            incarnation: row.read("incarnation")?,
            mesh_id: row.read("mesh_id")?,
            adopted_uid: row.read("adopted_uid")?,
            uid_floor: row.read("uid_floor")?,
            handed_out: row.read("handed_out")?,
            moved: row.read("moved")?,
            has_old_blocks: row.read("has_old_blocks")?,
            stays_out: row.read("stays_out")?,
            why_out: row.read("left_why")?,
            former: row.read("former")?,
        })
    }
}

/// How often mail is compared before a difference counts.
const PROOF_TRIES: usize = 5;

/// One side of an admission.
pub struct Side<'a> {
    /// Where it is.
    pub endpoint: &'a Endpoint,
    /// A connection to it.
    pub client: &'a Client,
}

/// Admits two nodes to one another. `founder` is the incarnation of the node with the lowest number of the settings: the id of a
/// mesh that does not exist yet. Idempotent.
///
/// # Errors
/// `Refused`, with both nodes named and what to do; `Unreachable`, `Transient`.
pub async fn admit(a: &Side<'_>, b: &Side<'_>, stride: Stride, founder: Option<&str>) -> Result<()> {
    let of_a = Identity::read(a.endpoint, a.client).await?;
    let of_b = Identity::read(b.endpoint, b.client).await?;
    for (side, identity) in [(a, &of_a), (b, &of_b)] {
        check_installation(side.endpoint, identity, stride)?;
    }
    if of_a.id == of_b.id || of_a.incarnation == of_b.incarnation {
        return Err(Error::refused(
            format!("{} and {} are one installation", a.endpoint, b.endpoint),
            format!(
                "each node needs a database of its own; a copy of a member becomes a node by dbmail-mesh join --node {}",
                b.endpoint.name
            ),
        ));
    }
    let mesh = match (&of_a.mesh_id, &of_b.mesh_id) {
        (Some(mesh_a), Some(mesh_b)) if mesh_a != mesh_b => {
            return Err(Error::refused(
                format!("{} and {} belong to two different meshes ({mesh_a}, {mesh_b})", a.endpoint, b.endpoint),
                "two meshes cannot be united; take the wrong node out of the settings",
            ));
        }
        (Some(mesh), Some(_)) => mesh.clone(),
        (Some(mesh), None) | (None, Some(mesh)) => {
            prove(a, &of_a, b, &of_b).await?;
            mesh.clone()
        }
        (None, None) => {
            prove(a, &of_a, b, &of_b).await?;
            founder
                .ok_or_else(|| {
                    Error::new(crate::error::Kind::Unreachable, "the node with the lowest number cannot be asked")
                        .remedy("a new mesh is founded by it; the others wait for it once")
                })?
                .to_owned()
        }
    };
    for (side, peer, identity) in [(a, b, &of_b), (b, a, &of_a)] {
        know_by_no_other(side, peer.endpoint, identity).await?;
    }
    for (side, peer, identity) in [(a, b, &of_b), (b, a, &of_a)] {
        remember(side, peer.endpoint, identity).await?;
    }
    // Not before both have accepted one another: a node that belongs to a mesh is no new one.
    for side in [a, b] {
        ask::run(side.client, include_str!("../../sql/node/join_mesh.sql"), &[&mesh]).await?;
    }
    Ok(())
}

fn check_installation(endpoint: &Endpoint, identity: &Identity, stride: Stride) -> Result<()> {
    if identity.id != endpoint.id {
        return Err(Error::refused(
            format!("{endpoint} has id {} in the settings but was installed as node {}", endpoint.id, identity.id),
            format!(
                "correct the id in the settings; or, where it is to become another node: dbmail-mesh join --node {}",
                endpoint.name
            ),
        ));
    }
    if identity.stride != stride {
        return Err(Error::refused(
            format!("mesh.stride is {stride} in the settings but {endpoint} was installed with {}", identity.stride),
            "correct mesh.stride: it cannot change",
        ));
    }
    if identity.moved {
        return Err(Error::refused(
            format!("{endpoint} is in another PostgreSQL cluster than when it was installed"),
            format!(
                "if it was restored or copied: dbmail-mesh join --node {}. After a pg_upgrade, with nothing lost: select \
                 dbmail_mesh.is_what_it_was()",
                endpoint.name
            ),
        ));
    }
    if identity.stays_out {
        let why = identity.why_out.as_deref().unwrap_or("it was taken out of it");
        return Err(Error::refused(
            format!("{endpoint} takes no part in the mesh: {why}"),
            format!("bring it back by dbmail-mesh join --node {}, or take it out of the settings", endpoint.name),
        ));
    }
    if identity.has_old_blocks {
        return Err(Error::refused(
            format!("{endpoint} has mail in the storage format of dbmail 2 (table dbmail_messageblks)"),
            "run dbmail-util -M there until the table is empty",
        ));
    }
    Ok(())
}

/// A node that was never admitted has given nobody anything: where contents are known by its number they are another database's, whose ids
/// it would use again.
async fn know_by_no_other(side: &Side<'_>, peer: &Endpoint, identity: &Identity) -> Result<()> {
    // A copy has mail from before, which is proven to be equal.
    if identity.mesh_id.is_some() || identity.adopted_uid > 0 {
        return Ok(());
    }
    let row = ask::row(side.client, include_str!("../../sql/node/has_contents_of.sql"), &[&peer.id.0]).await?;
    if row.read("has_some")? {
        return Err(Error::refused(
            format!("{peer} is new, but {} has mail of another node with its number", side.endpoint),
            format!("give it a number that was never used, or: dbmail-mesh join --node {}", peer.name),
        ));
    }
    Ok(())
}

/// Notes a peer, or refuses one that is not the database that it was.
async fn remember(side: &Side<'_>, peer: &Endpoint, identity: &Identity) -> Result<()> {
    let admitted = ask::row_if_any(
        side.client,
        include_str!("../../sql/node/admit_peer.sql"),
        &[&peer.id.0, &peer.name, &identity.incarnation],
    )
    .await?;
    admitted.map(|_| ()).ok_or_else(|| {
        Error::refused(
            format!(
                "{peer} is not the database that {} knows under this number, or it has left the mesh",
                side.endpoint
            ),
            format!(
                "if it was installed anew, restored or copied, or is to come back: dbmail-mesh join --node {}",
                peer.name
            ),
        )
    })
}

/// Proves that two nodes, at least one of which is new, can be united.
async fn prove(a: &Side<'_>, of_a: &Identity, b: &Side<'_>, of_b: &Identity) -> Result<()> {
    for (side, identity, other) in [(a, of_a, of_b), (b, of_b, of_a)] {
        if identity.uid_floor >= other.adopted_uid {
            continue;
        }
        if identity.handed_out {
            return Err(Error::refused(
                format!(
                    "{} has handed out UIDs above {}, but node {} had mail up to UID {} before the mesh",
                    side.endpoint, identity.uid_floor, other.name, other.adopted_uid
                ),
                "empty its dbmail database, then migrate down and up with all nodes reachable",
            ));
        }
        ask::run(side.client, include_str!("../../sql/node/raise_floor.sql"), &[&other.adopted_uid]).await?;
    }
    if let Some(clash) = clash_of_mailboxes(&mailbox_names(a.client).await?, &mailbox_names(b.client).await?) {
        return Err(not_a_copy(a, b, &clash));
    }
    if of_a.adopted_uid > 0 && of_b.adopted_uid > 0 {
        let highest = of_a.adopted_uid.min(of_b.adopted_uid);
        prove_equal(a, b, highest).await?;
        tie_contents(a, b, highest).await?;
    }
    Ok(())
}

/// Compares the mail from before the install. What dies on one side between two looks is no difference: look again.
async fn prove_equal(a: &Side<'_>, b: &Side<'_>, highest: i64) -> Result<()> {
    let mut difference = String::new();
    for _ in 0..PROOF_TRIES {
        let (digest_a, digest_b) = digests(a, b, highest).await?;
        match first_difference(&digest_a, &digest_b) {
            None => return Ok(()),
            Some(found) if found == difference => break,
            Some(found) => difference = found,
        }
    }
    Err(not_a_copy(a, b, &difference))
}

fn not_a_copy(a: &Side<'_>, b: &Side<'_>, difference: &str) -> Error {
    Error::refused(
        format!("{} and {} have different mail: {difference}", a.endpoint, b.endpoint),
        "a new node must be empty or an exact copy; empty the one whose mail is not to be kept, or restore it from a copy",
    )
}

/// Mailboxes by id: owner and name.
type MailboxNames = BTreeMap<i64, (String, String)>;

async fn mailbox_names(client: &impl GenericClient) -> Result<MailboxNames> {
    let rows = ask::rows(client, include_str!("../../sql/node/mailbox_names.sql"), &[]).await?;
    rows.iter().map(|row| Ok((row.read("mailbox_idnr")?, (row.read("owner")?, row.read("name")?)))).collect()
}

/// One id, two mailboxes.
fn clash_of_mailboxes(a: &MailboxNames, b: &MailboxNames) -> Option<String> {
    a.iter().find_map(|(id, (owner, name))| {
        let (other_owner, other_name) = b.get(id)?;
        ((owner, name) != (other_owner, other_name)).then(|| {
            format!(
                "mailbox {id} is {name:?} of {owner:?} on the one and {other_name:?} of {other_owner:?} on the other"
            )
        })
    })
}

/// Mail from before the install, by mailbox: owner, name, number of messages and digest.
type Digests = BTreeMap<i64, (String, String, i64, String)>;

async fn digests(a: &Side<'_>, b: &Side<'_>, highest: i64) -> Result<(Digests, Digests)> {
    let mut gone: BTreeSet<i64> = BTreeSet::new();
    for side in [a, b] {
        let rows = ask::rows(side.client, include_str!("../../sql/node/adopted_deaths.sql"), &[&highest]).await?;
        gone.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    let gone: Vec<i64> = gone.into_iter().collect();
    Ok((digest(a.client, highest, &gone).await?, digest(b.client, highest, &gone).await?))
}

async fn digest(client: &Client, highest: i64, gone: &[i64]) -> Result<Digests> {
    // All the mail is looked at, once in the life of a node.
    connect::allow_long_statements(client).await?;
    let rows = ask::rows(client, include_str!("../../sql/node/adopted_digest.sql"), &[&highest, &gone]).await;
    client.batch_execute("reset statement_timeout").await?;
    let digest = |row: &Row| {
        let of_mailbox = (row.read("owner")?, row.read("name")?, row.read("messages")?, row.read("digest")?);
        Ok((row.read("mailbox_idnr")?, of_mailbox))
    };
    rows?.iter().map(digest).collect()
}

fn first_difference(a: &Digests, b: &Digests) -> Option<String> {
    let ids: BTreeSet<&i64> = a.keys().chain(b.keys()).collect();
    ids.into_iter().find_map(|id| match (a.get(id), b.get(id)) {
        (Some(of_a), Some(of_b)) if of_a == of_b => None,
        (Some((owner, name, messages, _)), Some((_, _, other, _))) => Some(format!(
            "mailbox {id} ({name:?} of {owner:?}) has {messages} messages from before the mesh on the one and {other} on the \
             other, or they differ"
        )),
        (Some((owner, name, messages, _)), None) | (None, Some((owner, name, messages, _))) => {
            Some(format!("mailbox {id} ({name:?} of {owner:?}, {messages} messages) is on one of them only"))
        }
        (None, None) => None,
    })
}

/// Ties the contents of the node with the higher number to those of the other, so that they are known as one.
async fn tie_contents(a: &Side<'_>, b: &Side<'_>, highest: i64) -> Result<()> {
    let (original, copy) = if a.endpoint.id < b.endpoint.id { (a, b) } else { (b, a) };
    let mut after = 0_i64;
    loop {
        let rows = ask::rows(
            original.client,
            include_str!("../../sql/node/adopted_contents.sql"),
            &[&highest, &after, &CONTENTS_PER_STATEMENT],
        )
        .await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.get("message_idnr");
        let (uids, contents): (Vec<i64>, Vec<i64>) =
            rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))).unzip();
        ask::run(
            copy.client,
            include_str!("../../sql/node/link_contents.sql"),
            &[&original.endpoint.id.0, &uids, &contents],
        )
        .await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_for_two_mailboxes_is_a_clash() {
        let a: MailboxNames = [(7, ("alice".into(), "INBOX".into()))].into();
        let b: MailboxNames = [(7, ("bob".into(), "INBOX".into()))].into();
        assert!(clash_of_mailboxes(&a, &a.clone()).is_none());
        assert!(clash_of_mailboxes(&a, &b).unwrap().contains("alice"));
    }

    #[test]
    fn a_mailbox_on_one_side_only_is_a_difference() {
        let a: Digests = [(7, ("alice".into(), "INBOX".into(), 3, "1".into()))].into();
        assert!(first_difference(&a, &a.clone()).is_none());
        assert!(first_difference(&a, &Digests::new()).unwrap().contains("3 messages"));
    }
}
