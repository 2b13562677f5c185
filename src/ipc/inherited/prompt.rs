//! Existing destination entries for which the user must answer a prompt before they may be replaced.

use crate::ipc::wire::task::EntryPathBuf;

/// An entry that a copier did not copy, because the user must answer a prompt first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PendingPrompt {
    /// The place of the entry. `staged` says that this run created its target directory.
    pub path: EntryPathBuf,
    /// Whether the target directory existed before the current round.
    pub existed: bool,
    /// The permission bits of the existing destination entry, which the prompt shows.
    pub mode: u32,
    /// Whether the user may write to the existing destination entry.
    pub writable: bool,
}
