//! What is to be written on a node, in the form that `dbmail_mesh.write_plan` takes.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::ask;
use super::state::MessageState;
use crate::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use crate::domain::rule::{Action, Held, RowId};
use crate::error::{Error, Kind, Result};

/// Rows from here on are in the staging mailbox; no client is ever shown them.
pub const FIRST_HIDDEN_ROW: i64 = 1 << 33;

/// What a node has, as seen under its locks.
#[derive(Debug, Default)]
pub struct View {
    /// The reported line of each mailbox that exists there. For now that is the high line.
    pub lines: BTreeMap<MailboxId, Uid>,
    /// What it has of each message, and in which mailbox.
    pub messages: BTreeMap<BirthUid, (Held, MailboxId)>,
}

impl View {
    /// Takes the locks of the mailboxes (`dbmail_mesh.lock_and_view`) and looks.
    ///
    /// # Errors
    /// `Transient` when a lock cannot be had within the bound.
    pub async fn lock(client: &impl GenericClient, mailboxes: &[MailboxId], births: &[BirthUid]) -> Result<Self> {
        let mailboxes: Vec<i64> = mailboxes.iter().map(|id| id.0).collect();
        let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
        let rows =
            ask::rows(client, include_str!("../../sql/target/lock_and_view.sql"), &[&mailboxes, &births]).await?;
        Self::from_rows(&rows)
    }

    /// Looks without locks; lines are not read.
    ///
    /// # Errors
    /// `Unreachable`, `Transient`.
    pub async fn of_messages(client: &impl GenericClient, births: &[BirthUid]) -> Result<Self> {
        let births: Vec<i64> = births.iter().map(|birth| birth.0).collect();
        let rows = ask::rows(client, include_str!("../../sql/target/view_messages.sql"), &[&births]).await?;
        Self::from_rows(&rows)
    }

    fn from_rows(rows: &[Row]) -> Result<Self> {
        let mut view = Self::default();
        for row in rows {
            let id: i64 = row.get("id");
            let state: i8 = row.get("state");
            let uid = || row.get::<_, Option<i64>>("uid").map_or(Uid(id), Uid);
            let place = || row.get::<_, Option<i64>>("row_idnr").map_or(RowId(id), RowId);
            let mailbox = || row.get::<_, Option<i64>>("mailbox_idnr").map_or(MailboxId(0), MailboxId);
            let held = match state as u8 {
                b'l' => {
                    view.lines.insert(MailboxId(id), uid());
                    continue;
                }
                b'v' => Held::Visible { uid: uid() },
                b'w' => Held::Waiting { uid: uid(), row: place() },
                b'h' => Held::Hidden { uid: uid(), row: place() },
                b'd' => Held::Dead,
                other => {
                    return Err(Error::new(Kind::Internal, format!("message {id} has an unknown state {other}")));
                }
            };
            view.messages.insert(BirthUid(id), (held, mailbox()));
        }
        Ok(view)
    }
}

/// Collects what is to be written for many messages.
#[derive(Debug)]
pub struct PlanWriter {
    take: Vec<Value>,
    hide: Vec<Value>,
    moves: Vec<Value>,
    wait: Vec<Value>,
    kill: Vec<Value>,
    numbers: Vec<Value>,
    origin: Option<NodeId>,
    steps_back: bool,
}

impl PlanWriter {
    /// A plan for states that came over the link from `origin`: the peers get them from there.
    pub fn for_join(origin: NodeId) -> Self {
        Self { origin: Some(origin), ..Self::for_settlement() }
    }

    /// A plan of a settlement: it is captured like any other change, so that a node which took no part learns of it.
    pub fn for_settlement() -> Self {
        Self {
            take: Vec::new(),
            hide: Vec::new(),
            moves: Vec::new(),
            wait: Vec::new(),
            kill: Vec::new(),
            numbers: Vec::new(),
            origin: None,
            steps_back: true,
        }
    }

    /// Goes ahead even if a session of dbmail waits for a message that is renumbered: it has been given way to often enough. What that
    /// session does to the message matches nothing then.
    pub fn insist(&mut self) {
        self.steps_back = false;
    }

    /// How many messages become visible, move or die, and how many are late: for the log.
    pub fn counts(&self) -> (usize, usize) {
        (self.take.len() + self.moves.len() + self.kill.len(), self.hide.len() + self.wait.len())
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.counts() == (0, 0) && self.numbers.is_empty()
    }

    /// A number that a message was given.
    pub fn number(&mut self, uid: Uid, birth: BirthUid, decided_by: NodeId, decided_at: &str) {
        self.numbers
            .push(json!({"uid": uid.0, "birth": birth.0, "decided_by": decided_by.0, "decided_at": decided_at}));
    }

    /// An action on a message that is here already. `None` for actions that need a new row: those take [`Self::join`].
    pub fn change(&mut self, birth: BirthUid, mailbox: MailboxId, action: Action) {
        match action {
            Action::Move { row, from, to } => self.moves.push(json!({
                "birth": birth.0, "mailbox": mailbox.0, "row_idnr": row.0, "old_uid": from.0, "uid": to.0,
            })),
            Action::Wait { row, uid } => self.wait.push(json!({
                "birth": birth.0, "mailbox": mailbox.0, "row_idnr": row.0, "uid": uid.0,
            })),
            Action::Kill { row, uid } => self.kill.push(json!({
                "birth": birth.0, "mailbox": mailbox.0, "row_idnr": row.map(|row| row.0), "uid": uid.0,
            })),
            Action::Take { .. } | Action::Hide { .. } => {}
        }
    }

    /// An action for a state that came over a link; `physmessage` is where its content is on this node.
    ///
    /// # Errors
    /// `Transient` when a new row is needed and its content has gone in the meantime: ship it again.
    pub fn join(&mut self, state: &MessageState, action: Option<Action>, physmessage: Option<i64>) -> Result<()> {
        self.numbers.extend(state.numbers.iter().cloned());
        let Some(action) = action else { return Ok(()) };
        let (rows, uid) = match action {
            Action::Take { uid } => (&mut self.take, uid),
            Action::Hide { uid } => (&mut self.hide, uid),
            other => {
                self.change(state.incoming.birth, state.incoming.mailbox, other);
                return Ok(());
            }
        };
        let physmessage = physmessage.ok_or_else(|| {
            Error::new(Kind::Transient, format!("the content of message {} is not here any more", state.incoming.birth))
        })?;
        let [seen, answered, deleted, flagged, draft] = state.flags;
        rows.push(json!({
            "birth": state.incoming.birth.0, "mailbox": state.incoming.mailbox.0, "uid": uid.0, "physmessage": physmessage,
            "seen": seen, "answered": answered, "deleted": deleted, "flagged": flagged, "draft": draft,
            "unique_id": state.unique_id, "status": state.status, "keywords": state.keywords,
        }));
        Ok(())
    }

    /// Writes the plan, under the locks of [`View::lock`].
    ///
    /// # Errors
    /// `Transient` when it takes longer than the bound, or a session of dbmail waits for a message that is renumbered; `Data` when a constraint refuses a row.
    pub async fn write(&self, client: &impl GenericClient) -> Result<()> {
        let plan = json!({
            "take": self.take, "hide": self.hide, "move": self.moves, "wait": self.wait, "kill": self.kill,
            "numbers": self.numbers, "steps_back": self.steps_back, "origin": self.origin.map(|origin| origin.0),
        });
        ask::row(client, include_str!("../../sql/target/write_plan.sql"), &[&plan]).await?;
        Ok(())
    }
}
