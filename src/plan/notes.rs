//! What the plan has to report, as data; `ui` has the words.

use super::manifest_line::BadManifestLine;
use crate::error::EntryError;
use pcopy_sys::Errno;
use std::path::PathBuf;

/// Something to report.
pub struct Note {
    /// It is reported before the operand of this number is copied.
    pub before: u32,
    /// What it is.
    pub kind: NoteKind,
}

/// What a note is about. Paths are as the user gave them, or would.
pub enum NoteKind {
    /// `--context` has no effect, because SELinux is disabled.
    ContextIgnored,
    /// An operand was named before, with the same target.
    NamedTwice {
        /// Whether it is a directory.
        is_dir: bool,
        /// The operand.
        source: PathBuf,
    },
    /// A line of the manifest is not used.
    BadManifestLine(BadManifestLine),
    /// The target is not a directory, and has to be one.
    TargetNotDirectory {
        /// Whether it is the argument of `-t`.
        is_argument: bool,
        /// The target.
        target: PathBuf,
        /// Why it cannot be used.
        errno: Errno,
    },
    /// A directory is not copied without `-r`.
    DirectoryOmitted {
        /// The directory.
        source: PathBuf,
    },
    /// An operand cannot be copied.
    Failed {
        /// Why.
        error: EntryError,
        /// The operand.
        source: PathBuf,
        /// What it would become.
        target: PathBuf,
    },
    /// A directory above an operand cannot be created for `--parents`.
    ParentFailed(ParentError),
    /// A directory was created for `--parents`.
    ParentCreated {
        /// The directory above the operand.
        source: PathBuf,
        /// The new directory.
        target: PathBuf,
    },
    /// An operand is about to be copied, although that will fail.
    Announced {
        /// The operand.
        source: PathBuf,
        /// What it would become.
        target: PathBuf,
    },
}

/// Why a directory above an operand cannot be created.
pub enum ParentError {
    /// One of the two cannot be looked at.
    Stat(PathBuf, Errno),
    /// The target exists and is not a directory.
    NotADirectory(PathBuf),
    /// It cannot be created.
    Create(PathBuf, Errno),
}

/// How a note is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// As a warning: everything is copied.
    Warning,
    /// As an error, which makes the run fail: one operand is not copied. Only GNU cp begins nevertheless.
    Failure,
    /// As a name on standard output, with `-v`.
    Announcement,
}

impl NoteKind {
    /// Whether there is no target for any operand.
    pub(super) fn is_about_target(&self) -> bool {
        matches!(self, Self::TargetNotDirectory { .. })
    }

    /// How the note is reported.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ContextIgnored | Self::NamedTwice { .. } => Severity::Warning,
            Self::BadManifestLine(_)
            | Self::TargetNotDirectory { .. }
            | Self::DirectoryOmitted { .. }
            | Self::Failed { .. }
            | Self::ParentFailed(_) => Severity::Failure,
            Self::ParentCreated { .. } | Self::Announced { .. } => Severity::Announcement,
        }
    }
}
