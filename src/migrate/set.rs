//! The migrations that this program knows: files, in order, embedded when it is built.

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

/// One migration, up and down.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub version: i32,
    /// Its name, without number and ending.
    pub name: String,
    /// The SQL that installs it.
    pub up: String,
    /// The SQL that takes it away.
    pub down: String,
}

impl Migration {
    /// `NNNN_name`, what both files' names begin with.
    pub fn stem(&self) -> String {
        format!("{:04}_{}", self.version, self.name)
    }

    /// SHA-256 of the up file, in hexadecimal.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.up.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Migrations 1 to n.
#[derive(Clone, Debug, Default)]
pub struct MigrationSet(Vec<Migration>);

/// Embeds `migrations/<stem>.up.sql` and `.down.sql`.
macro_rules! embed {
    ($($stem:literal),* $(,)?) => {
        &[$((
            $stem,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $stem, ".up.sql")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $stem, ".down.sql")),
        )),*]
    };
}

/// Stem, up, down. A test compares the list with the folder.
const EMBEDDED: &[(&str, &str, &str)] = embed![
    "0001_tables",
    "0002_numbers",
    "0003_capture",
    "0004_watermarks",
    "0005_apply",
    "0006_content",
    "0007_views",
    "0008_registers",
    "0009_mailboxes",
    "0010_marks",
    "0011_moves",
    "0012_join",
    "0013_fates",
    "0014_accounts",
    "0015_entries",
    "0016_modseq",
    "0017_readers",
    "0018_moved_readers",
    "0019_budget",
    "0020_membership",
    "0021_verify",
    "0022_pause",
    "0023_inspect",
    "0024_following",
    "0025_programs",
    "0026_relay",
    "0027_aside",
    "0028_terms",
    "0029_rights",
    "0030_shared_content",
    "0031_bulk",
    "0032_mailboxes_by_key",
    "0033_settling",
    "0034_kept_plans",
    "0035_short_plans",
];

/// The last migration that this program knows: the version of the schema that it works with.
pub const SCHEMA_VERSION: i32 = EMBEDDED.len() as i32;

impl MigrationSet {
    /// A set of `(NNNN_name, up, down)`.
    ///
    /// # Errors
    /// [`Kind::Internal`] unless the numbers are 1, 2, 3 and so on.
    pub fn new(files: &[(&str, &str, &str)]) -> Result<Self> {
        let mut set = Vec::new();
        for (expected, (stem, up, down)) in (1..).zip(files) {
            let parts = stem.split_once('_').and_then(|(number, name)| Some((number.parse::<i32>().ok()?, name)));
            match parts {
                Some((version, name)) if version == expected && stem.find('_') == Some(4) => {
                    set.push(Migration { version, name: name.into(), up: (*up).into(), down: (*down).into() });
                }
                _ => {
                    let what = format!("migration {stem} stands where {expected:04}_name is expected");
                    return Err(Error::new(Kind::Internal, what));
                }
            }
        }
        Ok(Self(set))
    }

    /// The migrations of this program.
    ///
    /// # Errors
    /// None in a program whose tests have passed.
    pub fn embedded() -> Result<Self> {
        Self::new(EMBEDDED)
    }

    /// The last one's number, 0 when there is none.
    pub fn latest(&self) -> i32 {
        self.0.last().map_or(0, |migration| migration.version)
    }

    /// Migration number `version`.
    pub fn get(&self, version: i32) -> Option<&Migration> {
        self.0.get(usize::try_from(version).ok()?.checked_sub(1)?)
    }

    /// The migrations above `version`, in order.
    pub fn above(&self, version: i32) -> &[Migration] {
        let installed = usize::try_from(version).unwrap_or(0).min(self.0.len());
        &self.0[installed..]
    }

    /// The migrations up to `version`, in order.
    pub fn up_to(&self, version: i32) -> &[Migration] {
        let installed = usize::try_from(version).unwrap_or(0).min(self.0.len());
        &self.0[..installed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_list_is_the_folder() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
            .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        files.sort();
        let listed: Vec<_> =
            EMBEDDED.iter().flat_map(|(stem, ..)| [format!("{stem}.down.sql"), format!("{stem}.up.sql")]).collect();
        assert_eq!(files, listed);
        assert_eq!(MigrationSet::embedded().unwrap().latest(), SCHEMA_VERSION);
    }

    #[test]
    fn files_run_under_psql_and_leave_transactions_to_the_caller() {
        for (stem, up, down) in EMBEDDED {
            for line in up.lines().chain(down.lines()) {
                assert!(!line.starts_with('\\'), "{stem} has a psql command: {line}");
                let first = line.trim_end_matches(';').to_lowercase();
                assert!(
                    !["begin", "commit", "rollback"].contains(&first.as_str()) || !line.ends_with(';'),
                    "{stem}: {line}"
                );
            }
        }
    }

    /// A program looks at the last one only (`sql/node/schema.sql`).
    #[test]
    fn a_version_needs_what_those_before_it_need() {
        let mut before = 0;
        for (version, (stem, up, _)) in (1..).zip(EMBEDDED) {
            let noted = up.rsplit_once("insert into dbmail_mesh.migration").unwrap_or_else(|| panic!("{stem}")).1;
            let values = noted.split(&['(', ')'][..]).nth(3).unwrap();
            let needs = values.split(", ").nth(2).map_or(version, |needs| needs.parse().unwrap());
            assert!((before..=version).contains(&needs), "{stem}: {needs}, {before} before it");
            before = needs;
        }
        assert!(before > 0);
    }

    #[test]
    fn numbers_must_follow_each_other() {
        let set = MigrationSet::new(&[("0001_one", "a", "b"), ("0002_two_more", "c", "d")]).unwrap();
        assert_eq!((set.latest(), set.get(2).unwrap().name.as_str()), (2, "two_more"));
        assert_eq!((set.above(1).len(), set.up_to(1).len(), set.above(9).len()), (1, 1, 0));
        assert!(set.get(0).is_none() && set.get(3).is_none() && set.get(-1).is_none());
        for stems in [["0002_a", "0003_b"], ["0001_a", "0003_b"], ["0001_a", "0001_b"], ["0001_a", "2_b"]] {
            let files = stems.map(|stem| (stem, "", ""));
            assert_eq!(MigrationSet::new(&files).unwrap_err().kind(), Kind::Internal);
        }
    }

    #[test]
    fn the_checksum_is_the_up_files_sha256() {
        let set = MigrationSet::new(&[("0001_one", "abc", "")]).unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(set.get(1).unwrap().checksum(), known);
    }
}
