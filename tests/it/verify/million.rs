//! How long the comparison of much mail takes. `make verify-million`.

use std::time::Instant;

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::scratch::cluster::{Cluster, Options, connect};
use dbmail_mesh::scratch::install::install;
use serde_json::Value;

use crate::cli::File;

/// The most that a comparison of a million messages on two nodes may take on two cores.
const SECONDS_MAX: f64 = 60.0;

fn json(file: &File, arguments: &str) -> (i32, Value) {
    let ended = file.run(&format!("verify --json {arguments}"));
    (ended.code, serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and gigabytes: make verify-million"]
async fn a_million_messages_are_compared_within_a_minute() {
    let messages: i64 = std::env::var("VERIFY_MESSAGES").map_or(1_000_000, |count| count.parse().unwrap());
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let (mut nodes, mut urls) = (Vec::new(), Vec::new());
    for (name, id) in [("ams", 1), ("fra", 2)] {
        cluster.create_dbmail(name).await.unwrap();
        urls.push(cluster.worker_url(name));
        nodes.push(NodeSettings::new(name, NodeId(id), &cluster.worker_url(name)).unwrap());
    }
    install(&nodes, &nodes, Stride(8)).await.unwrap();
    let begun = Instant::now();
    let mut snapshots = Vec::new();
    for (node, offset) in nodes.iter().zip([1_000, 5_000_000]) {
        let client = connect(&node.connection).await.unwrap();
        client
            .batch_execute(&format!("set verify.messages = {messages}; set verify.first_id = {offset}"))
            .await
            .unwrap();
        client.batch_execute(include_str!("million.sql")).await.unwrap();
        let snapshot: String = client.query_one("select pg_current_snapshot()::text", &[]).await.unwrap().get(0);
        snapshots.push(snapshot);
    }
    for (target, source) in [(0, 1), (1, 0)] {
        let sql = format!(
            "insert into dbmail_mesh.cursor (source_id, from_snapshot) values ({}, '{}')",
            source + 1,
            snapshots[source]
        );
        connect(&nodes[target].connection).await.unwrap().batch_execute(&sql).await.unwrap();
    }
    println!("{messages} messages were made on each node in {:.0} s", begun.elapsed().as_secs_f64());

    let file = File::with_nodes(&urls);
    for what in ["after the data was made", "again"] {
        let (code, report) = json(&file, "");
        let took = report["seconds"].as_f64().unwrap();
        println!("{what}: {took:.1} s");
        assert_eq!((code, &report["nodes"][1]["messages"]), (0, &messages.into()), "{report:#}");
        assert!(took < SECONDS_MAX * messages.max(1_000_000) as f64 / 1e6, "{took} s");
    }
    let client = connect(&nodes[1].connection).await.unwrap();
    let apart = "begin; set local session_replication_role = replica;
                 update dbmail_messages set answered_flag = 1 where message_idnr % 20000 = 2; commit";
    client.batch_execute(apart).await.unwrap();
    let (code, report) = json(&file, "");
    println!("with {} differences: {:.1} s", report["differences_total"], report["seconds"].as_f64().unwrap());
    assert_eq!((code, &report["differences_total"]), (1, &(messages / 10_000).into()));
}
