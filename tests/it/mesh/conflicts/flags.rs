//! Every two changes of flags and keywords of one message.

use dbmail_mesh::domain::ids::{MailboxId, Uid};
use dbmail_mesh::scratch::standin::{Flags, Mail, Session, StoreFlags};

use super::end::End;
use super::quiet::lines;
use crate::mesh::Mesh;

/// Seen, answered, deleted, flagged, draft, and a keyword.
const MARKS: usize = 6;

/// Which mark, and whether it is set.
type Change = (usize, bool);

/// Each flag is a register of its own, and each keyword: of two changes of the same one the later stays, others do not touch each other. A
/// change that leaves a mark as it was is made by taking it back first: dbmail's clients do that too.
#[tokio::test]
async fn marks_are_changed_on_both_sides_at_once() {
    let mesh = Mesh::new("flags", 2, 2).await.hurried();
    let changes: Vec<Change> = (0..MARKS).flat_map(|mark| [(mark, true), (mark, false)]).collect();
    let mut cases: Vec<(bool, Change, Change)> = Vec::new();
    for initially in [false, true] {
        for first in &changes {
            cases.extend(changes.iter().map(|second| (initially, *first, *second)));
        }
    }
    let (inbox, uids) = make(&mesh, &cases).await;
    for node in [1, 2] {
        let mut session = mesh.dbmail(node).await;
        for ((_, first, second), uid) in cases.iter().zip(&uids) {
            let (mark, set) = if node == 1 { *first } else { *second };
            for set in [!set, set] {
                store(&mut session, inbox, *uid, mark, set).await;
            }
        }
    }
    mesh.join_into(&[2]).await;
    mesh.join_into(&[1]).await;
    mesh.converge().await;
    let mut faults = Vec::new();
    let end = End::read(&mesh.psql(1).await).await;
    for (number, (initially, first, second)) in cases.iter().enumerate() {
        let mut expected = [*initially; MARKS];
        expected[first.0] = first.1;
        expected[second.0] = second.1;
        let message = end.message(&format!("m{number}")).unwrap();
        let mut found = [false; MARKS];
        found[..5].copy_from_slice(&message.flags);
        found[5] = message.keywords.contains("word");
        if found != expected {
            faults.push(format!("{initially}, {first:?}, then {second:?}: {found:?}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), lines(&faults));
    mesh.converge_again().await;
}

/// A message for each case, with all marks set or none, on both nodes.
async fn make(mesh: &Mesh, cases: &[(bool, Change, Change)]) -> (MailboxId, Vec<Uid>) {
    let mut session = mesh.dbmail(1).await;
    session.create_user("alice").await.unwrap();
    let inbox = session.create_mailbox("alice", "INBOX").await.unwrap();
    session.deliver(inbox, &Mail::named("content")).await.unwrap();
    let mut uids = Vec::new();
    for (number, (initially, ..)) in cases.iter().enumerate() {
        let copy = "insert into dbmail_messages (mailbox_idnr, physmessage_id, unique_id, status, seen_flag, answered_flag, deleted_flag,
                    flagged_flag, draft_flag)
                    select $1, max(id), $2, 0, $3, $3, $3, $3, $3 from dbmail_physmessage returning message_idnr";
        let name = format!("m{number}");
        let row = session.client().query_one(copy, &[&inbox.0, &name, &i16::from(*initially)]).await.unwrap();
        uids.push(Uid(row.get(0)));
    }
    let words = "insert into dbmail_keywords (message_idnr, keyword)
                 select message_idnr, 'word' from dbmail_messages where seen_flag = 1";
    session.client().batch_execute(words).await.unwrap();
    mesh.converge().await;
    (inbox, uids)
}

async fn store(session: &mut Session, inbox: MailboxId, uid: Uid, mark: usize, set: bool) {
    let [seen, answered, deleted, flagged, draft] = [0, 1, 2, 3, 4].map(|flag| flag == mark);
    let flags = Flags { seen, answered, deleted, flagged, draft };
    let change = if set { StoreFlags::add(flags) } else { StoreFlags::remove(flags) };
    let change = if mark == 5 { change.keywords(&["word"]) } else { change };
    session.store(inbox, &[uid], &change).await.unwrap();
}
