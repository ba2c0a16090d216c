//! The worlds that are explored. The default ones take seconds without optimization; they grow fast with each operation, node or
//! settlement that may break off, most of all where everybody reads, so each looks at something.

use super::World;
use super::world::{Bounds, Kind, SMALL};

use Kind::{Deliver, DeliverWork, Expunge, Login, Lose, Move, Seen, Share, Wait};

const ALL: &[Kind] = &[Deliver, DeliverWork, Login, Share, Expunge, Seen, Move, Wait, Lose];
const TWO_NODES: Bounds = SMALL;
const THREE_NODES: Bounds = Bounds { nodes: 3, ..SMALL };

pub const ONE: &[World] = &[
    ("one node", Bounds { nodes: 1, operations: 4, kinds: ALL, ..SMALL }),
    ("one node, read", Bounds { nodes: 1, operations: 4, kinds: ALL, read: true, ..SMALL }),
];

pub const TWO: &[World] = &[
    (
        "two nodes, links that look first",
        Bounds { operations: 3, crashes: 1, partial: 1, kinds: ALL, looks: true, ..TWO_NODES },
    ),
    ("two nodes, read", Bounds { operations: 3, kinds: ALL, read: true, ..TWO_NODES }),
    (
        "two nodes, read, two settlements that break off",
        Bounds { operations: 2, crashes: 2, partial: 2, kinds: ALL, read: true, looks: true, ..TWO_NODES },
    ),
    (
        "two nodes, read, what comes after a settlement that broke off",
        Bounds { operations: 3, crashes: 1, kinds: &[Deliver, Expunge], read: true, ..TWO_NODES },
    ),
    ("two nodes, readers come and go", Bounds { operations: 4, kinds: &[Deliver, Login, Share, Wait], ..TWO_NODES }),
    (
        "two nodes, moves and deletions",
        Bounds { operations: 4, kinds: &[Deliver, Login, Expunge, Move, Lose], ..TWO_NODES },
    ),
];

pub const TWO_LARGER: &[World] = &[
    (
        "two nodes, read, all operations",
        Bounds { operations: 3, crashes: 1, partial: 1, kinds: ALL, read: true, looks: true, ..TWO_NODES },
    ),
    (
        "two nodes, read, two settlements that break off among more mail",
        Bounds { operations: 3, crashes: 2, partial: 1, kinds: &[Deliver, Expunge], read: true, ..TWO_NODES },
    ),
    (
        "two nodes, read, a settlement that breaks off among more mail",
        Bounds { operations: 4, crashes: 1, kinds: &[Deliver, Expunge], read: true, ..TWO_NODES },
    ),
    ("two nodes, read, four operations", Bounds { operations: 4, kinds: ALL, read: true, looks: true, ..TWO_NODES }),
    ("two nodes, four operations", Bounds { operations: 4, crashes: 1, partial: 1, kinds: ALL, ..TWO_NODES }),
];

pub const THREE: &[World] = &[
    ("three nodes, read", Bounds { operations: 2, kinds: ALL, read: true, looks: true, ..THREE_NODES }),
    (
        "three nodes, read, settlements without one of them",
        Bounds { operations: 2, partial: 1, kinds: &[Deliver, Expunge], read: true, ..THREE_NODES },
    ),
    (
        "three nodes, read, a settlement that breaks off",
        Bounds { operations: 2, crashes: 1, kinds: &[Deliver], read: true, ..THREE_NODES },
    ),
    ("three nodes, moves", Bounds { operations: 3, kinds: &[Deliver, Expunge, Move], ..THREE_NODES }),
    ("three nodes, one is lost", Bounds { operations: 3, kinds: &[Deliver, Login, Expunge, Lose], ..THREE_NODES }),
];

pub const THREE_LARGER: &[World] = &[
    (
        "three nodes, read, all operations",
        Bounds { operations: 2, crashes: 1, partial: 1, kinds: ALL, read: true, ..THREE_NODES },
    ),
    (
        "three nodes, read, three operations",
        Bounds { operations: 3, kinds: &[Deliver, Expunge], read: true, ..THREE_NODES },
    ),
    (
        "three nodes, links that look first",
        Bounds { operations: 3, kinds: &[Deliver, Login, Expunge, Move, Lose], looks: true, ..THREE_NODES },
    ),
    (
        "three nodes, settlements that break off",
        Bounds { operations: 3, crashes: 1, partial: 1, kinds: ALL, ..THREE_NODES },
    ),
];
