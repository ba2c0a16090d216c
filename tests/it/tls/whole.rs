//! A mesh in which every connection is `verify-full`, with certificates instead of passwords on both sides.

use std::process::Stdio;

use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::standin::{Mail, Session};
use serde_json::Value;

use super::server::Server;
use crate::cli::File;
use crate::mesh::DEADLINE;

/// Settings in which certificates stand beside the URL, by names relative to the settings' folder.
fn settings(server: &Server) -> File {
    let node = |id: usize, name: &str| {
        let url = server.url("mesh", "db.example", name, "");
        format!(
            "[[node]]\nname = \"{name}\"\nid = {id}\nurl = \"{url}\"\nsslrootcert = \"ours.pem\"\n\
             sslcert = \"client-mesh.pem\"\nsslkey = \"client-mesh.key\"\n"
        )
    };
    let file = File::with_text(&format!("[mesh]\nstride = 2\n{}{}", node(1, "ams"), node(2, "fra")));
    for name in ["ours.pem", "client-mesh.pem", "client-mesh.key"] {
        std::fs::copy(server.folder().join(name), file.path().parent().unwrap().join(name)).unwrap();
    }
    file
}

#[tokio::test]
async fn a_message_gets_from_node_to_node_and_nothing_is_in_clear_text() {
    let server = Server::start().await;
    server.show(Some("good")).await;
    let [ams, fra] = ["ams", "fra"].map(|name| server.cluster.create_dbmail(name));
    let (ams, fra) = (ams.await.unwrap(), fra.await.unwrap());
    // It installs: whoever does that is a member of the role that owns dbmail's tables.
    server
        .run("grant dbmail to mesh; grant create on database ams to mesh; grant create on database fra to mesh")
        .await;
    let file = settings(&server);
    let check = file.run("config check");
    assert_eq!(check.code, 0, "{check:?}");
    assert_eq!(check.out.matches("verify-full").count(), 2, "{}", check.out);
    let up = file.run("migrate up");
    assert_eq!(up.code, 0, "{up:?}");
    assert_eq!(file.run("config check --connect").code, 0);

    let doctor = file.run("doctor --json");
    let doctor: Value = serde_json::from_str(&doctor.out).unwrap();
    let findings = doctor["findings"].as_array().unwrap().iter();
    let encryption: Vec<_> = findings.filter(|finding| finding["check"] == "encryption").collect();
    assert_eq!(encryption.len(), 2, "{encryption:?}");
    for finding in encryption {
        assert_eq!(finding["level"], "ok");
        assert!(finding["found"].as_str().unwrap().contains("checked by verify-full"), "{finding}");
    }

    let mut session = Session::connect(&ams).await.unwrap();
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("over-tls")).await.unwrap();
    let mut worker = tokio::process::Command::from(file.command("run --set health.listen="))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let there = connect(&fra).await.unwrap();
    let arrived = "select count(*) from dbmail_messages where unique_id = 'over-tls' and status < 2";
    let begun = std::time::Instant::now();
    while there.query_one(arrived, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begun.elapsed() < DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // The pools, the listeners and the worker locks of both nodes.
    let sessions = "select count(*) filter (where s.ssl), count(*) filter (where not s.ssl), count(distinct a.application_name)
                    from pg_stat_activity a join pg_stat_ssl s on s.pid = a.pid where a.application_name like 'dbmail-mesh%'";
    let row = there.query_one(sessions, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) >= 6 && row.get::<_, i64>(2) >= 3, "{row:?}");
    assert_eq!(row.get::<_, i64>(1), 0, "sessions in clear text");
    worker.kill().await.unwrap();

    // A certificate that has become another one's: nobody goes on with it.
    server.show(Some("elsewhere")).await;
    let status = file.run("migrate status");
    assert_eq!(status.code, 3, "{status:?}");
    assert!(status.out.contains("connect by a name that the certificate has"), "{}", status.out);
}

/// Nobody has such an address; what is told is told before anybody is connected to.
#[test]
fn what_goes_over_a_network_in_clear_text_is_told() {
    let file = File::with_nodes(&["postgresql://mesh@192.0.2.1/mail?sslmode=disable".to_owned()]);
    let check = file.run("config check");
    assert_eq!(check.code, 0, "{check:?}");
    assert!(check.out.contains("node ams: mail and password go to it in clear text"), "{}", check.out);
    let encrypted = file.run("config check --set node.ams.url=postgresql://mesh@192.0.2.1/mail");
    assert!(!encrypted.out.contains("clear text") && encrypted.out.contains("verify-full"), "{}", encrypted.out);

    let mut command = file.command("run --set health.listen=");
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = std::io::BufReader::new(worker.stderr.take().unwrap());
    let told = std::io::BufRead::lines(log).map_while(Result::ok).any(|line| line.contains("in clear text"));
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(told);
}

/// `sslrootcert=system` is what this machine trusts, wherever it keeps it.
#[tokio::test]
async fn the_authorities_of_the_machine_are_asked() {
    let server = Server::start().await;
    server.show(Some("good")).await;
    let urls = [server.url("postgres", "db.example", "postgres", "&sslrootcert=system")];
    let file = File::with_nodes(&urls);
    let check = |trusted: &str| {
        let mut command = file.command("config check --connect");
        crate::cli::ended(command.env("SSL_CERT_FILE", server.file(trusted)).env_remove("SSL_CERT_DIR"))
    };
    let believed = check("ours.pem");
    assert_eq!(believed.code, 0, "{believed:?}");
    assert!(believed.out.contains("verify-full") && believed.out.contains("not installed"), "{}", believed.out);
    let other = check("theirs.pem");
    assert_eq!(other.code, 3, "{other:?}");
    assert!(other.out.contains("UnknownIssuer"), "{}", other.out);
}
