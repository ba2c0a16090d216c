use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::account::Fields;
use crate::domain::ids::Uid;
use crate::domain::mailboxes::{self, Alive, Held as HeldMailbox, Name, Owners, View};
use crate::domain::rule::{self, Held, Place, RowId};
use crate::domain::settlement::{self, NodeView};
use crate::domain::{entry, modseq as modseqs};

const NOW: i64 = 218_000_000_000_000;
const LIMITS: Limits = Limits { stride: Stride(8), now: NOW };

fn stamp(micros: i64, node: i64) -> Stamp {
    Stamp((micros << 12) | node)
}

#[test]
fn stamps_that_no_node_can_have_made() {
    for (stamp, wrong) in [
        (Stamp::NEVER, None),
        (stamp(NOW, 1), None),
        (stamp(NOW + CLOCK_AHEAD_MAX, 8), None),
        (stamp(NOW + CLOCK_AHEAD_MAX + 1, 8), Some("ahead of this node's clock")),
        (Stamp(i64::MAX), Some("names node 4095")),
        (stamp(NOW, 9), Some("seen names node 9, of 8 at the most")),
        (stamp(NOW, 0), Some("names node 0")),
        (Stamp(-1), Some("negative")),
        (Stamp(i64::MIN), Some("negative")),
    ] {
        let told = LIMITS.stamp("seen", stamp).err();
        assert_eq!(told.is_some(), wrong.is_some(), "{stamp:?}: {told:?}");
        assert!(told.unwrap_or_default().contains(wrong.unwrap_or_default()), "{stamp:?}");
    }
    assert!(clocks_agree(NOW, NOW - CLOCK_AHEAD_MAX).is_ok());
    assert_eq!(
        clocks_agree(i64::MIN, i64::MAX).unwrap_err().split(" hours").nth(1),
        Some(" behind that of the target")
    );
    assert!(clocks_agree(NOW + 2 * CLOCK_AHEAD_MAX, NOW).unwrap_err().contains("48 hours ahead of"));
}

/// One a line: what is changed about a message that is in order, and what is said of it.
#[test]
fn what_is_wrong_with_a_message() {
    type Change = fn(&mut Owned);
    let table: [(&str, Change, &str); 17] = [
        ("in order", |_| (), ""),
        ("dead, and nothing else known", |it| (it.incoming.dead, it.physmessage, it.status) = (true, 0, 2), ""),
        ("no UID", |it| it.incoming.uid = Uid(0), "its UID 0 is not between"),
        ("a negative UID", |it| it.incoming.birth = BirthUid(-6), "its birth UID -6"),
        ("a hidden row's number", |it| it.incoming.uid = Uid(1 << 48), "is not between 1 and"),
        ("a UID that went down", |it| it.incoming.uid = Uid(5), "its UID 5 is below its birth UID 6"),
        ("no mailbox", |it| it.place.value = MailboxId(0), "its mailbox 0"),
        ("a move of the far future", |it| it.place.stamp = stamp(NOW * 2, 1), "the stamp of its mailbox"),
        ("a flag of no node", |it| it.marks.flags[3].stamp = stamp(NOW, 77), "flagged names node 77"),
        ("a MODSEQ at the end", |it| it.modseq.promised = i64::MAX, "its MODSEQ"),
        ("a negative MODSEQ", |it| it.modseq.shown = -1, "its MODSEQ -1"),
        ("content of no node", |it| it.content = (NodeId(-3), 5), "its content names node -3"),
        ("no content", |it| it.physmessage = 0, "it has no content"),
        ("expunged, and alive", |it| it.status = 2, "status 2"),
        ("a line end in its name", |it| it.unique_id = "a\r\nb".into(), "unique_id holds a line end"),
        ("another message's number", |it| it.numbers = vec![number(9, 7)], "that of another message"),
        ("a number in no form", |it| it.numbers = vec![json!(7)], "not in the form"),
    ];
    for (name, change, wrong) in table {
        let mut message = Owned::sound();
        change(&mut message);
        let told = LIMITS.message(&message.borrow()).err().unwrap_or_default();
        assert_eq!((told.is_empty(), told.contains(wrong)), (wrong.is_empty(), true), "{name}: {told}");
    }
}

#[test]
fn what_is_wrong_with_mailboxes_accounts_and_entries() {
    let merged = |into| State::Ended(Fate::MergedInto(MailboxId(into)));
    assert!(LIMITS.mailbox(MailboxId(7), &merged(9), None, 0).is_ok());
    assert!(LIMITS.mailbox(MailboxId(7), &merged(7), None, 0).unwrap_err().contains("not above it"), "into itself");
    assert!(
        LIMITS.mailbox(MailboxId(7), &merged(5), None, 0).unwrap_err().contains("not above it"),
        "half of a circle"
    );
    assert!(LIMITS.mailbox(MailboxId(7), &State::Ended(Fate::Deleted), Some("x"), 0).is_err());
    assert!(LIMITS.mailbox(MailboxId(-7), &State::Ended(Fate::Deleted), None, 0).is_err());
    assert!(LIMITS.mailbox(MailboxId(7), &State::Ended(Fate::Deleted), Some("12"), i64::MAX).is_err());
    let mut alive = mailbox("a/1", "Work", 0);
    assert!(LIMITS.mailbox(MailboxId(7), &State::Alive(alive.clone()), None, 5).is_ok());
    alive.name.value.name = "Wo\r\nrk".into();
    assert!(LIMITS.mailbox(MailboxId(7), &State::Alive(alive), None, 5).unwrap_err().contains("line end"));
    for owner in ["", "a", "/1", "a/0", "a/x", "a/99999999999"] {
        assert!(LIMITS.mailbox(MailboxId(7), &State::Alive(mailbox(owner, "Work", 0)), None, 5).is_err(), "{owner}");
    }

    let id = |generation| AccountId { born_as: "a".into(), generation };
    let alive = |change: fn(&mut Fields)| {
        let mut fields = fields("a", 0);
        change(&mut fields);
        account::Incoming::Alive(fields)
    };
    assert!(LIMITS.user(&id(1), &alive(|_| ()), None, Some(5.0)).is_ok());
    assert!(LIMITS.user(&id(0), &alive(|_| ()), None, None).is_err());
    assert!(LIMITS.user(&id(1), &alive(|_| ()), None, Some(f64::NAN)).is_err());
    assert!(LIMITS.user(&id(1), &account::Incoming::Dead, Some("-4"), None).is_err());
    for change in [
        (|it| it[0].value = "a\nb".into()) as fn(&mut Fields),
        |it| it[0].value = String::new(),
        |it| it[1].value = "[1]".into(),
        |it| it[2].value = "much".into(),
        |it| it[6].stamp = Stamp(i64::MAX),
    ] {
        assert!(LIMITS.user(&id(1), &alive(change), None, None).is_err());
    }

    let value = |text: &str| Entry { stamp: Stamp(0), value: Some(text.into()) };
    assert!(LIMITS.entry("alias", "{\"alias\": \"x\"}", &value("{}"), Some("a/1")).is_ok());
    assert!(LIMITS.entry("alias", "{}", &value("{}"), None).is_err());
    assert!(LIMITS.entry("alias", "[", &value("{}"), None).is_err());
    assert!(LIMITS.entry("nothing", "{\"alias\": \"x\"}", &value("{}"), None).is_err());
    assert!(LIMITS.entry("alias", "{\"alias\": \"x\"}", &value("3"), None).is_err());
    let deep = "[".repeat(100_000);
    assert!(LIMITS.entry("alias", &deep, &value(&deep), None).is_err(), "nested as deep as it likes");
}

/// A message with what it is told by.
#[derive(Clone, Debug)]
struct Owned {
    incoming: Incoming,
    place: Register<MailboxId>,
    marks: Marks,
    modseq: Modseq,
    content: (NodeId, i64),
    physmessage: i64,
    unique_id: String,
    status: i16,
    numbers: Vec<Value>,
}

impl Owned {
    fn sound() -> Self {
        Self {
            incoming: Incoming { birth: BirthUid(6), uid: Uid(9), dead: false },
            place: Register { stamp: stamp(NOW, 1), value: MailboxId(3) },
            marks: Marks::default(),
            modseq: Modseq { shown: 4, promised: 4 },
            content: (NodeId(2), 5),
            physmessage: 5,
            unique_id: "x".into(),
            status: 0,
            numbers: vec![number(9, 6)],
        }
    }

    fn borrow(&self) -> Message<'_> {
        Message {
            incoming: &self.incoming,
            place: &self.place,
            marks: &self.marks,
            modseq: self.modseq,
            content: self.content,
            physmessage: self.physmessage,
            unique_id: &self.unique_id,
            status: self.status,
            numbers: &self.numbers,
        }
    }
}

fn number(uid: i64, birth: i64) -> Value {
    json!({"uid": uid, "birth": birth, "decided_by": 1, "decided_at": "2026-11-24T04:08:44.316+00:00"})
}

fn mailbox(owner: &str, name: &str, stamp: i64) -> Alive {
    let value = Name { owner: owner.into(), name: name.into(), renamed: stamp > 0 };
    Alive {
        name: Register { stamp: Stamp(stamp), value },
        no_select: Register::default(),
        permission: Register::default(),
        rest: Register::default(),
    }
}

fn fields(userid: &str, stamp: i64) -> Fields {
    let mut fields = Fields::default();
    for (field, value) in fields.iter_mut().zip([userid, "[\"p\", \"\", \"\"]", "0", "0", "0", "0", "1"]) {
        *field = Register { stamp: Stamp(stamp), value: value.into() };
    }
    fields
}

/// Numbers with the ends, and what lies about every bound.
fn any_number() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -3_i64..50,
        Just(i64::MAX),
        Just(i64::MIN),
        prop::sample::select(vec![NUMBER_LAST, MODSEQ_LAST, 1 << 32, 1 << 48, NOW << 12])
            .prop_flat_map(|n| n - 2..n + 3),
    ]
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    prop_oneof![
        any_number().prop_map(Stamp),
        (NOW - 10..NOW + 10, 0_i64..10).prop_map(|(at, node)| stamp(at, node)),
        (NOW + CLOCK_AHEAD_MAX - 2..NOW + CLOCK_AHEAD_MAX + 2, 1_i64..9).prop_map(|(at, node)| stamp(at, node)),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[a-c]{1,2}",
        ".{0,300}",
        Just("Work (3)".to_owned()),
        Just("Work (3.18446744073709551615)".to_owned()),
        Just("inbox".to_owned()),
    ]
}

fn any_marks() -> impl Strategy<Value = Marks> {
    let register = || (any_stamp(), any::<bool>()).prop_map(|(stamp, value)| Register { stamp, value });
    (prop::collection::vec(register(), 5), prop::collection::btree_map(any_text(), register(), 0..3)).prop_map(
        |(flags, keywords)| {
            let mut marks = Marks { keywords, ..Marks::default() };
            marks.flags.iter_mut().zip(flags).for_each(|(ours, flag)| *ours = flag);
            marks
        },
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    prop_oneof![
        (any_number(), any_number()).prop_map(|(uid, birth)| number(uid, birth)),
        any::<i64>().prop_map(|n| json!(n)),
        any_text().prop_map(|text| json!({"uid": text, "decided_at": text})),
        Just(Value::Null),
    ]
}

fn any_message() -> impl Strategy<Value = Owned> {
    let numbers = (any_number(), any_number(), any_number(), any_number(), any_number(), any_number(), any_number());
    let rest = (any_stamp(), any_marks(), any::<bool>(), any::<i16>(), any_text(), any::<i16>());
    (numbers, rest, prop::collection::vec(any_json(), 0..2)).prop_map(|(n, rest, numbers)| Owned {
        incoming: Incoming { birth: BirthUid(n.0), uid: Uid(n.1), dead: rest.2 },
        place: Register { stamp: rest.0, value: MailboxId(n.2) },
        marks: rest.1,
        modseq: Modseq { shown: n.3, promised: n.4 },
        content: (NodeId(rest.3), n.5),
        physmessage: n.6,
        unique_id: rest.4,
        status: rest.5,
        numbers,
    })
}

/// One that is mostly in order, so that what is accepted is tried too.
fn nearly_sound() -> impl Strategy<Value = Owned> {
    (any_message(), 1_i64..40, 0_i64..40, any::<u16>()).prop_map(|(mut message, birth, more, keep)| {
        let sound = Owned::sound();
        message.numbers.clear();
        message.incoming = Incoming { birth: BirthUid(birth), uid: Uid(birth + more), dead: message.incoming.dead };
        let keeps = |bit: u16| keep & (1 << bit) != 0;
        if !keeps(0) || !keeps(1) {
            message.place = sound.place
        }
        if !keeps(2) || !keeps(3) {
            message.marks = sound.marks
        }
        if !keeps(4) || !keeps(5) {
            message.modseq = sound.modseq
        }
        if !keeps(6) || !keeps(7) {
            message.content = sound.content
        }
        if !keeps(8) || !keeps(9) {
            message.physmessage = sound.physmessage
        }
        if !keeps(10) || !keeps(11) {
            message.unique_id = sound.unique_id
        }
        if !keeps(12) || !keeps(13) {
            message.status = sound.status
        }
        message
    })
}

fn any_held() -> impl Strategy<Value = Option<Held>> {
    let row = || (1_i64..60).prop_map(RowId);
    let uid = || (1_i64..60).prop_map(Uid);
    prop_oneof![
        Just(None),
        Just(Some(Held::Dead)),
        uid().prop_map(|uid| Some(Held::Visible { uid })),
        (uid(), row()).prop_map(|(uid, row)| Some(Held::Waiting { uid, row })),
        uid().prop_map(|uid| Some(Held::Hidden { uid, row: RowId(rule::FIRST_HIDDEN_ROW) })),
    ]
}

proptest! {
    /// Whatever a peer says of a message: it is judged, and what is accepted goes through rule, joins and settlement, keeps the guarantees,
    /// and is nothing from which a node could not go on counting.
    #[test]
    fn no_message_panics(message in prop_oneof![any_message(), nearly_sound()], held in any_held(), reported in 0_i64..60, marks in any_marks()) {
        let accepted = LIMITS.message(&message.borrow()).is_ok();
        let place = Place { reported: Some(Uid(reported)), changes: false };
        let action = rule::decide(held, &message.incoming, place);
        let joined = marks.clone().join(message.marks.clone());
        modseqs::due((&marks, Modseq::default()), (&message.marks, message.modseq), NodeId(2));
        let messages: BTreeMap<BirthUid, Held> = held.into_iter().map(|held| (message.incoming.birth, held)).collect();
        let view = NodeView { node: NodeId(1), reported: Uid(reported), high: Uid(reported), messages };
        let candidates = BTreeSet::from([message.incoming.birth]);
        let _ = settlement::plan(&[view], &candidates, &BTreeSet::from([Uid(1 << 41)]));
        if accepted {
            prop_assert!(message.incoming.uid >= message.incoming.birth.uid() && message.incoming.uid.0 <= NUMBER_LAST);
            prop_assert!(message.modseq.shown.max(message.modseq.promised).checked_add(1 << 60).is_some());
            let stamps = message.marks.flags.iter().chain(message.marks.keywords.values()).map(|mark| mark.stamp);
            for stamp in stamps.chain([message.place.stamp]) {
                prop_assert!(stamp.just_after(NodeId(8)) > stamp && stamp.next(NOW, NodeId(1)) > stamp);
                prop_assert!(stamp.node().is_none_or(|node| (1..=8).contains(&node.0)));
            }
            if let Some(rule::Action::Take { uid }) = action {
                prop_assert!(uid.0 > reported, "guarantee B");
            }
            prop_assert!(joined.clone().join(message.marks.clone()) == joined, "joined once is joined");
        }
    }

    #[test]
    fn no_mailbox_panics(
        told in prop::collection::btree_map(any_number(), (any_text(), any_text(), any_stamp(), prop::option::of(any_number())), 1..5),
        held in prop::collection::btree_map(1_i64..9, (any_text(), 0_i64..9), 0..4),
    ) {
        let mut incoming = BTreeMap::new();
        for (id, (owner, name, stamp, merged)) in told {
            let state = match merged {
                Some(into) => State::Ended(Fate::MergedInto(MailboxId(into))),
                None => State::Alive(mailbox(&format!("{owner}/1"), &name, stamp.0)),
            };
            if LIMITS.mailbox(MailboxId(id), &state, None, 0).is_ok() {
                if let State::Ended(Fate::MergedInto(winner)) = &state {
                    prop_assert!(winner.0 > id, "no circle");
                }
                incoming.insert(MailboxId(id), state);
            }
        }
        let owners: Owners = incoming.values().filter_map(|state| match state {
            State::Alive(alive) => Some((alive.name.value.owner.clone(), true)),
            State::Ended(_) => None,
        }).chain([("a/1".to_owned(), true)]).collect();
        let view: View = held.into_iter().map(|(id, (name, stamp))| {
            (MailboxId(id), HeldMailbox { row: Some(mailbox("a/1", &name, stamp << 12)), fate: None })
        }).collect();
        mailboxes::contenders(&view, &incoming);
        let outcome = mailboxes::join(NodeId(1), &view, &owners, &incoming);
        for change in outcome.changes.values() {
            if let Some(row) = change.after.row.as_ref().filter(|row| change.before.row.as_ref() != Some(row)) {
                prop_assert!(row.name.stamp.0 >= 0 && row.name.value.name.chars().count() <= NAME_MAX);
            }
        }
    }

    #[test]
    fn no_account_panics(
        told in prop::collection::vec((any_text(), 1_i32..3, any_text(), any_stamp(), any::<bool>()), 1..5),
        held in prop::collection::vec((any_text(), any_text(), 0_i64..9), 0..3),
    ) {
        let incoming: Vec<_> = told.into_iter().map(|(born_as, generation, userid, stamp, dead)| {
            let state = if dead { account::Incoming::Dead } else { account::Incoming::Alive(fields(&userid, stamp.0)) };
            (AccountId { born_as, generation }, state)
        }).filter(|(id, state)| LIMITS.user(id, state, None, None).is_ok()).collect();
        let held: BTreeMap<_, _> = held.into_iter().filter(|(born_as, ..)| !born_as.is_empty()).map(|(born_as, userid, stamp)| {
            (AccountId { born_as, generation: 1 }, account::Held::Alive(fields(&userid, stamp << 12)))
        }).collect();
        for write in account::join(&held, &incoming, NodeId(1)).values() {
            for field in write.fields.iter().flat_map(|fields| fields.iter()) {
                prop_assert!(field.stamp.0 >= 0);
            }
        }
    }

    #[test]
    fn no_entry_panics(kind in any_text(), key in any_text(), value in prop::option::of(any_text()), stamp in any_stamp(), held in any_stamp()) {
        let told = Entry { stamp, value };
        let _ = LIMITS.entry(&kind, &key, &told, Some(&kind));
        let held = Entry { stamp: held, value: None };
        for way in [entry::Way::Own, entry::Way::Merged, entry::Way::MergedRights] {
            if LIMITS.stamp("it", stamp).is_ok() && let Some(joined) = entry::join(Some(&held), &told, way, NodeId(1)) {
                prop_assert!(joined.entry >= held);
            }
        }
    }

    #[test]
    fn no_snapshot_panics(text in prop_oneof![any_text(), "[0-9]{0,25}:[0-9]{0,25}:[0-9,]{0,30}"]) {
        if let Ok(snapshot) = text.parse::<crate::domain::snapshot::Snapshot>() {
            prop_assert!(snapshot.covers(&snapshot));
        }
    }
}
