//! The file that is written.

use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The names under which other copiers find the source and the target; none where a symlink leads to it.
type NamePair<'a> = Option<(&'a CStr, &'a CStr)>;

/// The file that is written.
pub(super) enum TargetFile<'a> {
    /// Created for this entry.
    New(OwnedFd, NamePair<'a>),
    /// It existed, as this.
    Old(OwnedFd, Stat, NamePair<'a>),
}

impl<'a> TargetFile<'a> {
    pub(super) fn names(&self) -> NamePair<'a> {
        match self {
            TargetFile::New(_, known) | TargetFile::Old(_, _, known) => *known,
        }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        match self {
            TargetFile::New(file, _) | TargetFile::Old(file, _, _) => file.as_fd(),
        }
    }

    /// The device that it is on: a symlink may lead there from another.
    pub(super) fn device(&self, dirs: &DirPair) -> u64 {
        match self {
            TargetFile::New(..) => dirs.traits.device,
            TargetFile::Old(_, old, _) => old.identity().0,
        }
    }

    /// Whether it takes bytes in their order only, and has no size.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, TargetFile::Old(_, old, _) if old.kind() != Kind::File)
    }

    pub(super) fn close(self) -> Result<(), EntryError> {
        let (TargetFile::New(file, _) | TargetFile::Old(file, _, _)) = self;
        file::close(file).map_err(Op::Close.error())
    }
}
