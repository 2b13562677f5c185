//! Staging: an entry is built under a temporary name, the staged name, and then renamed into place.
//!
//! The parent process stages the directories of operands (paths that the user named) and the manifest.
//! Copiers (processes that copy) stage everything below operands. The rules for both are in this module:
//!
//! * [`name`]: the staged name, by which a later run finds what an interrupted run left.
//! * [`lock`]: a run locks each staged file or directory while it builds it, so that another run neither
//!   takes it for a leftover nor renames it half written.
//! * [`owner`]: which staged directories this user may have created.
//! * [`leftover`]: how a staged file is created where an interrupted run left one.
//! * [`removal`]: how entries that the source does not have are removed, and whole staged directories.

pub(crate) mod leftover;
pub(crate) mod lock;
pub(crate) mod name;
pub(crate) mod owner;
pub(crate) mod removal;

pub(crate) use name::staged_name;
