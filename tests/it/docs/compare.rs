//! Whether what was printed is what the document says.

use similar::TextDiff;

use super::normalise;

/// A line that stands for any lines.
const ANY_LINES: &str = "...";
/// What stands for any text in a line.
const ANY_TEXT: &str = "[..]";

/// Compares, or shows both as a difference between normalised lines.
pub fn compare(expected: &[String], printed: &str) -> Result<(), String> {
    let expected = normalise::lines(expected.iter().map(String::as_str));
    let found = normalise::lines(printed.lines());
    if lines_match(&expected, &found) {
        return Ok(());
    }
    let (expected, found) = (expected.join("\n") + "\n", found.join("\n") + "\n");
    let diff = TextDiff::from_lines(&expected, &found);
    Err(format!("{}\nprinted was:\n{printed}", diff.unified_diff().context_radius(50).header("document", "printed")))
}

fn lines_match(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line == ANY_LINES => (0..=found.len()).any(|skip| lines_match(rest, &found[skip..])),
        Some((line, rest)) => {
            found.split_first().is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others))
        }
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    match expected.split_once(ANY_TEXT) {
        None => expected == found,
        Some((start, rest)) => found.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| line_matches(rest, &tail[at..]))
        }),
    }
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    let holds = |expected: &str, found: &str| {
        let expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        compare(&expected, found).is_ok()
    };
    assert!(holds("a\n...\nb", "a\nb") && holds("a\n...\nb", "a\nx\ny\nb") && holds("...", ""));
    assert!(holds("a [..] b", "a x y b") && holds("a[..]", "a"));
    assert!(!holds("a", "a\nb") && !holds("a\n...\nb", "a\nx") && !holds("a [..] b", "a x") && !holds("", "a"));
}
