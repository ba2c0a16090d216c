//! Judges what the role is that the settings name: it should be able to do what the worker does, and nothing else. Pure.

use super::facts::Rights;
use super::finding::Findings;
use crate::domain::budget::Level;
use crate::migrate::rights::{Right, grants};

const CHECK: &str = "worker_role";
const MEND: &str = "name another role in the url: dbmail-mesh migrate rights prints what makes one";

/// `role` is the settings', `wanted` all that the worker needs.
pub(super) fn judge(rights: &Rights, role: &str, wanted: &[Right], found: &mut Findings) {
    if rights.superuser {
        let why = "whoever gets hold of the worker's password has the whole server";
        return found.say(Level::Warning, CHECK, format!("role {role} is a superuser"), why, MEND);
    }
    if !rights.owners.is_empty() {
        let owners = rights.owners.join(", ");
        let what = format!("role {role} is, or is a member of, {owners}, which owns tables of dbmail's or ours");
        found.say(Level::Notice, CHECK, what, "it can do more than the worker needs, such as drop them", MEND);
    }
    let lacks: Vec<Right> = rights.lacks.iter().filter_map(|at| wanted.get(*at)).cloned().collect();
    if rights.may_look && lacks.iter().any(|right| right.name == "dbmail_mesh.write_plan") {
        let what = format!("role {role} may look, and not work");
        let why = "a reader of status needs no more; the worker does not work as this role";
        return found.say(
            Level::Notice,
            CHECK,
            what,
            why,
            "see dbmail-mesh migrate rights if it is meant to be the worker's",
        );
    }
    if !lacks.is_empty() {
        let what = format!(
            "role {role} lacks {} of the worker's rights, such as {} on {}",
            lacks.len(),
            lacks[0].verb,
            lacks[0].name
        );
        let mend = "run dbmail-mesh migrate rights --apply, or what follows, as a superuser or the owner";
        let why = "the worker does not work with this node, or not in every case";
        found.add_all(CHECK, Level::Critical, what, why, mend, grants(&lacks, role));
    }
    if found.is_well(CHECK) {
        found.ok(CHECK, format!("{role} is no superuser, owns nothing, and may do what the worker does"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_role_is_told() {
        let right = |verb: &str, name: &str| Right { verb: verb.into(), name: name.into() };
        let wanted = [
            right("select", "dbmail_mesh.line"),
            right("execute", "dbmail_mesh.write_plan"),
            right("insert", "dbmail_mesh.outbox"),
        ];
        let worker = Rights { may_look: true, ..Rights::default() };
        for (rights, level, words) in [
            (worker.clone(), Level::Ok, "may do what the worker does"),
            (Rights { superuser: true, ..worker.clone() }, Level::Warning, "is a superuser"),
            (Rights { owners: vec!["dbmail".into()], ..worker.clone() }, Level::Notice, "a member of, dbmail"),
            (Rights { lacks: vec![1, 2], ..worker.clone() }, Level::Notice, "may look, and not work"),
            (
                Rights { lacks: vec![1, 2], ..Rights::default() },
                Level::Critical,
                "lacks 2 of the worker's rights, such as execute on",
            ),
            (Rights { lacks: vec![2], ..worker }, Level::Critical, "such as insert on dbmail_mesh.outbox"),
        ] {
            let mut found = Findings::about(Some("ams"));
            judge(&rights, "W", &wanted, &mut found);
            assert_eq!((found.all.len(), found.all[0].level), (1, level), "{:?}", found.all);
            assert!(found.all[0].found.contains(words), "{:?}", found.all);
            let sql = found.all[0].sql.join("; ");
            assert_eq!(sql.contains("grant insert on dbmail_mesh.outbox to \"W\""), level == Level::Critical, "{sql}");
        }
    }
}
