//! A message as it comes in, and made-up ones.

use std::fmt::Write as _;

use fastrand::Rng;
use sha2::{Digest, Sha256};

/// The five flags that clients set (RFC 3501, 2.3.2), without \Recent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags {
    /// \Seen
    pub seen: bool,
    /// \Answered
    pub answered: bool,
    /// \Deleted
    pub deleted: bool,
    /// \Flagged
    pub flagged: bool,
    /// \Draft
    pub draft: bool,
}

impl Flags {
    /// \Seen alone.
    pub const SEEN: Self = Self { seen: true, ..Self::NONE };
    /// \Deleted alone.
    pub const DELETED: Self = Self { deleted: true, ..Self::NONE };
    /// \Flagged alone.
    pub const FLAGGED: Self = Self { flagged: true, ..Self::NONE };
    /// None of them.
    pub const NONE: Self = Self { seen: false, answered: false, deleted: false, flagged: false, draft: false };

    /// In the order seen, answered, deleted, flagged, draft, which all statements keep.
    pub(super) fn columns(self) -> [i16; 5] {
        [self.seen, self.answered, self.deleted, self.flagged, self.draft].map(i16::from)
    }

    /// The reverse of [`columns`](Self::columns).
    pub(in crate::scratch) fn from_columns(columns: [i16; 5]) -> Self {
        let [seen, answered, deleted, flagged, draft] = columns.map(|column| column != 0);
        Self { seen, answered, deleted, flagged, draft }
    }
}

/// A message to deliver or append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// dbmail's name for the message, at most 70 characters; ours are unique in the mesh.
    pub unique_id: String,
    /// Header fields in order, without line ends.
    pub headers: Vec<(String, String)>,
    /// The MIME parts of the body.
    pub parts: Vec<Vec<u8>>,
    /// Keywords (RFC 3501's flags without a backslash).
    pub keywords: Vec<String>,
    /// Flags that it has from the start.
    pub flags: Flags,
}

/// Shared by most mail, as signatures and logos are: the size of the made-up attachment.
const ATTACHMENT_BYTES: usize = 1500;

impl Mail {
    /// A made-up message of about `size` bytes. As in real mail, header names, some header values and some parts
    /// recur from message to message; the rest is new. Equal generators give equal mail.
    pub fn generate(rng: &mut Rng, size: usize) -> Self {
        let unique_id = format!("{:032x}", rng.u128(..));
        let mut parts = vec![text(rng, size.max(1))];
        if rng.u8(..4) == 0 {
            let shared = rng.u64(..5);
            parts.push(text(&mut Rng::with_seed(shared), ATTACHMENT_BYTES));
        }
        Self { headers: headers(rng, &unique_id), parts, keywords: Vec::new(), flags: Flags::NONE, unique_id }
    }

    /// A small message called `unique_id` and with that subject, always the same for the same name.
    pub fn named(unique_id: &str) -> Self {
        let seed = unique_id.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(131).wrapping_add(byte.into()));
        let mut rng = Rng::with_seed(seed);
        let mut headers = headers(&mut rng, unique_id);
        headers.retain(|(name, _)| name != "Subject");
        headers.push(("Subject".into(), unique_id.into()));
        let parts = vec![format!("This is {unique_id}.\r\n").into_bytes()];
        Self { unique_id: unique_id.into(), headers, parts, keywords: Vec::new(), flags: Flags::NONE }
    }

    /// A message called `unique_id` that costs dbmail few statements: one header field, which all such messages share, and one part.
    pub fn slight(unique_id: &str) -> Self {
        let headers = vec![("Subject".into(), "slight".into())];
        let parts = vec![format!("This is {unique_id}.\r\n").into_bytes()];
        Self { unique_id: unique_id.into(), headers, parts, keywords: Vec::new(), flags: Flags::NONE }
    }

    /// The same with keywords.
    #[must_use]
    pub fn with_keywords(mut self, keywords: &[&str]) -> Self {
        self.keywords = keywords.iter().map(ToString::to_string).collect();
        self
    }

    /// The same with flags.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// SHA-256 in hex over the header and all parts, which the databases can compute as well.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.header_block());
        for part in &self.parts {
            hasher.update(part);
        }
        hex(&hasher.finalize())
    }

    /// The size in bytes, header included.
    pub fn size(&self) -> i64 {
        let bytes = self.header_block().len() + self.parts.iter().map(Vec::len).sum::<usize>();
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    /// The header as it stands in the message, with the empty line that ends it.
    pub(super) fn header_block(&self) -> Vec<u8> {
        let fields = self.headers.iter().fold(String::new(), |mut block, (name, value)| {
            let _ = write!(block, "{name}: {value}\r\n");
            block
        });
        (fields + "\r\n").into_bytes()
    }

    /// The value of the first field of that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The hash that names parts and header values: SHA-256 in hex.
pub(super) fn hash(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn headers(rng: &mut Rng, unique_id: &str) -> Vec<(String, String)> {
    let person = |rng: &mut Rng| format!("person{}@example.org", rng.u8(..20));
    let date = format!("{} Jun 2026 {:02}:{:02}:{:02} +0000", rng.u8(1..=28), rng.u8(..24), rng.u8(..60), rng.u8(..60));
    let mut headers = vec![
        ("Return-Path".into(), person(rng)),
        ("Received".into(), format!("from mx{}.example.net by mail.example.org with LMTP id {unique_id}", rng.u8(..3))),
        ("From".into(), person(rng)),
        ("To".into(), person(rng)),
        ("Date".into(), date),
        ("Message-ID".into(), format!("<{unique_id}@example.org>")),
        ("MIME-Version".into(), "1.0".into()),
        ("Content-Type".into(), "text/plain; charset=utf-8".into()),
        ("X-Mailer".into(), format!("Mailer {}", rng.u8(1..5))),
        ("Subject".into(), format!("About matter {}", rng.u8(..50))),
    ];
    if rng.bool() {
        headers.push((
            "References".into(),
            format!("<{:08x}@example.org> <{:08x}@example.org>", rng.u32(..), rng.u32(..)),
        ));
    }
    headers
}

/// Lines of 76 printable characters.
fn text(rng: &mut Rng, size: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_mail_repeats_for_a_seed_and_differs_otherwise() {
        let mail = |seed| Mail::generate(&mut Rng::with_seed(seed), 5000);
        assert_eq!(mail(1), mail(1));
        assert_ne!(mail(1).unique_id, mail(2).unique_id);
        assert_ne!(mail(1).digest(), mail(2).digest());
        assert!(mail(1).unique_id.len() <= 70);
        assert!((5000..9000).contains(&mail(1).size()), "{}", mail(1).size());
    }

    #[test]
    fn flags_survive_their_columns() {
        let flags = Flags { answered: true, draft: true, ..Flags::NONE };
        assert_eq!(Flags::from_columns(flags.columns()), flags);
    }
}
