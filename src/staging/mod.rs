//! Staging: how an entry is built under a temporary name and then renamed into place.
//!
//! The parent stages directories that the user named, and the manifest; copiers stage what is below. Both
//! follow the same rules, which are here, and nowhere else:
//!
//! * [`name`]: the staged name, by which a later run finds what an interrupted run left.
//! * [`lock`]: a staged file or directory is locked while a run builds it, so that another run neither
//!   takes it for a leftover nor renames it half written.
//! * [`owner`]: which staged directories may have been created by this user.
//! * [`leftover`]: creating a staged file where an interrupted run left one.
//! * [`removal`]: removing what the source does not have, and whole staged directories.

pub(crate) mod leftover;
pub(crate) mod lock;
pub(crate) mod name;
pub(crate) mod owner;
pub(crate) mod removal;

pub use name::{SUFFIX, staged_name};
