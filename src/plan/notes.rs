//! What the plan reports to the user, as data; `ui` contains the texts.

use super::manifest_line::BadManifestLine;
use crate::error::EntryError;
use crate::selection::Unreachable;
use pcopy_sys::Errno;
use std::path::PathBuf;

/// A message for the user that results from planning.
pub struct Note {
    /// The number of the operand before whose copy the note is reported.
    pub before: u32,
    /// The subject of the note.
    pub kind: NoteKind,
}

/// The subject of a note. Paths are as the user gave them, or as the user would write them.
pub enum NoteKind {
    /// `--context` has no effect, because SELinux is disabled.
    ContextIgnored,
    /// A selection rule can match nothing.
    UnreachableRule(Unreachable),
    /// The pattern of a selection rule in a file ends with a blank.
    BlankAtEnd(Vec<u8>),
    /// Selection rules have decided about no entry: the first one, and how many others.
    IdleRules(Vec<u8>, usize),
    /// So many sources are not directories: nothing is extraneous beside their copies (`--delete`).
    NothingExtraneous(usize),
    /// This directory of a source is a mount point of `/etc/fstab` at which nothing is mounted: nothing in its copy is
    /// extraneous (`--delete`).
    NotMounted(PathBuf),
    /// A name in the list of `--files-from` does not exist.
    ListedMissing(PathBuf),
    /// The user named an operand twice, with the same target.
    NamedTwice {
        /// Whether the operand is a directory.
        is_dir: bool,
        /// The path of the operand.
        source: PathBuf,
    },
    /// The source is copied into an existing directory that looks like an earlier copy of it.
    IntoCopy {
        /// The existing directory.
        directory: PathBuf,
        /// The path of the new copy.
        target: PathBuf,
    },
    /// A line of the manifest (a list of file hashes) cannot be used.
    BadManifestLine(BadManifestLine),
    /// The target must be a directory, and it is not one.
    TargetNotDirectory {
        /// Whether the target is the argument of `-t`.
        is_argument: bool,
        /// The path of the target.
        target: PathBuf,
        /// Why the target cannot be used.
        errno: Errno,
    },
    /// A directory is not copied, because `-r` is not given.
    DirectoryOmitted {
        /// The path of the directory.
        source: PathBuf,
    },
    /// An operand cannot be copied.
    Failed {
        /// Why the operand cannot be copied.
        error: EntryError,
        /// The path of the operand.
        source: PathBuf,
        /// The path that the operand would have in the target.
        target: PathBuf,
    },
    /// A directory above an operand cannot be created for `--parents`.
    ParentFailed(ParentError),
    /// A directory was created for `--parents`.
    ParentCreated {
        /// The directory above the operand.
        source: PathBuf,
        /// The new directory in the target.
        target: PathBuf,
    },
    /// An operand is about to be copied. cp prints this with `-v` even if the copy will fail.
    Announced {
        /// The path of the operand.
        source: PathBuf,
        /// The path that the operand would have in the target.
        target: PathBuf,
    },
}

/// Why a directory above an operand cannot be created in the target.
pub enum ParentError {
    /// The status of the source or target directory cannot be read.
    Stat(PathBuf, Errno),
    /// The target path exists and is not a directory.
    NotADirectory(PathBuf),
    /// The target directory cannot be created.
    Create(PathBuf, Errno),
}

/// How a note is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// As a warning; everything is copied.
    Warning,
    /// As an error that makes the run fail: an operand cannot be copied, or a line of a manifest cannot be
    /// used. Instead of reporting such a note about an operand, `pcopy` refuses the run; cp copies the other
    /// operands.
    Failure,
    /// As a name on standard output, with `-v`.
    Announcement,
}

impl NoteKind {
    /// Whether the note says that no operand has a target.
    pub(super) fn is_about_target(&self) -> bool {
        matches!(self, Self::TargetNotDirectory { .. })
    }

    /// Returns how the note is reported.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ContextIgnored
            | Self::UnreachableRule(_)
            | Self::IdleRules(..)
            | Self::BlankAtEnd(_)
            | Self::NothingExtraneous(_)
            | Self::NamedTwice { .. }
            | Self::IntoCopy { .. } => Severity::Warning,
            Self::BadManifestLine(_)
            | Self::NotMounted(_)
            | Self::ListedMissing(_)
            | Self::TargetNotDirectory { .. }
            | Self::DirectoryOmitted { .. }
            | Self::Failed { .. }
            | Self::ParentFailed(_) => Severity::Failure,
            Self::ParentCreated { .. } | Self::Announced { .. } => Severity::Announcement,
        }
    }
}
