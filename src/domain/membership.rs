//! What has to be done before a node can be (again) a member of a mesh, from what it and its peers say. Pure.

use super::ids::{BirthUid, NodeId};

/// So many numbers more than are known are passed over when a node has forgotten what it handed out: it may have given some to nobody but
/// its own clients.
pub const FENCE_GAP: i64 = 100_000;

/// What a node says of itself, and its peers of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its number in the settings.
    pub wanted_id: i16,
    /// The number that it has.
    pub id: i16,
    /// Drawn when it was installed or joined anew.
    pub incarnation: String,
    /// What it was before that.
    pub former: Vec<String>,
    /// The mesh that it was admitted to.
    pub mesh_id: Option<String>,
    /// Whether it is in another PostgreSQL cluster than it was.
    pub moved: bool,
    /// Whether no link may touch it.
    pub stays_out: bool,
    /// Why, unless it was taken out by `leave`.
    pub why_out: Option<String>,
    /// The other nodes.
    pub peers: Vec<PeerFacts>,
}

/// What one peer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// Its number.
    pub id: i16,
    /// Its name.
    pub name: String,
    /// Its incarnation.
    pub incarnation: String,
    /// Its mesh.
    pub mesh_id: Option<String>,
    /// The incarnation of the node that it knows.
    pub knows: Option<String>,
    /// Whether it has dismissed the node.
    pub has_dismissed: bool,
    /// Whether the node lacks something of its own that the peer has applied.
    pub has_more_of_it: bool,
    /// Whether the node knows of less than it has acknowledged to the peer.
    pub was_told_more: bool,
    /// Whether the peer has cut off changes that the node had not taken over.
    pub has_trimmed: bool,
    /// Whether the node has cut off changes that the peer had not taken over.
    pub is_cut_off: bool,
}

/// What a node is to its mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is a copy of a member, and becomes a node of its own.
    Copy {
        /// The member.
        of: NodeId,
    },
    /// It has forgotten something of what it did.
    Restored {
        /// How that is known.
        why: String,
    },
    /// It was installed anew under a number that its peers know as another database.
    Anew,
    /// It has joined anew, but not all peers have been told.
    Renewed,
    /// It had left.
    Left,
    /// It was away for longer than changes were kept.
    TooLongAway,
    /// It was never a member. The links fill it.
    New,
    /// It is a member.
    Member,
}

/// Why a node cannot join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It has another number than in the settings, and is no copy of a member.
    OtherNumber,
    /// It belongs to another mesh than this peer.
    OtherMesh(String),
    /// This peer knows its number as another database, and it has been a member elsewhere since.
    OtherDatabase(String),
}

impl Facts {
    /// What the node is.
    ///
    /// # Errors
    /// Why it cannot join.
    pub fn standing(&self) -> Result<Standing, Misfit> {
        if self.id != self.wanted_id {
            let original = self.peers.iter().find(|peer| peer.id == self.id && peer.incarnation == self.incarnation);
            return original.map(|peer| Standing::Copy { of: NodeId(peer.id) }).ok_or(Misfit::OtherNumber);
        }
        let is_foreign = |peer: &&PeerFacts| {
            self.mesh_id.as_ref().zip(peer.mesh_id.as_ref()).is_some_and(|(ours, theirs)| ours != theirs)
        };
        if let Some(peer) = self.peers.iter().find(is_foreign) {
            return Err(Misfit::OtherMesh(peer.name.clone()));
        }
        if let Some(why) = self.forgetful() {
            return Ok(Standing::Restored { why });
        }
        let mut unaware = false;
        for peer in &self.peers {
            match &peer.knows {
                Some(known) if *known == self.incarnation => {}
                Some(known) if self.former.contains(known) => unaware = true,
                Some(_) if self.mesh_id.is_none() => return Ok(Standing::Anew),
                Some(_) => return Err(Misfit::OtherDatabase(peer.name.clone())),
                None => {}
            }
        }
        Ok(if unaware {
            Standing::Renewed
        } else if self.stays_out {
            Standing::Left
        } else if self.peers.iter().any(|peer| peer.has_trimmed || peer.is_cut_off) {
            Standing::TooLongAway
        } else if self.mesh_id.is_none() {
            Standing::New
        } else {
            Standing::Member
        })
    }

    fn forgetful(&self) -> Option<String> {
        if self.moved {
            return Some("it is in another PostgreSQL cluster than it was".into());
        }
        if self.why_out.is_some() {
            return self.why_out.clone();
        }
        self.peers.iter().find_map(|peer| match (peer.has_more_of_it, peer.was_told_more) {
            // What the peer knew of it went with that.
            (false, false) if peer.has_dismissed && !self.stays_out => {
                Some(format!("{} knows that it has left, and it does not", peer.name))
            }
            (true, _) => Some(format!("it is behind what {} has already seen of it", peer.name)),
            (false, true) => Some(format!("it holds less than it has told {} that it holds", peer.name)),
            (false, false) => None,
        })
    }
}

/// What a peer knows under the UID of a message that a forgetful node has delivered since nobody knows when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// This very message.
    Same,
    /// Another one.
    Other,
    /// A message that died, in microseconds since some moment that is the same for all.
    Dead(i64),
}

/// A message that a forgetful node has delivered, and that no peer had told it to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its first UID.
    pub birth: BirthUid,
    /// When it was noted, in microseconds since the same moment.
    pub noted_us: i64,
    /// Its content's id on the node.
    pub physmessage: i64,
    /// Whether no message but suspects has that content.
    pub has_content_alone: bool,
    /// Whether it has been expunged since.
    pub is_dead: bool,
}

/// What becomes of suspects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// They get a new UID, for theirs belongs to another message.
    pub born_again: Vec<BirthUid>,
    /// They are dead, and their tombstones would kill another message.
    pub forgotten: Vec<BirthUid>,
    /// Contents that get a new address, for theirs may belong to another content.
    pub readdressed: Vec<i64>,
}

/// Decides about suspects; `known` is what each peer knows of each, in the order of the suspects. A message that died under that UID
/// before this one was noted is another one; one that died afterwards may be this one, and expunged stays expunged. Where some peers have
/// this one and others another, the other was there first: this one came to the former before anybody noticed.
pub fn clear(suspects: &[Suspect], known: &[Vec<Known>]) -> Cleared {
    let mut cleared = Cleared::default();
    for (at, suspect) in suspects.iter().enumerate() {
        let all = || known.iter().filter_map(|of_peer| of_peer.get(at));
        let any = |wanted: Known| all().any(|known| *known == wanted);
        let died_before = || all().any(|known| matches!(known, Known::Dead(died_us) if *died_us < suspect.noted_us));
        if suspect.is_dead {
            if any(Known::Other) {
                cleared.forgotten.push(suspect.birth);
            }
            continue;
        }
        let is_taken = any(Known::Other) || (!any(Known::Same) && died_before());
        if is_taken {
            cleared.born_again.push(suspect.birth);
        }
        let is_unknown = all().all(|known| *known == Known::Nothing);
        if suspect.has_content_alone && (is_taken || is_unknown) {
            cleared.readdressed.push(suspect.physmessage);
        }
    }
    cleared.readdressed.sort_unstable();
    cleared.readdressed.dedup();
    cleared
}

/// A mailbox as a node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// The stamp of its creation, or of what came later; 0: none.
    pub stamp: i64,
    /// Whether it was renamed, or ended, since it was created.
    pub is_later: bool,
    /// Whether it is there.
    pub is_alive: bool,
    /// Its owner's account.
    pub owner: Option<String>,
}

/// Whether a mailbox of a forgetful node is another one than a peer knows under its id. The same one has one moment of creation, and was
/// renamed, or has ended, after that. Once it was renamed on the forgetful node that moment is not known any more; then two owners are two
/// mailboxes. One that has ended there under an id that lives on a peer counts as another where it cannot be told: a folder that comes back
/// is better than one that goes.
pub fn is_another(ours: &Naming, known: &Naming) -> bool {
    if !ours.is_alive {
        return known.is_alive && (ours.stamp == 0 || ours.is_later || ours.stamp != known.stamp);
    }
    if ours.is_later || ours.stamp == 0 {
        return known.is_alive && ours.owner != known.owner;
    }
    if known.is_later { ours.stamp > known.stamp } else { ours.stamp != known.stamp }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Facts {
        let peer = |id: i16, name: &str| PeerFacts {
            id,
            name: name.into(),
            incarnation: name.into(),
            mesh_id: Some("m".into()),
            knows: Some("x".into()),
            ..PeerFacts::default()
        };
        Facts {
            wanted_id: 3,
            id: 3,
            incarnation: "x".into(),
            mesh_id: Some("m".into()),
            peers: vec![peer(1, "a"), peer(2, "b")],
            ..Facts::default()
        }
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Result<Standing, Misfit> {
        let mut facts = member();
        change(&mut facts);
        facts.standing()
    }

    #[test]
    fn what_a_node_is_to_its_mesh() {
        assert_eq!(with(|_| {}), Ok(Standing::Member));
        assert_eq!(with(|node| (node.id, node.incarnation) = (1, "a".into())), Ok(Standing::Copy { of: NodeId(1) }));
        assert_eq!(with(|node| node.id = 1), Err(Misfit::OtherNumber));
        assert_eq!(with(|node| node.mesh_id = Some("n".into())), Err(Misfit::OtherMesh("a".into())));
        assert_eq!(with(|node| node.incarnation = "y".into()), Err(Misfit::OtherDatabase("a".into())));
        assert_eq!(
            with(|node| (node.incarnation, node.former) = ("y".into(), vec!["x".into()])),
            Ok(Standing::Renewed)
        );
        assert_eq!(with(|node| (node.incarnation, node.mesh_id) = ("y".into(), None)), Ok(Standing::Anew));
        assert_eq!(with(|node| node.stays_out = true), Ok(Standing::Left));
        assert_eq!(with(|node| (node.stays_out, node.peers[1].has_dismissed) = (true, true)), Ok(Standing::Left));
        assert_eq!(with(|node| node.peers[1].has_trimmed = true), Ok(Standing::TooLongAway));
        assert_eq!(with(|node| node.peers[0].is_cut_off = true), Ok(Standing::TooLongAway));
        let new = |node: &mut Facts| {
            node.mesh_id = None;
            node.peers.iter_mut().for_each(|peer| peer.knows = None);
        };
        assert_eq!(with(new), Ok(Standing::New));
    }

    /// Whoever has forgotten something must not be taken for one that was merely away, or had left.
    #[test]
    fn what_was_forgotten_counts_before_all_else() {
        let restored = |facts| matches!(facts, Ok(Standing::Restored { .. }));
        assert!(restored(with(|node| node.moved = true)));
        assert!(restored(with(|node| node.peers[1].has_dismissed = true)), "a backup from before it left");
        assert!(restored(with(|node| (node.stays_out, node.why_out) = (true, Some("behind".into())))));
        assert!(restored(with(|node| (node.stays_out, node.peers[1].has_more_of_it) = (true, true))));
        assert!(restored(with(|node| (node.peers[0].has_trimmed, node.peers[1].was_told_more) = (true, true))));
    }

    fn cleared(known: &[Known]) -> (bool, bool) {
        let cleared = cleared_of(false, known);
        assert!(cleared.forgotten.is_empty());
        (!cleared.born_again.is_empty(), !cleared.readdressed.is_empty())
    }

    fn cleared_of(is_dead: bool, known: &[Known]) -> Cleared {
        let suspect = Suspect { birth: BirthUid(7), noted_us: 100, physmessage: 5, has_content_alone: true, is_dead };
        let known: Vec<Vec<Known>> = known.iter().map(|known| vec![*known]).collect();
        clear(&[suspect], &known)
    }

    /// Delivered under a UID of another, and expunged before anybody had a look.
    #[test]
    fn the_tombstone_of_one_message_kills_no_other() {
        assert_eq!(cleared_of(true, &[Known::Nothing, Known::Other]).forgotten, [BirthUid(7)]);
        assert!(cleared_of(true, &[Known::Same, Known::Dead(5)]).forgotten.is_empty());
        assert!(cleared_of(true, &[Known::Other]).readdressed.is_empty());
    }

    #[test]
    fn a_mailbox_has_one_moment_of_creation() {
        let naming = |stamp, is_later| Naming { stamp, is_later, is_alive: true, owner: Some("alice/1".into()) };
        assert!(!is_another(&naming(7, false), &naming(7, false)));
        assert!(is_another(&naming(8, false), &naming(7, false)));
        assert!(is_another(&naming(6, false), &naming(7, false)));
        assert!(!is_another(&naming(7, false), &naming(9, true)));
        assert!(is_another(&naming(10, false), &naming(9, true)), "it was created after the other was renamed");
        assert!(!is_another(&naming(10, true), &naming(9, true)), "a folder that was there before, and renamed");
        let of_bob = Naming { owner: Some("bob/1".into()), ..naming(10, true) };
        assert!(is_another(&of_bob, &naming(9, false)), "nobody gets another's mail");
        let ended = Naming { is_alive: false, owner: None, ..naming(8, false) };
        assert!(is_another(&ended, &naming(7, false)));
        assert!(!is_another(&Naming { stamp: 7, ..ended }, &naming(7, false)), "it was deleted here after the restore");
    }

    #[test]
    fn a_message_under_a_uid_that_is_taken_is_born_again() {
        assert_eq!(cleared(&[Known::Nothing, Known::Nothing]), (false, true));
        assert_eq!(cleared(&[Known::Nothing, Known::Other]), (true, true));
        assert_eq!(cleared(&[Known::Nothing, Known::Same]), (false, false));
        assert_eq!(cleared(&[Known::Other, Known::Same]), (true, true), "it came to a peer before anybody noticed");
        assert_eq!(cleared(&[Known::Dead(99), Known::Nothing]), (true, true), "it was noted after the other had died");
        assert_eq!(cleared(&[Known::Dead(101), Known::Nothing]), (false, false), "it may be the one that died");
    }
}
