//! The commands of docs/tls.md make certificates with which a node is reached as it says.

use std::process::Command;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::NodeId;
use dbmail_mesh::scratch::cluster::connect;

use super::server::Server;

/// What the page tells to type in a shell, but for what is to be done as root.
fn commands() -> String {
    let page = include_str!("../../../docs/tls.md");
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).filter(|line| !line.starts_with("sudo ")).map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn the_commands_of_the_page_make_certificates_that_can_be_used() {
    let server = Server::start().await;
    let typed = commands();
    assert!(typed.contains("-keyout ca.key") && typed.contains("-out mesh.pem"), "{typed}");
    let output = Command::new("bash").args(["-euc", &typed]).current_dir(server.folder()).output().unwrap();
    assert!(output.status.success(), "{typed}\n{}", String::from_utf8_lossy(&output.stderr));
    server.give("db.ams.example.key");
    server.run("create role dbmail_mesh login").await;
    server.run(&format!("alter system set ssl_ca_file = '{}'", server.file("ca.pem"))).await;
    server.show(Some("db.ams.example")).await;
    let files = ["sslrootcert=ca.pem", "sslcert=mesh.pem", "sslkey=mesh.key"].map(|file| {
        let (key, name) = file.split_once('=').unwrap();
        format!("&{key}={}", server.file(name))
    });
    for (host, good) in [("db.ams.example", true), ("db.fra.example", false)] {
        let node =
            NodeSettings::new("ams", NodeId(1), &server.url("dbmail_mesh", host, "postgres", &files.concat())).unwrap();
        let connected = node.tls.connect(&node.connection).await;
        assert_eq!(connected.is_ok(), good, "{:?}", connected.err());
    }
    assert!(connect(&server.cluster.config("postgres")).await.is_ok());
}
