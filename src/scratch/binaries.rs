//! Where this machine keeps the PostgreSQL server programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Kind, Result};

/// The environment variable that names the directory of `initdb` and `postgres`, before every other place.
pub const PG_BIN_VARIABLE: &str = "DBMAIL_MESH_PG_BIN";

/// Where Debian and its derivatives put `<major>/bin`; they keep it off the PATH.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The programs that a cluster needs.
const NEEDED: [&str; 2] = ["initdb", "postgres"];

/// A directory that holds `initdb` and `postgres`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Looks in `DBMAIL_MESH_PG_BIN`, the PATH, `pg_config --bindir` and Debian's places, in this order.
    ///
    /// # Errors
    /// `Kind::Usage` with every place that was looked at; also when the variable is set but wrong, because falling
    /// back to another PostgreSQL than the one that was asked for would mislead.
    pub fn find() -> Result<Self> {
        Self::find_in(&Places::of_this_machine())
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn find_in(places: &Places) -> Result<Self> {
        if let Some(dir) = &places.variable {
            return Self::at(dir).ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("{PG_BIN_VARIABLE} is {}, which lacks initdb or postgres", dir.display()),
                )
                .remedy("set it to the directory that holds both, or unset it")
            });
        }
        let candidates = || places.path.iter().chain(&places.pg_config).chain(&places.debian);
        if let Some(found) = candidates().find_map(|dir| Self::at(dir)) {
            return Ok(found);
        }
        Err(places.nothing_found())
    }

    /// Those in `dir`, if it has all that are needed.
    pub fn at(dir: &Path) -> Option<Self> {
        NEEDED.iter().all(|program| dir.join(program).is_file()).then(|| Self { dir: dir.to_owned() })
    }
}

/// The directories to look at, best first within each kind.
#[derive(Default)]
struct Places {
    variable: Option<PathBuf>,
    path: Vec<PathBuf>,
    pg_config: Option<PathBuf>,
    debian_root: PathBuf,
    debian: Vec<PathBuf>,
}

impl Places {
    fn of_this_machine() -> Self {
        let debian_root = PathBuf::from(DEBIAN_ROOT);
        Self {
            variable: std::env::var_os(PG_BIN_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from),
            path: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
            pg_config: ask_pg_config(),
            debian: newest_first(&debian_root),
            debian_root,
        }
    }

    fn nothing_found(&self) -> Error {
        let pg_config = match &self.pg_config {
            Some(dir) => format!("pg_config --bindir ({})", dir.display()),
            None => "pg_config (not installed)".to_owned(),
        };
        let what = format!(
            "no PostgreSQL server programs (initdb and postgres) found; looked at {PG_BIN_VARIABLE} (not set), the PATH, \
             {pg_config}, {}/*/bin",
            self.debian_root.display()
        );
        Error::new(Kind::Usage, what).remedy(format!(
            "run `apt-get install postgresql`, or set {PG_BIN_VARIABLE} to the directory that holds them"
        ))
    }
}

fn ask_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok().filter(|output| output.status.success())?;
    let dir = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(dir.trim()))
}

/// `root/<major>/bin` for each major version, the highest first.
fn newest_first(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut majors: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    majors.sort_unstable_by(|left, right| right.cmp(left));
    majors.into_iter().map(|major| root.join(major.to_string()).join("bin")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_programs(root: &Path, dir: &str, programs: &[&str]) -> PathBuf {
        let dir = root.join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        for program in programs {
            std::fs::write(dir.join(program), "").unwrap();
        }
        dir
    }

    #[test]
    fn the_first_complete_directory_wins() {
        let root = tempfile::tempdir().unwrap();
        let clients_only = with_programs(root.path(), "usr", &["psql"]);
        let config = with_programs(root.path(), "config", &NEEDED);
        let places = Places { path: vec![clients_only], pg_config: Some(config.clone()), ..Places::default() };
        assert_eq!(Binaries::find_in(&places).unwrap().dir(), config);
    }

    #[test]
    fn the_newest_major_is_compared_as_a_number() {
        let root = tempfile::tempdir().unwrap();
        for major in ["9", "15", "16", "common"] {
            with_programs(root.path(), &format!("{major}/bin"), &NEEDED);
        }
        let expected: Vec<PathBuf> =
            ["16", "15", "9"].iter().map(|major| root.path().join(major).join("bin")).collect();
        assert_eq!(newest_first(root.path()), expected);
    }

    #[test]
    fn nothing_found_names_the_places_and_the_remedy() {
        let places = Places { debian_root: "/usr/lib/postgresql".into(), ..Places::default() };
        let error = Binaries::find_in(&places).unwrap_err().to_string();
        for part in [PG_BIN_VARIABLE, "PATH", "pg_config", "/usr/lib/postgresql/*/bin", "apt-get install postgresql"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn a_wrong_variable_is_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let good = with_programs(root.path(), "good", &NEEDED);
        let places = Places { variable: Some(root.path().join("bad")), path: vec![good], ..Places::default() };
        let error = Binaries::find_in(&places).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains("bad"), "{error}");
    }
}
