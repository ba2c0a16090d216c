//! The mail that everybody gets: the same for every contender.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use dbmail_mesh::domain::ids::MailboxId;
use dbmail_mesh::scratch::standin::{Mail, Session};
use fastrand::Rng;
use futures_util::future::try_join_all;
use tokio_postgres::Config;

/// How many mailboxes share it.
pub const MAILBOXES: usize = 200;
/// As many as a busy site's delivery daemons.
const SESSIONS: usize = 8;
const PART_BYTES_MIN: usize = 4 << 10;
const PART_BYTES_MAX: usize = 20 << 10;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Users, each with an INBOX.
pub async fn create_mailboxes(node: &Config, count: usize) -> Result<Vec<MailboxId>> {
    let mut session = Session::connect(node).await?;
    let mut mailboxes = Vec::new();
    for n in 0..count {
        let user = format!("user{n}");
        session.create_user(&user).await?;
        mailboxes.push(session.create_mailbox(&user, "INBOX").await?);
    }
    Ok(mailboxes)
}

/// Delivers messages `from` to `upto` as dbmail does, statement by statement, by several sessions at once, spread over the mailboxes. Nobody
/// waits for the disk: it is not this that is measured.
pub async fn deliver_all(node: &Config, mailboxes: &[MailboxId], from: usize, upto: usize) -> Result<()> {
    let (next, mailboxes) = (Arc::new(AtomicUsize::new(from)), Arc::new(mailboxes.to_vec()));
    let sessions = (0..SESSIONS).map(|_| {
        let (next, mailboxes, node) = (next.clone(), mailboxes.clone(), node.clone());
        tokio::spawn(async move {
            let mut session = Session::connect(&node).await?;
            session.client().batch_execute("set synchronous_commit = off").await?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= upto {
                    return Ok::<(), anyhow::Error>(());
                }
                session.deliver(mailboxes[n % mailboxes.len()], &mail(n)).await?;
            }
        })
    });
    for ended in try_join_all(sessions).await? {
        ended?;
    }
    Ok(())
}

/// Message number `n`: one to three parts of 4 to 20 KiB besides its header, most of them small, 16.8 KB together in the mean; twelve header
/// fields, whose names all messages share, and most of whose values many do.
pub fn mail(n: usize) -> Mail {
    let mut rng = Rng::with_seed(n as u64);
    let parts = (0..rng.usize(2..=4)).map(|_| part(&mut rng)).collect();
    let unique_id = format!("{n:08}{:024x}", rng.u128(..) >> 32);
    Mail { headers: headers(&mut rng, n, &unique_id), parts, unique_id, ..Mail::slight("") }
}

/// As an attachment is encoded. Small ones are the rule.
fn part(rng: &mut Rng) -> Vec<u8> {
    let size = PART_BYTES_MIN + ((PART_BYTES_MAX - PART_BYTES_MIN) as f64 * rng.f64().powi(9)) as usize;
    let mut text = vec![0; size];
    rng.fill(&mut text);
    for (position, byte) in text.iter_mut().enumerate() {
        *byte = match position % 78 {
            76 => b'\r',
            77 => b'\n',
            _ => ALPHABET[usize::from(*byte & 63)],
        };
    }
    text
}

fn headers(rng: &mut Rng, n: usize, unique_id: &str) -> Vec<(String, String)> {
    let person = |rng: &mut Rng| format!("person{}@example.org", rng.u16(..500));
    let (day, hour, minute) = (rng.u8(1..=28), rng.u8(..24), rng.u8(..60));
    [
        ("Return-Path", person(rng)),
        ("Received", format!("from mx{}.example.net by mail.example.org with LMTP id {unique_id}", rng.u8(..3))),
        ("From", person(rng)),
        ("To", person(rng)),
        ("Cc", person(rng)),
        ("Date", format!("{day} Jun 2026 {hour:02}:{minute:02}:00 +0000")),
        ("Message-ID", format!("<{unique_id}@example.org>")),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", format!("multipart/mixed; boundary=\"{:032x}\"", rng.u128(..))),
        ("X-Mailer", format!("Mailer {}", rng.u8(1..20))),
        ("Subject", format!("About matter {}", n % 5_000)),
        ("X-Spam-Status", format!("No, score={:.1}", f64::from(rng.u8(..40)) / 10.0)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
