//! The operations that are paired, as dbmail carries them out.

use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::world::{FRIEND, Side, World};

/// What an operation made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    Nothing,
    /// A message, by its `unique_id`.
    Message(String),
    Mailbox(MailboxId),
}

/// All five.
pub const ALL_FLAGS: Flags = Flags { seen: true, answered: true, deleted: true, flagged: true, draft: true };

macro_rules! operations {
    ($($variant:ident = $name:literal,)*) => {
        /// An operation on the objects of a [`World`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Op {
            $(#[doc = $name] $variant,)*
        }

        impl Op {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What the table calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

// What takes something back has made it first, so that it is a change on its own side, and the later of two.
operations! {
    Deliver = "deliver",
    Copy = "copy",
    Move = "move",
    SetFlags = "set flags",
    ClearFlags = "clear flags",
    AddKeyword = "add keyword",
    RemoveKeyword = "remove keyword",
    Expunge = "expunge",
    Purge = "purge",
    CreateMailbox = "create New",
    Rename = "rename",
    RenameParent = "rename parent",
    TakeName = "rename to New",
    OtherTakesName = "rename other to New",
    MakeReadOnly = "make read-only",
    DeleteMailbox = "delete mailbox",
    DeleteParent = "delete parent",
    Subscribe = "subscribe",
    Unsubscribe = "unsubscribe",
    SetAcl = "set ACL",
    DeleteAcl = "delete ACL",
    CreateUser = "create user",
    ChangeUser = "change user",
    RenameUser = "rename user",
    DeleteUser = "delete user",
    RecreateUser = "recreate user",
    AddAlias = "add alias",
    RemoveAlias = "remove alias",
    PutScript = "put script",
    DeleteScript = "delete script",
}

impl Op {
    /// Does it on a side.
    pub async fn perform(self, session: &mut Session, world: &World, side: Side) -> Made {
        let World { user, leaf, .. } = world;
        match self {
            Self::Deliver | Self::Copy | Self::Move | Self::Expunge | Self::Purge => {
                return self.on_messages(session, world, side).await;
            }
            Self::SetFlags => store(session, world, &StoreFlags::add(ALL_FLAGS)).await,
            Self::ClearFlags => {
                store(session, world, &StoreFlags::add(ALL_FLAGS)).await;
                store(session, world, &StoreFlags::remove(ALL_FLAGS)).await;
            }
            Self::AddKeyword => store(session, world, &StoreFlags::add(Flags::NONE).keywords(&["new"])).await,
            Self::RemoveKeyword => {
                store(session, world, &StoreFlags::add(Flags::NONE).keywords(&["new"])).await;
                store(session, world, &StoreFlags::remove(Flags::NONE).keywords(&["old", "new"])).await;
            }
            Self::Subscribe => assert!(session.subscribe(user, *leaf).await.unwrap()),
            Self::Unsubscribe => {
                session.subscribe(user, *leaf).await.unwrap();
                assert!(session.unsubscribe(user, *leaf).await.unwrap());
            }
            Self::SetAcl => session.set_acl(FRIEND, *leaf, rights(side)).await.unwrap(),
            Self::DeleteAcl => assert!(session.delete_acl(FRIEND, *leaf).await.unwrap()),
            Self::AddAlias => assert!(session.add_alias(&world.alias(), user).await.unwrap()),
            Self::RemoveAlias => {
                session.add_alias(&world.alias(), user).await.unwrap();
                assert!(session.remove_alias(&world.alias(), user).await.unwrap());
            }
            Self::PutScript => session.put_script(user, "main", script(side)).await.unwrap(),
            Self::DeleteScript => assert!(session.delete_script(user, "main").await.unwrap()),
            Self::CreateUser | Self::ChangeUser | Self::RenameUser | Self::DeleteUser | Self::RecreateUser => {
                self.on_users(session, world, side).await;
            }
            _ => return self.on_mailboxes(session, world, side).await,
        }
        Made::Nothing
    }

    async fn on_messages(self, session: &mut Session, world: &World, side: Side) -> Made {
        let World { inbox, leaf, uid, .. } = world;
        match self {
            Self::Deliver => {
                let name = world.delivered(side);
                session.deliver(*leaf, &Mail::named(&name)).await.unwrap();
                return Made::Message(name);
            }
            Self::Copy => {
                let copy = session.copy(*uid, *inbox).await.unwrap();
                return Made::Message(session.fetch(*inbox, copy).await.unwrap().unwrap().listed.unique_id);
            }
            Self::Move => {
                assert_eq!(session.move_messages(*leaf, &[*uid], world.destination(side)).await.unwrap(), 1);
            }
            Self::Expunge => {
                store(session, world, &StoreFlags::add(Flags::DELETED)).await;
                assert_eq!(session.expunge(*leaf).await.unwrap(), [*uid]);
            }
            // Twice: the first marks, the second deletes.
            _ => {
                session.purge().await.unwrap();
                session.purge().await.unwrap();
            }
        }
        Made::Nothing
    }

    async fn on_mailboxes(self, session: &mut Session, world: &World, side: Side) -> Made {
        let World { user, leaf, parent, attic, .. } = world;
        match self {
            Self::CreateMailbox => return Made::Mailbox(session.create_mailbox(user, "New").await.unwrap()),
            Self::Rename => assert_eq!(session.rename_mailbox(*leaf, &leaf_name(side)).await.unwrap(), 1),
            Self::RenameParent => assert_eq!(session.rename_mailbox(*parent, &parent_name(side)).await.unwrap(), 2),
            Self::TakeName => assert_eq!(session.rename_mailbox(*leaf, "New").await.unwrap(), 1),
            Self::OtherTakesName => assert_eq!(session.rename_mailbox(*attic, "New").await.unwrap(), 1),
            Self::MakeReadOnly => assert!(session.set_permission(*leaf, 1).await.unwrap()),
            Self::DeleteMailbox => assert!(session.delete_mailbox(*leaf).await.unwrap()),
            _ => assert!(session.delete_mailbox(*parent).await.unwrap()),
        }
        Made::Nothing
    }

    async fn on_users(self, session: &mut Session, world: &World, side: Side) {
        let user = &world.user;
        match self {
            Self::CreateUser => assert!(session.create_user(&world.newcomer()).await.unwrap() > 0),
            Self::ChangeUser => session.change_password(user, password(side), "md5").await.unwrap(),
            Self::RenameUser => session.rename_user(user, &world.renamed(side)).await.unwrap(),
            Self::DeleteUser => assert!(session.delete_user(user).await.unwrap()),
            _ => {
                assert!(session.delete_user(user).await.unwrap());
                session.create_user(user).await.unwrap();
            }
        }
    }
}

async fn store(session: &mut Session, world: &World, change: &StoreFlags) {
    assert_eq!(session.store(world.leaf, &[world.uid], change).await.unwrap(), 1);
}

/// What the leaf is renamed to.
pub fn leaf_name(side: Side) -> String {
    format!("Work/{}", side.letter())
}

/// What its parent is renamed to.
pub fn parent_name(side: Side) -> String {
    format!("Job {}", side.letter())
}

/// The rights that are given, in dbmail's order.
pub fn rights(side: Side) -> &'static str {
    match side {
        Side::A => "lrs",
        Side::B => "lrw",
    }
}

pub fn password(side: Side) -> &'static str {
    match side {
        Side::A => "of a",
        Side::B => "of b",
    }
}

pub fn script(side: Side) -> &'static str {
    match side {
        Side::A => "keep; # a",
        Side::B => "keep; # b",
    }
}
