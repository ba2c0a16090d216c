//! What of a document is run.

/// How a block is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Console,
    Psql,
    Sql,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// Where it begins in the document, from 1.
    pub line: usize,
    pub kind: Kind,
    /// What has to be done before, in order.
    pub before: Vec<String>,
    pub steps: Vec<Step>,
}

/// A command, and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub command: String,
    pub expected: Vec<String>,
}

/// The blocks that are run, or what is wrong and in which line.
pub fn blocks(document: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut before = Vec::new();
    let mut lines = (1..).zip(document.lines());
    while let Some((line, text)) = lines.next() {
        if let Some(comment) = text.strip_prefix("<!-- before: ") {
            before.push(to_the_end_of(comment, &mut lines));
        }
        let Some(language) = text.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```").collect();
        let kind = match language {
            "console" => Kind::Console,
            "psql" => Kind::Psql,
            "sql" => Kind::Sql,
            _ if before.is_empty() => continue,
            _ => return Err(format!("{line}: a preparation before a block that is not run")),
        };
        let steps = match kind {
            Kind::Console => steps(&body, "$ ", |last| last.ends_with('\\').then_some("")),
            Kind::Psql => steps(&body, "dbmail=# ", |_| Some("dbmail-# ")),
            Kind::Sql => Ok(vec![Step { command: body.join("\n"), expected: Vec::new() }]),
        };
        let steps = steps.map_err(|problem| format!("{line}: {problem}"))?;
        blocks.push(Block { line, kind, before: std::mem::take(&mut before), steps });
    }
    if before.is_empty() { Ok(blocks) } else { Err(format!("a preparation without a block: {before:?}")) }
}

/// The text of a comment that may go on in the lines below.
fn to_the_end_of<'a>(first: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> String {
    let mut text = first.to_owned();
    while !text.contains("-->") {
        let Some((_, more)) = lines.next() else { break };
        text = format!("{text}\n{more}");
    }
    text.split("-->").next().unwrap_or_default().trim().to_owned()
}

/// Parts commands from what they print. `goes_on` says what the next line begins with if it belongs to the command.
fn steps(body: &[&str], prompt: &str, goes_on: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut in_command = false;
    for text in body {
        if let Some(command) = text.strip_prefix(prompt) {
            steps.push(Step { command: command.to_owned(), expected: Vec::new() });
            in_command = true;
            continue;
        }
        let Some(step) = steps.last_mut() else { return Err("a block has to begin with a command".to_owned()) };
        let rest = goes_on(&step.command).filter(|_| in_command).and_then(|prefix| text.strip_prefix(prefix));
        match rest {
            Some(rest) => step.command = format!("{}\n{rest}", step.command),
            None => {
                in_command = false;
                step.expected.push((*text).to_owned());
            }
        }
    }
    if steps.is_empty() { Err("a block without a command".to_owned()) } else { Ok(steps) }
}

#[test]
fn a_document_is_taken_apart() {
    let document = "\
text
<!-- before: renumbered -->
<!-- before: sql fra: select 1,
     2 -->
```console
$ dbmail-mesh a \\
    --b
one
...
$ dbmail-mesh c # exit code 1
```
```toml
x = 1
```
```psql
dbmail=# select 1
dbmail-#   from x;
 ?
```
```sql
select 1;
```
";
    let blocks = blocks(document).unwrap();
    let kinds: Vec<_> = blocks.iter().map(|block| (block.line, block.kind)).collect();
    assert_eq!(kinds, [(5, Kind::Console), (15, Kind::Psql), (20, Kind::Sql)]);
    assert_eq!(blocks[0].before, ["renumbered", "sql fra: select 1,\n     2"]);
    let step = |command: &str, expected: &[&str]| Step {
        command: command.to_owned(),
        expected: expected.iter().map(|line| (*line).to_owned()).collect(),
    };
    let first = step("dbmail-mesh a \\\n    --b", &["one", "..."]);
    assert_eq!(blocks[0].steps, [first, step("dbmail-mesh c # exit code 1", &[])]);
    assert_eq!(blocks[1].steps, [step("select 1\n  from x;", &[" ?"])]);
    for wrong in ["```console\n```", "```console\nx\n```", "<!-- before: x -->\n```toml\n```", "<!-- before: x -->\n"] {
        assert!(super::parse::blocks(wrong).is_err(), "{wrong}");
    }
}
