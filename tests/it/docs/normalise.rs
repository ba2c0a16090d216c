//! Text without what differs from run to run.

use std::sync::LazyLock;

use regex::Regex;

/// What is replaced, in this order.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rule = |pattern: &str, by| (Regex::new(pattern).unwrap(), by);
    vec![
        rule(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
        rule(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?\b)?", "TIME"),
        rule(r"\b\d{4}-\d\d-\d\d\b", "DATE"),
        rule(r"\b\d+:\d\d:\d\d(\.\d+)?\b", "DURATION"),
        rule(r"\b(\d+(\.\d+)? ?(ms|s|min|h|d|days?|hours?|minutes?|seconds?)\b ?)+", "DURATION "),
        rule(r"\b[0-9a-f]*[0-9][0-9a-f]{15,}\b", "HEX"),
        rule(r"\d+(,\d{3})*(\.\d+)?", "N"),
        rule(r"\(N rows?\)", "(N rows)"),
        rule("-{2,}", "--"),
        rule("─{2,}", "──"),
        rule(r"\s+", " "),
    ]
});

/// The lines that say something.
pub fn lines<'a>(text: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let line = |line: &str| {
        let mut line = line.to_owned();
        for (pattern, by) in RULES.iter() {
            line = pattern.replace_all(&line, *by).into_owned();
        }
        line.trim().to_owned()
    };
    text.into_iter().map(line).filter(|line| !line.is_empty()).collect()
}

#[test]
fn what_differs_from_run_to_run_is_gone() {
    for (one, other) in [
        ("mesh cf04b2a5-55b5-4b45-ae4f-7f4c5d44d3a4: ams", "mesh 00000000-55b5-4b45-ae4f-7f4c5d44d3a4: ams"),
        ("at 2026-11-23 18:52:16.004512 | ams", "at 2027-01-01 00:00:00.1 | ams"),
        ("at 2026-11-23T18:52:16Z,", "at 2026-11-23T18:52:16.004512+00,"),
        ("since 3h 2min", "since 80s"),
        ("0.5%  2071-04-18", "12.25%    2026-01-02"),
        ("17 messages, 1,000 of them", "1 messages, 2 of them"),
        ("-----+---", "--+-----"),
        ("(1 row)", "(4 rows)"),
        ("2b8e00aa2b8e00aa2b", "0000000000000000"),
    ] {
        assert_eq!(lines([one]), lines([other]), "{one}");
    }
    for (one, other) in [("ams", "fra"), ("1 messages", "1s messages"), ("current", "-"), ("a 1", "a")] {
        assert_ne!(lines([one]), lines([other]), "{one}");
    }
}
