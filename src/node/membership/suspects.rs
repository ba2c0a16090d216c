//! What a node that has forgotten something has delivered and created since nobody knows when, and what its peers know under these ids.

use std::collections::BTreeSet;

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
    /// With the stamps of their creation.
    mailboxes: Vec<(i64, i64)>,
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
        };
        let mailboxes =
            ask::rows(&node.client, include_str!("../../../sql/node/suspect_mailboxes.sql"), &[&moved]).await?;
        Ok(Self {
            messages: rows.iter().map(suspect).collect(),
            unique_ids: rows.iter().map(|row| row.get("unique_id")).collect(),
            mailboxes: mailboxes.iter().map(|row| (row.get("mailbox_idnr"), row.get("name_stamp"))).collect(),
        })
    }

    /// What becomes of the messages.
    pub(super) async fn clear(&self, peers: &[Member]) -> Result<Cleared> {
        let births: Vec<i64> = self.messages.iter().map(|suspect| suspect.birth.0).collect();
        let mut known = Vec::new();
        for peer in peers {
            let sql = include_str!("../../../sql/node/known_of_suspects.sql");
            let rows = ask::rows(&peer.client, sql, &[&births, &self.unique_ids]).await?;
            known.push(rows.iter().map(known_as).collect::<Result<Vec<_>>>()?);
        }
        Ok(clear(&self.messages, &known))
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
                let known = Naming { stamp: row.get("stamp"), is_later: row.get("is_later") };
                let ours = self.mailboxes.iter().find(|(ours, _)| *ours == id);
                if ours.is_some_and(|(_, created)| is_another(*created, known)) {
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
