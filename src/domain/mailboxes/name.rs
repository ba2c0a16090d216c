//! Names: when two are one, and what a mailbox is called that has to give its name up.

use crate::domain::ids::MailboxId;

/// The most characters that dbmail has room for in the name of a mailbox.
pub const NAME_MAX: usize = 255;

/// Owner and name in the form in which they are compared. INBOX is INBOX however it is written (RFC 3501, 5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    owner: String,
    name: String,
}

impl Key {
    /// The key of a mailbox of `owner`.
    pub fn of(owner: &str, name: &str) -> Self {
        let name = if name.eq_ignore_ascii_case("inbox") { "INBOX" } else { name };
        Self { owner: owner.into(), name: name.into() }
    }

    /// Whether it is the one that every account has, and that cannot have another name.
    pub fn is_inbox(&self) -> bool {
        self.name == "INBOX"
    }
}

/// The name for mailbox `id` in place of `name`, which another has: `Work` becomes `Work (17)`, that becomes `Work (17.2)`, and so on.
/// No two mailboxes are ever given the same in this way, and none gets one twice.
pub fn displaced(name: &str, id: MailboxId) -> String {
    let (stem, times) = split(name, id).unwrap_or((name, 0));
    let suffix = if times == 0 { format!(" ({id})") } else { format!(" ({id}.{})", times.saturating_add(1)) };
    let stem: String = stem.chars().take(NAME_MAX - suffix.len()).collect();
    stem + &suffix
}

/// What comes before the suffix of a displaced name of this mailbox, and the number in the suffix.
fn split(name: &str, id: MailboxId) -> Option<(&str, u64)> {
    let (stem, suffix) = name.strip_suffix(')')?.rsplit_once(" (")?;
    match suffix.strip_prefix(&id.to_string())? {
        "" => Some((stem, 1)),
        // Where nothing comes after it, it is part of the name that somebody gave.
        times => Some((stem, times.strip_prefix('.')?.parse().ok().filter(|times| *times < u64::MAX)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_displaced_mailbox_is_called_by_its_id() {
        for (name, expected) in [
            ("Work", "Work (17)"),
            ("Work (17)", "Work (17.2)"),
            ("Work (17.2)", "Work (17.3)"),
            ("Work (17.2", "Work (17.2 (17)"),
            ("Work (170)", "Work (170) (17)"),
            ("Work (18)", "Work (18) (17)"),
            ("Work (17.x)", "Work (17.x) (17)"),
            ("Work (17.18446744073709551615)", "Work (17.18446744073709551615) (17)"),
            ("Work (17.18446744073709551614)", "Work (17.18446744073709551615)"),
            ("Work(17)", "Work(17) (17)"),
            ("", " (17)"),
        ] {
            assert_eq!(displaced(name, MailboxId(17)), expected, "{name}");
        }
    }

    #[test]
    fn a_long_name_makes_room_and_still_changes() {
        let mut name = "ö".repeat(NAME_MAX);
        for _ in 0..20 {
            let next = displaced(&name, MailboxId(17));
            assert_ne!(next, name);
            assert!(next.chars().count() <= NAME_MAX && next.contains(" (17"), "{next}");
            name = next;
        }
    }

    #[test]
    fn inbox_is_inbox_however_it_is_written() {
        assert_eq!(Key::of("a/1", "iNbOx"), Key::of("a/1", "INBOX"));
        assert_ne!(Key::of("a/1", "INBOX"), Key::of("b/1", "INBOX"));
        assert_ne!(Key::of("a/1", "Work"), Key::of("a/1", "WORK"));
        assert!(Key::of("a/1", "Inbox").is_inbox() && !Key::of("a/1", "INBOX/Work").is_inbox());
    }
}
