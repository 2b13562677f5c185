//! The names of a source directory that a walk has listed: what the target has besides them is extraneous.

use crate::ipc::fingerprint::fingerprint;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::Kind;
use std::ffi::CStr;

/// The names that were listed, as fingerprints: 8 bytes for each. The last bit says whether it is a directory. If two names
/// have one fingerprint, an extraneous entry stays.
#[derive(Default)]
pub(in crate::copier) struct KnownNames(Vec<u64>);

impl KnownNames {
    /// Adds the names of the part of a listing that was just read.
    pub(super) fn add(&mut self, listing: &DirReader) {
        let packed = |(kind, name)| without_type(name) | u64::from(kind == Kind::Directory);
        self.0.extend(listing.entries().map(packed));
    }

    /// Must be called after the last [`add`](Self::add).
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    /// Whether the name was listed.
    pub(in crate::copier) fn has(&self, name: &CStr) -> bool {
        self.is_dir(name).is_some()
    }

    /// Whether the name was listed as a directory; `None` if it was not listed.
    pub(in crate::copier) fn is_dir(&self, name: &CStr) -> Option<bool> {
        let wanted = without_type(name);
        let found = self.0.get(self.0.partition_point(|&known| known < wanted))?;
        (found & !1 == wanted).then_some(found & 1 == 1)
    }
}

fn without_type(name: &CStr) -> u64 {
    fingerprint(name) & !1
}
