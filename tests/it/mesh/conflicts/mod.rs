//! What two or three nodes do at once, and what all of them show in the end (guarantees D and E).
//!
//! - [`pairs`]: every two operations on the same objects, with the outcome of each pair in a table, `pairs.txt`
//! - [`flags`]: every two changes of flags and keywords of one message
//! - [`history`]: random histories over three nodes, with partitions
//! - [`split_brain`]: the cases that Cyrus tests between two masters
//! - [`marks`], [`moves`], [`quota`]: single stories

mod apart;
mod end;
mod flags;
mod history;
mod marks;
mod moves;
mod op;
mod outcome;
mod pairs;
mod quiet;
mod quota;
mod split_brain;
mod table;
mod world;
