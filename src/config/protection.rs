//! How the connections to a node are protected: `sslmode` and the files that go with it, in libpq's terms, from the node's table or from
//! its URL.
//!
//! Two things are not as in libpq. Nothing falls back to clear text, so there is neither `allow` nor `prefer`. And without `sslmode` a
//! node that is reached over a network is `verify-full`: whoever wants less has to say so. No file is looked for in a home folder.

use std::path::Path;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use super::section::Section;
use super::url::{PROTECTION, Place, Reach};
use crate::tls::{Identity, Mode, Roots, Tls, files};

const MODES: &str = "must be disable, require, verify-ca or verify-full";
const FALLS_BACK: &str = "goes on in clear text, and tells nobody, where the server or somebody in between offers no TLS: write \
                          verify-full, verify-ca or require; or disable, only where the network is private by itself";

/// What is asked for.
#[derive(Default)]
struct Asked {
    mode: Option<Mode>,
    rootcert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

/// Reads how `place` is to be reached, and notes that in its connection. Relative files are looked for in `folder`.
pub(super) fn read(place: &mut Place, folder: &Path, section: &mut Section<'_>) -> Option<Tls> {
    let asked = asked(place, section)?;
    let tls = match place.reach {
        // TLS is not spoken on a socket, whatever is asked for: as in libpq.
        Reach::Socket => Tls::none().map_err(|reason| section.problem("sslmode", None, reason)).ok()?,
        reach => over_tcp(asked, reach, folder, section)?,
    };
    let mode = if tls.mode() == Mode::Disable { SslMode::Disable } else { SslMode::Require };
    place.connection.ssl_mode(mode);
    if let Some(what) = wants_tls(&place.connection).filter(|_| mode == SslMode::Disable) {
        section.problem("url", None, format!("has {what}, which needs TLS, and without TLS it is reached"));
        return None;
    }
    Some(tls)
}

/// What of a connection makes no sense without TLS.
fn wants_tls(connection: &Config) -> Option<&'static str> {
    if connection.get_channel_binding() == ChannelBinding::Require {
        return Some("channel_binding=require");
    }
    (connection.get_ssl_negotiation() == SslNegotiation::Direct).then_some("sslnegotiation=direct")
}

/// The values of the table, or else of the URL. `None` when one of them will not do.
fn asked(place: &mut Place, section: &mut Section<'_>) -> Option<Asked> {
    let mut good = true;
    let [mode, rootcert, cert, key] = [0, 1, 2, 3].map(|at| {
        let (name, from_url) = (PROTECTION[at], place.protection[at].take());
        let was_given = section.has(name);
        let given = section.text(name);
        if was_given && from_url.is_some() {
            section.problem(name, None, "the url has it as well: keep one of them");
        }
        good &= was_given == given.is_some() && !(was_given && from_url.is_some());
        given.or(from_url)
    });
    let mode = mode.and_then(|text| match text.as_str() {
        "disable" => Some(Mode::Disable),
        "require" => Some(Mode::Require),
        "verify-ca" => Some(Mode::VerifyCa),
        "verify-full" => Some(Mode::VerifyFull),
        other => {
            let falls_back = ["allow", "prefer"].contains(&other);
            let reason = if falls_back { FALLS_BACK } else { MODES };
            section.problem("sslmode", falls_back.then(|| format!("{other:?}")), reason);
            good = false;
            None
        }
    });
    good.then_some(Asked { mode, rootcert, cert, key })
}

fn over_tcp(asked: Asked, reach: Reach, folder: &Path, section: &mut Section<'_>) -> Option<Tls> {
    let Asked { mode, rootcert, cert, key } = asked;
    let names_files = rootcert.is_some() || cert.is_some() || key.is_some();
    let mode = mode.unwrap_or(if reach == Reach::Remote || names_files { Mode::VerifyFull } else { Mode::Disable });
    if mode == Mode::Disable && names_files {
        let reason = "uses no certificate: choose another mode, or leave sslrootcert, sslcert and sslkey out";
        section.problem("sslmode", "\"disable\"".to_owned(), reason);
        return None;
    }
    let (mode, roots) = roots(mode, rootcert.as_deref(), folder, section)?;
    let identity = identity(cert.as_deref(), key.as_deref(), folder, section)?;
    let made = Tls::new(mode, &roots, identity);
    let field = if cert.is_some() { "sslcert" } else { "sslrootcert" };
    made.map_err(|reason| section.problem(field, cert.or(rootcert).map(|file| format!("{file:?}")), reason)).ok()
}

/// Whom to believe. `require` with a file is `verify-ca`, as in libpq.
fn roots(mode: Mode, named: Option<&str>, folder: &Path, section: &mut Section<'_>) -> Option<(Mode, Roots)> {
    match (named, mode) {
        (Some("system"), Mode::Require | Mode::VerifyCa) => {
            let reason = "anybody can get a certificate of an authority of this machine, for a host of his own: with it only \
                          sslmode=verify-full makes sense";
            section.problem("sslrootcert", "\"system\"".to_owned(), reason);
            None
        }
        (None, Mode::VerifyCa) => {
            let reason =
                "missing: name the file with the certificate of the authority that sslmode=verify-ca shall believe";
            section.problem("sslrootcert", None, reason);
            None
        }
        (Some("system") | None, mode) => Some((mode, Roots::System)),
        (Some(file), mode) => {
            let read = files::certificates(&folder.join(file));
            let roots = read.map_err(|reason| section.problem("sslrootcert", format!("{file:?}"), reason)).ok()?;
            Some((if mode == Mode::Require { Mode::VerifyCa } else { mode }, Roots::These(roots)))
        }
    }
}

/// The certificate that the server is shown, `Some(None)` where there is none.
fn identity(
    cert: Option<&str>,
    key: Option<&str>,
    folder: &Path,
    section: &mut Section<'_>,
) -> Option<Option<Identity>> {
    let (cert, key) = match (cert, key) {
        (None, None) => return Some(None),
        (Some(cert), Some(key)) => (cert, key),
        (None, Some(_)) => {
            section.problem("sslcert", None, "missing: sslkey is the key of a certificate");
            return None;
        }
        (Some(_), None) => {
            section.problem("sslkey", None, "missing: sslcert cannot be used without its key");
            return None;
        }
    };
    let chain = files::certificates(&folder.join(cert));
    let chain = chain.map_err(|reason| section.problem("sslcert", format!("{cert:?}"), reason)).ok();
    let key_read = files::key(&folder.join(key));
    let key = key_read.map_err(|reason| section.problem("sslkey", format!("{key:?}"), reason)).ok();
    Some(Some((chain?, key?)))
}
