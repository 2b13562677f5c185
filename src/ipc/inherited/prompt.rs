//! Names that wait for the user's answer.

use crate::ipc::wire::task::EntryPath;

/// A name that was put off, as the copier that met it has reported it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingPrompt {
    /// Which of the plan's entries it lies below.
    pub operand: u32,
    /// From the entry's source directory.
    pub source: Vec<u8>,
    /// From the entry's target directory.
    pub target: Vec<u8>,
    /// Whether its directory is one that this run has made, and whether that stood there before its
    /// round.
    pub staged: bool,
    /// See `staged`.
    pub existed: bool,
    /// The permission bits of what stands there.
    pub bits: u32,
    /// Whether that could be written.
    pub writable: bool,
}

impl PendingPrompt {
    /// Where it is.
    pub fn place(&self) -> EntryPath<'_> {
        let Self { operand, ref source, ref target, staged, .. } = *self;
        EntryPath { operand, source, target, staged }
    }
}
