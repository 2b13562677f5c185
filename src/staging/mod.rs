//! Staging: an entry is built under a temporary name, the staged name, and then renamed into place.
//!
//! The parent process stages the directories of operands and the manifest. Copiers stage everything below
//! operands. The rules for both are in this module:
//!
//! * [`name`]: the staged name, by which a later run finds what an interrupted run left.
//! * [`lock`]: while a run builds a staged file or directory, it holds a lock on it, so that another run
//!   neither takes it for a leftover nor renames it half written.
//! * [`owner`]: which staged directories this user may have created.
//! * [`leftover`]: how a staged file is created where an interrupted run left one.
//! * [`run_lock`]: the lock file, for file systems that several machines have mounted.
//! * [`removal`]: how pcopy removes whole staged directories, and entries in them that the source does not
//!   have.

pub(crate) mod leftover;
pub(crate) mod lock;
pub(crate) mod name;
pub(crate) mod owner;
pub(crate) mod removal;
pub(crate) mod run_lock;

pub(crate) use name::staged_name;
