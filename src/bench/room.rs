//! Whether there is room for what is to be made.

use super::place::Place;
use super::stop::{Stop, Watch};
use super::survey::Facts;
use super::trees::{Entry, Tree};
use crate::human;
use crate::quote::quote;
use crate::sys::volume;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is kept free beside what is planned.
const RESERVE: u64 = 16 << 20;

/// What a file system allocates at once.
const BLOCK: u64 = 4096;

/// What an entry takes beside its contents.
const INODE: u64 = 1024;

/// After so many entries of a tree it is time to look for signals.
const LOOK_EVERY: u64 = 1 << 16;

fn in_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

/// Refuses if the largest of the trees, or its copy, has no room.
pub(super) fn for_trees(place: &Place, trees: &[Tree], watch: &Watch) -> Result<(), Stop> {
    for tree in trees {
        let (mut source, mut copy, mut entries) = (0, 0, 0);
        let counted: Result<(), Stop> = tree.each(|_, entry| {
            entries += 1;
            if entries % LOOK_EVERY == 0 {
                watch.look()?;
            }
            match entry {
                Entry::File { bytes, .. } => {
                    source += in_blocks(bytes);
                    copy += in_blocks(bytes);
                }
                // Some programs fill the holes, and some make two files of two names.
                Entry::Image { bytes, piece, at, .. } => {
                    source += piece * at.len() as u64;
                    copy += bytes;
                }
                Entry::Link(_) => copy += BLOCK,
                Entry::Folder | Entry::Symlink(_) => {}
            }
            Ok(())
        });
        counted?;
        let inodes = entries * INODE;
        check(&[
            (place.sources(), source + inodes, entries),
            (place.copies(), copy + inodes, entries),
        ])?;
    }
    Ok(())
}

/// Refuses if a copy of a folder has no room, whoever makes it.
pub(super) fn for_folder(place: &Place, facts: &Facts) -> Result<(), Stop> {
    let entries = facts.names() + facts.folders;
    // Some programs make a file of each name and fill holes; and the last block is not full.
    let bytes = facts.bytes_by_name + facts.names() * BLOCK + entries * INODE;
    check(&[(place.copies(), bytes, entries)])
}

/// Refuses if there is no room for so many bytes in so many entries, at each place where they go.
fn check(places: &[(&Path, u64, u64)]) -> Result<(), Stop> {
    let device = |path: &Path| {
        fs::metadata(path).map(|of| of.dev()).map_err(|error| Stop::cannot("open", path, &error))
    };
    for &(path, ..) in places {
        let (mut bytes, mut entries) = (RESERVE, 0);
        for &(other, more_bytes, more_entries) in places {
            if device(other)? == device(path)? {
                bytes += more_bytes;
                entries += more_entries;
            }
        }
        let room = volume::room(path).map_err(|errno| Stop::cannot("open", path, &errno.into()))?;
        let name = quote(path.as_os_str().as_encoded_bytes());
        if room.bytes < bytes {
            let (free, needed) = (human::bytes(room.bytes), human::bytes(bytes));
            return Err(Stop::refuse(format!(
                "not enough room in {name}: {free} are free, {needed} are needed"
            )));
        }
        if let Some(free) = room.entries.filter(|&free| free < entries) {
            let (free, needed) = (human::count(free), human::count(entries));
            return Err(Stop::refuse(format!(
                "not enough room in {name}: {free} entries are free, {needed} are needed"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_one_file_system_is_added_up() {
        let dir = tempfile::tempdir().unwrap();
        let free = volume::room(dir.path()).unwrap().bytes;
        let part = |share: u64| (dir.path(), free / 100 * share, 1);
        assert!(check(&[part(30), part(20)]).is_ok());
        assert!(check(&[part(70), part(70)]).is_err());
    }
}
