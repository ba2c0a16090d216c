//! One set of scripts for both stores: the nodes in memory that the exhaustive small world and the simulation are made of
//! (`dbmail_mesh::model`), and PostgreSQL with the production migrations, links and settlements. After every step both must hold the
//! same: what is shown under which UID, what is late, what is dead, what every UID became. The UIDs are equal, not only their order.

mod memory;
mod postgres;
mod random;
mod script;
mod scripts;
mod store;

use memory::Memory;
use postgres::Postgres;
use script::{Outcome, Step, play};
use store::Tear;

/// Whether logins count. `false`: every mailbox counts as read (reported line = high line), as with `mesh.presence = "always"`, and the
/// scripts in which somebody does not read are left out.
pub(crate) const LOGINS: bool = true;

/// Nodes of every script.
pub(crate) const NODES: i16 = 3;
/// The step of their sequences.
pub(crate) const STRIDE: i16 = 4;

/// Plays a script on both and compares them step by step.
async fn conforms(name: &str, steps: &[Step]) {
    let in_memory = play(&mut Memory::new(), steps).await;
    let in_postgres = play(&mut Postgres::new(name).await, steps).await;
    compare(name, steps, &in_memory, &in_postgres);
}

fn compare(name: &str, steps: &[Step], in_memory: &[Outcome], in_postgres: &[Outcome]) {
    if let Some(at) = first_difference(in_memory, in_postgres) {
        let before: String = steps[..=at].iter().map(|step| format!("  {step:?}\n")).collect();
        let (memory, postgres) = (&in_memory[at], &in_postgres[at]);
        panic!("{name}, step {at}:\n{before}in memory:\n{memory}in PostgreSQL:\n{postgres}");
    }
}

/// The step after which the two are not the same.
fn first_difference(ours: &[Outcome], theirs: &[Outcome]) -> Option<usize> {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs)
}

/// Every written script, on both.
#[tokio::test]
async fn the_model_and_postgresql_do_the_same_in_every_script() {
    for (name, steps) in scripts::all() {
        println!("{name}");
        conforms(name, &steps).await;
    }
}

/// Scripts that nobody has thought of. `MESH_SCRIPTS` says how many, `MESH_SEED` the first seed.
#[tokio::test]
async fn the_model_and_postgresql_do_the_same_in_random_scripts() {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = from_environment("MESH_SEED").unwrap_or(20_261_124);
    for seed in first..first + from_environment("MESH_SCRIPTS").unwrap_or(2) {
        println!("seed {seed} (repeat with MESH_SEED={seed} MESH_SCRIPTS=1)");
        conforms("random", &random::steps(seed, 60)).await;
    }
}

/// The suite notices when one of the two does something else: here, commits one node more before a settlement is torn.
#[tokio::test]
async fn a_difference_is_noticed() {
    let (_, steps) = scripts::all().into_iter().find(|(name, _)| *name == "torn").unwrap();
    let mutate = |step: &Step| match step {
        Step::Torn(nodes, Tear::Committed(1)) => Step::Torn(nodes.clone(), Tear::Committed(2)),
        step => step.clone(),
    };
    let mutant: Vec<Step> = steps.iter().map(mutate).collect();
    let (ours, theirs) = (play(&mut Memory::new(), &steps).await, play(&mut Memory::new(), &mutant).await);
    assert!(first_difference(&ours, &ours).is_none());
    let at = first_difference(&ours, &theirs).unwrap();
    assert!(matches!(steps[at], Step::Torn(_, Tear::Committed(1))));
}
