//! A new node that is filled with all that a member has.

use std::time::Instant;

use anyhow::Result;
use dbmail_mesh::scratch::cluster::{Cluster, connect};

use crate::Options;
use crate::figures::{Figure, Reach};
use crate::mesh::Mesh;
use crate::native::Native;
use crate::{ground, mail};

pub const NAME: &str = "join";

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let (source, from) = ground::dbmail().await?;
    let mailboxes = mail::create_mailboxes(&from, mail::MAILBOXES).await?;
    mail::deliver_all(&from, &mailboxes, 0, options.copied).await?;
    ground::settle_down(&from).await?;
    let (mut native, mut ours, mut spared) = (Vec::new(), Vec::new(), Vec::new());
    let per_s = |seconds: f64| options.copied as f64 / seconds;
    for round in 0..options.rounds {
        native.push(per_s(of_native(&source).await?));
        ours.push(per_s(of_mesh(&source, &format!("plain{round}"), false).await?));
        spared.push(per_s(of_mesh(&source, &format!("spared{round}"), true).await?));
    }
    let what = format!("first copy of {} messages", options.copied);
    let peer = ("native copy of all tables", native.as_slice());
    Ok(vec![
        Figure::beside(NAME, &what, "messages/s", &ours, peer, Reach::RatioAtLeast(1.0)),
        Figure::beside(NAME, format!("{what}, checks spared"), "messages/s", &spared, peer, Reach::RatioAtLeast(1.0)),
    ])
}

/// How long it takes until all tables are copied, in seconds.
async fn of_native(source: &Cluster) -> Result<f64> {
    let (target, _) = ground::dbmail().await?;
    let native = Native::publish(source, &[&target]).await?;
    let begun = Instant::now();
    native.subscribe(source).await?;
    native.copied().await?;
    let took = begun.elapsed().as_secs_f64();
    native.end().await?;
    Ok(took)
}

/// The same for `dbmail-mesh join`, with a copy of the source that is a node of its own.
async fn of_mesh(source: &Cluster, database: &str, is_spared: bool) -> Result<f64> {
    let (target, _) = ground::dbmail().await?;
    ground::copy(source, database).await?;
    let mesh = Mesh::installed(&[(source, database), (&target, "dbmail")], 8).await?;
    if is_spared {
        ground::spare_checks(&target).await?;
    }
    let begun = Instant::now();
    mesh.run(&["join", "--node", "n2"]).await?;
    let took = begun.elapsed().as_secs_f64();
    mesh.verify().await?;
    let client = connect(&source.config("postgres")).await?;
    client.batch_execute(&format!("drop database {database} with (force)")).await?;
    Ok(took)
}
