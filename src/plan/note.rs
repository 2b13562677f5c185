//! What planning has found that does not end the run: warnings, operands that cannot be copied, and
//! what cp's `-v` reports before the copying begins.

use crate::error::EntryError;
use pcopy_sys::Errno;
use std::path::PathBuf;

/// Something to report about the plan, before a certain operand is copied.
pub struct Note {
    /// The number of the operand that is copied next.
    pub before: u32,
    /// What it is.
    pub kind: NoteKind,
}

/// What a note of the plan is.
#[derive(Debug)]
pub enum NoteKind {
    /// `--context` was given, and the kernel has no SELinux.
    ContextIgnored,
    /// A source was given twice, with the same place in the target; it is copied once.
    NamedTwice {
        /// Whether it is a directory.
        is_dir: bool,
        /// As the user named it.
        source: PathBuf,
    },
    /// A line of the manifest to check is malformed, or names a file outside the directory. It is text
    /// already, because a refusal repeats it.
    BadManifestLine(String),
    /// An operand cannot be copied.
    Failed {
        /// Why not.
        error: EntryError,
        /// As the user named it.
        source: PathBuf,
        /// What it would have become.
        target: PathBuf,
    },
    /// A directory was named without `-r`.
    DirectoryOmitted(PathBuf),
    /// A directory above a source cannot be made in the target (`--parents`).
    ParentFailed(ParentError),
    /// A directory was made in the target for one above a source (`--parents`).
    ParentMade {
        /// The directory above the source.
        source: PathBuf,
        /// The one that was made.
        target: PathBuf,
    },
    /// cp reports this operand as being copied before it fails.
    Announced {
        /// As the user named it.
        source: PathBuf,
        /// What it would have become.
        target: PathBuf,
    },
}

/// Why a directory above a source cannot be made in the target.
#[derive(Debug)]
pub enum ParentError {
    /// This path cannot be examined, or is a source that is no directory.
    Stat(PathBuf, Errno),
    /// Something else has this name in the target.
    NotADirectory(PathBuf),
    /// It cannot be created.
    Create(PathBuf, Errno),
}

impl NoteKind {
    /// Whether the run fails because of it.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::BadManifestLine(_)
                | Self::Failed { .. }
                | Self::DirectoryOmitted(_)
                | Self::ParentFailed(_)
        )
    }

    /// Whether only `-v` reports it.
    pub fn is_verbose(&self) -> bool {
        matches!(self, Self::ParentMade { .. } | Self::Announced { .. })
    }
}
