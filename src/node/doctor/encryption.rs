//! Judges how the connection to a node is protected. Pure.

use super::facts::Encryption;
use super::finding::Findings;
use crate::config::Reach;
use crate::domain::budget::Level;
use crate::tls::Mode;

const CHECK: &str = "encryption";

/// `seen`: what the server says of the session that asked.
pub(super) fn judge(reach: Reach, mode: Mode, seen: Option<&Encryption>, found: &mut Findings) {
    let said = seen.map(|seen| [&seen.version, &seen.cipher].map(|text| text.as_deref().unwrap_or("?")).join(", "));
    match (reach, seen, mode) {
        (Reach::Socket, ..) => found.ok(CHECK, "a socket of this machine"),
        (Reach::Loopback, None, _) => found.ok(CHECK, "none, within this machine"),
        (Reach::Remote, None, Mode::Disable) => found.say(
            Level::Warning,
            CHECK,
            "none, over a network",
            "whoever is on the way can read mail and change it",
            "set ssl = on there, with a certificate, and take sslmode=disable out of the settings",
        ),
        // A pooler or proxy that speaks TLS itself, and none to the server.
        (Reach::Remote, None, _) => found.say(
            Level::Notice,
            CHECK,
            "the server sees no TLS, this program does",
            "something in between takes the encryption off, and whoever is behind it can read mail",
            "name the server itself in the node's url",
        ),
        (_, Some(_), Mode::Require) => found.say(
            Level::Notice,
            CHECK,
            format!("{}; whoever answers is believed", said.unwrap_or_default()),
            "somebody on the way who poses as the server can read mail",
            "name the certificate of the server's authority by sslrootcert, and say sslmode=verify-full",
        ),
        (_, Some(_), mode) => found.ok(CHECK, format!("{}, checked by {}", said.unwrap_or_default(), mode.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clear_text_over_a_network_is_worse_than_a_notice() {
        for (reach, mode, is_seen, level) in [
            (Reach::Socket, Mode::Disable, false, Level::Ok),
            (Reach::Loopback, Mode::Disable, false, Level::Ok),
            (Reach::Loopback, Mode::VerifyFull, true, Level::Ok),
            (Reach::Loopback, Mode::Require, true, Level::Notice),
            (Reach::Remote, Mode::Disable, false, Level::Warning),
            (Reach::Remote, Mode::Require, true, Level::Notice),
            (Reach::Remote, Mode::VerifyCa, true, Level::Ok),
            (Reach::Remote, Mode::VerifyFull, true, Level::Ok),
            (Reach::Remote, Mode::VerifyFull, false, Level::Notice),
        ] {
            let mut found = Findings::about(Some("ams"));
            judge(reach, mode, is_seen.then(Encryption::default).as_ref(), &mut found);
            let told: Vec<_> = found.all.iter().map(|finding| finding.level).collect();
            assert_eq!(told, [level], "{reach:?} {mode:?} {is_seen}");
        }
    }
}
