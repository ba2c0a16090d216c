//! Living through a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use dbmail_mesh::config::Presence;
use dbmail_mesh::scratch::audit::quota;
use dbmail_mesh::scratch::standin::Mail;

use super::act::NAMES;
use super::book::Book;
use super::draw::{Event, NODES, Plan};
use crate::mesh::Mesh;
use crate::mesh::conflicts::end::End;
use crate::mesh::conflicts::quiet::lines;

/// How long the nodes may take to become quiet.
const DEADLINE: Duration = Duration::from_secs(20);

/// What was wrong in the end.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// By history.
    pub of: BTreeMap<usize, Vec<String>>,
    /// Of none in particular.
    pub others: Vec<String>,
}

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.of.is_empty() && self.others.is_empty()
    }

    pub fn text(&self) -> String {
        let of = self.of.iter().map(|(world, faults)| format!("history {world}:\n{}", lines(faults)));
        of.collect::<String>() + &lines(&self.others)
    }

    /// A text is about the history whose prefix is in it.
    fn add(&mut self, books: &[Book], text: String) {
        match books.iter().position(|book| text.contains(&book.prefix())) {
            Some(world) => self.of.entry(world).or_default().push(text),
            None => self.others.push(text),
        }
    }
}

/// Lives through it in new databases, and looks at what comes of it. Returns how many acts took place besides.
pub async fn run(plan: &Plan, prefix: &str) -> (Faults, usize) {
    let mut mesh = Mesh::new(prefix, NODES, 4).await.hurried();
    if plan.readers_matter {
        mesh.mesh.presence = Presence::For(Duration::from_secs(86_400));
    }
    let mut books: Vec<Book> = (0..plan.worlds).map(Book::new).collect();
    begin(&mesh, &mut books).await;
    if plan.readers_matter {
        for (book, node) in books.iter().zip(mesh.ids().into_iter().cycle()) {
            mesh.dbmail(node).await.login(&book.userid(0)).await.unwrap();
        }
    }
    let mut took_place = 0;
    let mut sessions = Vec::new();
    for node in mesh.ids() {
        sessions.push(mesh.dbmail(node).await);
    }
    let mut faults = Faults::default();
    for round in &plan.rounds {
        for (book, acts) in books.iter_mut().zip(&round.acts) {
            for (node, act) in acts {
                took_place += usize::from(act.perform(&mut sessions[*node as usize - 1], book).await);
            }
        }
        for event in &round.events {
            let quiet = match event {
                Event::Link(source, target) => mesh.try_join_link(*source, *target, DEADLINE).await,
                Event::Settle => mesh.try_join_into(&mesh.ids(), DEADLINE).await,
                Event::Purge(node) => {
                    sessions[*node as usize - 1].purge().await.unwrap();
                    Ok(())
                }
            };
            for wait in quiet.err().unwrap_or_default() {
                faults.add(&books, format!("at {event:?}: {wait}"));
            }
        }
        if !faults.is_empty() {
            return (faults, took_place);
        }
    }
    end(&mesh, &books, &mut faults).await;
    (faults, took_place)
}

/// Two accounts for each history, with two mailboxes and some messages.
async fn begin(mesh: &Mesh, books: &mut [Book]) {
    let mut session = mesh.dbmail(1).await;
    for book in books {
        for (user, messages) in [(0, [2, 2]), (2, [1, 0])] {
            session.create_user(&book.userid(user)).await.unwrap();
            for (name, messages) in NAMES.iter().zip(messages) {
                let mailbox = session.create_mailbox(&book.userid(user), name).await.unwrap();
                for _ in 0..messages {
                    session.deliver(mailbox, &Mail::named(&book.new_message())).await.unwrap();
                }
            }
        }
    }
    mesh.converge().await;
}

async fn end(mesh: &Mesh, books: &[Book], faults: &mut Faults) {
    for wait in mesh.try_join_into(&mesh.ids(), DEADLINE).await.err().unwrap_or_default() {
        faults.add(books, format!("in the end: {wait}"));
    }
    for difference in mesh.differences().await {
        faults.add(books, difference);
    }
    for node in &mesh.nodes {
        let end = End::read(&mesh.psql(node.id.0).await).await;
        for book in books {
            for fault in book.faults(node.name.as_str(), &end) {
                faults.add(books, fault);
            }
        }
    }
    let nodes: Vec<_> = mesh.nodes.iter().map(|node| (node.name.to_string(), node.connection.clone())).collect();
    for wrong in quota(&nodes).await.unwrap() {
        faults.add(books, format!("quota: {wrong}"));
    }
}
