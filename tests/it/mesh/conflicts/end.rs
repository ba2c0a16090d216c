//! What a node shows in the end, in a form that many questions can be asked of.

use std::collections::{BTreeMap, BTreeSet};

use dbmail_mesh::domain::ids::MailboxId;
use tokio_postgres::Client;

/// A mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox {
    pub owner: String,
    pub name: String,
    pub no_select: bool,
    pub permission: i16,
}

/// A visible message.
#[derive(Clone, Debug)]
pub struct Message {
    pub mailbox: MailboxId,
    /// Seen, answered, deleted, flagged, draft.
    pub flags: [bool; 5],
    pub keywords: BTreeSet<String>,
}

/// A node's state.
#[derive(Debug, Default)]
pub struct End {
    /// Passwords by userid.
    pub users: BTreeMap<String, String>,
    pub mailboxes: BTreeMap<MailboxId, Mailbox>,
    /// By owner and name.
    pub names: BTreeMap<(String, String), Vec<MailboxId>>,
    /// The visible ones by `unique_id`.
    pub messages: BTreeMap<String, Vec<Message>>,
    /// `unique_id` of what is hidden, and never shown to anybody: mail of accounts that are gone.
    pub kept: BTreeSet<String>,
    pub subscriptions: BTreeSet<(String, MailboxId)>,
    /// Rights in the letters of RFC 4314, by account and mailbox.
    pub rights: BTreeMap<(String, MailboxId), String>,
    /// Alias, and account or whatever else it leads to.
    pub aliases: BTreeSet<(String, String)>,
    /// Text and whether it is active, by account and name.
    pub scripts: BTreeMap<(String, String), (String, bool)>,
}

const USERS: &str = "select userid, passwd from dbmail_users";
const MAILBOXES: &str = "select m.mailbox_idnr, u.userid, m.name, m.no_select = 1, m.permission
    from dbmail_mailboxes m join dbmail_users u on u.user_idnr = m.owner_idnr
    where u.userid <> '__@!internal_delivery_user!@__'";
const MESSAGES: &str = "select g.unique_id, g.mailbox_idnr,
        array[g.seen_flag = 1, g.answered_flag = 1, g.deleted_flag = 1, g.flagged_flag = 1, g.draft_flag = 1],
        array(select k.keyword::text from dbmail_keywords k where k.message_idnr = g.message_idnr)
    from dbmail_messages g where g.status < 2 and g.message_idnr < 281474976710656";
const KEPT: &str = "select g.unique_id
    from dbmail_mesh.late l join dbmail_messages g on g.message_idnr = l.row_idnr
    where g.status = 5 and l.row_idnr >= 281474976710656";
const SUBSCRIPTIONS: &str = "select u.userid, s.mailbox_id
    from dbmail_subscription s join dbmail_users u on u.user_idnr = s.user_id";
const RIGHTS: &str = include_str!("../../../../sql/scratch/audit_acls.sql");
const ALIASES: &str = "select a.alias, coalesce(u.userid, a.deliver_to)
    from dbmail_aliases a left join dbmail_users u on u.user_idnr::text = a.deliver_to";
const SCRIPTS: &str = "select u.userid, s.name, s.script, s.active = 1
    from dbmail_sievescripts s join dbmail_users u on u.user_idnr = s.owner_idnr";

impl End {
    /// Reads all of it.
    pub async fn read(client: &Client) -> Self {
        let mut end = Self::default();
        for row in client.query(USERS, &[]).await.unwrap() {
            end.users.insert(row.get(0), row.get(1));
        }
        for row in client.query(MAILBOXES, &[]).await.unwrap() {
            let id = MailboxId(row.get(0));
            let mailbox =
                Mailbox { owner: row.get(1), name: row.get(2), no_select: row.get(3), permission: row.get(4) };
            end.names.entry((mailbox.owner.clone(), mailbox.name.clone())).or_default().push(id);
            end.mailboxes.insert(id, mailbox);
        }
        for row in client.query(MESSAGES, &[]).await.unwrap() {
            let flags: Vec<bool> = row.get(2);
            let message = Message {
                mailbox: MailboxId(row.get(1)),
                flags: flags.try_into().unwrap(),
                keywords: row.get::<_, Vec<String>>(3).into_iter().collect(),
            };
            end.messages.entry(row.get(0)).or_default().push(message);
        }
        for row in client.query(SUBSCRIPTIONS, &[]).await.unwrap() {
            end.subscriptions.insert((row.get(0), MailboxId(row.get(1))));
        }
        for row in client.query(RIGHTS, &[]).await.unwrap() {
            let (key, fields): (String, Vec<String>) = (row.get("key"), row.get("fields"));
            let (account, mailbox) = key.split_once(" on mailbox ").unwrap();
            end.rights.insert((account.to_owned(), MailboxId(mailbox.parse().unwrap())), fields[0].clone());
        }
        for row in client.query(SCRIPTS, &[]).await.unwrap() {
            end.scripts.insert((row.get(0), row.get(1)), (row.get(2), row.get(3)));
        }
        end.kept = client.query(KEPT, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        end.aliases = client.query(ALIASES, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        end
    }

    /// A message that is visible once; otherwise `None`.
    pub fn message(&self, unique_id: &str) -> Option<&Message> {
        match self.messages.get(unique_id).map(Vec::as_slice) {
            Some([message]) => Some(message),
            _ => None,
        }
    }

    /// How often a message is visible.
    pub fn count(&self, unique_id: &str) -> usize {
        self.messages.get(unique_id).map_or(0, Vec::len)
    }

    /// What a mailbox is called; `None` when it is gone.
    pub fn name(&self, mailbox: MailboxId) -> Option<&str> {
        self.mailboxes.get(&mailbox).map(|mailbox| mailbox.name.as_str())
    }
}
