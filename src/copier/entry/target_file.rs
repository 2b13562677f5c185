//! The target file that a copier writes.

use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The names in source and target by which other copiers can open the two files; `None` if the target is
/// reached through a symlink.
type NamePair<'a> = Option<(&'a CStr, &'a CStr)>;

/// The target file of one entry, open for writing. The status of an existing file is boxed, because pcopy moves
/// one of these for each file, and most are new.
pub(super) enum TargetFile<'a> {
    /// A file that the copier has created for this entry.
    New(OwnedFd, NamePair<'a>),
    /// A file that an interrupted run has begun for this entry; it has some of the data.
    Begun(OwnedFd, NamePair<'a>),
    /// An existing file, and its status before the copier writes into it. The last field says whether it still
    /// has its data; otherwise it is empty.
    Old(OwnedFd, Box<Stat>, NamePair<'a>, bool),
    /// A target that only receives bytes, and its status (see `StreamTarget`).
    Stream(OwnedFd, Box<Stat>),
}

impl<'a> TargetFile<'a> {
    pub(super) fn names(&self) -> NamePair<'a> {
        match self {
            TargetFile::New(_, known)
            | TargetFile::Begun(_, known)
            | TargetFile::Old(_, _, known, _) => *known,
            TargetFile::Stream(..) => None,
        }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        match self {
            TargetFile::New(file, _)
            | TargetFile::Begun(file, _)
            | TargetFile::Old(file, ..)
            | TargetFile::Stream(file, _) => file.as_fd(),
        }
    }

    /// Returns the device that contains the file. If a symlink leads to the file, the device may differ from
    /// that of the directory.
    pub(super) fn device(&self, dirs: &DirPair) -> u64 {
        match self {
            TargetFile::New(_, Some(_)) | TargetFile::Begun(..) => dirs.traits.device,
            TargetFile::New(file, None) => {
                let stat = file::stat_fd(file);
                stat.map_or(dirs.traits.device, |stat| stat.identity().0)
            }
            TargetFile::Old(_, old, ..) | TargetFile::Stream(_, old) => old.identity().0,
        }
    }

    /// Whether the target accepts bytes only in sequence, for example because it is not a regular file.
    pub(super) fn is_stream(&self) -> bool {
        match self {
            TargetFile::New(..) | TargetFile::Begun(..) => false,
            TargetFile::Old(_, old, ..) => old.kind() != Kind::File,
            TargetFile::Stream(..) => true,
        }
    }

    /// Whether the file has data already. Then only what differs from the source is written.
    pub(super) fn has_data(&self) -> bool {
        matches!(self, TargetFile::Begun(..) | TargetFile::Old(_, _, _, true))
    }

    pub(super) fn close(self) -> Result<(), EntryError> {
        let (TargetFile::New(file, _)
        | TargetFile::Begun(file, _)
        | TargetFile::Old(file, ..)
        | TargetFile::Stream(file, _)) = self;
        file::close(file).map_err(Op::Close.error())
    }
}
