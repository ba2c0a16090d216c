//! Settings that nobody would write: they are read or refused, in words that hold no secret; nothing panics.

use std::fs;

use dbmail_mesh::config::{Settings, duration, show_duration};
use dbmail_mesh::error::Error;
use proptest::prelude::*;
use tempfile::TempDir;

const MARK: &str = "Zq9xSecretxQz";

fn load(text: &str, env: &[(String, String)], flags: &[(String, String)]) -> Result<Settings, Error> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("mesh.toml"), text).unwrap();
    Settings::load(Some(&folder.path().join("mesh.toml")), env.iter().cloned(), flags)
}

fn with_url(url: &str) -> String {
    // As TOML a text without control characters, \ and " needs no more than quotes.
    format!("[mesh]\nstride = 8\n[[node]]\nname = \"ams\"\nid = 1\nurl = {}\n", quoted(url))
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}

/// Something of which a URL is made.
fn piece() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "postgresql://",
        "postgres://",
        "u",
        ":",
        "@",
        "/",
        "?",
        "&",
        "=",
        "%40",
        "%",
        "%zz",
        "host",
        "host=",
        "localhost",
        "db.example",
        "127.0.0.1",
        "[::1]",
        ",",
        ":5432",
        "dbname=d",
        "user=u",
        "password=",
        "sslmode=",
        "sslmode=require",
        "sslpassword=",
        "options=-c%20a=b",
        "'",
        "\\",
        " ",
        "passwd=",
        "hostaddr=10.0.0.1",
        "channel_binding=require",
        "é",
        "\u{0}",
        "#",
    ]);
    prop_oneof![4 => words.prop_map(str::to_owned), 1 => "[a-z0-9:/@?&=%.,' ]{0,6}"]
}

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
}

/// A name of a setting, or nearly one.
fn name() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "mesh",
        "worker",
        "log",
        "health",
        "node",
        "ams",
        "stride",
        "settle_after",
        "presence",
        "batch_bytes",
        "level",
        "listen",
        "url",
        "password",
        "password_file",
        "sslmode",
        "sslkey",
        "id",
        "name",
        "poll_min",
    ]);
    prop::collection::vec(words, 1..4).prop_map(|words| words.join("."))
}

/// A value of a setting, or nearly one.
fn value() -> impl Strategy<Value = String> {
    let good = vec![
        "8",
        "1",
        "\"2s\"",
        "\"8MiB\"",
        "\"always\"",
        "\"text\"",
        "\"info\"",
        "\"127.0.0.1:0\"",
        "true",
        "-1",
        "1e400",
        "[]",
        "{}",
        "\"\"",
        "1979-05-27",
    ];
    let numbers = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}"))
    ];
    let texts = prop_oneof![
        "\\PC{0,12}".prop_map(|text| quoted(&text)),
        (any::<u64>(), "(ms|s|min|h|d|B|KiB|MiB|GiB|x)").prop_map(|(number, unit)| format!("\"{number}{unit}\"")),
    ];
    prop_oneof![prop::sample::select(good).prop_map(str::to_owned), numbers, texts]
}

/// Lines of TOML, mostly.
fn document() -> impl Strategy<Value = String> {
    let heading =
        prop::sample::select(vec!["[mesh]", "[worker]", "[log]", "[health]", "[[node]]", "[node]", "[[mesh]]", "["]);
    let line = prop_oneof![
        heading.prop_map(str::to_owned),
        (name(), value())
            .prop_map(|(name, value)| format!("{} = {value}", name.rsplit('.').next().unwrap_or_default())),
        "\\PC{0,20}",
    ];
    prop::collection::vec(line, 0..14).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_are_read_or_refused(
        text in document(),
        env in prop::collection::vec((name(), "\\PC{0,12}"), 0..3),
        flags in prop::collection::vec((prop_oneof![name(), "\\PC{0,12}"], "\\PC{0,12}"), 0..3),
    ) {
        let variable = |name: &str| format!("DBMAIL_MESH__{}", name.to_uppercase().replace('.', "__"));
        let env: Vec<_> = env.into_iter().map(|(name, value)| (variable(&name), value)).collect();
        if let Err(error) = load(&text, &env, &flags) {
            prop_assert_eq!(error.exit_code(), 2, "{}", error);
            prop_assert!(error.to_string().contains("mesh.toml"), "{}", error);
        }
    }

    /// Wherever a password has got to in a URL, nothing that is said repeats it.
    #[test]
    fn no_url_is_repeated(before in pieces(), after in pieces(), how in 0..3_usize) {
        let url = format!("{before}{MARK}{after}");
        let good = "postgresql://u@127.0.0.1/d";
        let told = match how {
            0 => load(&with_url(&url), &[], &[]),
            1 => load(&with_url(good), &[("DBMAIL_MESH__NODE__AMS__URL".into(), url)], &[]),
            // What a flag without a value's name comes to.
            _ => {
                let (name, value) = url.split_once('=').unwrap_or((&url, ""));
                // What could be the name of a setting is one, and is told.
                prop_assume!(!name.contains(MARK) || name.contains(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)));
                load(&with_url(good), &[], &[(name.to_owned(), value.to_owned())])
            }
        };
        if let Err(error) = told {
            let (told, debug) = (error.to_string(), format!("{error:?}"));
            prop_assert!(!told.contains(MARK) && !debug.contains(MARK), "{}", told);
        }
    }

    /// A file that is no TOML is not quoted, and a password that has a key of its own is shown by nothing.
    #[test]
    fn no_line_of_a_file_is_repeated(before in "\\PC{0,10}", after in "\\PC{0,10}", key in name(), at in 0..4_usize) {
        let mut lines: Vec<String> = with_url("postgresql://u@127.0.0.1/d").lines().map(str::to_owned).collect();
        let key = key.replace('.', "_");
        lines.insert(at, format!("{before}{MARK}{after}"));
        lines.push(format!("password_{key} = {}", quoted(&format!("{before}{MARK}{after}"))));
        lines.push("password = \"".to_owned() + MARK + "\"");
        if let Err(error) = load(&lines.join("\n"), &[], &[]) {
            // A key is shown, if it can be one; this one cannot be told from one.
            let bare = |c: char| c.is_ascii_alphanumeric() || "._- \t=[]\"'#".contains(c);
            prop_assume!(!format!("{before}{after}").chars().all(bare));
            prop_assert!(!error.to_string().contains(MARK), "{}", error);
        }
    }

    /// A password of the environment reaches the connection whatever is in it, and is shown by nothing.
    #[test]
    fn a_password_is_taken_as_it_is(password in "[^\\x00]{1,20}") {
        let password = format!("{password}{MARK}");
        let env = [("DBMAIL_MESH__NODE__AMS__PASSWORD".to_owned(), password.clone())];
        let settings = load(&with_url("postgresql://u@127.0.0.1/d"), &env, &[]).unwrap();
        prop_assert_eq!(settings.nodes[0].connection.get_password(), Some(password.as_bytes()));
        let shown = format!("{settings:?}");
        prop_assert!(!shown.contains(MARK));
    }

    #[test]
    fn durations_are_read_as_they_are_written(ms in 0..u64::MAX / 2, text in "[0-9]{0,20} ?[a-z]{0,4}") {
        let written = show_duration(std::time::Duration::from_millis(ms));
        prop_assert_eq!(duration(&written).unwrap(), std::time::Duration::from_millis(ms));
        if let Ok(read) = duration(&text) {
            prop_assert_eq!(duration(&show_duration(read)).unwrap(), read);
        }
    }

    /// Each layer says the same in its own way: written to the file, to the environment or to flags, settings come out equal.
    #[test]
    fn layers_agree(
        settle_ms in 0..3_600_000_u64,
        lock_ms in 10..=250_u64,
        batch in 1..=10_000_i64,
        bytes in (64_u64 << 10)..(1 << 30),
        id in 1..=8_i64,
        host in "[a-z][a-z0-9-]{0,10}(\\.[a-z]{1,5})?",
        mode in prop::sample::select(vec!["disable", "require", "verify-full"]),
    ) {
        let values = [
            ("mesh.settle_after", format!("{settle_ms}ms")),
            ("mesh.lock_bound", format!("{lock_ms}ms")),
            ("worker.batch_messages", batch.to_string()),
            ("worker.batch_bytes", format!("{bytes}B")),
            ("node.ams.id", id.to_string()),
            ("node.ams.url", format!("postgresql://u@{host}/d")),
            ("node.ams.sslmode", mode.to_owned()),
        ];
        let of = |section: &str| -> String {
            let number = |key: &str| key == "id" || key == "batch_messages";
            values.iter().filter_map(|(path, value)| {
                let key = path.strip_prefix(section)?;
                Some(format!("{key} = {}\n", if number(key) { value.clone() } else { quoted(value) }))
            }).collect()
        };
        let file = format!(
            "[mesh]\nstride = 8\n{}[worker]\n{}[[node]]\nname = \"ams\"\n{}", of("mesh."), of("worker."), of("node.ams.")
        );
        let bare = with_url("postgresql://u@127.0.0.1/other");
        let flags: Vec<(String, String)> = values.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        let variable = |path: &str| format!("DBMAIL_MESH__{}", path.to_uppercase().replace('.', "__"));
        let env: Vec<(String, String)> = flags.iter().map(|(path, value)| (variable(path), value.clone())).collect();
        let from_file = load(&file, &[], &[]).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let shown = format!("{from_file:?}");
        for (env, flags) in [(&env[..], &[][..]), (&[], &flags)] {
            let other = load(&bare, env, flags).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(format!("{other:?}"), shown.clone());
        }
        prop_assert_eq!(from_file.nodes[0].tls.mode().as_str(), mode);
        prop_assert_eq!(from_file.mesh.settle_after.as_millis(), u128::from(settle_ms));
    }
}
