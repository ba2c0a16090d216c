//! What the generator knows of a history: which messages there are, and why some may be gone.

use std::collections::BTreeMap;

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::Session;

use super::act::USERS;
use crate::mesh::conflicts::end::End;

/// The book of one history.
#[derive(Debug)]
pub struct Book {
    world: usize,
    /// Every message, by its `unique_id`, and why it is dead.
    messages: BTreeMap<String, Option<&'static str>>,
    /// Only then mail may be kept aside.
    pub user_was_deleted: bool,
}

impl Book {
    pub fn new(world: usize) -> Self {
        Self { world, messages: BTreeMap::new(), user_was_deleted: false }
    }

    /// What all that belongs to the history begins with.
    pub fn prefix(&self) -> String {
        format!("h{:02}-", self.world)
    }

    /// What an account is called.
    pub fn userid(&self, user: usize) -> String {
        self.prefix() + USERS[user]
    }

    /// The same, if there is such an account in this database.
    pub async fn user(&self, session: &Session, user: usize) -> Option<String> {
        let userid = self.userid(user);
        let row = session.client().query_opt("select from dbmail_users where userid = $1", &[&userid]).await.unwrap();
        row.map(|_| userid)
    }

    /// The name of a message that is to be delivered.
    pub fn new_message(&mut self) -> String {
        let name = format!("{}m{}", self.prefix(), self.messages.len());
        self.made(name.clone());
        name
    }

    /// There is a message of that name.
    pub fn made(&mut self, name: String) {
        self.messages.insert(name, None);
    }

    /// A message died where it was known: it is dead for ever.
    pub fn dead(&mut self, name: &str, why: &'static str) {
        if let Some(dead) = self.messages.get_mut(name) {
            dead.get_or_insert(why);
        }
    }

    /// The message at a place of a mailbox.
    pub async fn message(&self, session: &mut Session, mailbox: MailboxId, place: usize) -> Option<(Uid, String)> {
        let listed = session.search_above(mailbox, Uid(0)).await.unwrap();
        let chosen = listed.get(place % listed.len().max(1))?;
        Some((chosen.uid, chosen.unique_id.clone()))
    }

    /// Guarantee E on a node: each message is there once, or is dead for a reason, or kept aside for an account that is gone.
    pub fn faults(&self, node: &str, end: &End) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, dead) in &self.messages {
            let (count, kept) = (end.count(name), end.kept.contains(name));
            let fault = match (dead, count, kept) {
                (Some(why), 1.., _) => format!("is there, though {why}"),
                (Some(why), 0, true) => format!("is kept aside, though {why}"),
                (None, 0, true) if !self.user_was_deleted => "is kept aside, though no account was deleted".into(),
                (None, 0, false) => "is lost".into(),
                (None, 1, true) => "is there, and kept aside".into(),
                (None, 2.., _) => format!("is there {count} times"),
                _ => continue,
            };
            faults.push(format!("{node}: {}: message {name} {fault}", self.prefix()));
        }
        faults
    }
}
