//! What a package carries: units that systemd accepts, pages and completions of each command, a list of files that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::cli::{command, ended};

/// Tenths of what `systemd-analyze security` calls exposure: 0 is none, 10 a service that may do anything.
const EXPOSURE_MAX: &str = "15";

const UNITS: [&str; 2] = ["dbmail-mesh.service", "dbmail-mesh@.service"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The units, with the program where it is here.
fn units() -> TempDir {
    let folder = TempDir::new().unwrap();
    for unit in UNITS {
        let text = fs::read_to_string(root().join("packaging").join(unit)).unwrap();
        assert!(text.contains("ExecStart=/usr/bin/dbmail-mesh run"), "{unit}");
        let text = text.replace("/usr/bin/dbmail-mesh", env!("CARGO_BIN_EXE_dbmail-mesh"));
        fs::write(folder.path().join(unit.replace('@', "@ams")), text).unwrap();
    }
    folder
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).stdin(Stdio::null()).output();
    let output = output.expect("systemd-analyze: `make needs` installs it");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let folder = units();
    for unit in UNITS {
        let path = folder.path().join(unit.replace('@', "@ams"));
        let (fine, said) = analyze(&["verify", "--man=no"], &path);
        let ours: Vec<_> = said.lines().filter(|line| line.contains("dbmail-mesh")).collect();
        assert!(fine && ours.is_empty(), "{said}");
    }
    // It goes over what it does not know with a line only.
    let path = folder.path().join(UNITS[0]);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("NoNewPrivileges", "NoNewPrivilege")).unwrap();
    assert!(analyze(&["verify", "--man=no"], &path).1.contains("NoNewPrivilege"));
}

#[test]
fn the_units_may_do_little() {
    let security = ["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX];
    for unit in UNITS {
        let (fine, said) = analyze(&security, &root().join("packaging").join(unit));
        assert!(fine, "{said}");
    }
    let folder = units();
    let path = folder.path().join(UNITS[0]);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("CapabilityBoundingSet=\n", "")).unwrap();
    assert!(!analyze(&security, &path).0, "the threshold is too high to mean anything");
}

/// Both units are one text: what is hardened in one is hardened in the other.
#[test]
fn the_units_differ_only_in_what_they_run() {
    let read = |unit| fs::read_to_string(root().join("packaging").join(unit)).unwrap();
    let (one, each) = (read(UNITS[0]), read(UNITS[1]));
    let differ: Vec<_> = one.lines().zip(each.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!((differ.len(), one.lines().count()), (3, each.lines().count()), "{differ:?}");
    assert!(each.contains("run --node %i\n"));
}

/// The names of all commands, as `--help` lists them: `status`, `migrate`, `migrate up` …
fn commands(of: &[&str]) -> Vec<String> {
    let help = ended(command().args(of).arg("--help")).out;
    let Some(list) = help.split("\nCommands:\n").nth(1) else { return Vec::new() };
    let listed = list.lines().take_while(|line| line.starts_with("  "));
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_man_page_that_can_be_read() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("man");
    assert_eq!(ended(command().arg("man").arg("--out").arg(&out)).code, 0);
    let mut expected = BTreeSet::from(["dbmail-mesh.1".to_owned()]);
    for name in commands(&[]) {
        expected.insert(format!("dbmail-mesh-{name}.1"));
        expected.extend(commands(&[&name]).iter().map(|below| format!("dbmail-mesh-{name}-{below}.1")));
    }
    assert!(expected.len() > 10 && expected.contains("dbmail-mesh-migrate-up.1"), "{expected:?}");
    let pages: Vec<PathBuf> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    let names: BTreeSet<_> = pages.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, expected);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{}", page.display());
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(&page).env("MANPAGER", "cat").env("MANROFFSEQ", "").env("LC_ALL", "C.UTF-8");
        // Not every machine that builds this has man.
        if let Ok(output) = man.stdin(Stdio::null()).output() {
            let complaints = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", page.display());
        }
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = ended(command().args(["completions", shell]));
        assert_eq!(script.code, 0, "{script:?}");
        for name in commands(&[]) {
            assert!(script.out.contains(&name), "{shell} does not know {name}");
        }
    }
    let script = ended(command().args(["completions", "bash"])).out;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("script"), script).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(folder.path().join("script")).status();
    assert!(parsed.is_ok_and(|status| status.success()));
}

#[test]
fn what_the_package_lists_is_there() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let assets = manifest.split("\nassets = [\n").nth(1).unwrap().split("\n]\n").next().unwrap();
    let sources: Vec<&str> = assets.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(sources.len() > 10, "{sources:?}");
    for source in sources.iter().filter(|source| !source.starts_with("target/")) {
        let folder = root().join(source.trim_end_matches("*.md"));
        assert!(folder.exists(), "{source}");
    }
    for script in fs::read_dir(root().join("packaging/debian")).unwrap() {
        let path = script.unwrap().path();
        let parsed = Command::new("sh").arg("-n").arg(&path).status().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            parsed.success() && text.contains("\nset -e\n") && text.contains("\n#DEBHELPER#\n"),
            "{}",
            path.display()
        );
    }
}

/// A setting that the example does not show is one that nobody finds.
#[test]
fn the_annotated_settings_are_all_settings() {
    let example = fs::read_to_string(root().join("src/config/example.toml")).unwrap();
    let shown = ended(command().args(["config", "check", "--json", "-c"]).arg(root().join("src/config/example.toml")));
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    for section in ["mesh", "worker", "log"] {
        assert!(example.contains(&format!("\n[{section}]\n")), "{section}");
        for key in shown[section].as_object().unwrap().keys() {
            let line = |line: &str| line.trim_start_matches('#').starts_with(&format!("{key} = "));
            assert!(example.lines().any(line), "{section}.{key}");
        }
    }
}
