//! Checks that the file systems have enough free space for the trees and for their copies.

use super::abort::{Abort, SignalWatch};
use super::tree_stats::TreeStats;
use super::trees::{TreeEntry, TreeSpec};
use super::workdir::WorkDirs;
use crate::sanitize::quote;
use crate::ui::numbers;
use pcopy_sys::statfs;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The space that must remain free, in bytes.
const RESERVE_BYTES: u64 = 16 << 20;

/// The unit in which file systems are assumed to allocate space, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// The space that an entry is assumed to need besides its contents, in bytes.
const INODE_BYTES: u64 = 1024;

/// The number of entries that are counted between two checks for signals.
const SIGNAL_INTERVAL: u64 = 1 << 16;

/// The space that a tree or copy needs on the file system of `path`.
struct Need<'a> {
    path: &'a Path,
    bytes: u64,
    inodes: u64,
}

/// Returns an error if any of the trees does not fit together with its copy.
pub(super) fn check_for_trees(
    dirs: &WorkDirs,
    trees: &[TreeSpec],
    signals: &SignalWatch,
) -> Result<(), Abort> {
    for tree in trees {
        let mut source = Need { path: dirs.sources(), bytes: 0, inodes: 0 };
        let mut copy = Need { path: dirs.copies(), bytes: 0, inodes: 0 };
        tree.for_each_entry(|_, entry| {
            for need in [&mut source, &mut copy] {
                need.inodes += 1;
                need.bytes += INODE_BYTES;
            }
            if source.inodes.is_multiple_of(SIGNAL_INTERVAL) {
                signals.check()?;
            }
            match entry {
                TreeEntry::File { bytes, .. } => {
                    source.bytes += bytes.next_multiple_of(BLOCK_BYTES);
                    copy.bytes += bytes.next_multiple_of(BLOCK_BYTES);
                }
                // Some programs fill holes, and some copy a hard link as a separate file.
                TreeEntry::SparseFile { bytes, chunk, offsets, .. } => {
                    source.bytes += chunk * offsets.len() as u64;
                    copy.bytes += bytes;
                }
                TreeEntry::HardLink(_) => copy.bytes += BLOCK_BYTES,
                TreeEntry::Directory | TreeEntry::Symlink(_) => {}
            }
            Ok::<(), Abort>(())
        })?;
        check(&[source, copy])?;
    }
    Ok(())
}

/// Returns an error if a copy of the user's directory does not fit.
pub(super) fn check_for_directory(dirs: &WorkDirs, stats: &TreeStats) -> Result<(), Abort> {
    let inodes = stats.names() + stats.directories;
    // Some programs fill holes, and some copy a hard link as a separate file. `BLOCK_BYTES` for each name
    // accounts for the last block of a file, which is not full.
    let bytes = stats.bytes_by_name + stats.names() * BLOCK_BYTES + inodes * INODE_BYTES;
    check(&[Need { path: dirs.copies(), bytes, inodes }])
}

/// Returns an error if a file system has less space than `needs` ask for. If several needs are on one file
/// system, they are added up.
fn check(needs: &[Need<'_>]) -> Result<(), Abort> {
    let device = |path: &Path| {
        fs::metadata(path).map(|of| of.dev()).map_err(|error| Abort::cannot("open", path, &error))
    };
    for Need { path, .. } in needs {
        let (mut bytes, mut inodes) = (RESERVE_BYTES, 0);
        for other in needs {
            if device(other.path)? == device(path)? {
                bytes += other.bytes;
                inodes += other.inodes;
            }
        }
        let free =
            statfs::free_space(path).map_err(|errno| Abort::cannot("open", path, &errno.into()))?;
        let name = quote(path.as_os_str().as_encoded_bytes());
        if free.bytes < bytes {
            let (free, needed) = (numbers::bytes(free.bytes), numbers::bytes(bytes));
            let message = format!("not enough space in {name}: {free} free, {needed} needed");
            return Err(Abort::error(message));
        }
        if let Some(free) = free.entries.filter(|&free| free < inodes) {
            let (free, needed) = (numbers::count(free), numbers::count(inodes));
            let message = format!("not enough inodes in {name}: {free} free, {needed} needed");
            return Err(Abort::error(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_on_the_same_file_system_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let free = statfs::free_space(dir.path()).unwrap().bytes;
        let percent = |share: u64| Need { path: dir.path(), bytes: free / 100 * share, inodes: 1 };
        assert!(check(&[percent(30), percent(20)]).is_ok());
        assert!(check(&[percent(70), percent(70)]).is_err());
    }
}
