//! Judges what numbering and capturing need on an installed node. Pure.

use super::facts::{Installed, Sequence};
use super::finding::Findings;
use crate::domain::budget::Level;
use crate::migrate::MigrationSet;

/// An outbox that has more rows than this, or older ones, is waiting for somebody.
const OUTBOX_ROWS: i64 = 1_000_000;
const OUTBOX_AGE_S: f64 = 86_400.0;
/// Dead rows of the outbox that vacuum should have removed.
const OUTBOX_DEAD_ROWS: i64 = 1_000_000;

/// All that can be told of an installed node whose schema this program knows.
pub(super) fn judge(node: &Installed, set: &MigrationSet, found: &mut Findings) {
    defaults(node, found);
    sequences(node, found);
    triggers(node, set, found);
    indexes(node, set, found);
    outbox(node, found);
}

fn defaults(node: &Installed, found: &mut Findings) {
    if node.uid_has_default {
        let sql = ["alter table public.dbmail_messages alter column message_idnr drop default".to_owned()];
        let why = "each delivery burns a UID before the trigger gives it one";
        found.mend(Level::Warning, "column_defaults", "message_idnr of dbmail_messages has a default", why, sql);
    }
    if !node.mailbox_has_default {
        let sql = ["alter table public.dbmail_mailboxes alter column mailbox_idnr \
                    set default nextval('public.dbmail_mailbox_idnr_seq'::regclass)"
            .to_owned()];
        let why = "dbmail cannot create mailboxes, and mail for a new INBOX is lost";
        found.mend(Level::Critical, "column_defaults", "mailbox_idnr of dbmail_mailboxes has no default", why, sql);
    }
    if found.is_well("column_defaults") {
        found.ok("column_defaults", "as they must be");
    }
}

fn sequences(node: &Installed, found: &mut Findings) {
    strided("uid_sequence", "public.dbmail_message_idnr_seq", node.uids, node, found);
    strided("mailbox_sequence", "public.dbmail_mailbox_idnr_seq", node.mailboxes, node, found);
    let sequence = node.physmessages;
    if sequence.increment != 1 {
        let what = format!("dbmail_physmessage_id_seq counts in steps of {}", sequence.increment);
        let why = "dbmail loses mail above 2147483647, which is reached the sooner";
        let sql = ["alter sequence public.dbmail_physmessage_id_seq increment by 1".to_owned()];
        found.mend(Level::Warning, "physmessage_sequence", what, why, sql);
    }
    if sequence.last_value < sequence.highest {
        let what = format!("dbmail_physmessage_id_seq is at {}, {} is in use", sequence.last_value, sequence.highest);
        let sql = [format!("select setval('public.dbmail_physmessage_id_seq', {})", sequence.highest)];
        found.mend(Level::Critical, "physmessage_sequence", what, "deliveries fail, and dbmail loses the mail", sql);
    }
    if found.is_well("physmessage_sequence") {
        found.ok("physmessage_sequence", format!("at {}, in steps of 1", sequence.last_value));
    }
}

/// A sequence that must stay in this node's class, and ahead of what the node has given out.
fn strided(check: &'static str, name: &str, sequence: Sequence, node: &Installed, found: &mut Findings) {
    let Installed { node_id, stride, .. } = *node;
    let Sequence { last_value, increment, cache, cycles, highest } = sequence;
    let short = name.trim_start_matches("public.");
    if increment != stride {
        let what = format!("{short} counts in steps of {increment}, not of the stride, {stride}");
        let why = "the node hands out numbers that are other nodes': one number would stand for two messages";
        found.mend(Level::Critical, check, what, why, [format!("alter sequence {name} increment by {stride}")]);
    }
    let in_class = last_value.rem_euclid(stride.max(1)) == node_id.rem_euclid(stride.max(1));
    if !in_class || last_value < highest {
        let to = in_class_from(last_value.max(highest), node_id, stride);
        let what = if in_class {
            format!("{short} is at {last_value}, though this node has given out {highest}")
        } else {
            format!("{short} is at {last_value}, which is not of this node's class ({node_id} modulo {stride})")
        };
        let why = "a number would be handed out a second time, or one that is another node's";
        // The lock under which dbmail_mesh moves a sequence itself: beside it no number is being drawn.
        let sql = [format!("select pg_advisory_xact_lock(1684169069, 2), setval('{name}', {to})")];
        found.mend(Level::Critical, check, what, why, sql);
    }
    if cache != 1 || cycles {
        let what = format!("{short} has cache {cache}{}", if cycles { " and begins anew at its end" } else { "" });
        let why = "sessions that keep numbers in store hand them out late and out of order";
        found.mend(Level::Warning, check, what, why, [format!("alter sequence {name} cache 1 no cycle")]);
    }
    if found.is_well(check) {
        found.ok(check, format!("at {last_value}, in steps of {increment}"));
    }
}

/// The first number of a class at or above `from`.
fn in_class_from(from: i64, node_id: i64, stride: i64) -> i64 {
    from + (node_id - from).rem_euclid(stride.max(1))
}

fn triggers(node: &Installed, set: &MigrationSet, found: &mut Findings) {
    for fault in &node.trigger_faults {
        let (relation, name) = (&fault.relation, &fault.name);
        let why = "what dbmail writes gets no number of this mesh's, or is never replicated";
        if !fault.missing {
            let sql = [format!("alter table public.{relation} enable trigger {name}")];
            found.mend(Level::Critical, "triggers", format!("trigger {name} on {relation} is disabled"), why, sql);
            continue;
        }
        let what = format!("trigger {name} on {relation} is missing");
        match last_statement(set, &format!("create trigger {name} "), &format!(" on public.{relation}\n")) {
            Some(sql) => found.mend(Level::Critical, "triggers", what, why, [sql]),
            None => found.say(Level::Critical, "triggers", what, why, "create it again as the files in migrations/ do"),
        }
    }
    if found.is_well("triggers") {
        found.ok("triggers", "all present and enabled");
    } else {
        let mend = "then run dbmail-mesh verify, which finds what was changed meanwhile";
        let why = "what dbmail wrote meanwhile was not noted";
        found.say(Level::Notice, "triggers", "some were not at work", why, mend);
    }
}

fn indexes(node: &Installed, set: &MigrationSet, found: &mut Findings) {
    for (name, sql) in indexes_of(set) {
        if node.indexes.contains(&name) {
            continue;
        }
        let what = format!("index dbmail_mesh.{name} is missing or invalid");
        let drop = format!("drop index if exists dbmail_mesh.{name}");
        let why = "statements that dbmail waits for, and the worker, read whole tables";
        found.mend(Level::Warning, "indexes", what, why, [drop, sql]);
    }
    if found.is_well("indexes") {
        found.ok("indexes", "all present");
    }
}

fn outbox(node: &Installed, found: &mut Findings) {
    let what = format!(
        "{} rows, the oldest {:.0} min old, {} MiB",
        node.outbox_rows,
        node.outbox_oldest_seconds.unwrap_or_default() / 60.0,
        node.outbox_bytes >> 20
    );
    if node.outbox_rows > OUTBOX_ROWS || node.outbox_oldest_seconds.is_some_and(|age| age > OUTBOX_AGE_S) {
        let why = "changes are kept until every other node has them; one that is away lets the outbox grow";
        let mend =
            "see dbmail-mesh status which link does not take them; bring that node back, or take it out of the mesh";
        found.say(Level::Warning, "outbox", what.clone(), why, mend);
    }
    if let Some(dead) = node.outbox_dead_rows.filter(|dead| *dead > OUTBOX_DEAD_ROWS) {
        let why = "every look at the outbox passes them; something keeps vacuum from removing them, or autovacuum is too slow";
        found.mend(
            Level::Warning,
            "outbox",
            format!("{dead} dead rows"),
            why,
            ["vacuum dbmail_mesh.outbox".to_owned()],
        );
    }
    if found.is_well("outbox") {
        found.ok("outbox", what);
    }
}

/// The last statement of the migrations that begins with `head` and has `part` in it (a line end counts as a blank), without its
/// semicolon.
fn last_statement(set: &MigrationSet, head: &str, part: &str) -> Option<String> {
    let wanted = |text: &str| {
        let flat = text.replace('\n', " ");
        flat.starts_with(head) && flat.contains(part.trim_end_matches('\n')) && {
            // `on public.dbmail_acl` is no part of `on public.dbmail_acl_x`.
            let after = flat.split(part.trim_end_matches('\n')).nth(1);
            after.is_some_and(|rest| rest.starts_with(' '))
        }
    };
    statements(set, "create trigger ").into_iter().rev().find(|text| wanted(text))
}

/// The indexes that the migrations create and do not drop: name and statement.
fn indexes_of(set: &MigrationSet) -> Vec<(String, String)> {
    let created = ["create index ", "create unique index "].into_iter().flat_map(|head| {
        let named = move |text: String| {
            let name = text.strip_prefix(head)?.split_whitespace().next()?.to_owned();
            Some((name, text))
        };
        statements(set, head).into_iter().filter_map(named)
    });
    let dropped: Vec<String> = statements(set, "drop index ");
    let is_left = |(name, _): &(String, String)| !dropped.iter().any(|text| text.ends_with(&format!(".{name}")));
    created.filter(is_left).collect()
}

/// The statements of the migrations that begin a line with `head`, in order, without their semicolons.
fn statements(set: &MigrationSet, head: &str) -> Vec<String> {
    let mut all = Vec::new();
    for migration in set.above(0) {
        let text = &migration.up;
        for (at, _) in text.match_indices(head).filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n')) {
            all.push(text[at..].split(';').next().unwrap_or_default().to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_of_a_class() {
        for (from, node, stride, expected) in [(0, 1, 8, 1), (1, 1, 8, 1), (2, 1, 8, 9), (8, 8, 8, 8), (9, 8, 8, 16)] {
            assert_eq!(in_class_from(from, node, stride), expected, "{from}, {node} of {stride}");
        }
    }

    #[test]
    fn every_trigger_and_index_is_found_in_the_migrations() {
        let set = MigrationSet::embedded().unwrap();
        let expected = include_str!("../../../sql/status/trigger_faults.sql");
        let mut triggers = 0;
        for line in expected.lines().filter(|line| line.contains("('dbmail_")) {
            let names: Vec<&str> = line.split('\'').collect();
            let (relation, name) = (names[1], names[3]);
            let sql = last_statement(&set, &format!("create trigger {name} "), &format!(" on public.{relation}\n"));
            let sql = sql.unwrap_or_else(|| panic!("{name} on {relation}"));
            assert!(sql.contains("execute function dbmail_mesh."), "{sql}");
            triggers += 1;
        }
        assert!(triggers > 30, "{triggers}");
        assert!(indexes_of(&set).len() > 15);
    }
}
