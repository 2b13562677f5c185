//! The file that is written, and how that ended.

use super::data::Unfinished;
use super::dir_pair::DirPair;
use super::file::{Done, changed};
use crate::error::{EntryError, Op};
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How an entry was filled.
pub(super) enum Filled {
    /// As the source is, perhaps but for something that leaves it whole.
    Whole(Option<EntryError>),
    /// The source did not stay as it was while it was read.
    Changed,
}

impl Filled {
    /// The entry's end.
    pub(super) fn into_done(self) -> Result<Done, Unfinished> {
        match self {
            Filled::Whole(None) => Ok(Done::Copied),
            Filled::Whole(Some(lacking)) => Err(lacking.into()),
            Filled::Changed => Err(changed()),
        }
    }
}

/// Under which names others find the source and what is written; nothing where symlinks lead to it.
type OpenNames<'a> = Option<(&'a CStr, &'a CStr)>;

/// The file that is written.
pub(super) enum TargetFile<'a> {
    /// It was made for that.
    New(OwnedFd, OpenNames<'a>),
    /// It stood there, and was this.
    Old(OwnedFd, Stat, OpenNames<'a>),
}

impl<'a> TargetFile<'a> {
    pub(super) fn names(&self) -> OpenNames<'a> {
        match self {
            TargetFile::New(_, known) | TargetFile::Old(_, _, known) => *known,
        }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        match self {
            TargetFile::New(file, _) | TargetFile::Old(file, _, _) => file.as_fd(),
        }
    }

    /// The device that it is on: a symlink may lead to it from another.
    pub(super) fn device(&self, dirs: &DirPair) -> u64 {
        match self {
            TargetFile::New(..) => dirs.traits.device,
            TargetFile::Old(_, old, _) => old.identity().0,
        }
    }

    /// Whether it takes bytes one after the other, and has no size.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, TargetFile::Old(_, old, _) if old.kind() != Kind::File)
    }

    pub(super) fn close(self) -> Result<(), EntryError> {
        let (TargetFile::New(file, _) | TargetFile::Old(file, _, _)) = self;
        file::close(file).map_err(Op::Close.error())
    }
}
