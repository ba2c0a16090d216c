//! Whole simulations.

use std::time::Duration;

use super::super::world::World;
use super::super::{Options, Outages, Rate, Report, run};
use super::Mutant;
use crate::config::Presence;
use crate::domain::ids::Stride;

const MINUTE: Duration = Duration::from_secs(60);

/// Busy mailboxes on a few nodes, and everything that can go wrong.
fn rough(nodes: i16, seed: u64) -> Options {
    let outages = |per_hour, length| Outages { rate: Rate::per_hour(per_hour), length };
    Options {
        nodes,
        stride: Options::stride_for(nodes),
        mailboxes: 8,
        rate: Rate::per_second(2.0),
        duration: 5 * MINUTE,
        latency: "5ms-80ms".parse().unwrap(),
        affinity: 0.5,
        roaming: 0.5,
        partitions: outages(30.0, MINUTE),
        crashes: outages(30.0, MINUTE / 2),
        worker_crashes: outages(60.0, MINUTE / 6),
        faults: 0.1,
        seed,
        ..Options::default()
    }
}

fn held(options: &Options) -> Report {
    let report = run(options).unwrap();
    assert!(report.findings.is_empty(), "{options:?}: {:#?}", report.findings);
    report
}

#[test]
fn the_same_seed_gives_the_same_report_byte_for_byte_and_another_does_not() {
    let text = |seed| serde_json::to_string(&run(&rough(4, seed)).unwrap()).unwrap();
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn whatever_goes_wrong_the_guarantees_hold() {
    let mut broken_off = 0;
    for seed in 0..18 {
        let report = held(&rough(2 + seed as i16 % 6, seed));
        broken_off += report.settlements.broken_off;
        assert!(report.late > 0 && report.settlements.written > 0, "seed {seed}: too little happened");
        for clients in &report.clients {
            assert!(clients.kind == "roaming_anywhere" || clients.lost == 0, "seed {seed}: {clients:?}");
            assert!(clients.kind != "at_home" || clients.overlooked == 0, "seed {seed}: {clients:?}");
        }
    }
    assert!(broken_off > 18, "too little went wrong");
}

#[test]
fn so_they_do_on_64_nodes() {
    let report = held(&Options { duration: MINUTE, mailboxes: 3, ..rough(64, 1) });
    assert!(report.renumbered > 0);
}

#[test]
fn and_where_links_take_longer_than_a_lock_may_be_held() {
    let far = Options { latency: "150ms-400ms".parse().unwrap(), ..rough(4, 3) };
    assert!(held(&far).late > 0);
}

#[test]
fn a_broken_rule_is_noticed() {
    for (mutant, guarantee) in
        [(Mutant::ShowsWhatIsLate, "B"), (Mutant::ForgetsTombstones, "E"), (Mutant::ReservesNothing, "A")]
    {
        let options = rough(4, 5);
        let mut world = World::new(&options);
        world.mutant = Some(mutant);
        world.live();
        let findings = world.judge().findings;
        assert!(findings.iter().any(|finding| finding.starts_with(guarantee)), "{mutant:?}: {findings:?}");
    }
}

#[test]
fn mail_that_arrives_at_home_only_is_never_late() {
    let report = held(&Options { affinity: 1.0, crashes: Options::default().crashes, ..rough(3, 1) });
    assert_eq!((report.late, report.renumbers), (0, 0));
    assert_eq!(report.numbers_drawn, report.messages);
}

/// Owners read on their home nodes; where nobody reads, nothing is late.
#[test]
fn what_no_client_can_have_seen_keeps_its_uid() {
    let calm = Options { roaming: 0.0, faults: 0.0, affinity: 0.5, ..Options { seed: 1, ..Options::default() } };
    let some = Options { mailboxes: 5, rate: Rate::per_second(5.0), duration: 5 * MINUTE, ..calm };
    let all = Options { presence: Presence::Always, ..some.clone() };
    let (some, all) = (held(&some), held(&all));
    assert_eq!(some.messages, all.messages);
    assert!(some.late < all.late, "{} {}", some.late, all.late);
    let twice = |report: &Report| report.clients[0].duplicates;
    assert_eq!(twice(&some), 0, "what is at home is above every line");
    assert!(twice(&all) > 0);
}

/// The sequences follow each other: what is used up by a message is not one number, but up to a stride.
#[test]
fn a_greater_stride_uses_up_more_uids() {
    let with = |stride| held(&Options { stride: Stride(stride), affinity: 0.5, ..rough(2, 1) }).uid_space.per_message;
    let (narrow, wide) = (with(2), with(64));
    assert!(narrow < 4.0 && wide > 10.0 * narrow, "{narrow} {wide}");
}
