//! Existing destination entries about which the user is to be asked before they are replaced.

use crate::ipc::wire::task::EntryPathBuf;

/// An entry that was deferred until the user has been asked, as a copier reported it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingPrompt {
    /// Where it is. `staged` says that this run created its target directory.
    pub path: EntryPathBuf,
    /// Whether its target directory existed before the round.
    pub existed: bool,
    /// The permission bits of the existing destination entry.
    pub mode: u32,
    /// Whether the existing destination entry is writable.
    pub writable: bool,
}
