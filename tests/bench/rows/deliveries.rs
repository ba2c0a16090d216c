//! What dbmail feels of the triggers when it delivers.

use std::time::Duration;

use anyhow::Result;

use crate::Options;
use crate::figures::{Figure, Reach};
use crate::load::Site;
use crate::mesh::Mesh;
use crate::{ground, mail};

pub const NAME: &str = "deliveries";

/// As many clients deliver at once.
const CLIENTS: [usize; 3] = [1, 8, 16];
const DELIVERIES: Duration = Duration::from_secs(6);
const ROWS: Duration = Duration::from_secs(1);
/// Mail that is there before anything is measured.
const BEFORE: usize = 2_000;

/// Rates a second, a value a round.
#[derive(Default)]
struct Rates {
    without: Vec<f64>,
    /// The other node takes nothing meanwhile: what is felt is the triggers, the outbox, and the worker that listens.
    with: Vec<f64>,
    /// The worker and the other node have these processors too.
    followed: Vec<f64>,
    rows_without: Vec<f64>,
    rows_with: Vec<f64>,
}

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let ((alone, plain), (source, _), (target, _)) =
        (ground::dbmail().await?, ground::dbmail().await?, ground::dbmail().await?);
    let mesh = Mesh::installed(&[(&source, "dbmail"), (&target, "dbmail")], 8).await?;
    let worker = mesh.worker(&[])?;
    let mut sites = Vec::new();
    for node in [&plain, mesh.config(0)] {
        let mailboxes = mail::create_mailboxes(node, mail::MAILBOXES).await?;
        mail::deliver_all(node, &mailboxes, 0, BEFORE).await?;
        sites.push(Site::new(node, &mailboxes, BEFORE));
    }
    mesh.current().await?;
    for node in [&plain, mesh.config(0), mesh.config(1)] {
        ground::settle_down(node).await?;
    }
    let [without, with] = &sites[..] else { unreachable!("two sites") };
    // The first write to a page after a checkpoint brings all of it into the WAL.
    for site in [without, with] {
        site.deliveries_per_s(CLIENTS[1], DELIVERIES).await?;
    }
    mesh.current().await?;
    let mut rates: Vec<Rates> = CLIENTS.iter().map(|_| Rates::default()).collect();
    for round in 0..options.rounds {
        mesh.run(&["pause", "--node", "n2"]).await?;
        for (clients, rates) in CLIENTS.iter().zip(&mut rates) {
            // Whoever comes first finds the machine fresher than the other, by some parts of a hundred.
            for turn in 0..2 {
                let is_with = (round + turn) % 2 == 0;
                let (site, deliveries, rows) = if is_with {
                    (with, &mut rates.with, &mut rates.rows_with)
                } else {
                    (without, &mut rates.without, &mut rates.rows_without)
                };
                deliveries.push(site.deliveries_per_s(*clients, DELIVERIES).await?);
                rows.push(site.rows_per_s(*clients, ROWS).await?);
            }
        }
        mesh.run(&["resume", "--node", "n2"]).await?;
        mesh.current().await?;
        for (clients, rates) in CLIENTS.iter().zip(&mut rates) {
            rates.followed.push(with.deliveries_per_s(*clients, DELIVERIES).await?);
            mesh.current().await?;
        }
    }
    mesh.verify().await?;
    drop((worker, alone));
    let mut figures = Vec::new();
    for (clients, rates) in CLIENTS.iter().zip(&rates) {
        let by = if *clients == 1 { "one client".to_owned() } else { format!("{clients} clients") };
        let plain = ("without", &rates.without[..]);
        figures.push(Figure::beside(
            NAME,
            format!("deliveries, {by}"),
            "a second",
            &rates.with,
            plain,
            Reach::RatioAtLeast(0.9),
        ));
        let what = format!("deliveries, {by}, worker and second node on the same processors");
        figures.push(Figure::beside(NAME, what, "a second", &rates.followed, plain, Reach::Nothing));
        let plain = ("without", &rates.rows_without[..]);
        let what = format!("transactions of one new row, {by}");
        figures.push(Figure::beside(NAME, what, "a second", &rates.rows_with, plain, Reach::Nothing));
    }
    Ok(figures)
}
