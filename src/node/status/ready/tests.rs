use jiff::Timestamp;

use super::*;
use crate::node::pause::Pause;

const MAX_LAG: Duration = Duration::from_secs(10);
const NAMES: [&str; 3] = ["ams", "fra", "nyc"];

/// Three members at rest.
fn mesh() -> Status {
    let node = |id: i16| NodeStatus {
        name: NAMES[usize::try_from(id - 1).unwrap()].into(),
        id,
        reachable: true,
        installed: Some(true),
        asked_at: Some(Timestamp::UNIX_EPOCH),
        schema_version: Some(20),
        installed_id: Some(id),
        installed_stride: Some(8),
        mesh_id: Some("cf04".into()),
        worker_active: Some(true),
        readers_waiting: Some(0),
        ..NodeStatus::default()
    };
    let link = |target: i16, source: i16| LinkStatus {
        source: node(source).name,
        source_id: source,
        target: node(target).name,
        target_id: target,
        state: LinkState::Current,
        changes_waiting: Some(0),
        oldest_change_seconds: Some(0.0),
        oldest_modseq_seconds: Some(0.0),
        ..LinkStatus::default()
    };
    let links = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)];
    Status {
        read_at: Timestamp::UNIX_EPOCH,
        clock_skew_seconds: Some(0.0),
        stride: 8,
        schema_version_expected: 20,
        nodes: vec![node(1), node(2), node(3)],
        links: links.into_iter().map(|(target, source)| link(target, source)).collect(),
    }
}

fn link<'a>(status: &'a mut Status, source: &str, target: &str) -> &'a mut LinkStatus {
    status.links.iter_mut().find(|link| link.source == source && link.target == target).unwrap()
}

fn gone(status: &mut Status, at: usize) {
    let NodeStatus { name, id, .. } = status.nodes[at].clone();
    status.nodes[at] = NodeStatus { name, id, error: Some("connection refused".into()), ..NodeStatus::default() };
}

/// The reasons of each node, and what is ignored of the first.
fn judged(status: &Status) -> (Vec<Vec<Reason>>, Vec<Reason>) {
    let codes = |remarks: &[Remark]| remarks.iter().map(|remark| remark.code).collect::<Vec<_>>();
    let all: Vec<Readiness> = status.nodes.iter().map(|node| readiness(status, node, MAX_LAG)).collect();
    for one in &all {
        assert_eq!(one.ready, one.reasons.is_empty());
    }
    (all.iter().map(|one| codes(&one.reasons)).collect(), codes(&all[0].ignored))
}

#[test]
fn a_mesh_at_rest_is_ready() {
    assert_eq!(judged(&mesh()), (vec![vec![]; 3], vec![]));
}

#[test]
fn the_node_itself_must_be_fit() {
    type Change = fn(&mut NodeStatus);
    let cases: [(Change, Reason); 9] = [
        (|node| (node.reachable, node.error) = (false, Some("refused".into())), Reason::NodeUnreachable),
        (|node| node.error = Some("too slow".into()), Reason::NodeFailing),
        (|node| node.installed = Some(false), Reason::NotInstalled),
        (|node| node.schema_version = Some(19), Reason::SchemaVersion),
        (|node| node.installed_id = Some(5), Reason::SettingsDiffer),
        (|node| node.worker_active = Some(false), Reason::NoWorker),
        (|node| node.worker_active = None, Reason::NoWorker),
        (|node| (node.late_messages, node.late_longest_seconds) = (Some(1), Some(70.1)), Reason::Late),
        (|node| node.readers_waiting = Some(1), Reason::MovedReader),
    ];
    for (change, reason) in cases {
        let mut status = mesh();
        change(&mut status.nodes[0]);
        let (reasons, _) = judged(&status);
        assert_eq!(reasons, [vec![reason], vec![], vec![]], "only this node is not ready");
    }
    let mut status = mesh();
    status.nodes.iter_mut().for_each(|node| node.mesh_id = None);
    assert_eq!(judged(&status).0, vec![vec![Reason::NotAdmitted]; 3]);
}

#[test]
fn a_link_that_is_behind_keeps_its_target_away_and_nobody_else() {
    type Change = fn(&mut LinkStatus);
    let cases: [(Change, Option<Reason>); 10] = [
        (|link| link.oldest_change_seconds = Some(10.0), None),
        (|link| link.oldest_change_seconds = Some(10.1), Some(Reason::Lag)),
        (|link| link.changes_waiting = None, Some(Reason::LagUnknown)),
        (|link| link.copy_stage = Some("messages".into()), Some(Reason::FirstCopy)),
        (|link| link.state = LinkState::NotBegun, Some(Reason::LinkNotBegun)),
        (|link| link.state = LinkState::Failing, None),
        (|link| link.behind_seconds = Some(9.0), None),
        (|link| link.behind_seconds = Some(11.0), Some(Reason::Modseq)),
        (|link| link.oldest_modseq_seconds = Some(19.0), None),
        (|link| link.oldest_modseq_seconds = Some(21.0), Some(Reason::Modseq)),
    ];
    for (change, reason) in cases {
        let mut status = mesh();
        change(link(&mut status, "fra", "ams"));
        let (reasons, _) = judged(&status);
        assert_eq!(reasons, [reason.into_iter().collect(), vec![], vec![]]);
    }
}

#[test]
fn a_node_that_is_paused_is_not_ready_and_keeps_nobody_away() {
    let mut status = mesh();
    let since = Timestamp::UNIX_EPOCH;
    status.nodes[1].paused = Some(Pause { token: "t".into(), since, seconds: 60.0, by: "dba".into(), reason: None });
    link(&mut status, "fra", "ams").oldest_change_seconds = Some(60.0);
    let (reasons, ignored) = judged(&status);
    assert_eq!(reasons, [vec![], vec![Reason::Paused], vec![]]);
    assert_eq!(ignored, [Reason::SourcePaused]);
}

/// Else the failure of one would take all away.
#[test]
fn a_source_that_cannot_be_asked_keeps_nobody_away() {
    let mut status = mesh();
    gone(&mut status, 2);
    for target in ["ams", "fra"] {
        let link = link(&mut status, "nyc", target);
        (link.state, link.changes_waiting, link.oldest_change_seconds) = (LinkState::Failing, None, None);
    }
    link(&mut status, "fra", "ams").behind_seconds = Some(600.0);
    let (reasons, ignored) = judged(&status);
    assert_eq!(reasons, [vec![], vec![], vec![Reason::NodeUnreachable]]);
    assert_eq!(ignored, [Reason::Modseq, Reason::SourceSilent], "what fra has of nyc cannot come now");

    status.nodes[0].readers_waiting = Some(1);
    assert_eq!(judged(&status).0[0], [Reason::MovedReader], "those who came from nyc are looked after");
    gone(&mut status, 1);
    assert_eq!(judged(&status).0[0], [], "as far as that can be done");
    link(&mut status, "fra", "ams").copy_stage = Some("mailboxes".into());
    link(&mut status, "nyc", "ams").state = LinkState::NotBegun;
    assert_eq!(judged(&status).0[0], [Reason::Empty], "it is alone, and has nothing");
}

#[test]
fn the_node_that_is_refused_by_all_is_the_one_that_is_away() {
    let mut status = mesh();
    for (source, target) in [("nyc", "ams"), ("nyc", "fra"), ("ams", "nyc"), ("fra", "nyc")] {
        link(&mut status, source, target).state = LinkState::Refused;
    }
    let (reasons, ignored) = judged(&status);
    assert_eq!(reasons, [vec![], vec![], vec![Reason::LinkRefused, Reason::LinkRefused]]);
    assert_eq!(ignored, [Reason::LinkRefused]);
}

#[test]
fn a_node_that_joins_is_not_ready_and_takes_nobody_away() {
    let mut status = mesh();
    for (source, target) in [("nyc", "ams"), ("nyc", "fra"), ("ams", "nyc"), ("fra", "nyc")] {
        link(&mut status, source, target).copy_stage = Some("messages".into());
    }
    let (reasons, ignored) = judged(&status);
    assert_eq!(reasons, [vec![], vec![], vec![Reason::FirstCopy, Reason::FirstCopy]]);
    assert_eq!(ignored, [Reason::FirstCopy]);
    status.nodes[2].mesh_id = None;
    assert_eq!(judged(&status).1, [Reason::SourceNotMember], "before it is admitted");
}

/// Two members, of which the second began an hour after the first, empty.
fn pair() -> Status {
    let mut status = mesh();
    status.nodes.pop();
    status.links.retain(|link| link.target != "nyc" && link.source != "nyc");
    for (node, hours) in status.nodes.iter_mut().zip([0, 1]) {
        node.began_at = Some(Timestamp::from_second(hours * 3_600).unwrap());
        node.came_with_mail = Some(hours == 0);
    }
    status
}

#[test]
fn the_second_node_that_joins_does_not_take_the_first_away() {
    let copying = || {
        let mut status = pair();
        status.links.iter_mut().for_each(|link| link.copy_stage = Some("messages".into()));
        status
    };
    let first_copies = vec![vec![Reason::FirstCopy]; 2];
    let status = copying();
    assert_eq!(judged(&status), (vec![vec![], vec![Reason::FirstCopy]], vec![Reason::FirstCopy]));

    let mut status = copying();
    status.nodes[0].came_with_mail = Some(false);
    assert_eq!(judged(&status).0[0], [], "both were installed empty, or joined anew");
    status.nodes[1].began_at = status.nodes[0].began_at;
    assert_eq!(judged(&status).0, first_copies, "nobody can say who was first");

    let mut status = copying();
    status.nodes[1].came_with_mail = Some(true);
    assert_eq!(judged(&status).0, first_copies, "each has mail that the other lacks");

    let mut status = copying();
    link(&mut status, "ams", "fra").copy_stage = None;
    assert_eq!(judged(&status).0, [vec![Reason::FirstCopy], vec![]], "fra is whole, and has clients of its own");
}

#[test]
fn a_node_that_is_out_is_the_one_that_is_refused() {
    let mut status = pair();
    status.links.iter_mut().for_each(|link| link.state = LinkState::Refused);
    assert_eq!(judged(&status).0, vec![vec![Reason::LinkRefused]; 2], "nobody knows who is out");
    status.nodes[0].dismissed = vec![2];
    let (reasons, ignored) = judged(&status);
    assert_eq!((reasons, ignored), (vec![vec![], vec![Reason::LinkRefused]], vec![Reason::SourceNotMember]));

    let mut status = pair();
    link(&mut status, "fra", "ams").state = LinkState::Refused;
    (status.nodes[1].mesh_id, status.nodes[1].out_reason) = (None, Some("it has gone back in time".into()));
    let (reasons, ignored) = judged(&status);
    assert_eq!((reasons, ignored), (vec![vec![], vec![Reason::NotAdmitted]], vec![Reason::SourceNotMember]));
}

#[test]
fn what_is_late_for_a_while_and_what_is_set_aside_keep_nobody_away() {
    let mut status = mesh();
    (status.nodes[0].late_messages, status.nodes[0].late_longest_seconds) = (Some(3), Some(69.0));
    status.nodes[0].set_aside_rows = Some(1);
    assert_eq!(judged(&status), (vec![vec![]; 3], vec![Reason::SetAside]));
}
