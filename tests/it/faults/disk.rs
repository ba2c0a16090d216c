//! A target that has no room for a message.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dbmail_mesh::scratch::standin::Mail;

use super::ground::Ground;

/// No file of the server's may grow beyond this: its log segments have 16 MiB. A page does not end here, so the last one is written in
/// part, which PostgreSQL takes for what it is on a full disk (SQLSTATE 53100).
const LARGEST_FILE: u64 = (16 << 20) + 4096;

/// Bounds how large the files of a node's server may grow, in all its processes.
async fn limit(ground: &Ground, id: i16, limit: &str) {
    let sessions = ground.mesh.psql(id).await.query("select pid from pg_stat_activity", &[]).await.unwrap();
    let server = ground.cluster(id).pid().to_string();
    // As the user of the server: who is another, root included, may need a right of its own for that.
    let user = std::fs::metadata(format!("/proc/{server}")).unwrap();
    for pid in std::iter::once(server).chain(sessions.iter().map(|row| row.get::<_, i32>(0).to_string())) {
        // One that has just ended needs none.
        let mut command = Command::new("prlimit");
        command.args(["--pid", &pid, &format!("--fsize={limit}:")]).current_dir("/").stderr(Stdio::null());
        let _ = command.uid(user.uid()).gid(user.gid()).status().unwrap();
    }
}

/// The link says so, tries on, sets nothing aside, and goes on once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_into_a_full_disk_waits_for_room_and_sets_nothing_aside() {
    let ground = Ground::plain(2).await;
    let (inbox, _, _) = ground.create_mailboxes().await[0];
    limit(&ground, 2, &LARGEST_FILE.to_string()).await;
    let large = Mail::generate(&mut fastrand::Rng::with_seed(7), 24 << 20);
    let mut session = ground.session(1).await.unwrap();
    session.deliver(inbox, &large).await.unwrap();
    session.deliver(inbox, &Mail::named("small")).await.unwrap();
    let full = "select count(*) from dbmail_mesh.link_status where state = 'failing' and last_error like '%53100%'";
    ground.mesh.await_count(2, full, 1).await;
    // dbmail works there as long as it finds room.
    ground.session(2).await.unwrap().deliver(inbox, &Mail::named("here")).await.unwrap();
    assert_eq!(ground.mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await, 0);
    limit(&ground, 2, "unlimited").await;
    let begun = Instant::now();
    ground.mesh.await_equal(inbox, 3).await;
    ground.await_current(Duration::from_secs(60)).await;
    println!("it went on {:?} after there was room", begun.elapsed());
    assert_eq!(ground.mesh.count(2, "select count(*) from dbmail_mesh.set_aside").await, 0);
}
