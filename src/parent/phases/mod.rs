//! The phases of a run, each a function over what it needs of the run, in the order in which they
//! follow.

pub(super) mod compare;
pub(super) mod copy;
pub(super) mod links;
pub(super) mod manifest;
pub(super) mod prompted;
pub(super) mod publish;
pub(super) mod verify;
pub(super) mod write_back;
