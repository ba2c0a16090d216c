//! A node's password: from a file or from the environment, and from nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::section::Section;

/// The password of a node, if it has one: the environment's, or else that of `password_file`.
pub(super) fn password(folder: &Path, section: &mut Section<'_>) -> Option<String> {
    let from_env =
        if section.has("password") && section.origin("password").is_some() { section.text("password") } else { None };
    let file = section.text("password_file");
    if from_env.is_some() {
        return from_env;
    }
    let file = file?;
    read(&folder.join(&file)).map_err(|reason| section.problem("password_file", format!("{file:?}"), reason)).ok()
}

/// The content of a file that others cannot read, without its last line end.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mode = fs::metadata(path).map_err(cannot)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(format!("is open to everybody on this machine (mode {:04o}): chmod o= it", mode & 0o7777));
    }
    let text = fs::read_to_string(path).map_err(cannot)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("is empty".into());
    }
    Ok(password.to_owned())
}
