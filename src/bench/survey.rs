//! What is in a tree.

use super::stop::{Stop, Watch};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use walkdir::WalkDir;

/// What is in a tree.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts {
    /// Regular files, each once, however many names it has.
    pub(super) files: u64,
    /// Names of files beyond their first ones.
    pub(super) links: u64,
    /// Folders, without the root.
    pub(super) folders: u64,
    /// Symlinks.
    pub(super) symlinks: u64,
    /// FIFOs, sockets, devices.
    pub(super) others: u64,
    /// The sizes of all files.
    pub(super) bytes: u64,
    /// The same, each as often as it has names.
    pub(super) bytes_by_name: u64,
    /// What they take on the disk.
    pub(super) allocated: u64,
}

impl Facts {
    /// Everything that has a name and is no folder.
    pub(super) fn names(&self) -> u64 {
        self.files + self.links + self.symlinks + self.others
    }

    /// How many bytes are there to be copied.
    pub(super) fn data(&self) -> u64 {
        if self.has_holes() { self.allocated } else { self.bytes }
    }

    /// Whether so much of it is holes that it matters.
    pub(super) fn has_holes(&self) -> bool {
        self.bytes > 1 << 20 && self.allocated < self.bytes / 10 * 9
    }
}

/// Looks at all of the tree.
pub(super) fn survey(root: &Path, watch: &Watch) -> Result<Facts, Stop> {
    let mut facts = Facts::default();
    let mut seen = HashSet::new();
    for entry in WalkDir::new(root).min_depth(1) {
        watch.look()?;
        let entry = entry.map_err(|error| unreadable(root, error))?;
        let metadata = entry.metadata().map_err(|error| unreadable(entry.path(), error))?;
        let kind = metadata.file_type();
        if kind.is_file() {
            facts.bytes_by_name += metadata.len();
        }
        if kind.is_dir() {
            facts.folders += 1;
        } else if kind.is_symlink() {
            facts.symlinks += 1;
        } else if !kind.is_file() {
            facts.others += 1;
        } else if metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
            facts.links += 1;
        } else {
            facts.files += 1;
            facts.bytes += metadata.len();
            facts.allocated += metadata.blocks() * 512;
        }
    }
    Ok(facts)
}

/// What is told of an entry that the walk could not read.
pub(super) fn unreadable(path: &Path, error: walkdir::Error) -> Stop {
    let path = error.path().unwrap_or(path).to_owned();
    Stop::cannot("read", &path, &error.into())
}
