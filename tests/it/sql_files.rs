//! The files in `sql/`: each is one statement that an installed node understands.

use std::fs;
use std::path::{Path, PathBuf};

use dbmail_mesh::config::NodeSettings;
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::node::plan::FIRST_HIDDEN_ROW;
use dbmail_mesh::scratch::cluster::connect;
use dbmail_mesh::scratch::install::install;
use dbmail_mesh::scratch::shared::{fresh_dbmail, shared_cluster};

/// Every file below `sql/` but those of the stand-in, which are for a plain dbmail database and tested as such, and those for people,
/// which psql runs (`inspect.rs`, `rights`).
pub fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.retain(|path| ["scratch", "inspect", "rights"].iter().all(|folder| !path.starts_with(root.join(folder))));
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The statement without its comments, literals and quoted names: what is left is SQL's own words and plain names.
fn bare(sql: &str) -> String {
    let mut bare = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find(['-', '\'', '"']) {
        bare.push_str(&rest[..at]);
        let (from, end) = match &rest[at..=at] {
            "-" if rest[at..].starts_with("--") => (at, "\n"),
            "-" => {
                bare.push('-');
                rest = &rest[at + 1..];
                continue;
            }
            quote => {
                // The E of a literal with escapes is part of the literal.
                if quote == "'" && bare.ends_with('E') {
                    bare.pop();
                }
                (at + 1, quote)
            }
        };
        let length = rest[from..].find(end).unwrap_or_else(|| panic!("an open {end:?} in: {sql}"));
        rest = &rest[from + length + 1..];
    }
    bare + rest
}

#[test]
fn comments_and_literals_are_no_sql() {
    assert_eq!(bare("-- A; b\nselect 'X;' - \"Y\", $1\n"), "select  - , $1\n");
    assert_eq!(bare("select E'\\x1f', e\n"), "select , e\n");
    assert_eq!(bare("select 'it''s', 'A', a->>'B'\n"), "select , , a->>\n");
}

/// The line between rows that clients may be shown and hidden ones is written in many files: one that differs loses mail.
#[test]
fn numbers_of_33_to_50_bits_are_the_first_hidden_row() {
    let mut sql = files();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut paths = Vec::new();
    collect(&migrations, &mut paths);
    sql.extend(paths.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())));
    let mut found = 0;
    for (name, text) in sql {
        let digits = text.split(|c: char| !c.is_ascii_digit());
        for number in
            digits.filter_map(|digits| digits.parse::<i64>().ok()).filter(|number| (1 << 32..1 << 50).contains(number))
        {
            assert_eq!(number, FIRST_HIDDEN_ROW, "in {name}");
            found += 1;
        }
    }
    assert!(found > 40, "only {found} were found");
}

#[tokio::test]
async fn every_file_can_be_prepared_on_an_installed_node() {
    let config = fresh_dbmail("sql_files").await.unwrap();
    let url = shared_cluster().await.unwrap().worker_url(config.get_dbname().unwrap());
    let node = [NodeSettings::new("ams", NodeId(1), &url).unwrap()];
    install(&node, &node, Stride(8)).await.unwrap();
    let client = connect(&config).await.unwrap();
    // As all sessions of ours: nothing is found that does not name its schema, or is PostgreSQL's own.
    client.batch_execute("set search_path = pg_catalog, pg_temp").await.unwrap();
    let mut wrong = Vec::new();
    for (name, sql) in files() {
        // PostgreSQL prepares one statement, not several: this tells that as well.
        if let Err(error) = client.prepare(&sql).await {
            wrong.push(format!("{name}: {}", dbmail_mesh::error::Error::from(error)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_looks_like_the_others() {
    let files = files();
    assert!(files.len() > 40, "only {} files were found", files.len());
    for (name, sql) in files {
        assert!(name.ends_with(".sql"), "{name} is no .sql file");
        assert!(sql.ends_with('\n') && !sql.ends_with("\n\n"), "{name} must end with one line end");
        let lines = sql.lines().count();
        assert!(
            sql.starts_with("-- ") || lines == 1,
            "{name} has {lines} lines and no comment that says what it is for"
        );
        assert!(!bare(&sql).contains(';'), "{name} must be one statement, without a semicolon");
        assert!(!bare(&sql).contains(|c: char| c.is_uppercase()), "{name} must be lower case");
        if let Some(long) = sql.lines().find(|line| line.chars().count() > 140) {
            panic!("{name} has a line of more than 140 characters: {long}");
        }
    }
}
