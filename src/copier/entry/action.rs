//! What is to be done with one entry that is not a directory: the answer of `decide`, carried out by
//! `apply`.

use crate::policy::Policy;
use pcopy_sys::file::Stat;

/// What is to be done.
pub(crate) enum Action {
    /// Nothing but what the reason asks for: the existing entry stays.
    Skip {
        /// Why.
        reason: Reason,
        /// What exists.
        old: Stat,
    },
    /// Create it; the name is free.
    Create,
    /// Create it in place of what a copier of this run had begun under the same name when it died.
    CreateAnew,
    /// Create it where a symbolic link in the target leads that leads nowhere.
    CreateThrough,
    /// Build it under a staged name and rename it over the existing entry.
    Replace {
        /// What exists.
        old: Stat,
        /// Whether GNU cp removes that first, and says so.
        removed: bool,
    },
    /// Write into the existing file.
    WriteInto {
        /// Whether a symbolic link leads to it.
        through: bool,
    },
}

/// Why an existing entry stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A copier of this run had given it its name when it died, and had not reported it.
    Published,
    /// It is what the source is. What it lacks of the source's attributes is repaired.
    UpToDate,
    /// It is a regular file that `--attributes-only` gives the source's attributes and times.
    AttributesOnly,
    /// It is the source itself, or the link that it was to become.
    SameFile,
    /// It is not older than the source, and `--update` asks for that.
    NotOlder,
    /// `--update=none`: nothing is replaced.
    NoClobber,
}

impl Reason {
    /// Whether the other names of the source become links to what stays: it must be what they are.
    pub(crate) fn leads(self, policy: Policy) -> bool {
        match self {
            Self::Published | Self::UpToDate => true,
            Self::NotOlder => policy.links_newer_names,
            Self::AttributesOnly | Self::SameFile | Self::NoClobber => false,
        }
    }
}
