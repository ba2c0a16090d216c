//! `make bench-pure`: what the pure code takes, without any database. Each is done with as much as a batch or a settlement brings at the most.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use dbmail_mesh::domain::account::{self, AccountId, Fields, USERID};
use dbmail_mesh::domain::ids::{BirthUid, MailboxId, NodeId, Uid};
use dbmail_mesh::domain::mailboxes::{self, Alive, Name, Owners, State, View};
use dbmail_mesh::domain::marks::Marks;
use dbmail_mesh::domain::register::Register;
use dbmail_mesh::domain::rule::{self, FIRST_HIDDEN_ROW, Held, Incoming, Place, RowId};
use dbmail_mesh::domain::settlement::{self, NodeView};
use dbmail_mesh::domain::snapshot::Snapshot;
use dbmail_mesh::domain::stamp::Stamp;

const HERE: NodeId = NodeId(1);
const THERE: NodeId = NodeId(2);
/// `worker.batch_messages`.
const BATCH: i64 = 200;
/// The most messages in a settlement.
const SETTLEMENT: i64 = 500;
/// What one owner has besides, and is looked through for names.
const MAILBOXES_EACH: i64 = 10;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    registers(&mut criterion);
    marks(&mut criterion);
    accounts(&mut criterion);
    mailboxes(&mut criterion);
    the_rule(&mut criterion);
    settlements(&mut criterion);
    snapshots(&mut criterion);
    criterion.final_summary();
}

/// Measures `work` on a fresh copy of `input` each time; the copy is not counted. Told as elements a second, of which there are so many.
fn measure<I: Clone, O>(criterion: &mut Criterion, name: &str, elements: usize, input: I, work: impl Fn(I) -> O) {
    let mut group = criterion.benchmark_group("pure");
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(name, |bencher| bencher.iter_batched(|| input.clone(), &work, BatchSize::SmallInput));
    group.finish();
}

/// Every third was written later there.
fn stamp(n: i64, node: NodeId) -> Stamp {
    Stamp::of(1_000_000 + n * 10 + i64::from(node == THERE && n % 3 == 0), node)
}

fn registers(criterion: &mut Criterion) {
    let of = |node: NodeId| -> Vec<Register<String>> {
        (0..BATCH).map(|n| Register { stamp: stamp(n, node), value: format!("value {n}") }).collect()
    };
    measure(criterion, "registers, join", BATCH as usize, (of(HERE), of(THERE)), |(mut here, there)| {
        let later = here.iter_mut().zip(there).filter_map(|(ours, theirs)| ours.join(theirs).then_some(())).count();
        (later, here)
    });
}

/// A batch of messages with two keywords each, one of which only the other node knows.
fn marks(criterion: &mut Criterion) {
    let of = |node: NodeId, second: &str| -> Vec<Marks> {
        let one = |n| {
            let register = Register { stamp: stamp(n, node), value: n % 2 == 0 };
            let keywords = ["work", second].map(|keyword| (keyword.to_owned(), register.clone())).into();
            Marks { flags: std::array::from_fn(|_| register.clone()), keywords }
        };
        (0..BATCH).map(one).collect()
    };
    let both = (of(HERE, "old"), of(THERE, "new"));
    measure(criterion, "marks, news", BATCH as usize, both.clone(), |(here, there)| {
        let news: Vec<_> = here.iter().zip(&there).map(|(ours, theirs)| ours.news_in(theirs)).collect();
        (news, here, there)
    });
    measure(criterion, "marks, join", BATCH as usize, both, |(here, there)| {
        here.into_iter().zip(there).map(|(ours, theirs)| ours.join(theirs)).collect::<Vec<_>>()
    });
}

/// A batch of accounts that are known here, some of them changed there; every fiftieth has taken the name of another.
fn accounts(criterion: &mut Criterion) {
    let id = |n: i64| AccountId { born_as: format!("user{n}"), generation: 1 };
    let fields = |n: i64, node| {
        let mut fields = Fields::default();
        fields.iter_mut().for_each(|field| field.stamp = stamp(n, node));
        let taken = node == THERE && n % 50 == 0;
        fields[USERID].value = format!("user{}", if taken { n + 1 } else { n });
        fields
    };
    let held: BTreeMap<_, _> = (0..BATCH).map(|n| (id(n), account::Held::Alive(fields(n, HERE)))).collect();
    let incoming: Vec<_> = (0..BATCH).map(|n| (id(n), account::Incoming::Alive(fields(n, THERE)))).collect();
    measure(criterion, "accounts, join", BATCH as usize, (), |()| {
        account::join(black_box(&held), black_box(&incoming), HERE)
    });
}

/// A batch of mailboxes, one of each owner, among all that these owners have; every fiftieth has a name that another has, too.
fn mailboxes(criterion: &mut Criterion) {
    let owner = |n: i64| format!("user{}/1", n / MAILBOXES_EACH);
    let alive = |n: i64, node, name: String| Alive {
        name: Register { stamp: stamp(n, node), value: Name { owner: owner(n), name, renamed: node == THERE } },
        no_select: Register { stamp: stamp(n, node), value: 0 },
        permission: Register { stamp: stamp(n, node), value: 2 },
        rest: Register { stamp: stamp(n, node), value: [0; 7] },
    };
    let all = BATCH * MAILBOXES_EACH;
    let held = |n| mailboxes::Held { row: Some(alive(n, HERE, format!("Folder {n}"))), fate: None };
    let view: View = (0..all).map(|n| (MailboxId(n), held(n))).collect();
    let owners: Owners = (0..all).map(|n| (owner(n), true)).collect();
    let state = |n: i64| {
        let name = format!("Folder {}", if n / MAILBOXES_EACH % 50 == 0 { n + 1 } else { n });
        State::Alive(alive(n, THERE, name))
    };
    let incoming: BTreeMap<_, _> = (0..BATCH).map(|n| n * MAILBOXES_EACH).map(|n| (MailboxId(n), state(n))).collect();
    measure(criterion, "mailboxes, contenders", BATCH as usize, (), |()| {
        mailboxes::contenders(black_box(&view), black_box(&incoming))
    });
    measure(criterion, "mailboxes, join", BATCH as usize, (), |()| {
        mailboxes::join(HERE, black_box(&view), black_box(&owners), black_box(&incoming))
    });
}

/// Messages in every state that a node may have them in, below and above the line.
fn the_rule(criterion: &mut Criterion) {
    let case = |n: i64| {
        let (uid, hidden) = (Uid(n), RowId(FIRST_HIDDEN_ROW + n));
        let held = match n % 5 {
            0 => None,
            1 => Some(Held::Visible { uid }),
            2 => Some(Held::Waiting { uid: Uid(n + 9), row: RowId(n) }),
            3 => Some(Held::Hidden { uid, row: hidden }),
            _ => Some(Held::Dead),
        };
        let incoming = Incoming { birth: BirthUid(n), uid: Uid(n + n % 7), dead: n % 11 == 0 };
        (held, incoming, Place { reported: Some(Uid(BATCH / 2)), changes: n % 13 == 0 })
    };
    let cases: Vec<_> = (1..=BATCH).map(case).collect();
    measure(criterion, "rule, decide", cases.len(), (), |()| {
        let cases = black_box(&cases).iter();
        cases.filter_map(|(held, incoming, place)| rule::decide(*held, incoming, *place)).count()
    });
}

/// A settlement of messages that came to one node and are late on all others.
fn settlements(criterion: &mut Criterion) {
    for nodes in [2, 3, 16] {
        let birth = |n: i64| BirthUid(n * 16);
        let high = SETTLEMENT * 16 + 1;
        let view = |node: i64| NodeView {
            node: NodeId(node as i16),
            reported: Uid(high),
            high: Uid(high),
            messages: (1..=SETTLEMENT)
                .map(|n| (birth(n), birth(n).uid()))
                .map(|(birth, uid)| match birth.0 / 16 % nodes == node - 1 {
                    true => (birth, Held::Visible { uid }),
                    false => (birth, Held::Hidden { uid, row: RowId(FIRST_HIDDEN_ROW + uid.0) }),
                })
                .collect(),
        };
        let views: Vec<NodeView> = (1..=nodes).map(view).collect();
        let candidates: BTreeSet<BirthUid> = (1..=SETTLEMENT).map(birth).collect();
        let reserved: BTreeSet<Uid> = (1..=SETTLEMENT).map(|n| Uid(high + n * 16)).collect();
        measure(criterion, &format!("settlement, plan, {nodes} nodes"), candidates.len(), (), |()| {
            settlement::plan(black_box(&views), black_box(&candidates), black_box(&reserved))
        });
    }
}

/// As PostgreSQL writes them, with so many transactions under way.
fn snapshots(criterion: &mut Criterion) {
    for open in [1, 10, 100] {
        let xids: Vec<String> = (0..open).map(|n| (1_000_000_000_i64 + n * 3).to_string()).collect();
        let text = format!("1000000000:1000010000:{}", xids.join(","));
        measure(criterion, &format!("snapshot, read, {open} open"), open as usize, (), |()| {
            black_box(&text).parse::<Snapshot>()
        });
    }
}
