//! The layers: the file, over it the environment, over it the flags. Nothing is judged here but whether it can be read.

use std::collections::HashMap;
use std::path::Path;

use ::config::{Config, File, FileFormat, Source, Value, ValueKind};

use super::problems::Problems;

/// What every variable of ours begins with; `__` also parts a section from a key.
pub(super) const ENV_PREFIX: &str = "DBMAIL_MESH__";

/// Where the values of flags come from, in messages.
const COMMAND_LINE: &str = "the command line";

/// The keys of a node that the environment and flags may give.
const NODE_KEYS: [&str; 8] = ["id", "url", "password", "password_file", "sslmode", "sslrootcert", "sslcert", "sslkey"];

/// One value from the environment or from a flag.
struct Assignment {
    /// `section.key` or `node.<name>.<key>`.
    path: String,
    value: String,
    origin: String,
}

/// Puts the layers on top of each other. What cannot be read at all is an `Err`; what cannot be placed, a problem.
pub(super) fn layers(
    text: &str,
    env: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
    problems: &mut Problems,
) -> Result<HashMap<String, Value>, String> {
    let file = Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .map_err(|error| without_snippet(&error.to_string()))?;
    let names = node_names(&file);
    let mut builder = Config::builder().add_source(file);
    for assignment in from_env(env).chain(from_flags(flags)) {
        let Some((place, field)) = place(&assignment, &names, problems) else { continue };
        if assignment.path.ends_with(".password") && assignment.origin == COMMAND_LINE {
            let reason = "a password on the command line is visible to all users: use password_file or the environment";
            problems.add(field, None, reason);
            continue;
        }
        problems.comes_from(&field, &assignment.origin);
        builder = builder.set_override(place, assignment.value).map_err(|error| error.to_string())?;
    }
    let merged = builder.build().and_then(|config| config.collect()).map_err(|error| error.to_string())?;
    Ok(merged.into_iter().collect())
}

/// Reads the file, or says why it cannot be.
pub(super) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| {
        format!("cannot be read: {error}; name another with -c, or see `dbmail-mesh config example` for a start")
    })
}

/// The variables that are ours, in the order of their names so that messages do not change from run to run.
/// An empty one counts as not set.
fn from_env(env: impl Iterator<Item = (String, String)>) -> impl Iterator<Item = Assignment> {
    let mut ours: Vec<_> = env
        .filter(|(name, value)| name.starts_with(ENV_PREFIX) && !value.is_empty())
        .map(|(name, value)| {
            let path = path_of_variable(&name[ENV_PREFIX.len()..]);
            Assignment { path, value, origin: name }
        })
        .collect();
    ours.sort_by(|a, b| a.origin.cmp(&b.origin));
    ours.into_iter()
}

/// `MESH__SETTLE_AFTER` is `mesh.settle_after`; of `NODE__A__B__URL` the node's name is all between the ends.
fn path_of_variable(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("node__").and_then(|rest| rest.rsplit_once("__")) {
        Some((node, key)) => format!("node.{node}.{key}"),
        None => name.replace("__", "."),
    }
}

fn from_flags(flags: &[(String, String)]) -> impl Iterator<Item = Assignment> + '_ {
    flags.iter().map(|(path, value)| Assignment {
        path: path.clone(),
        value: value.clone(),
        origin: COMMAND_LINE.to_owned(),
    })
}

/// Where an assignment goes in the tree, and its field's name in messages.
fn place(assignment: &Assignment, names: &[String], problems: &mut Problems) -> Option<(String, String)> {
    let path = assignment.path.as_str();
    let reason = if let Some((name, key)) = path.strip_prefix("node.").and_then(|rest| rest.rsplit_once('.')) {
        // A variable's name cannot hold a hyphen, hence an underscore stands for it as well.
        let same = |known: &&String| known.as_str() == name || known.replace('-', "_") == name.replace('-', "_");
        let exact = names.iter().position(|known| known == name);
        let index = exact.or_else(|| match names.iter().filter(same).count() {
            1 => names.iter().position(|known| same(&known)),
            _ => None,
        });
        match index {
            Some(index) if NODE_KEYS.contains(&key) => {
                return Some((format!("node[{index}].{key}"), format!("node.{}.{key}", names[index])));
            }
            Some(_) => format!("unknown key; of a node can be set here: {}", NODE_KEYS.join(", ")),
            None => format!("no [[node]] has this name; the file has {}", listed(names)),
        }
    } else if is_plain(path) && !path.starts_with("node") {
        return Some((path.to_owned(), path.to_owned()));
    } else {
        "not the name of a setting; write section.key or node.<name>.<key>".into()
    };
    // Whoever leaves out the name of a setting has written its value there.
    let field = match assignment.origin == COMMAND_LINE {
        _ if is_name(path) => path,
        true => "--set",
        false => "a variable",
    };
    problems.comes_from(field, &assignment.origin);
    problems.add(field, None, reason);
    None
}

fn listed(names: &[String]) -> String {
    let named: Vec<_> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    if named.is_empty() { "none".into() } else { named.join(", ") }
}

/// Whether this could be the name of a setting, and no URL.
pub(super) fn is_name(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// `section.key`, in the letters that keys are made of.
fn is_plain(path: &str) -> bool {
    let good = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    path.split('.').count() == 2 && path.split('.').all(good)
}

/// The nodes' names in the file's order; one without a name has an empty one, so that positions stay true.
fn node_names(file: &Config) -> Vec<String> {
    let nodes = file.get::<Vec<Value>>("node").unwrap_or_default();
    let name = |node: Value| match node.into_table().ok().and_then(|mut node| node.remove("name")).map(|name| name.kind)
    {
        Some(ValueKind::String(name)) => name,
        _ => String::new(),
    };
    nodes.into_iter().map(name).collect()
}

/// A TOML error without the lines of the file that it quotes: one of them may hold a password.
fn without_snippet(message: &str) -> String {
    let kept: Vec<_> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('|') && !quotes_a_line(line))
        .collect();
    kept.join(": ")
}

fn quotes_a_line(line: &str) -> bool {
    line.split_once('|').is_some_and(|(number, _)| number.trim().bytes().all(|b| b.is_ascii_digit()))
}
