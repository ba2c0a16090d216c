//! What a node that has forgotten something has delivered and created since nobody knows when, and what its peers know under these ids.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use super::Member;
use crate::domain::ids::BirthUid;
use crate::domain::membership::{Cleared, Known, Naming, Suspect, clear, is_another};
use crate::error::{Error, Kind, Result};
use crate::node::ask;

/// Messages that may have a UID, or a content, that was in use before; and mailboxes.
pub(super) struct Suspects {
    messages: Vec<Suspect>,
    unique_ids: Vec<String>,
    mailboxes: Vec<(i64, Naming)>,
}

impl Suspects {
    /// Those of `node`. `moved`: its server's transactions are not those that it has noted.
    pub(super) async fn find(node: &Member, moved: bool) -> Result<Self> {
        let rows = ask::rows(&node.client, include_str!("../../../sql/node/suspects.sql"), &[&moved]).await?;
        let suspect = |row: &Row| Suspect {
            birth: BirthUid(row.get("birth_uid")),
            noted_us: row.get("noted_us"),
            physmessage: row.get("physmessage_id"),
            has_content_alone: row.get("is_alone"),
            is_dead: row.get("is_dead"),
        };
        let naming = |row: &Row| Naming {
            stamp: row.get("name_stamp"),
            is_later: row.get("renamed"),
            is_alive: !row.get::<_, bool>("has_ended"),
            owner: row.get("owner"),
        };
        let mailboxes =
            ask::rows(&node.client, include_str!("../../../sql/node/suspect_mailboxes.sql"), &[&moved]).await?;
        Ok(Self {
            messages: rows.iter().map(suspect).collect(),
            unique_ids: rows.iter().map(|row| row.get("unique_id")).collect(),
            mailboxes: mailboxes.iter().map(|row| (row.get("mailbox_idnr"), naming(row))).collect(),
        })
    }

    /// What becomes of the messages, and on which peers each of them is.
    pub(super) async fn clear(&self, peers: &[Member]) -> Result<(Cleared, BTreeMap<BirthUid, Vec<usize>>)> {
        let births: Vec<i64> = self.messages.iter().map(|suspect| suspect.birth.0).collect();
        let mut known = Vec::new();
        for peer in peers {
            let sql = include_str!("../../../sql/node/known_of_suspects.sql");
            let rows = ask::rows(&peer.client, sql, &[&births, &self.unique_ids]).await?;
            known.push(rows.iter().map(known_as).collect::<Result<Vec<_>>>()?);
        }
        let mut shared: BTreeMap<BirthUid, Vec<usize>> = BTreeMap::new();
        for (peer, of_peer) in known.iter().enumerate() {
            let same = self.messages.iter().zip(of_peer).filter(|(_, known)| **known == Known::Same);
            same.for_each(|(suspect, _)| shared.entry(suspect.birth).or_default().push(peer));
        }
        Ok((clear(&self.messages, &known), shared))
    }

    /// Mailboxes whose ids belong to others.
    pub(super) async fn other_mailboxes(&self, peers: &[Member]) -> Result<Vec<i64>> {
        let ids: Vec<i64> = self.mailboxes.iter().map(|(id, _)| *id).collect();
        let mut others = BTreeSet::new();
        for peer in peers {
            let rows =
                ask::rows(&peer.client, include_str!("../../../sql/node/known_of_mailboxes.sql"), &[&ids]).await?;
            for row in &rows {
                let id: i64 = row.get("mailbox_idnr");
                let known = Naming {
                    stamp: row.get("stamp"),
                    is_later: row.get("is_later"),
                    is_alive: row.get("is_alive"),
                    owner: row.get("owner"),
                };
                let ours = self.mailboxes.iter().find(|(ours, _)| *ours == id);
                if ours.is_some_and(|(_, ours)| is_another(ours, &known)) {
                    others.insert(id);
                }
            }
        }
        Ok(others.into_iter().collect())
    }
}

fn known_as(row: &Row) -> Result<Known> {
    match (row.get::<_, &str>("known"), row.get("died_us")) {
        ("n", _) => Ok(Known::Nothing),
        ("s", _) => Ok(Known::Same),
        ("o", _) => Ok(Known::Other),
        ("d", Some(died_us)) => Ok(Known::Dead(died_us)),
        (other, _) => Err(Error::new(Kind::Internal, format!("what is known of a message is {other:?}"))),
    }
}
