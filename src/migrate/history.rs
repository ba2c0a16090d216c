//! What was run on a node, held against what this program knows. Pure.

use std::fmt;

use super::set::MigrationSet;

/// A row of `dbmail_mesh.migration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The migration's number.
    pub version: i32,
    /// Its name when it was run.
    pub name: String,
    /// SHA-256 of its up file when it was run; none when psql ran it.
    pub checksum: Option<String>,
}

/// Why a node's history cannot be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The node has a migration that this program does not know yet.
    Newer {
        /// The node's highest version.
        version: i32,
        /// The highest that this program knows.
        known: i32,
    },
    /// A version is missing below the highest one.
    Gap {
        /// The missing version.
        version: i32,
    },
    /// A file is not what it was when it was run.
    Changed {
        /// The file.
        file: String,
        /// What was run: its checksum, or its name if that differs.
        was: String,
        /// What this program has.
        is: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { version, known } => {
                write!(f, "is at version {version}, this program knows versions up to {known}")
            }
            Self::Gap { version } => write!(f, "lacks version {version}, though it has later ones"),
            Self::Changed { file, was, is } => {
                write!(f, "{file} has changed since it was run: it was {was}, this program has {is}")
            }
        }
    }
}

impl Fault {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "use the newer dbmail-mesh that migrated the node",
            Self::Gap { .. } => "rows of dbmail_mesh.migration were deleted: restore them, or the database",
            Self::Changed { .. } => "use the dbmail-mesh that migrated the node; a migration is never edited",
        }
    }
}

/// The version that a node is at, and everything that is wrong with how it got there.
pub(super) fn judge(applied: &[Applied], set: &MigrationSet) -> (i32, Vec<Fault>) {
    let installed = applied.iter().map(|row| row.version).max().unwrap_or(0);
    let has = |version: &i32| applied.iter().any(|row| row.version == *version);
    let mut faults = Vec::new();
    if installed > set.latest() {
        faults.push(Fault::Newer { version: installed, known: set.latest() });
    }
    faults.extend((1..installed).filter(|version| !has(version)).map(|version| Fault::Gap { version }));
    for row in applied {
        let Some(migration) = set.get(row.version) else { continue };
        let file = format!("{}.up.sql", migration.stem());
        if row.name != migration.name {
            faults.push(Fault::Changed { file, was: row.name.clone(), is: migration.name.clone() });
            continue;
        }
        let is = migration.checksum();
        if let Some(was) = row.checksum.clone().filter(|was| *was != is) {
            faults.push(Fault::Changed { file, was, is });
        }
    }
    (installed, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i32, name: &str, checksum: Option<&str>) -> Applied {
        Applied { version, name: name.into(), checksum: checksum.map(Into::into) }
    }

    #[test]
    fn a_history_is_continued_only_where_it_is_ours() {
        let set = MigrationSet::new(&[("0001_a", "a", ""), ("0002_b", "b", "")]).unwrap();
        let a = set.get(1).unwrap().checksum();
        assert_eq!(judge(&[], &set), (0, vec![]));
        assert_eq!(judge(&[row(1, "a", Some(&a))], &set), (1, vec![]));
        assert_eq!(judge(&[row(1, "a", None), row(2, "b", None)], &set), (2, vec![]), "psql leaves no checksum");
        let newer = [row(1, "a", None), row(2, "b", None), row(3, "c", None)];
        assert_eq!(judge(&newer, &set), (3, vec![Fault::Newer { version: 3, known: 2 }]));
        assert_eq!(judge(&[row(2, "b", None)], &set), (2, vec![Fault::Gap { version: 1 }]));
        let changed = Fault::Changed { file: "0001_a.up.sql".into(), was: "00".into(), is: a };
        assert_eq!(judge(&[row(1, "a", Some("00"))], &set), (1, vec![changed]));
        let renamed = Fault::Changed { file: "0001_a.up.sql".into(), was: "x".into(), is: "a".into() };
        assert_eq!(judge(&[row(1, "x", None)], &set), (1, vec![renamed]));
    }
}
