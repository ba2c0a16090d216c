//! What is to be written on a node, in the form that `dbmail_mesh.write_plan` takes.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::ask::{self, Columns as _};
use super::state::{MessageState, registers_from_row};
use super::tides::{Follow, Passed, Tides};
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::marks::{FLAGS, Marks, News};
use crate::domain::modseq::{Due, Modseq};
use crate::domain::register::Register;
pub use crate::domain::rule::FIRST_HIDDEN_ROW;
use crate::domain::rule::{Action, Held, RowId};
use crate::domain::stamp::Stamp;
use crate::error::{Error, Kind, Result};

/// What a node has, as seen under its locks.
#[derive(Debug, Default)]
pub struct View {
    /// The lines of each mailbox that exists there.
    pub lines: BTreeMap<MailboxId, Lines>,
    /// What it has of each message.
    pub messages: BTreeMap<BirthUid, Found>,
}

/// The lines of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The highest UID that clients of the node may have been told of.
    pub reported: Uid,
    /// The highest UID ever visible on the node.
    pub high: Uid,
}

/// What a node has of a message.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its row and UID.
    pub held: Held,
    /// The mailbox that it belongs into, and since when.
    pub place: Register<MailboxId>,
    /// The mailbox in which its row is: another one while it is hidden, or waits for a UID that may be shown in the right one.
    pub row_mailbox: MailboxId,
    /// Its flags and keywords.
    pub marks: Marks,
    /// Its MODSEQs.
    pub modseq: Modseq,
}

impl View {
    /// Takes the locks of the mailboxes (`dbmail_mesh.lock_and_view`) and looks. No message is to be shown under a UID below `lowest`: where
    /// everything that was shown is below that, it does not matter who reads.
    ///
    /// # Errors
    /// `Transient` when a lock cannot be had within the bound.
    pub async fn lock(
        client: &impl GenericClient,
        mailboxes: &[MailboxId],
        births: &[BirthUid],
        lowest: Uid,
    ) -> Result<Self> {
        let mailboxes: Vec<i64> = mailboxes.iter().map(|id| id.0).collect();
        let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
        let sql = include_str!("../../sql/target/lock_and_view.sql");
        let rows = ask::rows(client, sql, &[&mailboxes, &births, &lowest.0]).await?;
        Self::from_rows(&rows)
    }

    /// Looks without locks; lines are not read.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn of_messages(client: &impl GenericClient, births: &[BirthUid]) -> Result<Self> {
        let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
        let rows = ask::rows(client, include_str!("../../sql/target/view_states.sql"), &[&births]).await?;
        Self::from_rows(&rows)
    }

    fn from_rows(rows: &[Row]) -> Result<Self> {
        let mut view = Self::default();
        for row in rows {
            let id: i64 = row.read("id")?;
            let uid = row.read::<Option<i64>>("uid")?.map_or(Uid(id), Uid);
            if row.read::<i8>("state")? as u8 == b'l' {
                view.lines.insert(MailboxId(id), Lines { reported: uid, high: Uid(row.read("high")?) });
            } else {
                view.messages.insert(BirthUid(id), Found::from_row(row, id, uid)?);
            }
        }
        Ok(view)
    }
}

impl Found {
    fn from_row(row: &Row, birth: i64, uid: Uid) -> Result<Self> {
        let held = held_of(row, birth, uid)?;
        let mailbox = |column: &str| row.read::<Option<i64>>(column).map(|id| id.map_or(MailboxId(0), MailboxId));
        let (marks, stamp, modseq) = registers_from_row(row)?;
        let place = Register { stamp, value: mailbox("mailbox_idnr")? };
        Ok(Self { held, place, row_mailbox: mailbox("row_mailbox")?, marks, modseq })
    }
}

/// What a node has of a message, from a row of `view_held` or `view_states`.
pub(super) fn held_from_row(row: &Row, birth: i64) -> Result<Held> {
    held_of(row, birth, row.read::<Option<i64>>("uid")?.map_or(Uid(birth), Uid))
}

fn held_of(row: &Row, birth: i64, uid: Uid) -> Result<Held> {
    let state: i8 = row.read("state")?;
    let place = row.read::<Option<i64>>("row_idnr")?.map_or(RowId(birth), RowId);
    Ok(match state as u8 {
        b'v' => Held::Visible { uid },
        b'w' => Held::Waiting { uid, row: place },
        b'h' => Held::Hidden { uid, row: place },
        b'd' => Held::Dead,
        other => return Err(Error::new(Kind::Internal, format!("message {birth} has an unknown state {other}"))),
    })
}

/// Collects what is to be written for many messages. The lists go by the names of `write_plan`.
#[derive(Debug, Default)]
pub struct PlanWriter {
    lists: BTreeMap<&'static str, Vec<Value>>,
    origin: Option<NodeId>,
    source_xid: Option<i64>,
    has_all: bool,
    copies: bool,
    insists: bool,
    is_own: bool,
}

impl PlanWriter {
    /// A plan for states that came over the link from `origin`: the peers get them from there.
    pub fn for_join(origin: NodeId) -> Self {
        Self { origin: Some(origin), ..Self::default() }
    }

    /// A plan of a settlement: it is captured like any other change, so that a node which took no part learns of it.
    pub fn for_settlement() -> Self {
        Self::default()
    }

    /// Goes ahead even if a session of dbmail waits for a message that is renumbered: it has been given way to often enough. What that
    /// session does to the message matches nothing then.
    pub fn insist(&mut self) {
        self.insists = true;
    }

    /// What it changes is noted as this node's own change: whoever is told of it has to get it from here.
    pub fn is_own(&mut self) {
        self.is_own = true;
    }

    /// How many messages become visible, change or die, and how many are late: for the log.
    pub fn counts(&self) -> (usize, usize) {
        let sum = |lists: &[&str]| lists.iter().filter_map(|list| self.lists.get(list)).map(Vec::len).sum();
        (sum(&["take", "move", "stow", "kill", "mark", "mark_keywords"]), sum(&["hide", "wait"]))
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The batch contains changes that were made in transactions of the source up to this one.
    pub fn made_up_to(&mut self, xid: Option<i64>) {
        self.source_xid = xid;
    }

    /// The batch is part of a first copy: a mailbox that is being copied has no clients here yet, and nobody waits for its numbers.
    pub fn copies(&mut self, tides: &Tides) {
        self.copies = true;
        self.tides("lift", tides);
    }

    /// HIGHESTMODSEQs go up to the source's, and messages that its clients have passed above them.
    pub fn follow(&mut self, follow: &Follow) {
        self.has_all = follow.has_all;
        for tides in follow.now.iter().filter(|_| follow.has_all).chain(&follow.before) {
            self.tides("lift", tides);
        }
        if let Some(tides) = &follow.now {
            self.tides("tides", tides);
        }
        for Passed { row, mailbox, above, is_own } in &follow.passed {
            self.add("passed", json!({"row_idnr": row.0, "mailbox": mailbox.0, "above": above, "is_own": is_own}));
        }
    }

    fn tides(&mut self, list: &'static str, tides: &Tides) {
        for tide in tides.mailboxes() {
            self.add(list, tide.clone());
        }
    }

    /// What is due to the MODSEQ of a message in `mailbox`, in `row` now and in `row_then` once its actions are written.
    pub fn modseq(&mut self, state: &MessageState, mailbox: MailboxId, row: RowId, row_then: RowId, due: Due) {
        let mut entry =
            json!({"birth": state.incoming.birth.0, "mailbox": mailbox.0, "row_idnr": row.0, "now_idnr": row_then.0});
        match due {
            Due::Nothing => return,
            Due::Raise => {
                entry["seq"] = state.modseq.promised.into();
                entry["promised"] = state.modseq.promised.into();
            }
            Due::Change { common } => {
                entry["seq"] = state.modseq.shown.max(state.modseq.promised).into();
                entry["common"] = common.into();
            }
        }
        self.add("modseq", entry);
    }

    fn add(&mut self, list: &'static str, value: Value) {
        self.lists.entry(list).or_default().push(value);
    }

    /// A row as it was seen: if dbmail moves it before the plan is written, the plan is refused.
    fn seen(&mut self, row: RowId, row_mailbox: MailboxId) {
        self.add("rows", json!({"row_idnr": row.0, "row_mailbox": row_mailbox.0}));
    }

    /// A number that a message was given.
    pub fn number(&mut self, uid: Uid, birth: BirthUid, decided_by: NodeId, decided_at: &str) {
        self.add(
            "numbers",
            json!({"uid": uid.0, "birth": birth.0, "decided_by": decided_by.0, "decided_at": decided_at}),
        );
    }

    /// An action on a message that is here already, in `row_mailbox`, and belongs into `mailbox`. Nothing for actions that need a new
    /// row: those take [`Self::join`].
    pub fn change(&mut self, birth: BirthUid, mailbox: MailboxId, row_mailbox: MailboxId, action: Action) {
        let (birth, mailbox) = (birth.0, mailbox.0);
        if let Some(row) = action.row() {
            self.seen(row, row_mailbox);
        }
        match action {
            Action::Move { row, from, to } => self.add(
                "move",
                json!({"birth": birth, "mailbox": mailbox, "row_idnr": row.0, "old_uid": from.0, "uid": to.0}),
            ),
            Action::Wait { row, uid } => {
                self.add("wait", json!({"birth": birth, "mailbox": mailbox, "row_idnr": row.0, "uid": uid.0}));
            }
            Action::Stow { row, uid } => {
                self.add("stow", json!({"birth": birth, "mailbox": mailbox, "row_idnr": row.0, "uid": uid.0}));
            }
            Action::Kill { row, uid } => self.add(
                "kill",
                json!({"birth": birth, "mailbox": mailbox, "row_idnr": row.map(|row| row.0), "uid": uid.0}),
            ),
            Action::Take { .. } | Action::Hide { .. } => {}
        }
    }

    /// An action for a state that came over a link and that is not here yet; `physmessage` is where its content is on this node.
    ///
    /// # Errors
    /// `Transient` when its content has gone in the meantime: ship it again.
    pub fn join(
        &mut self,
        state: &MessageState,
        mailbox: MailboxId,
        action: Action,
        physmessage: Option<i64>,
    ) -> Result<()> {
        let birth = state.incoming.birth;
        let (list, uid) = match action {
            Action::Take { uid } => ("take", uid),
            Action::Hide { uid } => ("hide", uid),
            other => {
                self.change(birth, mailbox, MailboxId(0), other);
                return Ok(());
            }
        };
        let physmessage = physmessage.ok_or_else(|| {
            Error::new(Kind::Transient, format!("the content of message {birth} is not here any more"))
        })?;
        let mut row = json!({
            "birth": birth.0, "mailbox": mailbox.0, "uid": uid.0, "physmessage": physmessage, "unique_id": state.unique_id,
            "status": state.status, "keywords": state.marks.set_keywords().collect::<Vec<_>>(),
        });
        for (flag, register) in FLAGS.iter().zip(&state.marks.flags) {
            row[flag] = i16::from(register.value).into();
        }
        self.add(list, row);
        // Clients of other nodes know it, and come with theirs.
        self.add(
            "modseq",
            json!({"birth": birth.0, "mailbox": mailbox.0, "seq": state.modseq.shown.max(state.modseq.promised)}),
        );
        self.registers(birth, &state.marks, state.place.stamp, &state.marks.keywords);
        Ok(())
    }

    /// What is new in the flags and keywords of a message that is here, in `row` of `row_mailbox` now and in `row_then` once its actions
    /// are written.
    pub fn mark(
        &mut self,
        birth: BirthUid,
        (row, row_mailbox): (RowId, MailboxId),
        row_then: RowId,
        theirs: &Marks,
        news: &News,
    ) {
        self.seen(row, row_mailbox);
        let mut entry = json!({"birth": birth.0, "row_idnr": row.0, "now_idnr": row_then.0});
        if news.flags {
            for (flag, register) in FLAGS.iter().zip(&theirs.flags) {
                entry[flag] = i16::from(register.value).into();
                entry[format!("{flag}_at")] = register.stamp.0.into();
            }
            self.add("mark", entry.clone());
        }
        for (keyword, register) in &news.keywords {
            let mut entry = entry.clone();
            entry["keyword"] = keyword.as_str().into();
            entry["stamp"] = register.stamp.0.into();
            entry["present"] = register.value.into();
            self.add("mark_keywords", entry);
        }
        let flags = if news.flags { theirs.clone() } else { Marks::default() };
        self.registers(birth, &flags, Stamp::NEVER, &news.keywords);
    }

    /// The stamp of the mailbox of a message that is here in `row` of `row_mailbox`.
    pub fn place(&mut self, birth: BirthUid, (row, row_mailbox): (RowId, MailboxId), stamp: Stamp) {
        self.seen(row, row_mailbox);
        self.registers(birth, &Marks::default(), stamp, &BTreeMap::new());
    }

    /// A message that this node put elsewhere than anybody said, because its mailbox is gone: a change of its own.
    pub fn rescue(&mut self, birth: BirthUid) {
        self.add("rescued", birth.0.into());
        self.add("own", birth.0.into());
    }

    fn registers(&mut self, birth: BirthUid, marks: &Marks, place: Stamp, keywords: &BTreeMap<String, Register<bool>>) {
        if place != Stamp::NEVER || marks.flags.iter().any(|flag| flag.stamp != Stamp::NEVER) {
            let mut entry = json!({"birth": birth.0, "place": place.0});
            for (flag, register) in FLAGS.iter().zip(&marks.flags) {
                entry[flag] = register.stamp.0.into();
            }
            self.add_registers(entry);
        }
        for (keyword, register) in keywords.iter().filter(|(_, register)| register.stamp != Stamp::NEVER) {
            self.add(
                "keyword_registers",
                json!({"birth": birth.0, "keyword": keyword, "stamp": register.stamp.0, "present": register.value}),
            );
        }
    }

    /// A message has one entry, also when its mailbox and its flags are new: one statement cannot write to one row twice. What concerns
    /// one message is added in a row.
    fn add_registers(&mut self, entry: Value) {
        let entries = self.lists.entry("registers").or_default();
        let Some(last) = entries.last_mut().filter(|last| last["birth"] == entry["birth"]) else {
            entries.push(entry);
            return;
        };
        for (register, stamp) in entry.as_object().into_iter().flatten() {
            if stamp.as_i64() > last[register].as_i64() {
                last[register] = stamp.clone();
            }
        }
    }

    /// The numbers that a message was given, as its source tells them.
    pub fn numbers(&mut self, numbers: &[Value]) {
        if !numbers.is_empty() {
            self.lists.entry("numbers").or_default().extend(numbers.iter().cloned());
        }
    }

    /// The messages of which something changes.
    fn changed(&self) -> BTreeSet<i64> {
        let lists = [
            "take",
            "move",
            "stow",
            "kill",
            "hide",
            "wait",
            "mark",
            "mark_keywords",
            "registers",
            "keyword_registers",
            "own",
        ];
        let values = lists.iter().filter_map(|list| self.lists.get(list)).flatten();
        values.filter_map(|value| value.as_i64().or_else(|| value["birth"].as_i64())).collect()
    }

    /// Writes the plan, under the locks of [`View::lock`].
    ///
    /// # Errors
    /// `Transient` when it takes longer than the bound, or a session of dbmail waits for a message that is renumbered; `Data` when a
    /// constraint refuses a row.
    pub async fn write(&self, client: &impl GenericClient) -> Result<()> {
        let mut plan = json!({"steps_back": !self.insists, "origin": self.origin.map(|origin| origin.0)});
        if let Some(xid) = self.source_xid {
            plan["source_xid"] = xid.to_string().into();
        }
        if self.has_all {
            plan["has_all"] = true.into();
        }
        if self.copies {
            plan["copies"] = true.into();
        }
        for (list, values) in &self.lists {
            plan[list] = json!(values);
        }
        if self.is_own {
            plan["own"] = json!(self.changed());
        }
        ask::row(client, include_str!("../../sql/target/write_plan.sql"), &[&plan]).await?;
        Ok(())
    }
}
