//! What can happen in a history.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};
use fastrand::Rng;

use super::book::Book;

/// Names of accounts: the first and the third are there from the start, the others come by a rename.
pub const USERS: [&str; 4] = ["a", "a2", "b", "b2"];
/// Names of mailboxes: the first two are there from the start.
pub const NAMES: [&str; 4] = ["INBOX", "One", "Two", "One/x"];
const WORDS: [&str; 2] = ["red", "blue"];

/// An account and one of its mailboxes, by their places in [`USERS`] and [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    user: usize,
    name: usize,
}

/// One operation. Messages go by their place in the mailbox, counted round. Where there is no such thing, nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Deliver(At),
    Copy(At, usize, At),
    Move(At, usize, usize),
    Flag(At, usize, usize, bool),
    Word(At, usize, usize, bool),
    Expunge(At, usize),
    RenameInbox(At),
    Create(At),
    Rename(At, usize),
    Delete(At),
    Subscribe(At, bool),
    Rights(At, usize),
    CreateUser(usize),
    ChangeUser(usize, u8),
    RenameUser(usize),
    DeleteUser(usize),
    Alias(usize, bool),
    Script(usize, u8),
}

impl At {
    fn draw(random: &mut Rng) -> Self {
        // Mostly those who are there.
        let user = if random.u8(..8) == 0 { random.usize(..USERS.len()) } else { 2 * random.usize(..2) };
        let name = if random.u8(..3) == 0 { random.usize(..NAMES.len()) } else { random.usize(..2) };
        Self { user, name }
    }
}

impl Act {
    pub fn draw(random: &mut Rng) -> Self {
        let (at, message) = (At::draw(random), random.usize(..4));
        let other = At::draw(random);
        match random.u8(..100) {
            0..22 => Self::Deliver(at),
            22..30 => Self::Copy(at, message, other),
            30..38 => Self::Move(at, message, other.name),
            38..46 => Self::Flag(at, message, random.usize(..5), random.bool()),
            46..53 => Self::Word(at, message, random.usize(..WORDS.len()), random.bool()),
            53..60 => Self::Expunge(at, message),
            60..62 => Self::RenameInbox(at),
            62..70 => Self::Create(at),
            70..77 => Self::Rename(at, other.name),
            77..84 => Self::Delete(at),
            84..87 => Self::Subscribe(at, random.bool()),
            87..90 => Self::Rights(at, random.usize(..3)),
            90..92 => Self::CreateUser(at.user),
            92..94 => Self::ChangeUser(at.user, random.u8(..9)),
            94..96 => Self::RenameUser(at.user),
            96 => Self::DeleteUser(at.user),
            97 => Self::Alias(at.user, random.bool()),
            _ => Self::Script(at.user, random.u8(..9)),
        }
    }

    /// Does it, and notes in the book what that means for messages. False where there was nothing to do it with.
    pub async fn perform(self, session: &mut Session, book: &mut Book) -> bool {
        let took_place = match self {
            Self::CreateUser(_) | Self::ChangeUser(..) | Self::RenameUser(_) => self.on_users(session, book).await,
            Self::DeleteUser(_) | Self::Alias(..) | Self::Script(..) => self.on_users(session, book).await,
            Self::Deliver(_) | Self::Copy(..) | Self::Move(..) | Self::Expunge(..) => {
                self.on_messages(session, book).await
            }
            Self::Flag(..) | Self::Word(..) => self.on_messages(session, book).await,
            _ => self.on_mailboxes(session, book).await,
        };
        took_place.is_some()
    }

    async fn on_messages(self, session: &mut Session, book: &mut Book) -> Option<()> {
        match self {
            Self::Deliver(at) => {
                let mailbox = selectable(session, book, at).await?;
                let name = book.new_message();
                session.deliver(mailbox, &Mail::named(&name)).await.unwrap();
            }
            Self::Copy(at, message, to) => {
                let (mailbox, to) = (found(session, book, at).await?, selectable(session, book, to).await?);
                let (uid, _) = book.message(session, mailbox, message).await?;
                let copy = session.copy(uid, to).await.unwrap();
                let name = "select unique_id from dbmail_messages where message_idnr = $1";
                book.made(session.client().query_one(name, &[&copy.0]).await.unwrap().get(0));
            }
            Self::Move(at, message, to) => {
                let mailbox = found(session, book, at).await?;
                let to = selectable(session, book, At { name: to, ..at }).await.filter(|to| *to != mailbox)?;
                let (uid, _) = book.message(session, mailbox, message).await?;
                session.move_messages(mailbox, &[uid], to).await.unwrap();
            }
            Self::Flag(at, message, flag, set) => {
                let [seen, answered, deleted, flagged, draft] = [0, 1, 2, 3, 4].map(|which| which == flag);
                let flags = Flags { seen, answered, deleted, flagged, draft };
                let mailbox = found(session, book, at).await?;
                let (uid, _) = book.message(session, mailbox, message).await?;
                let change = if set { StoreFlags::add(flags) } else { StoreFlags::remove(flags) };
                session.store(mailbox, &[uid], &change).await.unwrap();
            }
            Self::Word(at, message, word, set) => {
                let mailbox = found(session, book, at).await?;
                let (uid, _) = book.message(session, mailbox, message).await?;
                let change = if set { StoreFlags::add(Flags::NONE) } else { StoreFlags::remove(Flags::NONE) };
                session.store(mailbox, &[uid], &change.keywords(&[WORDS[word]])).await.unwrap();
            }
            Self::Expunge(at, message) => {
                let mailbox = found(session, book, at).await?;
                let (uid, _) = book.message(session, mailbox, message).await?;
                session.store(mailbox, &[uid], &StoreFlags::add(Flags::DELETED)).await.unwrap();
                for expunged in session.expunge_named(mailbox).await.unwrap() {
                    book.dead(&expunged.unique_id, "it was expunged");
                }
            }
            _ => unreachable!(),
        }
        Some(())
    }

    async fn on_mailboxes(self, session: &mut Session, book: &mut Book) -> Option<()> {
        match self {
            Self::RenameInbox(at) => {
                let user = book.user(session, at.user).await?;
                session.find_mailbox(&user, "INBOX").await.unwrap()?;
                if at.name > 0 && session.find_mailbox(&user, NAMES[at.name]).await.unwrap().is_none() {
                    session.rename_inbox(&user, NAMES[at.name]).await.unwrap();
                }
            }
            Self::Create(at) => {
                let user = book.user(session, at.user).await?;
                session.find_or_create_mailbox(&user, NAMES[at.name]).await.unwrap();
            }
            Self::Rename(at, to) => {
                let user = book.user(session, at.user).await?;
                let mailbox = found(session, book, at).await.filter(|_| at.name > 0 && to > 0)?;
                // Into itself dbmail renames nothing.
                if session.find_mailbox(&user, NAMES[to]).await.unwrap().is_none() && !NAMES[to].starts_with("One/") {
                    // A child whose new name is taken stays what it is called, and the rest with it.
                    let _ = session.rename_mailbox(mailbox, NAMES[to]).await;
                }
            }
            Self::Delete(at) => {
                let mailbox = found(session, book, at).await.filter(|_| at.name > 0)?;
                let listed = session.search_above(mailbox, Uid(0)).await.unwrap();
                // False for a mere name.
                session.delete_mailbox(mailbox).await.unwrap().then_some(())?;
                for listed in listed {
                    book.dead(&listed.unique_id, "its mailbox was deleted with it");
                }
            }
            Self::Subscribe(at, on) => {
                let (user, mailbox) = (book.user(session, at.user).await?, found(session, book, at).await?);
                if on {
                    session.subscribe(&user, mailbox).await.unwrap();
                } else {
                    session.unsubscribe(&user, mailbox).await.unwrap();
                }
            }
            Self::Rights(at, which) => {
                let mailbox = found(session, book, at).await?;
                let friend = book.user(session, 2 - at.user / 2 * 2).await?;
                match ["", "lr", "lrsw"][which] {
                    "" => drop(session.delete_acl(&friend, mailbox).await.unwrap()),
                    rights => session.set_acl(&friend, mailbox, rights).await.unwrap(),
                }
            }
            _ => unreachable!(),
        }
        Some(())
    }

    async fn on_users(self, session: &mut Session, book: &mut Book) -> Option<()> {
        match self {
            Self::CreateUser(user) => {
                if book.user(session, user).await.is_none() {
                    session.create_user(&book.userid(user)).await.unwrap();
                }
            }
            Self::ChangeUser(user, to) => {
                let user = book.user(session, user).await?;
                session.change_password(&user, &to.to_string(), "").await.unwrap();
                session.change_quota(&user, i64::from(to)).await.unwrap();
            }
            Self::RenameUser(user) => {
                // a to a2 and back, b to b2 and back.
                let (old, new) = (book.user(session, user).await?, user ^ 1);
                if book.user(session, new).await.is_none() {
                    session.rename_user(&old, &book.userid(new)).await.unwrap();
                }
            }
            Self::DeleteUser(user) => {
                let user = book.user(session, user).await?;
                let its = "select g.unique_id from dbmail_messages g join dbmail_mailboxes m using (mailbox_idnr)
                           join dbmail_users u on u.user_idnr = m.owner_idnr where u.userid = $1 and g.status < 2";
                for row in session.client().query(its, &[&user]).await.unwrap() {
                    book.dead(row.get(0), "its account was deleted with it");
                }
                session.delete_user(&user).await.unwrap();
                book.user_was_deleted = true;
            }
            Self::Alias(user, on) => {
                let (alias, user) = (book.userid(user) + "@example.org", book.user(session, user).await?);
                if on {
                    session.add_alias(&alias, &user).await.unwrap();
                } else {
                    session.remove_alias(&alias, &user).await.unwrap();
                }
            }
            Self::Script(user, text) => {
                let user = book.user(session, user).await?;
                match text {
                    0 => drop(session.delete_script(&user, "main").await.unwrap()),
                    1 => session.activate_script(&user, "main").await.unwrap(),
                    _ => session.put_script(&user, "main", &format!("keep; # {text}")).await.unwrap(),
                }
            }
            _ => unreachable!(),
        }
        Some(())
    }
}

async fn found(session: &mut Session, book: &Book, at: At) -> Option<MailboxId> {
    let user = book.user(session, at.user).await?;
    session.find_mailbox(&user, NAMES[at.name]).await.unwrap()
}

/// What dbmail would let a client write to.
async fn selectable(session: &mut Session, book: &Book, at: At) -> Option<MailboxId> {
    let mailbox = found(session, book, at).await?;
    let no_select = "select no_select = 1 from dbmail_mailboxes where mailbox_idnr = $1";
    let is_name: bool = session.client().query_one(no_select, &[&mailbox.0]).await.unwrap().get(0);
    (!is_name).then_some(mailbox)
}
