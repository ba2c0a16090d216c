//! The documentation, run: what it tells people to type is typed, and what it says comes out has to come out.
//!
//! Of `README.md` and each `docs/*.md`, the fenced blocks in three languages are run, from the top to the bottom, in a mesh of throwaway
//! nodes that the document has for itself:
//!
//! - `console`: lines that begin with `$ ` are commands; what they print is below them, standard error included. ` # exit code 1` at the
//!   end of a command is the exit code that it must have, where that is not 0. A `\` at the end goes on in the next line.
//! - `psql`: a session of psql on node `ams`; commands begin with `dbmail=# `, and go on with `dbmail-# `.
//! - `sql`: is run there too, and must not fail.
//!
//! The nodes are those of the settings in the README: `ams` and `fra`, and `nyc` where the document's blocks speak of it. A worker runs
//! beside, and there is some mail (`scenes`). What a block needs besides is said in comments before it:
//! `<!-- before: renumbered -->`, `<!-- before: run dbmail-mesh pause --node ams -->`, `<!-- before: sql fra: update … -->`.
//!
//! Both sides are compared without what differs from run to run (`normalise`). A line `...` stands for any lines, `[..]` in a line for
//! any text. A command that only reads is asked again for some seconds: what a document shows may take a moment to come about.
//!
//! `DBMAIL_MESH_DOCS=docs/status.md` runs one document only.

mod compare;
mod normalise;
mod parse;
mod run;
mod scenes;
mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use parse::{Block, Kind};
use regex::Regex;

/// So many documents are run at once: each has a worker of its own.
const AT_ONCE: usize = 8;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `README.md` and what is in `docs/`, by their paths in the repository.
fn documents() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("docs")).unwrap();
    let pages = folder.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    let mut pages: Vec<_> = pages.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    pages.sort();
    [PathBuf::from("README.md")].into_iter().chain(pages).collect()
}

fn read(document: &Path) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_the_documentation_does_what_it_says() {
    let only = std::env::var("DBMAIL_MESH_DOCS").ok();
    let wanted = |path: &PathBuf| only.as_ref().is_none_or(|only| path.to_str() == Some(only));
    let runs = documents().into_iter().filter(wanted).map(|path| async move {
        let blocks = parse::blocks(&read(&path)).map_err(|problem| format!("{}:{problem}", path.display()))?;
        tokio::spawn(run::document(path, blocks)).await.map_err(|panic| panic.to_string())?
    });
    let results: Vec<Result<String, String>> =
        futures_util::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let mut wrong = Vec::new();
    for result in results {
        match result {
            Ok(ran) => println!("{ran}"),
            Err(problem) => wrong.push(problem),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// A block that is not run says nothing when it stops being true.
#[test]
fn what_the_readme_tells_to_type_is_run() {
    let kinds = |path: &str| -> Vec<Kind> {
        parse::blocks(&read(Path::new(path))).unwrap().iter().map(|block: &Block| block.kind).collect()
    };
    assert!(kinds("README.md").contains(&Kind::Console));
    let all: Vec<Kind> = documents().iter().flat_map(|path| kinds(path.to_str().unwrap())).collect();
    assert!(all.iter().filter(|kind| **kind == Kind::Console).count() >= 8, "{all:?}");
    assert!(all.contains(&Kind::Psql));
}

/// The heading as GitHub makes an anchor of it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut dead = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        for target in link.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) =
                target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            match std::fs::read_to_string(root().join(&path)) {
                Err(_) => drop(dead.insert(format!("{}: {target}", document.display()))),
                Ok(text) => {
                    let mut headings =
                        text.lines().filter_map(|line| Some(anchor(line.strip_prefix('#')?.trim_start_matches('#'))));
                    if heading.is_some_and(|wanted| !headings.any(|heading| heading == wanted)) {
                        dead.insert(format!("{}: {target}", document.display()));
                    }
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}
