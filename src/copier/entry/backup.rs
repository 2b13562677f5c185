//! Backups of existing destination entries before they are replaced.
//!
//! The old entry is linked to the name of its backup before the new one is renamed into place, so that it
//! always has a name, whenever a copier is killed. If it cannot be linked (a file system without hard
//! links, a file of another user), it is renamed, and renamed back if the new entry cannot be put into
//! place.

use super::discard;
use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::BackupKind;
use crate::options::{Backup, Control};
use crate::plan::backup_name::{numbered_suffix, split_number};
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// The highest backup number of each name in one directory.
#[derive(Default)]
pub(super) struct BackupNumbers {
    of: Option<Identity>,
    highest: HashMap<Vec<u8>, u64>,
}

impl BackupNumbers {
    /// Makes the backup of the present `name` in the target, as the options in `backup` say. Returns the
    /// kind of its name, and the name itself if the entry had to be renamed instead of linked.
    pub(super) fn keep(
        &mut self,
        backup: &Backup,
        dirs: &DirPair,
        (source, source_name): (&Stat, &CStr),
        name: &CStr,
    ) -> Result<(BackupKind, Option<CString>), EntryError> {
        let error = Op::Backup.error();
        let numbered = match backup.control {
            Control::Simple => false,
            Control::Numbered => true,
            Control::Existing => self.highest(dirs, name).map_err(&error)? > 0,
        };
        if numbered {
            self.keep_numbered(dirs, name)
        } else {
            keep_simple(backup, dirs, (source, source_name), name)
                .map(|moved| (BackupKind::Simple, moved))
        }
    }

    fn keep_numbered(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
    ) -> Result<(BackupKind, Option<CString>), EntryError> {
        let error = Op::Backup.error();
        let mut number = self.highest(dirs, name).map_err(&error)?;
        // A copier that died after making the backup may have left it.
        if number > 0 && is_that_already(dirs, name, number) {
            return Ok((BackupKind::Numbered(number), None));
        }
        loop {
            number += 1;
            let suffix = numbered_suffix(number);
            let second = with_suffix(name, suffix.as_bytes()).map_err(&error)?;
            match second_name(dirs, name, &second) {
                Err(Errno::EEXIST) => {} // another process has taken that number
                result => {
                    self.highest.insert(name.to_bytes().to_vec(), number);
                    let moved = result.map_err(error)?.then_some(second);
                    return Ok((BackupKind::Numbered(number), moved));
                }
            }
        }
    }

    /// The highest backup number of `name`; the directory is listed once, not for each of its files.
    fn highest(&mut self, dirs: &DirPair, name: &CStr) -> Result<u64, Errno> {
        let identity = file::stat_fd(&dirs.target)?.identity();
        if self.of != Some(identity) {
            self.highest.clear();
            let opened = file::open_dir_at(&dirs.target, c".")?; // with a file offset of its own
            let mut listing = DirReader::new();
            while listing.fill(opened.as_fd())? {
                while let Some((_, name)) = listing.next_entry() {
                    if let Some((name, number)) = split_number(name.to_bytes()) {
                        let highest = self.highest.entry(name.to_vec()).or_default();
                        *highest = number.max(*highest);
                    }
                }
            }
            self.of = Some(identity);
        }
        Ok(self.highest.get(name.to_bytes()).copied().unwrap_or(0))
    }
}

/// Whether the backup with this number and `name` are the same inode.
fn is_that_already(dirs: &DirPair, name: &CStr, number: u64) -> bool {
    let identity = |name: &CStr| file::stat_at(&dirs.target, name).map(|stat| stat.identity());
    let second = with_suffix(name, numbered_suffix(number).as_bytes());
    second.is_ok_and(|second| identity(&second).is_ok_and(|second| Ok(second) == identity(name)))
}

fn keep_simple(
    backup: &Backup,
    dirs: &DirPair,
    (source, source_name): (&Stat, &CStr),
    name: &CStr,
) -> Result<Option<CString>, EntryError> {
    let error = Op::Backup.error();
    let second = with_suffix(name, backup.suffix.as_bytes()).map_err(&error)?;
    match file::stat_at(&dirs.target, &second) {
        // If the source has another name, it is not lost.
        Ok(old) if old.identity() == source.identity() && second.as_c_str() == source_name => {
            return Err(Op::BackupIsSource.error()(Errno::EEXIST));
        }
        Ok(old) if old.kind() == Kind::Directory => return Err(error(Errno::EISDIR)),
        Err(Errno::ENOENT) => match second_name(dirs, name, &second) {
            Err(Errno::EEXIST) => {} // created meanwhile; replaced like any older backup
            result => return result.map(|moved| moved.then_some(second)).map_err(error),
        },
        Ok(_) => {}
        Err(errno) => return Err(error(errno)),
    }
    let same = file::stat_at(&dirs.target, &second).map_err(&error)?.identity()
        == file::stat_at(&dirs.target, name).map_err(&error)?.identity();
    if same {
        return Ok(None); // they are the same inode; rename(2) would do nothing
    }
    // Linked to a temporary name first: the older backup stays until this one replaces it.
    let (dir, beside) = (dirs.target.as_fd(), staged_name(&second, 1));
    let link = || file::link(dir, name, dir, &beside, false);
    let linked = match link() {
        Err(Errno::EEXIST) => {
            file::unlink(dir, &beside).map_err(&error)?; // left by an interrupted run
            link()
        }
        result => result,
    };
    match linked {
        // The old file still has its first name, so that the temporary one may be removed.
        Ok(()) => file::rename(dir, &beside, &second)
            .map(|()| None)
            .inspect_err(|_| discard(dirs, &beside)),
        Err(errno) if is_without_links(errno) => {
            file::rename(dir, name, &second).map(|()| Some(second))
        }
        Err(errno) => Err(errno),
    }
    .map_err(error)
}

/// Links `name` to `second`; if hard links are not possible, renames it and returns true.
fn second_name(dirs: &DirPair, name: &CStr, second: &CStr) -> Result<bool, Errno> {
    let dir = dirs.target.as_fd();
    match file::link(dir, name, dir, second, false) {
        Err(errno) if is_without_links(errno) => {
            file::rename_noreplace(dir, name, second).map(|()| true)
        }
        result => result.map(|()| false),
    }
}

/// Whether a file cannot be linked: the file system has no hard links, the file has too many, or it belongs
/// to another user.
fn is_without_links(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK)
}

fn with_suffix(name: &CStr, suffix: &[u8]) -> Result<CString, Errno> {
    CString::new([name.to_bytes(), suffix].concat()).map_err(|_| Errno::EINVAL)
}
