#![doc = include_str!("argument.md")]

pub mod account;
pub mod budget;
pub mod comparison;
pub mod entry;
pub mod ids;
pub mod mailboxes;
pub mod marks;
pub mod membership;
pub mod modseq;
pub mod register;
pub mod reported;
pub mod rule;
pub mod settlement;
pub mod snapshot;
pub mod sound;
pub mod stamp;
