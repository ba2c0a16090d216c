//! Every two operations at once on two nodes, joined in both orders, and once more: what comes of each pair is in `pairs.txt`.

use std::fmt::Write as _;
use std::time::Instant;

use futures_util::future::join_all;

use super::end::End;
use super::op::{Made, Op};
use super::outcome::{Done, Pair};
use super::quiet::lines;
use super::table::{operation, ordered, outcomes};
use super::world::{self, Side, World};
use crate::mesh::Mesh;

/// Sessions that carry out operations at once on a node.
const SESSIONS: usize = 3;

/// The one that comes first in the table is the earlier, on A, and B is the first to hear of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pairs_joined_where_the_later_was_first() {
    all_pairs("pairs_ab", |one, other| one <= other, [2, 1]).await;
}

/// The one that comes first in the table is the later, on B, and A is the first to hear of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pairs_joined_where_the_earlier_was_first() {
    all_pairs("pairs_ba", |one, other| one >= other, [1, 2]).await;
}

/// Pairs of operations, the first on A, the second a moment later on B, in one mesh: an account for each. Then each node gets what the
/// other did, and both come to rest. Then all of it is shipped and joined once more.
///
/// Each pair is in both tests: who is the later, on which node, and which link comes first are changed at once, which is not every
/// combination. `MESH_PAIRS=all` tries them all.
async fn all_pairs(prefix: &str, is_due: fn(Op, Op) -> bool, order: [i16; 2]) {
    let all = std::env::var("MESH_PAIRS").is_ok_and(|value| value == "all");
    let ops = operations();
    let pairs = ops.iter().flat_map(|one| ops.iter().map(move |other| (*one, *other)));
    let pairs: Vec<(Op, Op)> = pairs.filter(|(one, other)| all || is_due(*one, *other)).collect();
    let mesh = Mesh::new(prefix, 2, 2).await.hurried();
    let clock = Instant::now();
    let worlds = world::make(&mesh, pairs.len()).await;
    println!("{:?}: {} worlds", clock.elapsed(), worlds.len());
    let firsts = perform(&mesh, 1, &worlds, &pairs.iter().map(|(first, _)| *first).collect::<Vec<_>>()).await;
    let seconds = perform(&mesh, 2, &worlds, &pairs.iter().map(|(_, second)| *second).collect::<Vec<_>>()).await;
    println!("{:?}: operations carried out", clock.elapsed());
    for target in order {
        mesh.join_into(&[target]).await;
        println!("{:?}: joined into {target}", clock.elapsed());
    }
    mesh.converge().await;
    println!("{:?}: converged", clock.elapsed());

    let worlds = worlds.into_iter().zip(firsts.into_iter().zip(seconds));
    let pairs: Vec<Pair> = worlds.map(|(world, (first, second))| Pair { world, done: [first, second] }).collect();
    check(&mesh, &pairs).await;
    mesh.converge_again().await;
    check(&mesh, &pairs).await;
    println!("{:?}: replayed", clock.elapsed());
}

/// All, or for a closer look those in `MESH_OPS`, with commas between them.
fn operations() -> Vec<Op> {
    let named = std::env::var("MESH_OPS").ok();
    named.map_or_else(|| Op::ALL.to_vec(), |named| named.split(',').map(|name| operation(name.trim())).collect())
}

/// Carries out an operation in each world, on one node. Purges come first: they are about the whole database, and are to leave the traces
/// of the others alone.
async fn perform(mesh: &Mesh, node: i16, worlds: &[World], ops: &[Op]) -> Vec<Done> {
    let side = if node == 1 { Side::A } else { Side::B };
    let mut order: Vec<usize> = (0..worlds.len()).collect();
    order.sort_by_key(|index| ops[*index] != Op::Purge);
    let purges = ops.iter().filter(|op| **op == Op::Purge).count();
    let mut done: Vec<Option<Done>> = vec![None; worlds.len()];
    let run = async |indexes: Vec<usize>| {
        let mut session = mesh.dbmail(node).await;
        let mut done: Vec<(usize, Made)> = Vec::new();
        for index in indexes {
            done.push((index, ops[index].perform(&mut session, &worlds[index], side).await));
        }
        done
    };
    let (first, rest) = order.split_at(purges);
    let mut finished = run(first.to_vec()).await;
    let shares = (0..SESSIONS).map(|share| rest.iter().copied().skip(share).step_by(SESSIONS).collect());
    finished.extend(join_all(shares.map(run)).await.into_iter().flatten());
    for (index, made) in finished {
        done[index] = Some(Done { op: ops[index], side, made });
    }
    done.into_iter().map(Option::unwrap).collect()
}

/// Compares each world with the table, on both nodes.
async fn check(mesh: &Mesh, pairs: &[Pair]) {
    let table = outcomes();
    let mut faults = Vec::new();
    for node in &mesh.nodes {
        let end = End::read(&mesh.psql(node.id.0).await).await;
        for pair in pairs {
            let [first, second] = &pair.done;
            let outcome = table[&ordered(first.op, second.op)];
            for fault in pair.faults(outcome, &end) {
                let mut text = format!("{} on a, then {} on b: {outcome:?}, ", first.op.name(), second.op.name());
                let _ = write!(text, "but on {}, {}: {fault}", node.name, pair.world.user);
                faults.push(text);
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), lines(&faults));
}
