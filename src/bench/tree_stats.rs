//! Counts what a tree contains.

use super::abort::{Abort, SignalWatch};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use walkdir::WalkDir;

/// The smallest number of names with which the speed of a copy is given in files per second, not in bytes per
/// second.
const MANY_NAMES: u64 = 1000;

/// The numbers and sizes of a tree's entries.
#[derive(Clone, Default, Debug)]
pub(super) struct TreeStats {
    /// Regular files; a file with several names counts once.
    pub(super) files: u64,
    /// The second and further names of files with hard links.
    pub(super) extra_links: u64,
    /// Directories, without the root.
    pub(super) directories: u64,
    /// Symbolic links.
    pub(super) symlinks: u64,
    /// FIFOs, sockets and devices.
    pub(super) specials: u64,
    /// The sizes of all files; a file with several names counts once.
    pub(super) bytes: u64,
    /// The sizes of all files; a file counts once for each of its names.
    pub(super) bytes_by_name: u64,
    /// The disk space that the file system has allocated to all files, in bytes.
    pub(super) allocated: u64,
}

impl TreeStats {
    /// Walks the tree at `root` and counts its entries.
    pub(super) fn collect(root: &Path, signals: &SignalWatch) -> Result<Self, Abort> {
        let mut stats = Self::default();
        let mut seen = HashSet::new();
        for entry in WalkDir::new(root).min_depth(1) {
            signals.check()?;
            let entry = entry.map_err(|error| cannot_read(root, error))?;
            let metadata = entry.metadata().map_err(|error| cannot_read(entry.path(), error))?;
            let kind = metadata.file_type();
            if kind.is_file() {
                stats.bytes_by_name += metadata.len();
            }
            if kind.is_dir() {
                stats.directories += 1;
            } else if kind.is_symlink() {
                stats.symlinks += 1;
            } else if !kind.is_file() {
                stats.specials += 1;
            } else if metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
                stats.extra_links += 1;
            } else {
                stats.files += 1;
                stats.bytes += metadata.len();
                stats.allocated += metadata.blocks() * 512;
            }
        }
        Ok(stats)
    }

    /// Returns the number of entries that are not directories.
    pub(super) fn names(&self) -> u64 {
        self.files + self.extra_links + self.symlinks + self.specials
    }

    /// Returns the number of bytes that a copy has to transfer. Holes do not count.
    pub(super) fn data(&self) -> u64 {
        if self.has_holes() { self.allocated } else { self.bytes }
    }

    /// Whether more than a tenth of the bytes are holes. In a tree of at most 1 MiB, holes are ignored.
    pub(super) fn has_holes(&self) -> bool {
        self.bytes > 1 << 20 && self.allocated < self.bytes / 10 * 9
    }

    /// Whether the speed of a copy is given in files per second rather than in bytes per second.
    pub(super) fn is_rated_in_files(&self) -> bool {
        self.names() >= MANY_NAMES
    }
}

/// Returns the error for an entry that `walkdir` could not read in the tree at `root`.
pub(super) fn cannot_read(root: &Path, error: walkdir::Error) -> Abort {
    let path = error.path().unwrap_or(root).to_owned();
    Abort::cannot("read", &path, &error.into())
}
