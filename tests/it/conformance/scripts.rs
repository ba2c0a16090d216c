//! What is known to be hard, a script each.

use super::script::Step::{self, Converge, Deliver, Expunge, Link, Login, Move, Replay, Seen, Settle, Shows, Torn};
use super::store::Folder::{self, Inbox, Work};
use super::store::Tear;
use super::{LOGINS, NODES};

fn deliver(node: i16, folder: Folder, name: &str) -> Step {
    Deliver(node, folder, name.to_owned())
}

fn name(name: &str) -> String {
    name.to_owned()
}

/// All of them, those with logins only where logins count.
pub(crate) fn all() -> Vec<(&'static str, Vec<Step>)> {
    let read = vec![
        ("list", mailing_list()),
        ("late", late_and_hidden()),
        ("torn", torn_settlements()),
        ("expunge", expunge_against_renumber()),
        ("move", move_against_expunge()),
        ("waits", moved_while_it_waits()),
        ("replay", replayed_links()),
        ("third", a_third_node_learns_late()),
        ("seen", flags_of_what_is_renumbered()),
    ];
    // With a reader everywhere.
    let logins = || (1..=NODES).map(Login);
    let mut scripts: Vec<_> = read.into_iter().map(|(name, steps)| (name, logins().chain(steps).collect())).collect();
    if LOGINS {
        scripts.push(("unread", nobody_reads()));
        scripts.push(("reader", a_reader_on_one_node()));
    }
    scripts
}

/// The scenario of the mailing list, on nodes whose numbers go up by four: the message of B comes to A below what A has shown.
fn mailing_list() -> Vec<Step> {
    vec![
        deliver(1, Inbox, "m1"),
        Link(1, 2),
        deliver(2, Inbox, "m2"),
        Link(2, 1),
        Link(1, 3),
        Link(2, 3),
        deliver(1, Inbox, "m5"),
        deliver(2, Inbox, "m6"),
        deliver(1, Inbox, "m7"),
        Shows(1, Inbox, vec![1, 2, 5, 9]),
        Shows(2, Inbox, vec![1, 2, 6]),
        Link(2, 1),
        Shows(1, Inbox, vec![1, 2, 5, 9]),
        Settle(vec![1, 2]),
        Shows(1, Inbox, vec![1, 2, 5, 9, 13]),
        Link(1, 2),
        Shows(2, Inbox, vec![1, 2, 9, 13]),
        Settle(vec![1, 2]),
        Shows(1, Inbox, vec![1, 2, 9, 13, 17]),
        Converge,
        Shows(3, Inbox, vec![1, 2, 9, 13, 17]),
    ]
}

fn late_and_hidden() -> Vec<Step> {
    vec![
        deliver(3, Inbox, "low"),
        deliver(1, Inbox, "one"),
        deliver(1, Inbox, "two"),
        Link(3, 1),
        Shows(1, Inbox, vec![1, 5]),
        // A settlement that does not reach the node where it is visible, and then one that does.
        Settle(vec![1]),
        Link(1, 2),
        Link(1, 3),
        Converge,
    ]
}

fn torn_settlements() -> Vec<Step> {
    let mut steps = Vec::new();
    let tears = [Tear::Reserved, Tear::Locked, Tear::Committed(1), Tear::Committed(2), Tear::Committed(3)];
    for (round, tear) in tears.into_iter().enumerate() {
        for node in [2, 3, 1] {
            steps.push(deliver(node, Inbox, &format!("{round}-{node}")));
        }
        for (source, target) in [(2, 1), (3, 1), (1, 2), (3, 2), (1, 3), (2, 3)] {
            steps.push(Link(source, target));
        }
        steps.push(Torn(vec![1, 2, 3], tear));
        steps.push(deliver(2, Inbox, &format!("{round}-after")));
        steps.push(Converge);
    }
    steps
}

fn expunge_against_renumber() -> Vec<Step> {
    vec![
        deliver(1, Inbox, "one"),
        Link(1, 2),
        Link(1, 3),
        deliver(2, Inbox, "x"),
        Link(2, 3),
        deliver(1, Inbox, "two"),
        Link(2, 1),
        // C expunges what A and B renumber.
        Expunge(3, name("x")),
        Settle(vec![1, 2]),
        Shows(2, Inbox, vec![1, 2]),
        Link(1, 2),
        Link(1, 3),
        Shows(2, Inbox, vec![1, 5, 9]),
        Link(3, 1),
        Converge,
        Shows(1, Inbox, vec![1, 5]),
    ]
}

fn move_against_expunge() -> Vec<Step> {
    vec![
        deliver(1, Inbox, "x"),
        deliver(1, Inbox, "y"),
        deliver(1, Work, "w"),
        Converge,
        Move(1, name("x"), Work),
        Expunge(2, name("x")),
        Move(3, name("y"), Work),
        Move(1, name("y"), Work),
        Converge,
    ]
}

fn moved_while_it_waits() -> Vec<Step> {
    vec![
        deliver(2, Inbox, "x"),
        deliver(1, Inbox, "one"),
        deliver(1, Inbox, "two"),
        Link(2, 1),
        Settle(vec![1]),
        deliver(2, Inbox, "a"),
        deliver(2, Inbox, "b"),
        deliver(2, Inbox, "c"),
        // The new number of x is below B's line: x waits there, and is moved.
        Link(1, 2),
        Move(2, name("x"), Work),
        Converge,
    ]
}

fn replayed_links() -> Vec<Step> {
    vec![
        deliver(1, Inbox, "one"),
        deliver(2, Inbox, "two"),
        Link(1, 2),
        Link(2, 1),
        Replay(1, 2),
        Settle(vec![1, 2]),
        Replay(2, 1),
        Replay(1, 2),
        Expunge(1, name("two")),
        Replay(2, 1),
        Replay(1, 2),
        Replay(1, 3),
        Replay(2, 3),
        Converge,
    ]
}

fn a_third_node_learns_late() -> Vec<Step> {
    vec![
        deliver(1, Inbox, "one"),
        deliver(2, Inbox, "two"),
        deliver(3, Inbox, "three"),
        Link(2, 1),
        Link(1, 2),
        Settle(vec![1, 2]),
        deliver(3, Inbox, "more"),
        Link(1, 3),
        Settle(vec![1, 3]),
        Link(3, 2),
        Settle(vec![2, 3]),
        Converge,
    ]
}

fn flags_of_what_is_renumbered() -> Vec<Step> {
    vec![
        deliver(2, Inbox, "x"),
        deliver(1, Inbox, "one"),
        deliver(1, Inbox, "two"),
        Seen(2, name("x"), true),
        Link(2, 1),
        Seen(2, name("x"), false),
        Settle(vec![1, 2]),
        Seen(1, name("x"), true),
        Converge,
    ]
}

/// Nobody has ever logged in: whatever comes keeps its UID.
fn nobody_reads() -> Vec<Step> {
    vec![
        deliver(1, Inbox, "one"),
        deliver(2, Inbox, "two"),
        deliver(1, Inbox, "three"),
        deliver(2, Inbox, "four"),
        Converge,
        Shows(1, Inbox, vec![1, 2, 5, 6]),
    ]
}

/// On A somebody reads: what is below A's line gets new UIDs, once each, and A's own messages keep theirs.
fn a_reader_on_one_node() -> Vec<Step> {
    vec![
        Login(1),
        deliver(1, Inbox, "one"),
        deliver(2, Inbox, "two"),
        deliver(1, Inbox, "three"),
        deliver(2, Inbox, "four"),
        Link(1, 2),
        Shows(2, Inbox, vec![1, 2, 5, 6]),
        Link(2, 1),
        Shows(1, Inbox, vec![1, 5, 6]),
        Settle(vec![1, 2]),
        Shows(1, Inbox, vec![1, 5, 6, 9]),
        Login(2),
        deliver(3, Inbox, "five"),
        Converge,
    ]
}
