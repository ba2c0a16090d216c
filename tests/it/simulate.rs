//! `dbmail-mesh simulate` as people run it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli::{Ended, command, ended};

const ROUGH: &str = "--nodes 3 --mailboxes 10 --rate 2/s --duration 5min --latency 5ms-80ms --affinity 0.5 --partitions 30/h \
                     --partition-length 30s --crashes 30/h --worker-crashes 60/h --faults 0.05 --seed 7 --from 2026-11-24";

fn simulate(arguments: &str) -> Ended {
    ended(command().arg("simulate").args(arguments.split_whitespace()))
}

#[test]
fn the_same_options_print_the_same_table_byte_for_byte() {
    let (first, second) = (simulate(ROUGH), simulate(ROUGH));
    assert_eq!((first.code, first.err.as_str()), (0, ""), "{}", first.out);
    assert_eq!(first.out, second.out);
    assert_eq!(first.out, include_str!("../snapshots/simulate.txt"), "to be taken over if it is meant");
}

#[test]
fn json_tells_the_same_and_its_fields_are_those_of_the_contract() {
    let ended = simulate(&format!("{ROUGH} --json"));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let page = include_str!("../../docs/simulate.md");
    let options = keys(&report["options"]);
    for key in keys(&report).into_iter().chain(keys(&report["settlements"])).chain(keys(&report["clients"][0])) {
        assert!(page.contains(&format!("`{key}`")), "docs/simulate.md does not tell what {key} is");
    }
    for key in keys(&report["convergence"]).into_iter().chain(keys(&report["uid_space"])) {
        assert!(page.contains(&format!("`{key}`")), "docs/simulate.md does not tell what {key} is");
    }
    let help = simulate("--help").out;
    for option in options {
        assert!(help.contains(&format!("--{}", option.replace('_', "-"))), "no such option: {option}");
    }
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    assert!(report["messages"].as_u64().unwrap() > 400, "{report}");
}

#[test]
fn what_cannot_be_simulated_is_refused_with_name_value_and_reason() {
    for (arguments, words) in [
        ("--nodes 1", "--nodes 1: must be 2 to 64"),
        ("--nodes 65", "--nodes 65: must be 2 to 64"),
        ("--nodes 8 --stride 4", "--stride 4: must be at least the nodes"),
        ("--rate 0/s", "must be above 0"),
        ("--rate fast", "not a rate"),
        ("--rate 1000/s --nodes 64", "do not fit into memory"),
        ("--latency 80ms-5ms", "the first must not be greater"),
        ("--affinity 1.1", "--affinity 1.1: is a share"),
        ("--mailboxes 0", "--mailboxes 0: must be 1 to 100000"),
        ("--duration 0s", "--duration 0s: must be above 0"),
        ("--presence sometimes", "or \"always\""),
        ("--lock-bound 1s", "--lock-bound 1s"),
        ("--from yesterday", "--from"),
    ] {
        let ended = simulate(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{arguments}");
        assert!(ended.err.contains(words), "{arguments}: {}", ended.err);
    }
    let both = simulate("--nodes 1 --affinity 2");
    assert!(both.err.contains("--nodes 1") && both.err.contains("--affinity 2"), "{}", both.err);
}
