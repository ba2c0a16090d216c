//! The worlds in which pairs of operations meet: an account each, all alike, made before the nodes part.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::Mail;

use crate::mesh::Mesh;

/// The account that has rights on everybody's folder.
pub const FRIEND: &str = "bob";

/// Where something happens. Operations that choose a value choose another one on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }
}

/// An account `u0001` with these mailboxes and messages. Everything that operations add has its name in it.
#[derive(Clone, Debug)]
pub struct World {
    pub user: String,
    pub inbox: MailboxId,
    /// `Work`, with a message of its own.
    pub parent: MailboxId,
    /// `Work/x`, with the message that operations act on, and one that was expunged before.
    pub leaf: MailboxId,
    /// `Archive`: where A moves to.
    pub archive: MailboxId,
    /// `Attic`: where B moves to, and what takes another's name.
    pub attic: MailboxId,
    /// The message: no flags, and the keyword `old`.
    pub uid: Uid,
}

impl World {
    /// The `unique_id` of the message that operations act on.
    pub fn message(&self) -> String {
        format!("{}-m", self.user)
    }

    /// Those of the others: in INBOX, and in the parent.
    pub fn bystanders(&self) -> [String; 2] {
        ["i", "p"].map(|name| format!("{}-{name}", self.user))
    }

    /// That of what is delivered on a side.
    pub fn delivered(&self, side: Side) -> String {
        format!("{}-d-{}", self.user, side.letter())
    }

    /// The name of an account that does not exist yet.
    pub fn newcomer(&self) -> String {
        self.user.replacen('u', "v", 1)
    }

    /// The account's name after a rename on a side.
    pub fn renamed(&self, side: Side) -> String {
        format!("{}-{}", self.user, side.letter())
    }

    /// An alias that does not exist yet.
    pub fn alias(&self) -> String {
        format!("alias-{}@example.org", self.user)
    }

    /// Where a side moves messages to.
    pub fn destination(&self, side: Side) -> MailboxId {
        match side {
            Side::A => self.archive,
            Side::B => self.attic,
        }
    }
}

/// Everything in a few statements, for there are hundreds of worlds. All messages share one content, as copies do.
const WORLDS: &str = "
    insert into dbmail_users (userid, passwd, client_idnr, maxmail_size, encryption_type)
    select 'u' || lpad(n::text, 4, '0'), '', 0, 0, '' from generate_series(1, %count%) n;
    insert into dbmail_mailboxes (name, owner_idnr, seen_flag, answered_flag, deleted_flag, flagged_flag, recent_flag, draft_flag,
      permission)
    select b.name, u.user_idnr, 1, 1, 1, 1, 1, 1, 2
    from dbmail_users u, (values ('INBOX'), ('Work'), ('Work/x'), ('Archive'), ('Attic')) b(name)
    where u.userid ~ '^u[0-9]{4}$' order by u.userid, b.name;
    insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, recent_flag, status)
    select b.mailbox_idnr, (select max(id) from dbmail_physmessage), u.userid || '-' || g.name, 1, 0
    from dbmail_users u join dbmail_mailboxes b on b.owner_idnr = u.user_idnr
    join (values ('INBOX', 'i'), ('Work', 'p'), ('Work/x', 'm'), ('Work/x', 'gone')) g(mailbox, name) on g.mailbox = b.name
    where u.userid ~ '^u[0-9]{4}$' order by u.userid, g.name;
    insert into dbmail_keywords (message_idnr, keyword)
    select message_idnr, 'old' from dbmail_messages where unique_id ~ '^u[0-9]{4}-m$';
    update dbmail_messages set status = 2 where unique_id ~ '^u[0-9]{4}-gone$';
    update dbmail_users u set curmail_size = 3 * (select messagesize from dbmail_physmessage order by id desc limit 1)
    where u.userid ~ '^u[0-9]{4}$';
    insert into dbmail_acl (user_id, mailbox_id, lookup_flag)
    select f.user_idnr, b.mailbox_idnr, 1 from dbmail_users f, dbmail_mailboxes b where f.userid = 'bob' and b.name = 'Work/x';
    insert into dbmail_sievescripts (owner_idnr, name, script, active)
    select user_idnr, 'main', 'keep;', 1 from dbmail_users where userid ~ '^u[0-9]{4}$';";

const FIND: &str = "
    select u.userid, i.mailbox_idnr, p.mailbox_idnr, x.mailbox_idnr, a.mailbox_idnr, t.mailbox_idnr, m.message_idnr
    from dbmail_users u
    join dbmail_mailboxes i on i.owner_idnr = u.user_idnr and i.name = 'INBOX'
    join dbmail_mailboxes p on p.owner_idnr = u.user_idnr and p.name = 'Work'
    join dbmail_mailboxes x on x.owner_idnr = u.user_idnr and x.name = 'Work/x'
    join dbmail_mailboxes a on a.owner_idnr = u.user_idnr and a.name = 'Archive'
    join dbmail_mailboxes t on t.owner_idnr = u.user_idnr and t.name = 'Attic'
    join dbmail_messages m on m.unique_id = u.userid || '-m'
    where u.userid ~ '^u[0-9]{4}$' order by u.userid";

/// Makes so many worlds on the first node, and brings them to the others.
pub async fn make(mesh: &Mesh, count: usize) -> Vec<World> {
    let mut session = mesh.dbmail(1).await;
    session.create_user(FRIEND).await.unwrap();
    let inbox = session.create_mailbox(FRIEND, "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("content")).await.unwrap();
    session.client().batch_execute(&WORLDS.replace("%count%", &count.to_string())).await.unwrap();
    mesh.converge().await;
    let rows = session.client().query(FIND, &[]).await.unwrap();
    let mailbox = |row: &tokio_postgres::Row, column| MailboxId(row.get(column));
    rows.iter()
        .map(|row| World {
            user: row.get(0),
            inbox: mailbox(row, 1),
            parent: mailbox(row, 2),
            leaf: mailbox(row, 3),
            archive: mailbox(row, 4),
            attic: mailbox(row, 5),
            uid: Uid(row.get(6)),
        })
        .collect()
}
