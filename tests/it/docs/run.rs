//! A document's blocks, run in order.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::compare::compare;
use super::parse::{Block, Kind, Step};
use super::scenes;
use super::stage::Stage;

/// How long what a document shows may take to come about.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// Commands that change nothing: they are asked again while they print something else.
const READING: [&str; 8] =
    ["config", "doctor", "migrate status", "migrate up --dry-run", "plan", "status", "verify", "wait"];

/// What begins a document for which nothing is to be installed.
const BARE: &str = "bare";
/// What begins one for which one node is to be left out.
const WITHOUT: &str = "without ";

/// Runs a document. Returns what was run, or what is wrong.
pub async fn document(path: PathBuf, blocks: Vec<Block>) -> Result<String, String> {
    let begun = Instant::now();
    let count = |kind| blocks.iter().filter(|block| block.kind == kind).count();
    let ran = format!(
        "{}: {} console, {} psql, {} sql",
        path.display(),
        count(Kind::Console),
        count(Kind::Psql),
        count(Kind::Sql)
    );
    let Some(first) = blocks.first() else { return Ok(ran) };
    let names = if mentions_nyc(&blocks) { vec!["ams", "fra", "nyc"] } else { vec!["ams", "fra"] };
    let mut stage = Stage::new(&names).await;
    if !first.before.iter().any(|scene| scene == BARE || scene.starts_with(WITHOUT)) {
        scenes::play("mesh", &mut stage).await?;
    }
    let mut wrong = Vec::new();
    for block in &blocks {
        if let Err(problem) = prepared(block, &mut stage).await {
            wrong.push(format!("{}:{}: {problem}", path.display(), block.line));
        }
    }
    let ran = format!("{ran}, in {:.1} s", begun.elapsed().as_secs_f64());
    if wrong.is_empty() { Ok(ran) } else { Err(wrong.join("\n\n")) }
}

/// Runs a block after what has to be done before it.
async fn prepared(block: &Block, stage: &mut Stage) -> Result<(), String> {
    for scene in block.before.iter().filter(|scene| *scene != BARE) {
        scenes::play(scene, stage).await?;
    }
    run(block, stage).await
}

fn mentions_nyc(blocks: &[Block]) -> bool {
    let mut texts = blocks.iter().flat_map(|block| {
        let steps = block.steps.iter().flat_map(|step| [&step.command].into_iter().chain(&step.expected));
        block.before.iter().chain(steps)
    });
    texts.any(|text| text.contains("nyc"))
}

async fn run(block: &Block, stage: &Stage) -> Result<(), String> {
    match block.kind {
        Kind::Console => {
            let mut wrong = Vec::new();
            for step in &block.steps {
                wrong.extend(console(step, stage).await.err());
            }
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
        }
        Kind::Sql => stage.sql("ams", &block.steps[0].command).await,
        Kind::Psql => psql(block, stage).await,
    }
}

async fn console(step: &Step, stage: &Stage) -> Result<(), String> {
    let (command, code) = match step.command.rsplit_once("# exit code ") {
        Some((command, code)) => (command.trim(), code.trim().parse().map_err(|_| "not an exit code".to_owned())?),
        None => (step.command.as_str(), 0),
    };
    let reads = READING.iter().any(|reading| command.starts_with(&format!("dbmail-mesh {reading}")));
    let begun = Instant::now();
    loop {
        let (ended, printed) = stage.shell(command).await?;
        let result = match compare(&step.expected, &printed) {
            Ok(()) if ended == Some(code) => return Ok(()),
            Ok(()) => format!("exit code {ended:?} and not {code}"),
            Err(difference) if ended == Some(code) => difference,
            Err(difference) => format!("exit code {ended:?} and not {code}\n{difference}"),
        };
        if !reads || begun.elapsed() > PATIENCE {
            return Err(format!("$ {command}\n{result}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn psql(block: &Block, stage: &Stage) -> Result<(), String> {
    let commands: Vec<&str> = block.steps.iter().map(|step| step.command.as_str()).collect();
    // A function that writes is called without a FROM.
    let reads =
        |command: &&str| command.starts_with('\\') || (command.starts_with("select") && command.contains("from"));
    let reads = commands.iter().all(reads);
    let begun = Instant::now();
    loop {
        let printed = stage.psql(&commands).await?;
        let compared = block.steps.iter().zip(&printed);
        let wrong = compared.filter_map(|(step, printed)| {
            let difference = compare(&step.expected, printed).err()?;
            Some(format!("dbmail=# {}\n{difference}", step.command))
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() {
            return Ok(());
        }
        if !reads || begun.elapsed() > PATIENCE {
            return Err(wrong.join("\n"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
