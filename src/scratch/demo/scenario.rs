//! Part 1: what happens to mail that two nodes accept while they cannot reach each other, with exact UIDs.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::POLL;
use super::ground::{Ground, Mesh, Waits};
use super::story::Story;
use crate::domain::ids::{MailboxId, Stride, Uid};
use crate::error::{Error, Kind, Result};
use crate::scratch::standin::{Mail, Session};

/// How long a step may take until it counts as failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Shorter than the defaults (2 s and 3 s), for the sake of who is watching.
const WAITS: Waits = Waits { settle_after: Duration::from_millis(500), patience: Duration::from_secs(1) };

const USER: &str = "alice";

const INTRODUCTION: &str = "
PART 1: two nodes, one mailbox, and a link that breaks

Node A hands out odd UIDs and node B even ones. alice reads her INBOX on both nodes.
Messages are called m1, m2, … by the UID that they get when they are delivered.";

const CONNECTED: &str = "
1. The link is up. m1 and m3 are delivered on A, m2 and m4 on B; each appears on the other node as well.";

const DOWN: &str = "
2. The link breaks (we stop the worker). m5 and m7 are delivered on A, m6 on B; neither dbmail waits for the other node.";

const HALF: &str = "
3. The link from B to A works again. A client of A has been shown UID 7, and from now on asks only for what is above:
   it would never notice a new message with UID 6. So m6 gets a new UID above everything: 9.";

const UP: &str = "
4. Both directions work again. On B, 6 becomes 9 as well: the UID of a message is the same everywhere.
   m5 is late on B, where UID 6 has been shown: it becomes 11, on both nodes. m7 is above all that B has shown, and stays 7.";

/// What clients must see on A and on B after each step.
const STEPS: [(&str, [&[i64]; 2]); 4] = [
    ("1. link up", [&[1, 2, 3, 4], &[1, 2, 3, 4]]),
    ("2. link down", [&[1, 2, 3, 4, 5, 7], &[1, 2, 3, 4, 6]]),
    ("3. from B to A only", [&[1, 2, 3, 4, 5, 7, 9], &[1, 2, 3, 4, 6]]),
    ("4. link up again", [&[1, 2, 3, 4, 7, 9, 11], &[1, 2, 3, 4, 7, 9, 11]]),
];

/// What must have become of these UIDs on both nodes, and which message a client gets for them.
const FATES: [(i64, &str, Option<i64>, Option<&str>); 5] = [
    (5, "renumbered", Some(11), None),
    (6, "renumbered", Some(9), None),
    (7, "current", Some(7), Some("m7")),
    (9, "current", Some(9), Some("m6")),
    (11, "current", Some(11), Some("m5")),
];

/// The two nodes and what was noticed on them.
struct Scene<'a> {
    mesh: Mesh<'a>,
    sessions: Vec<Session>,
    inbox: MailboxId,
    table: Vec<[String; 3]>,
    problems: Vec<String>,
}

/// Plays the scenario. Returns whether every UID was as it must be.
pub(super) async fn play(ground: &Ground, story: &mut Story<'_>) -> Result<bool> {
    story.say(INTRODUCTION)?;
    let mesh = ground.mesh("scenario", 2, Stride(2), Some(WAITS)).await?;
    let mut sessions = mesh.sessions().await?;
    sessions[0].create_user(USER).await?;
    let inbox = sessions[0].create_mailbox(USER, "INBOX").await?;
    let mut scene = Scene { mesh, sessions, inbox, table: Vec::new(), problems: Vec::new() };
    scene.run(story).await?;
    story.say("\nThe UIDs that clients saw in INBOX, step by step:")?;
    story.table(["", "CLIENT OF A", "CLIENT OF B"], std::mem::take(&mut scene.table))?;
    scene.look_up(story).await?;
    scene.tell_log(story).await?;
    if scene.problems.is_empty() {
        return Ok(true);
    }
    story.say(format!("\nNOT as it should be:\n  {}", scene.problems.join("\n  ")))?;
    Ok(false)
}

impl Scene<'_> {
    async fn run(&mut self, story: &mut Story<'_>) -> Result<()> {
        story.say(CONNECTED)?;
        let worker = self.mesh.work(None)?;
        await_mailbox(&mut self.sessions[1], USER, "INBOX").await?;
        // Who reads where is what decides whether a message that comes late needs a new UID.
        for session in &mut self.sessions {
            session.login(USER).await?;
        }
        for n in 1..=4 {
            let expected: Vec<i64> = (1..=n).collect();
            self.deliver(usize::from(n % 2 == 0), n).await?;
            self.until([&expected, &expected]).await?;
        }
        self.show(0).await?;
        worker.stop().await?;

        story.say(DOWN)?;
        for (node, n) in [(0, 5), (1, 6), (0, 7)] {
            self.deliver(node, n).await?;
        }
        self.show(1).await?;

        story.say(HALF)?;
        let worker = self.mesh.work(Some("a"))?;
        self.until(STEPS[2].1).await?;
        worker.stop().await?;
        self.show(2).await?;

        story.say(UP)?;
        let worker = self.mesh.work(None)?;
        self.until(STEPS[3].1).await?;
        worker.stop().await?;
        self.show(3).await
    }

    async fn deliver(&mut self, node: usize, n: i64) -> Result<()> {
        self.sessions[node].deliver(self.inbox, &Mail::named(&format!("m{n}"))).await.map(|_| ())
    }

    /// Waits until clients see these UIDs, or gives up; what they see then is found out by [`show`](Self::show).
    async fn until(&mut self, expected: [&[i64]; 2]) -> Result<()> {
        let begun = Instant::now();
        // Once something is wrong, nothing later comes right.
        while begun.elapsed() < DEADLINE && self.problems.is_empty() {
            let mut all = true;
            for (session, expected) in self.sessions.iter_mut().zip(expected) {
                let seen = session.search_above(self.inbox, Uid(0)).await?;
                all &= seen.iter().map(|listed| listed.uid.0).eq(expected.iter().copied());
            }
            if all {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Opens INBOX on both nodes after a step, notes what is there, and compares it with what must be there.
    async fn show(&mut self, step: usize) -> Result<()> {
        let (name, expected) = STEPS[step];
        let mut row = vec![name.to_owned()];
        for ((session, expected), node) in self.sessions.iter_mut().zip(expected).zip(["A", "B"]) {
            let uids: Vec<i64> = session.select(self.inbox).await?.uids().iter().map(|uid| uid.0).collect();
            if uids != expected {
                self.problems.push(format!("{name}: {node} shows {}, not {}", list(&uids), list(expected)));
            }
            row.push(list(&uids));
        }
        self.table.extend(<[String; 3]>::try_from(row));
        Ok(())
    }

    /// Asks both nodes what became of the UIDs, and clients for the messages.
    async fn look_up(&mut self, story: &mut Story<'_>) -> Result<()> {
        story.say(
            "\nUID 6 is dead everywhere. Here is what `select * from dbmail_mesh.resolve(6)` and the like say on each node,\n\
             and the message that a client gets by UID FETCH:",
        )?;
        let clients = self.mesh.clients().await?;
        let mut rows = Vec::new();
        for (uid, state, current, message) in FATES {
            let mut row = vec![uid.to_string()];
            for ((session, client), node) in self.sessions.iter_mut().zip(&clients).zip(["A", "B"]) {
                let found = resolve(client, uid).await?;
                let fetched = session.fetch(self.inbox, Uid(uid)).await?.map(|fetched| fetched.listed.unique_id);
                if (found.0.as_str(), found.1) != (state, current) || fetched.as_deref() != message {
                    self.problems.push(format!("UID {uid} on {node}: {}, fetched {fetched:?}", fate(&found)));
                }
                row.extend([fate(&found), fetched.unwrap_or_else(|| "nothing".to_owned())]);
            }
            rows.extend(<[String; 5]>::try_from(row));
        }
        story.table(["UID", "RESOLVE ON A", "FETCH ON A", "RESOLVE ON B", "FETCH ON B"], rows)
    }

    /// Shows the renumber logs.
    async fn tell_log(&self, story: &mut Story<'_>) -> Result<()> {
        story.say("\nThe renumber log of each node (`select * from dbmail_mesh.renumbers`):")?;
        let mut rows = Vec::new();
        for (client, node) in self.mesh.clients().await?.iter().zip(["A", "B"]) {
            let log = client.query(include_str!("../../../sql/scratch/demo/renumbers.sql"), &[]).await?;
            rows.extend(log.iter().map(|row| {
                [
                    node.to_owned(),
                    row.get::<_, i64>("old_uid").to_string(),
                    row.get::<_, i64>("new_uid").to_string(),
                    row.get("decided_on"),
                    if row.get("was_visible") { "yes" } else { "no" }.to_owned(),
                ]
            }));
        }
        story.table(["NODE", "OLD UID", "NEW UID", "DECIDED ON", "OLD UID WAS SHOWN HERE"], rows)
    }
}

/// Waits until a mailbox that was made on another node is there.
pub(super) async fn await_mailbox(session: &mut Session, userid: &str, name: &str) -> Result<MailboxId> {
    let begun = Instant::now();
    loop {
        match session.find_mailbox(userid, name).await {
            Ok(Some(mailbox)) => return Ok(mailbox),
            // No such account yet.
            Ok(None) => {}
            Err(error) if error.kind() == Kind::Data => {}
            Err(error) => return Err(error),
        }
        if begun.elapsed() > DEADLINE {
            let what = format!("{userid}/{name} did not arrive on another node within {DEADLINE:?}");
            return Err(Error::new(Kind::Internal, what));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn resolve(client: &Client, uid: i64) -> Result<(String, Option<i64>)> {
    let row = client.query_one(include_str!("../../../sql/scratch/demo/resolve.sql"), &[&uid]).await?;
    Ok((row.get("state"), row.get("current_uid")))
}

fn fate((state, current): &(String, Option<i64>)) -> String {
    match current {
        Some(current) if state == "renumbered" => format!("renumbered to {current}"),
        _ => state.clone(),
    }
}

fn list(uids: &[i64]) -> String {
    uids.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}
