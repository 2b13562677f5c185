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

/// The mode of the staged directory of an operand. The sticky bit, which has no effect on a private directory, says
/// that the directory has not got its mode yet: if setting that fails, the next run sets it, where DST otherwise
/// keeps the mode that it has.
pub(crate) const UNFINISHED_MODE: u32 = 0o1700;

/// Whether a directory with this mode has not got its own mode yet.
pub(crate) fn is_unfinished(mode: u32) -> bool {
    mode & 0o1777 == UNFINISHED_MODE
}
