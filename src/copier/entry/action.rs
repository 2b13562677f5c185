//! What a copier does with one entry that is not a directory: `decide` chooses an action, and `apply` carries
//! it out.

use crate::policy::Policy;
use pcopy_sys::file::Stat;

/// What to do with an entry.
pub(crate) enum Action {
    /// Keep the existing entry, and do only what the reason requires.
    Skip {
        /// Why the existing entry stays.
        reason: Reason,
        /// The status of the existing entry. If cp writes through a symlink, this is the status of the file
        /// that the symlink leads to.
        old: Stat,
    },
    /// Create the entry; its name does not exist.
    Create,
    /// Remove the incomplete entry and create it again: a copier of this run died while it created the entry
    /// under its final name.
    CreateAnew,
    /// Create the file to which a dangling symlink in the target leads.
    CreateThrough,
    /// Build the entry under a staged name and rename it over the existing entry.
    Replace {
        /// The status of the existing entry.
        old: Stat,
        /// Whether GNU cp would remove the existing entry first, and report that.
        removed: bool,
    },
    /// Write into the existing file.
    WriteInto {
        /// Whether the existing entry is a symlink to that file.
        through: bool,
    },
}

/// Why an existing entry stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A copier of this run renamed the entry into place, and died before it reported the entry.
    Published,
    /// The existing entry is up to date. The copier repairs attributes that differ from the source's.
    UpToDate,
    /// Like `UpToDate`, but the source may have changed although it has the same size and time, so the contents were
    /// compared.
    Compared(Doubt),
    /// The existing entry has the type of the source, and `--attributes-only` sets only attributes and times.
    AttributesOnly,
    /// The existing entry is the source itself, or is already the link that the copier would make.
    SameFile,
    /// The existing entry is not older than the source, and `--update=older` replaces only older entries.
    NotOlder,
    /// `--update=none` replaces no existing entry.
    NoClobber,
}

/// Why the size and the time of a source do not prove that it is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doubt {
    /// SRC is this one file: the user expects that it is copied.
    OnlySource,
    /// Its status changed later than that of its copy.
    ChangedLater,
}

impl Reason {
    /// Whether the other names of the source become hard links to the existing entry. They do if that entry
    /// is a copy of the source. With cp's rules they also do if that entry is not older than the source.
    pub(crate) fn leads(self, policy: Policy) -> bool {
        match self {
            Self::Published | Self::UpToDate | Self::Compared(_) => true,
            Self::NotOlder => policy.links_newer_names,
            Self::AttributesOnly | Self::SameFile | Self::NoClobber => false,
        }
    }
}
