//! What bounds each session that the program opens, looked at where it passes: between the program and the server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::scratch::standin::Mail;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_postgres::config::Host;

use super::Mesh;
use super::child::WorkerProcess;
use crate::cli::{Ended, File};

/// A node of a mesh behind a socket of our own, which notes how each session begins.
struct Passage {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Session>>>,
}

/// What a session said first: its parameters, and what it asked next.
#[derive(Clone, Debug, Default)]
struct Session {
    parameters: BTreeMap<String, String>,
    asked: String,
}

impl Passage {
    async fn to(node: &NodeSettings) -> Self {
        let Host::Unix(server) = &node.connection.get_hosts()[0] else { panic!("not on a socket") };
        let server = server.join(".s.PGSQL.5432");
        let folder = tempfile::TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let seen: Arc<Mutex<Vec<Session>>> = Arc::default();
        tokio::spawn(serve(listener, server, seen.clone()));
        Self { folder, seen }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What has begun since this was asked last.
    fn take(&self) -> Vec<Session> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn serve(listener: UnixListener, server: PathBuf, seen: Arc<Mutex<Vec<Session>>>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(pass(client, server.clone(), seen.clone()));
    }
}

async fn pass(client: UnixStream, server: PathBuf, seen: Arc<Mutex<Vec<Session>>>) {
    let server = UnixStream::connect(server).await.unwrap();
    let ((mut from, mut back), (mut answers, mut to)) = (client.into_split(), server.into_split());
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
    // Length, protocol, then names and values that end with a zero each.
    let length = from.read_u32().await.unwrap();
    let mut startup = vec![0; length as usize - 4];
    from.read_exact(&mut startup).await.unwrap();
    let words: Vec<String> =
        startup[4..].split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let pairs = words.chunks(2).filter(|pair| pair.len() == 2 && !pair[0].is_empty());
    let session =
        Session { parameters: pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect(), ..Session::default() };
    let place = {
        let mut seen = seen.lock().unwrap();
        seen.push(session);
        seen.len() - 1
    };
    to.write_u32(length).await.unwrap();
    to.write_all(&startup).await.unwrap();
    let mut first = vec![0; 4096];
    let count = from.read(&mut first).await.unwrap_or(0);
    if let Some(session) = seen.lock().unwrap().get_mut(place) {
        session.asked = String::from_utf8_lossy(&first[..count]).into_owned();
    }
    if to.write_all(&first[..count]).await.is_ok() {
        let _ = tokio::io::copy(&mut from, &mut to).await;
    }
    let _ = to.shutdown().await;
}

const BOUNDS: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// The value of a bound in what a session said, in milliseconds.
fn value(said: &str, bound: &str) -> Option<u64> {
    let rest = said.split_once(bound)?.1.trim_start_matches([' ', '=']);
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Every session says who it is and has the three bounds, none of them "for ever", before it asks for anything.
fn assert_bounded(command: &str, sessions: &[Session]) {
    assert!(!sessions.is_empty(), "{command} opened no session: the test tests nothing");
    for session in sessions {
        let name = session.parameters.get("application_name").map_or("", String::as_str);
        assert!(name.starts_with("dbmail-mesh"), "{command}: {session:?}");
        let options = session.parameters.get("options").map_or("", String::as_str);
        for bound in BOUNDS {
            let bounded = value(options, bound).or_else(|| value(&session.asked, bound));
            assert!(bounded.is_some_and(|ms| ms > 0), "{command}, {name}: no {bound}: {session:?}");
        }
    }
}

async fn run(text: &str, arguments: &str) -> Ended {
    let (text, arguments) = (text.to_owned(), arguments.to_owned());
    tokio::task::spawn_blocking(move || File::with_text(&text).run(&arguments)).await.unwrap()
}

#[tokio::test]
async fn every_session_of_every_command_is_bounded() {
    let (direct, inbox) = Mesh::with_inbox("bounds", 2, 8).await;
    let mut mesh = Mesh::of(direct.nodes.clone(), 8);
    let passages = [Passage::to(&mesh.nodes[0]).await, Passage::to(&mesh.nodes[1]).await];
    let mut text = "[mesh]\nstride = 8\npresence = \"always\"\n[session]\nlock_timeout = \"3s\"\n".to_owned();
    for (node, passage) in mesh.nodes.iter_mut().zip(&passages) {
        let url = format!(
            "postgresql://postgres@/{}?host={}",
            node.connection.get_dbname().unwrap(),
            passage.path().display()
        );
        *node = NodeSettings::new(node.name.as_str(), node.id, &url).unwrap();
        text += &format!("[[node]]\nname = \"{}\"\nid = {}\nurl = {url:?}\n", node.name, node.id);
    }
    let sessions = || passages.iter().flat_map(Passage::take).collect::<Vec<_>>();
    for command in [
        "config check --connect",
        "migrate status",
        "migrate up",
        "status",
        "status --check",
        "doctor",
        "plan",
        "verify",
        "pause --link a:b --timeout 1ms",
        "resume --link a:b",
        "wait --timeout 1ms",
        "leave --node b --timeout 1ms",
        // It may have left.
        "join --node b --no-wait",
    ] {
        let ended = run(&text, command).await;
        assert!(ended.code != 2 || !ended.err.contains("Usage"), "{command}: {ended:?}");
        let seen = sessions();
        assert_bounded(command, &seen);
        // As the settings say, and not as the program was built.
        assert!(seen.iter().all(|one| value(&format!("{one:?}"), "lock_timeout") == Some(3000)), "{command}: {seen:?}");
    }
    // Of two that were delivered apart one is late: only then is there anything to settle.
    for (id, name) in [(1, "m"), (2, "n")] {
        direct.dbmail(id).await.deliver(inbox, &Mail::named(name)).await.unwrap();
    }
    let worker = WorkerProcess::start(&mesh);
    direct.await_count(2, "select count(*) from dbmail_messages where status < 2 and unique_id = 'm'", 1).await;
    let settles = "select least(count(*), 1) from pg_stat_activity
                   where datname = current_database() and application_name = 'dbmail-mesh settler'";
    direct.await_count(1, settles, 1).await;
    let ours = sessions();
    assert_bounded("run", &ours);
    for role in [
        "dbmail-mesh worker lock",
        "dbmail-mesh listener",
        "dbmail-mesh reader",
        "dbmail-mesh settler",
        "dbmail-mesh writer",
    ] {
        assert!(ours.iter().any(|one| one.parameters["application_name"].starts_with(role)), "no session of {role}");
    }
    worker.kill().await;
}
