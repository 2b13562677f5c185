//! The names of a source directory that a walk has listed: what the target has besides them is extraneous.

use crate::ipc::fingerprint::fingerprint;
use pcopy_sys::dir_reader::DirReader;
use std::ffi::CStr;

/// The names that were listed, as fingerprints: 8 bytes for each. If two names have one, an extraneous entry stays.
#[derive(Default)]
pub(in crate::copier) struct KnownNames(Vec<u64>);

impl KnownNames {
    /// Adds the names of the part of a listing that was just read.
    pub(super) fn add(&mut self, listing: &DirReader) {
        self.0.extend(listing.names().map(fingerprint));
    }

    /// Must be called after the last [`add`](Self::add).
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    /// Whether the name was listed.
    pub(in crate::copier) fn has(&self, name: &CStr) -> bool {
        self.0.binary_search(&fingerprint(name)).is_ok()
    }
}
