//! Under which directory a throwaway cluster is put.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::user;
use crate::error::{Error, Kind, Result};

/// A Unix socket's path has room for 107 bytes (`sun_path` in unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// What is added to the base directory: the cluster's own directory, and the longest name of a socket in it.
const SOCKET_PATH_REST: usize = "/dbmail-mesh-XXXXXX/.s.PGSQL.65535".len();

/// TMPDIR, or /tmp where that is too deep for a socket or closed to the user that runs the server.
///
/// # Errors
/// `Kind::Usage` when neither will do.
pub(super) fn base_directory() -> Result<PathBuf> {
    let other_user = user::for_server()?.is_some();
    let candidates = [std::env::temp_dir(), PathBuf::from("/tmp")];
    let fits = |dir: &&PathBuf| dir.as_os_str().len() + SOCKET_PATH_REST <= SOCKET_PATH_MAX;
    let open = |dir: &&PathBuf| !other_user || open_to_all(dir);
    candidates.iter().filter(fits).find(open).cloned().ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!("a throwaway cluster can live neither in {} nor in /tmp", candidates[0].display()),
        )
        .remedy("set TMPDIR to a short path that the user postgres may write to")
    })
}

/// Whether everyone may make files in `dir` and reach it.
fn open_to_all(dir: &Path) -> bool {
    let allows = |path: &Path, bits: u32| {
        path.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.permissions().mode() & bits == bits)
    };
    allows(dir, 0o003) && dir.ancestors().skip(1).all(|parent| allows(parent, 0o001))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_directory_is_closed_to_others() {
        let private = tempfile::tempdir().unwrap();
        assert!(!open_to_all(private.path()));
        std::fs::set_permissions(private.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let inner = private.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(open_to_all(&inner));
        std::fs::set_permissions(private.path(), PermissionsExt::from_mode(0o700)).unwrap();
        assert!(!open_to_all(&inner));
    }
}
