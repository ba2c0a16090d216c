//! Whether a world ended as the table says.

use dbmail_mesh::domain::ids::MailboxId;

use super::end::End;
use super::op::{Made, Op, leaf_name, parent_name, password, rights, script};
use super::table::operation;
use super::world::{FRIEND, Side, World};

/// What comes of two operations; see the head of `pairs.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Both,
    Later,
    Prevails(Op),
    InInbox,
    KeptAside,
    OneMailbox,
    LaterHasName,
    ParentRenamedChildLater,
    ParentRenamedChildGone,
}

impl Outcome {
    /// From the words of the table.
    pub fn parse(words: &str) -> Self {
        match words {
            "both" => Self::Both,
            "later" => Self::Later,
            "in INBOX" => Self::InInbox,
            "kept aside" => Self::KeptAside,
            "one mailbox" => Self::OneMailbox,
            "the later has the name" => Self::LaterHasName,
            "parent renamed, child as the later said" => Self::ParentRenamedChildLater,
            "parent renamed, child gone" => Self::ParentRenamedChildGone,
            operator => Self::Prevails(operation(operator)),
        }
    }
}

/// An operation that was carried out.
#[derive(Clone, Debug)]
pub struct Done {
    pub op: Op,
    pub side: Side,
    pub made: Made,
}

/// Two of them in one world, the earlier first.
#[derive(Clone, Debug)]
pub struct Pair {
    pub world: World,
    pub done: [Done; 2],
}

/// What is asked, and whether it is so.
type Checks = Vec<(String, bool)>;

impl Pair {
    /// What of the outcome is not so in that end, in words.
    pub fn faults(&self, outcome: Outcome, end: &End) -> Vec<String> {
        let [earlier, later] = &self.done;
        let mut checks = self.once(end);
        match outcome {
            Outcome::Both => {
                checks.extend(self.effect(earlier, end));
                checks.extend(self.effect(later, end));
            }
            Outcome::Later => checks.extend(self.effect(later, end)),
            Outcome::Prevails(op) => checks.extend(self.effect(self.the(op), end)),
            Outcome::InInbox => {
                checks.extend(self.effect(self.the(Op::DeleteMailbox), end));
                let message = end.message(&self.world.delivered(self.the(Op::Deliver).side));
                checks.push(("it is in INBOX".into(), message.is_some_and(|it| it.mailbox == self.world.inbox)));
            }
            Outcome::KeptAside => {
                let end_of_user = self.done.iter().find(|done| done.ends_user());
                checks.extend(end_of_user.map(|done| self.effect(done, end)).unwrap_or_default());
            }
            Outcome::OneMailbox => {
                let made = self.done.iter().filter_map(|done| self.subject(done)).max();
                checks.extend(self.effect(earlier, end));
                checks.push(("the higher id is left".into(), made.and_then(|id| end.name(id)) == Some("New")));
            }
            Outcome::LaterHasName => {
                for (done, displaced) in [(earlier, true), (later, false)] {
                    let id = self.subject(done).unwrap();
                    let name = if displaced { format!("New ({id})") } else { "New".to_owned() };
                    checks.push((format!("mailbox {id} is {name}"), end.name(id) == Some(&name)));
                }
            }
            Outcome::ParentRenamedChildLater => {
                checks.push(self.parent_renamed(self.the(Op::RenameParent).side, end));
                let name = match later.op {
                    Op::RenameParent => format!("{}/x", parent_name(later.side)),
                    Op::Rename => leaf_name(later.side),
                    _ => "New".into(),
                };
                checks.push((format!("the child is {name}"), end.name(self.world.leaf) == Some(&name)));
            }
            Outcome::ParentRenamedChildGone => {
                checks.push(self.parent_renamed(self.the(Op::RenameParent).side, end));
                checks.extend(self.effect(self.the(Op::DeleteMailbox), end));
            }
        }
        checks.into_iter().filter(|(_, so)| !so).map(|(what, _)| format!("not so: {what}")).collect()
    }

    /// Guarantee E: each message is there once, or an operation that knew it has ended it, or it is kept aside.
    fn once(&self, end: &End) -> Checks {
        let (world, any) = (&self.world, |ops: &[Op]| self.done.iter().any(|done| ops.contains(&done.op)));
        let user_ends = self.done.iter().any(Done::ends_user);
        let [in_inbox, in_parent] = world.bystanders();
        let mut checks = Vec::new();
        for (name, dead) in [
            (world.message(), any(&[Op::Expunge, Op::DeleteMailbox])),
            (in_inbox, false),
            (in_parent, any(&[Op::DeleteParent])),
        ] {
            let expected = usize::from(!dead && !user_ends);
            let count = end.count(&name);
            checks.push((format!("{name} is there {expected} times (it is {count} times)"), count == expected));
        }
        for done in &self.done {
            let Made::Message(name) = &done.made else { continue };
            let (count, kept) = (end.count(name), end.kept.contains(name));
            let so = if user_ends { count == 0 && kept } else { count == 1 && !kept };
            let state = if kept { ", and kept aside" } else { "" };
            let expected = if user_ends { "kept aside" } else { "there once" };
            checks.push((format!("{name}, which was new, is {expected} (it is there {count} times{state})"), so));
        }
        checks
    }

    fn the(&self, op: Op) -> &Done {
        self.done.iter().find(|done| done.op == op).unwrap()
    }

    /// The mailbox that an operation gives the name `New`.
    fn subject(&self, done: &Done) -> Option<MailboxId> {
        match (&done.made, done.op) {
            (Made::Mailbox(id), _) => Some(*id),
            (_, Op::TakeName) => Some(self.world.leaf),
            (_, Op::OtherTakesName) => Some(self.world.attic),
            _ => None,
        }
    }

    fn parent_renamed(&self, side: Side, end: &End) -> (String, bool) {
        let name = parent_name(side);
        (format!("the parent is {name}"), end.name(self.world.parent) == Some(&name))
    }

    /// What is so when an operation has had its way.
    fn effect(&self, done: &Done, end: &End) -> Checks {
        let World { inbox, leaf, parent, attic, .. } = self.world;
        let world = &self.world;
        let message = end.message(&world.message());
        let user = world.userid(end);
        let of_user = |set: &std::collections::BTreeSet<(String, MailboxId)>| {
            set.iter().any(|(userid, mailbox)| user.as_ref() == Some(userid) && *mailbox == leaf)
        };
        let script_is = |expected: Option<&str>| {
            let found = user.as_ref().and_then(|user| end.scripts.get(&(user.clone(), "main".into())));
            found.map(|(text, active)| (text.as_str(), *active)) == expected.map(|text| (text, true))
        };
        let side = done.side;
        let so = match done.op {
            // Where it is if its mailbox is there; that it is there at all is asked anyway.
            Op::Deliver => end.message(&world.delivered(side)).is_some_and(|it| it.mailbox == leaf),
            Op::Copy => match &done.made {
                Made::Message(name) => end.message(name).is_some_and(|it| it.mailbox == inbox),
                _ => false,
            },
            Op::Move => message.is_some_and(|it| it.mailbox == world.destination(side)),
            Op::SetFlags => message.is_some_and(|it| it.flags == [true; 5]),
            Op::ClearFlags => message.is_some_and(|it| it.flags == [false; 5]),
            Op::AddKeyword => message.is_some_and(|it| it.keywords.contains("new")),
            Op::RemoveKeyword => message.is_some_and(|it| it.keywords.is_empty()),
            Op::Expunge => message.is_none(),
            Op::Purge => end.count(&format!("{}-gone", world.user)) == 0,
            Op::CreateMailbox => user.is_some_and(|user| end.names.get(&(user, "New".into())).map(Vec::len) == Some(1)),
            Op::Rename => end.name(leaf) == Some(&leaf_name(side)),
            Op::RenameParent => {
                let name = parent_name(side);
                end.name(parent) == Some(&name) && end.name(leaf) == Some(&format!("{name}/x"))
            }
            Op::TakeName => end.name(leaf) == Some("New"),
            Op::OtherTakesName => end.name(attic) == Some("New"),
            Op::MakeReadOnly => end.mailboxes.get(&leaf).is_some_and(|it| it.permission == 1),
            Op::DeleteMailbox => {
                let rights = end.rights.keys().any(|(_, mailbox)| *mailbox == leaf);
                end.name(leaf).is_none() && message.is_none() && !rights && !of_user(&end.subscriptions)
            }
            Op::DeleteParent => end.mailboxes.get(&parent).is_some_and(|it| it.no_select),
            Op::Subscribe => of_user(&end.subscriptions),
            Op::Unsubscribe => !of_user(&end.subscriptions),
            Op::SetAcl => end.rights.get(&(FRIEND.into(), leaf)).map(String::as_str) == Some(rights(side)),
            Op::DeleteAcl => !end.rights.contains_key(&(FRIEND.into(), leaf)),
            Op::CreateUser => end.users.contains_key(&world.newcomer()),
            Op::ChangeUser => user.is_some_and(|user| end.users[&user] == password(side)),
            Op::RenameUser => user.as_deref() == Some(&world.renamed(side)),
            Op::DeleteUser => user.is_none() && !world.has_anything(end),
            Op::RecreateUser => user.as_deref() == Some(&world.user) && !world.has_anything(end),
            Op::AddAlias => user.is_some_and(|user| end.aliases.contains(&(world.alias(), user))),
            Op::RemoveAlias => !end.aliases.iter().any(|(alias, _)| *alias == world.alias()),
            Op::PutScript => script_is(Some(script(side))),
            Op::DeleteScript => script_is(None),
        };
        vec![(format!("the effect of {} on {}", done.op.name(), side.letter()), so)]
    }
}

impl Done {
    fn ends_user(&self) -> bool {
        matches!(self.op, Op::DeleteUser | Op::RecreateUser)
    }
}

impl World {
    /// What the account is called, if there is exactly one of the names that it may have.
    fn userid(&self, end: &End) -> Option<String> {
        let names = [self.user.clone(), self.renamed(Side::A), self.renamed(Side::B)];
        let mut found = names.into_iter().filter(|name| end.users.contains_key(name));
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether anything is left of what the account had, under whatever name.
    fn has_anything(&self, end: &End) -> bool {
        let its = |userid: &str| userid == self.user || userid.starts_with(&format!("{}-", self.user));
        let boxes = [self.inbox, self.parent, self.leaf, self.archive, self.attic];
        boxes.iter().any(|id| end.mailboxes.contains_key(id))
            || end.mailboxes.values().any(|mailbox| its(&mailbox.owner))
            || end.users.keys().any(|userid| its(userid) && *userid != self.user)
            || end.subscriptions.iter().any(|(userid, _)| its(userid))
            || end.aliases.iter().any(|(alias, _)| *alias == self.alias())
            || end.scripts.keys().any(|(userid, _)| its(userid))
            || end.rights.keys().any(|(_, mailbox)| boxes.contains(mailbox))
    }
}
