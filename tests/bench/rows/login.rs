//! What a login costs: dbmail writes its time, and a trigger notes that somebody may be reading.

use std::time::Instant;

use anyhow::Result;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::standin::Session;
use tokio_postgres::{Client, Config};

use crate::Options;
use crate::figures::{Figure, Reach, median};
use crate::ground;
use crate::mesh::Mesh;

pub const NAME: &str = "login";

const USER: &str = "reader";
const MAILBOXES: i64 = 2_000;
/// Logins a round, in turns of so many.
const TURNS: usize = 10;
const LOGINS: usize = 50;

pub async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let ((alone, plain), (source, _), (target, _)) =
        (ground::dbmail().await?, ground::dbmail().await?, ground::dbmail().await?);
    let mesh = Mesh::installed(&[(&source, "dbmail"), (&target, "dbmail")], 8).await?;
    let worker = mesh.worker(&[])?;
    let (mut without, mut with) = (reader(&plain).await?, reader(mesh.config(0)).await?);
    mesh.current().await?;
    for node in [&plain, mesh.config(0)] {
        ground::settle_down(node).await?;
    }
    let admin = connect(mesh.config(0)).await?;
    let (mut plain, mut ours, mut lapsed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let mut round: [Vec<f64>; 3] = Default::default();
        for _ in 0..TURNS {
            for _ in 0..LOGINS {
                round[0].push(login_ms(&mut without).await?);
            }
            for _ in 0..LOGINS {
                round[1].push(login_ms(&mut with).await?);
            }
            for _ in 0..LOGINS {
                let_lapse(&admin).await?;
                round[2].push(login_ms(&mut with).await?);
            }
        }
        plain.push(median(&round[0]));
        ours.push(median(&round[1]));
        lapsed.push(median(&round[2]));
    }
    mesh.verify().await?;
    drop((worker, alone));
    let what = format!("login of a user with {MAILBOXES} mailboxes");
    Ok(vec![
        Figure::beside(NAME, what, "ms", &ours, ("without", &plain), Reach::MoreByAtMost(0.2)),
        Figure::beside(
            NAME,
            "his first login after his presence has lapsed",
            "ms",
            &lapsed,
            ("without", &plain),
            Reach::Nothing,
        ),
    ])
}

/// A session of a user with many mailboxes, who has logged in before.
async fn reader(node: &Config) -> Result<Session> {
    let mut session = Session::connect(node).await?;
    session.create_user(USER).await?;
    connect(node).await?.execute(include_str!("../many_mailboxes.sql"), &[&USER, &MAILBOXES]).await?;
    session.login(USER).await?;
    Ok(session)
}

async fn login_ms(session: &mut Session) -> Result<f64> {
    let begun = Instant::now();
    session.login(USER).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// As if he had not come for longer than a login counts.
async fn let_lapse(admin: &Client) -> Result<()> {
    admin.execute("update dbmail_mesh.presence set seen_at = now() - interval '60 days'", &[]).await?;
    Ok(())
}
