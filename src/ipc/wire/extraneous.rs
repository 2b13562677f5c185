//! What the target has and the source does not have, as a copier reports it.

use super::fields::{Field, get_u8, get_u64, put_u64};
use pcopy_sys::file::Identity;

/// Something in the target that the source does not have, and that is to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extraneous {
    /// An entry that is not a directory, in a directory that the source has.
    Entry {
        /// The inode of that directory in the target: only there the entry is removed.
        dir: Identity,
    },
    /// A directory that the source does not have.
    Directory(ExtraneousDir),
}

/// A directory that the source does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ExtraneousDir {
    /// Its inode: only the directory that was looked at is cleared.
    pub identity: Identity,
    /// How many entries in it are removed that are not directories.
    pub entries: u64,
    /// Whether the directory itself is removed. Otherwise it has an entry that stays, or one of its directories has.
    pub is_removed: bool,
    /// Whether it is removed, and the directory above stays.
    pub is_uppermost: bool,
    /// Whether the source has the directory above.
    pub is_in_source_dir: bool,
    /// Whether it has directories that are removed.
    pub has_dirs: bool,
}

impl ExtraneousDir {
    /// Returns how many entries are removed, without those of the directories in it.
    pub(crate) fn removals(&self) -> u64 {
        self.entries.saturating_add(self.is_removed.into())
    }
}

const IS_DIR: u8 = 1;
const IS_REMOVED: u8 = 2;
const IS_UPPERMOST: u8 = 4;
const HAS_DIRS: u8 = 8;
const IS_IN_SOURCE_DIR: u8 = 16;

impl Field for Extraneous {
    fn put(&self, into: &mut Vec<u8>) {
        let dir = match self {
            Self::Entry { dir } => {
                into.push(0);
                return dir.put(into);
            }
            Self::Directory(dir) => dir,
        };
        let flags = [
            (true, IS_DIR),
            (dir.is_removed, IS_REMOVED),
            (dir.is_uppermost, IS_UPPERMOST),
            (dir.has_dirs, HAS_DIRS),
            (dir.is_in_source_dir, IS_IN_SOURCE_DIR),
        ];
        into.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        dir.identity.put(into);
        put_u64(into, dir.entries);
    }

    fn get(from: &mut &[u8]) -> Option<Self> {
        let flags = get_u8(from)?;
        let identity = Identity::get(from)?;
        if flags & IS_DIR == 0 {
            return Some(Self::Entry { dir: identity });
        }
        let entries = get_u64(from)?;
        Some(Self::Directory(ExtraneousDir {
            identity,
            entries,
            is_removed: flags & IS_REMOVED != 0,
            is_uppermost: flags & IS_UPPERMOST != 0,
            has_dirs: flags & HAS_DIRS != 0,
            is_in_source_dir: flags & IS_IN_SOURCE_DIR != 0,
        }))
    }
}
