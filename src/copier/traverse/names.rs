//! Where the names of a directory come from.

use crate::ipc::wire::task;
use pcopy_sys::file::Kind;
use pcopy_sys::listing::Listing;
use std::ffi::CStr;

/// A directory with more left than this many bytes of records is wide: other copiers may help with it.
///
/// Creates in one directory serialise in the kernel, so small ones must stay whole. Measured on ext4:
/// directories of 100 names cut in two, 2.3 s instead of 1.9 s; 50,000 names left whole, 2.2 s instead of
/// 1.4 s. 16 KiB are about 500 names.
pub(super) const WIDE_BYTES: usize = 16 * 1024;

/// Names to visit: the chunk that was just listed, or those of a task.
pub(in crate::copier) enum Names<'n> {
    Listed(&'n mut Listing),
    Handed(&'n [u8]),
}

impl Names<'_> {
    pub(super) fn next(&mut self) -> Option<(Kind, &CStr)> {
        match self {
            Names::Listed(listing) => listing.next_entry(),
            Names::Handed(names) => task::next_name(names),
        }
    }

    /// Whether so much is left that it may be shared.
    pub(super) fn is_wide(&self) -> bool {
        self.bytes_left() > WIDE_BYTES
    }

    /// Whether anything is left.
    pub(super) fn has_more(&self) -> bool {
        self.bytes_left() > 0
    }

    /// What is left, in bytes of directory records; a name in a task takes about half of one.
    pub(super) fn bytes_left(&self) -> usize {
        match self {
            Names::Listed(listing) => listing.bytes_left(),
            Names::Handed(names) => 2 * names.len(),
        }
    }
}
