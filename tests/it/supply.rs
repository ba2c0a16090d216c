//! What comes into the program from elsewhere: licences, sources, and crates that must not be among them. The rules are those of
//! `deny.toml`, which `make deny` hands to cargo-deny.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The texts of a list in `deny.toml`.
fn listed(key: &str) -> BTreeSet<String> {
    let text = read("deny.toml");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    serde_json::from_str(line).unwrap()
}

/// The packages that are built here, with those that only tests need.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    whole["packages"].as_array().unwrap().clone()
}

/// Whether an SPDX expression can be met with the licences that are allowed. `/` is an old way to write OR.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
    // All there is of AND and OR together is `(A OR B) AND C`, in which AND binds last.
    expression.split(" AND ").all(|part| part.split(" OR ").any(|licence| allowed.contains(licence.trim())))
}

#[test]
fn every_licence_is_one_that_is_allowed() {
    let allowed = listed("allow");
    assert!(allowed.contains("MIT") && !allowed.iter().any(|licence| licence.contains("GPL")));
    let wrong: Vec<String> = packages()
        .iter()
        .filter(|package| !is_met(package["license"].as_str().unwrap_or("none"), &allowed))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_expression_of_licences_is_understood() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND ISC", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR Apache-2.0) AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("none", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

/// One registry, no repository, no folder; each with its checksum; none of those that are banned, on no platform.
#[test]
fn the_lock_file_names_one_source_and_nothing_that_is_banned() {
    let lock = read("Cargo.lock");
    let banned = listed("deny");
    let mut sources = BTreeSet::new();
    for package in lock.split("[[package]]").skip(1) {
        let of = |key: &str| {
            package.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).map(|text| text.trim_matches('"'))
        };
        let name = of("name").unwrap();
        assert!(!banned.contains(name), "{name} is banned by deny.toml");
        if name == env!("CARGO_PKG_NAME") {
            assert_eq!(of("source"), None);
            continue;
        }
        sources.insert(of("source").unwrap_or_else(|| panic!("{name} has no source")).to_owned());
        assert!(of("checksum").is_some(), "{name} has no checksum");
    }
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn there_is_no_unsafe_code() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 100);
    let word = regex::Regex::new(r"\bunsafe\b").unwrap();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        assert!(!code.into_iter().any(|line| word.is_match(line)), "{}", file.display());
    }
}
