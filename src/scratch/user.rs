//! Which user runs the server programs: PostgreSQL refuses root.

use std::process::Command;

use crate::error::{Error, Kind, Result};

/// The users that may run PostgreSQL for root, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A system user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SystemUser {
    /// Its user id.
    pub(super) uid: u32,
    /// Its primary group's id.
    pub(super) gid: u32,
}

/// The user to change to, `None` when we are not root and simply go on as who we are.
///
/// # Errors
/// `Kind::Usage` when we are root and the machine has none of the users that could stand in.
pub(super) fn for_server() -> Result<Option<SystemUser>> {
    if !we_are_root()? {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd")
        .map_err(|error| Error::new(Kind::Usage, format!("cannot read /etc/passwd: {error}")).source(error))?;
    UNPRIVILEGED.iter().find_map(|name| look_up(&passwd, name)).map(Some).ok_or_else(|| {
        Error::new(Kind::Usage, "PostgreSQL does not run as root, and /etc/passwd has no user postgres or nobody")
            .remedy("run this as an unprivileged user")
    })
}

fn we_are_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .map_err(|error| Error::new(Kind::Usage, format!("cannot run `id -u`: {error}")).source(error))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}

/// Finds `name` in the text of a passwd(5) file: `name:password:uid:gid:...`.
fn look_up(passwd: &str, name: &str) -> Option<SystemUser> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        Some(SystemUser { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:105:112:,,,:/var:/bin/sh\n";
        assert_eq!(look_up(passwd, "postgres"), Some(SystemUser { uid: 105, gid: 112 }));
        assert_eq!(look_up(passwd, "nobody"), None);
    }
}
