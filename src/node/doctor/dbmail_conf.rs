//! What no database tells of dbmail: the program's version, and a setting in `dbmail.conf`. Pure.

use super::finding::{Finding, Findings};
use crate::domain::budget::Level;

const CHECK: &str = "dbmail_conf";
const WHY: &str = "with strategy 2, sessions of dbmail go on showing UIDs that are dead";

/// Judges `dbmail.conf`: its path and what it says, or that there is none on this machine.
pub(super) fn judge(file: Option<(&str, &str)>) -> Vec<Finding> {
    let mut found = Findings::about(None);
    match file {
        None => found.say(
            Level::Notice,
            CHECK,
            "there is no dbmail.conf on this machine (another place: --dbmail-conf)",
            WHY,
            "on each machine that runs dbmail: grep mailbox_update_strategy /etc/dbmail/dbmail.conf (1, or not set), and \
             dbmail-imapd -V (3.5.6 or later)",
        ),
        Some((path, text)) => match strategy(text) {
            None => found.ok(CHECK, format!("{path}: mailbox_update_strategy is not set, hence 1")),
            Some("1") => found.ok(CHECK, format!("{path}: mailbox_update_strategy = 1")),
            Some(other) => {
                let what = format!("{path}: mailbox_update_strategy = {other}");
                let mend = "set mailbox_update_strategy = 1 in section [IMAP], and restart dbmail-imapd";
                found.say(Level::Critical, CHECK, what, WHY, mend);
            }
        },
    }
    found.all
}

/// The last `mailbox_update_strategy` of section `[IMAP]`.
fn strategy(text: &str) -> Option<&str> {
    let mut section = "";
    let mut value = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.trim();
        } else if let Some((key, given)) = line.split_once('=')
            && section.eq_ignore_ascii_case("imap")
            && key.trim().eq_ignore_ascii_case("mailbox_update_strategy")
        {
            value = given.split(['#', ';']).next().map(str::trim);
        }
    }
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategy_2_is_critical_and_what_is_not_set_is_1() {
        for (text, level) in [
            ("", Level::Ok),
            ("[IMAP]\nport = 143\n", Level::Ok),
            ("[IMAP]\n mailbox_update_strategy=1 # full\n", Level::Ok),
            ("[IMAP]\nmailbox_update_strategy = 2\n", Level::Critical),
            ("[imap]\nMAILBOX_UPDATE_STRATEGY = 2\n", Level::Critical),
            ("[IMAP]\n# mailbox_update_strategy = 2\n", Level::Ok),
            ("[POP]\nmailbox_update_strategy = 2\n[IMAP]\n", Level::Ok),
        ] {
            assert_eq!(judge(Some(("dbmail.conf", text)))[0].level, level, "{text:?}");
        }
        assert_eq!(judge(None)[0].level, Level::Notice);
    }
}
