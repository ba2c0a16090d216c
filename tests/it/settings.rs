//! Settings: the layers, and every problem at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use dbmail_mesh::config::{LogFormat, MeshSettings, Presence, Settings};
use dbmail_mesh::domain::ids::{NodeId, Stride};
use dbmail_mesh::error::Kind;
use tempfile::TempDir;

/// A folder with a settings file.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("mesh.toml"), text).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mesh.toml")
    }

    fn secret(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, String> {
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let flags: Vec<_> = flags.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Settings::load(Some(&self.path()), env, &flags).map_err(|error| {
            assert_eq!(error.kind(), Kind::Usage);
            error.to_string().replace(&*self.0.path().to_string_lossy(), "DIR")
        })
    }
}

const TWO_NODES: &str = r#"
[mesh]
stride = 8
settle_after = "1s"
[[node]]
name = "ams"
id = 1
url = "postgresql://mesh@ams.example/dbmail"
[[node]]
name = "new-york"
id = 2
url = "postgresql://mesh@ny.example:5433/dbmail"
"#;

fn password(settings: &Settings, node: usize) -> Option<&str> {
    settings.nodes[node].connection.get_password().map(|password| std::str::from_utf8(password).unwrap())
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let folder = Folder::with(Settings::example());
    let example = folder.load(&[], &[]).unwrap();
    assert_eq!(example.nodes.len(), 2);

    // What the example has commented out must be what happens without it.
    let all: String = Settings::example().lines().map(|line| uncommented(line) + "\n").collect();
    let written = Folder::with(&without_files(&all)).load(&[], &[]).unwrap();
    assert_eq!(format!("{:?}", written.nodes), format!("{:?}", example.nodes));
    assert_eq!(format!("{:?}", written.mesh), format!("{:?}", example.mesh));
    assert_eq!(format!("{:?}", written.worker), format!("{:?}", example.worker));
    assert_eq!(format!("{:?}", written.log), format!("{:?}", example.log));
    assert_eq!(written.session, example.session);
}

/// The files of the example are on no machine.
fn without_files(text: &str) -> String {
    let is_file = |line: &&str| !["password_file", "sslcert", "sslkey"].iter().any(|key| line.starts_with(key));
    text.lines().filter(is_file).map(|line| format!("{line}\n")).collect()
}

/// `#key = value` without its hash; other comments as they are.
fn uncommented(line: &str) -> String {
    match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
        _ => line.to_owned(),
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = Folder::with(TWO_NODES);
    let settings = folder.load(&[], &[]).unwrap();
    assert_eq!((settings.mesh.stride, settings.mesh.settle_after), (Stride(8), Duration::from_secs(1)));
    assert_eq!((settings.nodes[1].name.as_str(), settings.nodes[1].id), ("new-york", NodeId(2)));
    assert_eq!(settings.nodes[1].address, "ny.example:5433/dbmail");

    let env = [
        ("DBMAIL_MESH__MESH__SETTLE_AFTER", "3s"),
        ("DBMAIL_MESH__WORKER__BATCH_MESSAGES", "50"),
        ("DBMAIL_MESH__LOG__FORMAT", "json"),
        ("DBMAIL_MESH__NODE__AMS__URL", "postgresql://mesh@elsewhere.example/dbmail"),
        ("DBMAIL_MESH__NODE__NEW_YORK__PASSWORD", "from the environment"),
        ("DBMAIL_MESH__MESH__PATIENCE", ""),
        ("DBMAIL_MESH_PG_BIN", "/none/of/the/settings"),
    ];
    let settings = folder.load(&env, &[("mesh.settle_after", "4s"), ("node.new-york.id", "8")]).unwrap();
    assert_eq!(settings.mesh.settle_after, Duration::from_secs(4));
    assert_eq!(settings.mesh.patience, Duration::from_secs(3), "an empty variable counts as not set");
    assert_eq!(settings.worker.batch_messages, 50);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.nodes[0].address, "elsewhere.example/dbmail");
    assert_eq!(settings.nodes[1].id, NodeId(8));
    assert_eq!(password(&settings, 1), Some("from the environment"));
    assert!(!format!("{settings:?}").contains("from the environment"));
}

#[test]
fn presence_is_a_time_or_always() {
    let with = |presence: &str| {
        Folder::with(&TWO_NODES.replace("stride = 8", &format!("stride = 8\npresence = {presence}"))).load(&[], &[])
    };
    assert_eq!(with("\"30d\"").unwrap().mesh.presence, MeshSettings::new(Stride(8)).presence, "the default");
    assert_eq!(with("\"always\"").unwrap().mesh.presence, Presence::Always);
    assert_eq!(with("\"12h\"").unwrap().mesh.presence, Presence::For(Duration::from_secs(43_200)));
    for (wrong, reason) in [
        ("\"10s\"", "must be \"1min\" to \"3650d\", or \"always\""),
        ("\"never\"", "such as \"250ms\", or \"always\""),
        ("30", "must be a text in quotes"),
    ] {
        let problem = with(wrong).unwrap_err();
        assert!(problem.contains("mesh.presence") && problem.contains(reason), "{wrong}: {problem}");
    }
}

#[test]
fn a_password_file_is_read_from_beside_the_settings() {
    let folder = Folder::with(&TWO_NODES.replace("id = 1", "id = 1\npassword_file = \"ams.password\""));
    folder.secret("ams.password", "hunter2\n", 0o640);
    assert_eq!(password(&folder.load(&[], &[]).unwrap(), 0), Some("hunter2"));
    let env = [("DBMAIL_MESH__NODE__AMS__PASSWORD", "stronger")];
    assert_eq!(password(&folder.load(&env, &[]).unwrap(), 0), Some("stronger"));
}

#[test]
fn every_problem_is_told_at_once() {
    let folder = Folder::with(
        r#"
        strid = 4
        [mesh]
        stride = 4
        settle_after = "soon"
        lock_bound = "1s"
        patience = 3
        [worker]
        batch_messages = 0
        batch_bytes = "8MB"
        bach = 1
        poll_max = "10ms"
        poll_min = "20ms"
        [log]
        format = "xml"
        level = "info,=,"
        [[node]]
        name = "ams"
        id = 5
        url = "postgresql://mesh@ams.example"
        password = "topsecret"
        [[node]]
        name = "Fra!"
        id = 0
        url = "postgresql://mesh@fra.example/dbmail?sslmode=prefer"
        sslcert = "none.pem"
        sslkey = 7
        password_file = "open.password"
        [[node]]
        name = "ams"
        id = 3
        url = 7
        [[node]]
        name = "nyc"
        id = 3
        url = "postgresql://mesh@nyc.example/dbmail"
        password_file = "none.password"
        [[node]]
        url = "postgresql://mesh:topsecret@nyc.example/dbmail"
        password_file = "good.password"
        "#,
    );
    folder.secret("open.password", "topsecret", 0o644);
    folder.secret("good.password", "topsecret", 0o600);
    let env = [
        ("DBMAIL_MESH__MESH__PATIENCE", "never"),
        ("DBMAIL_MESH__NODE__SFO__URL", "postgresql://mesh:topsecret@sfo.example/dbmail"),
        ("DBMAIL_MESH__WORKERS", "3"),
    ];
    let told = folder.load(&env, &[("node.ams.password", "topsecret"), ("node.nyc.name", "lax")]).unwrap_err();
    assert_eq!(told, include_str!("settings.problems.txt").trim_end(), "\n{told}\n");
    assert!(!told.contains("topsecret"));
}

#[test]
fn a_file_that_cannot_be_read_says_where_but_quotes_nothing() {
    let told = Folder::with("[mesh]\nstride = 8\nurl = \"postgresql://u:topsecret@h/d\n").load(&[], &[]).unwrap_err();
    assert!(told.starts_with("DIR/mesh.toml: TOML parse error at line 3, column "), "{told}");
    assert!(!told.contains("topsecret"), "{told}");

    let missing = Settings::load(Some("/nowhere/mesh.toml".as_ref()), std::iter::empty(), &[]).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/mesh.toml: cannot be read"), "{missing}");
}

#[test]
fn nodes_are_selected_by_name() {
    let settings = Folder::with(TWO_NODES).load(&[], &[]).unwrap();
    let names = |chosen: &[&str]| {
        let chosen: Vec<_> = chosen.iter().map(ToString::to_string).collect();
        settings.select(&chosen).map(|nodes| nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(names(&[]).unwrap(), ["ams", "new-york"]);
    assert_eq!(names(&["new-york"]).unwrap(), ["new-york"]);
    let error = names(&["ams", "rome"]).unwrap_err();
    assert_eq!(error.to_string(), "--node rome: no such node in the settings (the nodes are ams, new-york)");
}

#[test]
fn each_node_gets_the_bounds_of_its_sessions() {
    let text = TWO_NODES.replace("ams.example/dbmail", "ams.example/dbmail?connect_timeout=9");
    let folder = Folder::with(&format!("{text}\n[session]\nconnect_timeout = \"7s\"\nlock_timeout = \"3s\"\n"));
    let settings = folder.load(&[], &[("worker.lease", "2s"), ("session.statement_timeout", "10s")]).unwrap();
    assert_eq!(settings.worker.lease, Duration::from_secs(2));
    for node in &settings.nodes {
        assert_eq!(node.session, settings.session);
        assert_eq!(node.session.lock_timeout, Duration::from_secs(3));
        assert_eq!(node.session.statement_timeout, Duration::from_secs(10));
        assert_eq!(node.session.idle_in_transaction_timeout, Duration::from_secs(30), "the default");
    }
    let seconds = |node: usize| settings.nodes[node].connection.get_connect_timeout().map(Duration::as_secs);
    assert_eq!((seconds(0), seconds(1)), (Some(9), Some(7)), "a url is stronger");
    for (key, value, reason) in [
        ("worker.lease", "1s", "must be 2s to 5min"),
        ("worker.sessions", "4", "must be 5 to 64"),
        ("session.statement_timeout", "1s", "must be 10s to 1h"),
        ("session.lock_timeout", "0s", "must be 1s to 1min"),
        ("session.idle_in_transaction_timeout", "1h", "must be 1s to 10min"),
        ("session.connect_timeout", "for ever", "not a duration"),
        ("session.timeout", "1s", "known here are connect_timeout, statement_timeout"),
    ] {
        let problem = folder.load(&[], &[(key, value)]).unwrap_err();
        assert!(problem.contains(key) && problem.contains(reason), "{problem}");
    }
}
