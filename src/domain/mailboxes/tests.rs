//! Names as tables, and every order in which nodes can learn of one another in a small world.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::ids::NodeId;
use crate::domain::stamp::Stamp;

const NODE: NodeId = NodeId(9);

/// A mailbox of alice with this name, written `at` (0: adopted).
fn named(name: &str, at: i64, renamed: bool) -> Alive {
    let stamp = if at == 0 { Stamp::NEVER } else { Stamp(at << 20 | 1) };
    Alive {
        name: Register { stamp, value: Name { owner: "alice/1".into(), name: name.into(), renamed } },
        no_select: Register { stamp: Stamp::NEVER, value: 0 },
        permission: Register { stamp: Stamp::NEVER, value: 2 },
        rest: Register { stamp: Stamp::NEVER, value: [0; 7] },
    }
}

/// Created with the name.
fn created(name: &str, at: i64) -> State {
    State::Alive(named(name, at, false))
}

/// Renamed to it.
fn renamed(name: &str, at: i64) -> State {
    State::Alive(named(name, at, true))
}

fn deleted() -> State {
    State::Ended(Fate::Deleted)
}

fn merged(into: i64) -> State {
    State::Ended(Fate::MergedInto(MailboxId(into)))
}

fn owners() -> Owners {
    Owners::from([("alice/1".into(), true), ("gone/1".into(), false)])
}

type States = BTreeMap<MailboxId, State>;

fn states<'a>(pairs: impl IntoIterator<Item = &'a (i64, State)>) -> States {
    pairs.into_iter().map(|(id, state)| (MailboxId(*id), state.clone())).collect()
}

/// Joins into a node's view and writes the outcome, as the node would; then takes the rows of the ended out.
fn apply(node: NodeId, view: &mut View, incoming: &States) -> Outcome {
    let outcome = join(node, view, &owners(), incoming);
    for (id, change) in &outcome.changes {
        view.insert(*id, change.after.clone());
    }
    outcome
}

/// What a node tells of all that it has.
fn told(view: &View) -> States {
    let state = |held: &Held| match (held.fate, &held.row) {
        (Some(fate), _) => State::Ended(fate),
        (None, Some(row)) => State::Alive(row.clone()),
        (None, None) => unreachable!("nothing is known of it"),
    };
    view.iter().map(|(id, held)| (*id, state(held))).collect()
}

/// In short: `2=Work 3>2 4=dead`.
fn short(view: &View) -> String {
    let one = |(id, held): (&MailboxId, &Held)| match (held.fate, &held.row) {
        (Some(Fate::MergedInto(winner)), _) => format!("{id}>{winner}"),
        (Some(Fate::Deleted), _) => format!("{id}=dead"),
        (None, Some(row)) => format!("{id}={}", row.name.value.name),
        (None, None) => format!("{id}=?"),
    };
    view.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// One case a line: what is here, what comes, what is here then.
#[test]
fn names_as_a_table() {
    for (here, comes, expected) in [
        // Of two that were created with one name the lower goes into the higher, wherever which is.
        (vec![(2, created("W", 5))], vec![(3, created("W", 4))], "2>3, 3=W"),
        (vec![(3, created("W", 5))], vec![(2, created("W", 4))], "2>3, 3=W"),
        (vec![(3, created("W", 0))], vec![(2, created("W", 4))], "2>3, 3=W"),
        (vec![], vec![(2, created("W", 4)), (3, created("W", 5)), (4, created("W", 3))], "2>4, 3>4, 4=W"),
        (vec![(2, created("W", 4))], vec![(3, created("w", 5))], "2=W, 3=w"),
        // INBOX is INBOX, also when somebody has renamed something to it.
        (vec![(2, created("INBOX", 5))], vec![(3, created("Inbox", 4))], "2>3, 3=Inbox"),
        (vec![(2, created("INBOX", 5))], vec![(3, renamed("inbox", 6))], "2>3, 3=inbox"),
        // Otherwise the later keeps the name.
        (vec![(2, created("W", 4))], vec![(3, renamed("W", 5))], "2=W (2), 3=W"),
        (vec![(2, created("W", 6))], vec![(3, renamed("W", 5))], "2=W, 3=W (3)"),
        (vec![(2, renamed("W", 6))], vec![(3, renamed("W", 5))], "2=W, 3=W (3)"),
        (vec![(2, created("W", 4)), (4, renamed("W (2)", 9))], vec![(3, renamed("W", 5))], "2=W (2.2), 3=W, 4=W (2)"),
        (vec![(2, created("W", 4)), (4, renamed("W (2)", 2))], vec![(3, renamed("W", 5))], "2=W (2), 3=W, 4=W (2) (4)"),
        // Swaps and chains of names in one batch.
        (
            vec![(2, created("A", 1)), (3, created("B", 1))],
            vec![(2, renamed("B", 5)), (3, renamed("A", 4))],
            "2=B, 3=A",
        ),
        (
            vec![(2, created("A", 1)), (3, created("B", 1)), (4, created("C", 1))],
            vec![(2, renamed("B", 7)), (3, renamed("C", 6)), (4, renamed("D", 5))],
            "2=B, 3=C, 4=D",
        ),
        // An end is final, and the higher winner is the later.
        (vec![(2, created("W", 4))], vec![(2, deleted())], "2=dead"),
        (vec![(2, deleted())], vec![(2, renamed("V", 9))], "2=dead"),
        (vec![(2, deleted())], vec![(2, merged(3))], "2>3"),
        (vec![(2, merged(4))], vec![(2, merged(3))], "2>4"),
        (vec![(2, merged(4))], vec![(2, deleted())], "2>4"),
        // What has ended has no claim to its name.
        (vec![(2, deleted())], vec![(3, created("W", 4))], "2=dead, 3=W"),
    ] {
        let mut view = View::new();
        apply(NODE, &mut view, &states(&here));
        apply(NODE, &mut view, &states(&comes));
        assert_eq!(short(&view), expected, "{here:?} {comes:?}");
    }
}

#[test]
fn the_row_of_what_has_ended_gives_its_name_to_the_living() {
    let row = |name: &str| Some(named(name, 4, false));
    let mut view = View::from([
        (MailboxId(2), Held { row: row("W"), fate: Some(Fate::Deleted) }),
        (MailboxId(5), Held { row: row("W (2)"), fate: Some(Fate::MergedInto(MailboxId(7))) }),
    ]);
    apply(NODE, &mut view, &states(&[(3, created("W", 5)), (4, created("W (2)", 5))]));
    let name = |id: i64| view[&MailboxId(id)].row.as_ref().map(|row| row.name.value.name.clone());
    assert_eq!([2, 3, 4, 5].map(name), ["W (2.2)", "W", "W (2)", "W (2) (5)"].map(|name| Some(name.into())));
}

#[test]
fn registers_do_not_disturb_one_another() {
    let mut ours = named("W", 4, false);
    ours.permission = Register { stamp: Stamp(50), value: 1 };
    ours.no_select = Register { stamp: Stamp(50), value: 1 };
    let mut theirs = named("V", 5, true);
    theirs.no_select = Register { stamp: Stamp(60), value: 0 };
    theirs.rest = Register { stamp: Stamp::NEVER, value: [1, 0, 0, 0, 0, 0, 0] };
    for (mut a, b) in [(ours.clone(), theirs.clone()), (theirs.clone(), ours.clone())] {
        a.join(&b);
        assert_eq!(
            (a.name.value.name.as_str(), a.permission.value, a.no_select.value, a.rest.value[0]),
            ("V", 1, 0, 1)
        );
    }
}

#[test]
fn a_mailbox_ends_with_its_owner_and_waits_for_one_who_is_not_here() {
    let of = |owner: &str| {
        let mut alive = named("W", 4, false);
        alive.name.value.owner = owner.into();
        State::Alive(alive)
    };
    let mut view = View::new();
    let outcome = apply(NODE, &mut view, &states(&[(2, of("gone/1")), (3, of("nobody/1")), (4, of("alice/1"))]));
    assert_eq!(short(&view), "2=dead, 4=W");
    assert!(outcome.changes[&MailboxId(2)].own && !outcome.changes[&MailboxId(4)].own);
    // One that is here stays with whom it is.
    let mut given_away = named("W", 9, true);
    given_away.name.value.owner = "nobody/1".into();
    given_away.permission = Register { stamp: Stamp(50), value: 1 };
    apply(NODE, &mut view, &states(&[(4, State::Alive(given_away))]));
    let row = view[&MailboxId(4)].alive().unwrap();
    assert_eq!((row.name.value.owner.as_str(), row.permission.value), ("alice/1", 1));
}

#[test]
fn who_else_is_asked_for() {
    let mut view = View::new();
    apply(
        NODE,
        &mut view,
        &states(&[(2, created("W", 4)), (3, created("inbox", 4)), (4, deleted()), (5, created("V", 4))]),
    );
    let ask =
        |incoming: &[(i64, State)]| contenders(&view, &states(incoming)).into_iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(ask(&[(6, created("W", 5)), (7, created("INBOX", 5))]), [2, 3]);
    assert_eq!(ask(&[(6, created("W", 5)), (2, renamed("V", 5))]), [5]);
    assert_eq!(ask(&[(6, merged(8)), (7, merged(2)), (9, merged(4))]), [8]);
    assert!(ask(&[(4, created("U", 5)), (5, deleted())]).is_empty());
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![vec![]];
    }
    let shorter = orders(of - 1);
    let insert = |order: &Vec<usize>, at: usize| [&order[..at], &[of - 1], &order[at..]].concat();
    shorter.iter().flat_map(|order| (0..of).map(|at| insert(order, at)).collect::<Vec<_>>()).collect()
}

/// Nodes tell one another everything until nothing changes any more. Returns what all have then.
fn exchange(mut nodes: Vec<View>, story: &str) -> View {
    let most_rounds = 20;
    for _ in 0..most_rounds {
        let mut quiet = true;
        for source in 0..nodes.len() {
            let states = told(&nodes[source]);
            for target in (0..nodes.len()).filter(|target| *target != source) {
                let node = NodeId(i16::try_from(target + 1).unwrap());
                quiet &= apply(node, &mut nodes[target], &states).changes.is_empty();
            }
        }
        if quiet {
            let ends: BTreeSet<String> = nodes.iter().map(|view| format!("{:?}", told(view))).collect();
            assert_eq!(ends.len(), 1, "{story}: {ends:#?}");
            return nodes.remove(0);
        }
    }
    panic!("{story}: no end is reached");
}

fn check_names(view: &View, story: &str) {
    let keys: Vec<Key> = view.values().filter_map(Held::alive).map(Alive::key).collect();
    let distinct: BTreeSet<&Key> = keys.iter().collect();
    assert_eq!(keys.len(), distinct.len(), "{story}: {}", short(view));
}

/// Three mailboxes, each in every state that matters, arrive in every order, one at a time, on as many nodes, which then exchange what
/// they have: all end with the same, and no name is there twice.
#[test]
fn every_order_ends_the_same() {
    let variants = |id: i64| {
        vec![
            created("W", 0),
            created("W", 10 + id),
            created("W", 20 - id),
            renamed("W", 14),
            renamed("W", 15 + id),
            renamed("W (3)", 12),
            created("W (4)", 13),
            created("INBOX", 11),
            renamed("inbox", 16),
            deleted(),
            merged(id + 1),
        ]
    };
    let mut worlds = 0;
    for a in variants(2) {
        for b in variants(3) {
            for c in variants(4) {
                let all = [(2, a.clone()), (3, b.clone()), (4, c)];
                let story = format!("{all:?}");
                let mut nodes: Vec<View> = Vec::new();
                for order in orders(all.len()) {
                    let node = NodeId(i16::try_from(nodes.len() + 1).unwrap());
                    let mut view = View::new();
                    for index in order {
                        apply(node, &mut view, &states([&all[index]]));
                        check_names(&view, &story);
                    }
                    nodes.push(view);
                }
                let mut at_once = View::new();
                apply(NODE, &mut at_once, &states(&all));
                nodes.push(at_once);
                check_names(&exchange(nodes, &story), &story);
                worlds += 1;
            }
        }
    }
    assert_eq!(worlds, 11 * 11 * 11);
}

/// What was true is on its way while a node still holds what was true before: whichever order single rows come in, a node ends with
/// the names that the users gave, without a trace of what it made of it in between.
#[test]
fn renames_that_come_one_by_one_leave_no_trace() {
    let before = [(2, created("A", 0)), (3, created("B", 1)), (4, created("C", 2))];
    for (after, expected) in [
        ([(2, renamed("B", 9)), (3, renamed("A", 8)), (4, created("C", 2))], "2=B, 3=A, 4=C"),
        ([(2, renamed("B", 9)), (3, renamed("C", 8)), (4, renamed("A", 7))], "2=B, 3=C, 4=A"),
        ([(2, renamed("C", 9)), (3, renamed("B (2)", 8)), (4, deleted())], "2=C, 3=B (2), 4=dead"),
        ([(2, renamed("D", 9)), (3, renamed("A", 8)), (4, renamed("B", 7))], "2=D, 3=A, 4=B"),
    ] {
        let mut source = View::new();
        apply(NODE, &mut source, &states(&after));
        for order in orders(after.len()) {
            let mut target = View::new();
            apply(NODE, &mut target, &states(&before));
            for index in order {
                apply(NODE, &mut target, &states([&after[index]]));
            }
            assert_eq!(short(&target), expected, "{after:?}");
            let end = exchange(vec![source.clone(), target], expected);
            assert_eq!(short(&end), expected);
        }
    }
}
