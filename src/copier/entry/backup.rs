//! Makes backups of existing destination entries before a copier replaces them.
//!
//! The copier links the existing entry to the name of the backup, and then renames the new entry into place.
//! So the existing entry has a name at every moment, whenever the copier is killed. If the existing entry
//! cannot be linked (a file system without hard links, a file of another user), the copier renames it. If the
//! copier then cannot rename the new entry into place, it renames the existing entry back.

use super::{Entry, discard};
use crate::copier::context::Context;
use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op, may_forbid_link};
use crate::ipc::wire::event::BackupKind;
use crate::options::{Backup, Control};
use crate::plan::backup_dir::{BackupDir, Doomed, Kept};
use crate::plan::backup_name::{numbered_suffix, split_number};
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The highest backup number of each name in one directory.
#[derive(Default)]
pub(super) struct BackupNumbers {
    of: Option<Identity>,
    highest: HashMap<Vec<u8>, u64>,
}

impl BackupNumbers {
    /// Makes the backup of the existing entry in the target, as the options in `backup` require.
    /// Returns the kind of the backup's name. Also returns that name if the copier had to rename the entry
    /// instead of linking it.
    pub(super) fn back_up(
        &mut self,
        cx: &Context<'_>,
        backup: &Backup,
        entry: &Entry<'_>,
        source: &Stat,
    ) -> Result<(BackupKind, Option<Moved>), EntryError> {
        let error = Op::Backup.error();
        let (dirs, source_name, name) = (entry.dirs, entry.name, entry.target_name);
        let beside = |moved: Option<CString>| moved.map(|name| Moved { dir: None, name });
        if let Some(backups) = &cx.plan().backup_dir {
            let moved = keep_elsewhere(cx, backups, entry).map_err(error)?;
            return Ok((BackupKind::None, moved));
        }
        let numbered = match backup.control {
            Control::Simple => false,
            Control::Numbered => true,
            Control::Existing => self.highest(dirs, name).map_err(&error)? > 0,
        };
        if numbered {
            self.keep_numbered(dirs, name).map(|(kind, moved)| (kind, beside(moved)))
        } else {
            keep_simple(backup, dirs, (source, source_name), name)
                .map(|moved| (BackupKind::Simple, beside(moved)))
        }
    }

    fn keep_numbered(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
    ) -> Result<(BackupKind, Option<CString>), EntryError> {
        let error = Op::Backup.error();
        let mut number = self.highest(dirs, name).map_err(&error)?;
        // A copier that died may have made this backup already.
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

    /// Returns the highest number of an existing backup of `name`, or 0. Lists the directory only if the
    /// previous call was for another directory, and so not for each of its files.
    fn highest(&mut self, dirs: &DirPair, name: &CStr) -> Result<u64, Errno> {
        let identity = file::stat_fd(&dirs.target)?.identity();
        if self.of != Some(identity) {
            self.highest.clear();
            // a descriptor with its own file offset
            match file::open_dir_at(&dirs.target, c".") {
                Ok(opened) => self.list_numbers(&opened)?,
                // As for cp, a directory that cannot be listed has no numbered backups. A number that is taken
                // all the same is not used again.
                Err(Errno::EACCES) => {}
                Err(errno) => return Err(errno),
            }
            self.of = Some(identity);
        }
        Ok(self.highest.get(name.to_bytes()).copied().unwrap_or(0))
    }

    fn list_numbers(&mut self, dir: &OwnedFd) -> Result<(), Errno> {
        let mut listing = DirReader::new();
        while listing.fill(dir.as_fd())? {
            while let Some((_, name)) = listing.next_entry() {
                if let Some((name, number)) = split_number(name.to_bytes()) {
                    let highest = self.highest.entry(name.to_vec()).or_default();
                    *highest = number.max(*highest);
                }
            }
        }
        Ok(())
    }
}

/// An entry that was renamed instead of linked.
pub(super) struct Moved {
    /// The directory that it was moved to; `None` if it stayed in its own.
    dir: Option<OwnedFd>,
    /// Its name there.
    name: CString,
}

impl Moved {
    /// Moves the entry back, because that which was to replace it could not.
    pub(super) fn undo(&self, dirs: &DirPair, name: &CStr) {
        let target = dirs.target.as_fd();
        let from = self.dir.as_ref().map_or(target, AsFd::as_fd);
        if file::move_noreplace(from, &self.name, target, name).is_err() {
            // Ignored: the existing entry keeps the name of its backup. The error that is reported names the entry.
        }
    }
}

fn keep_elsewhere(
    cx: &Context<'_>,
    backups: &BackupDir,
    entry: &Entry<'_>,
) -> Result<Option<Moved>, Errno> {
    let operand = cx.plan().operands.get(entry.at.operand as usize).ok_or(Errno::EINVAL)?;
    let doomed = Doomed {
        operand,
        dir_path: &entry.at.target,
        dir: entry.dirs.target.as_fd(),
        name: entry.target_name,
    };
    Ok(match cx.plan().keep_second(backups, doomed)? {
        Kept::Linked => None,
        Kept::Moved(dir, name) => Some(Moved { dir: Some(dir), name }),
    })
}

/// Whether `name` and its backup with this number are the same inode.
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
        // The backup would replace the source. If the source is the same inode under another name, nothing is
        // lost.
        Ok(old) if old.identity() == source.identity() && second.as_c_str() == source_name => {
            return Err(Op::BackupIsSource.error()(Errno::EEXIST));
        }
        Ok(old) if old.kind() == Kind::Directory => return Err(error(Errno::EISDIR)),
        Err(Errno::ENOENT) => match second_name(dirs, name, &second) {
            Err(Errno::EEXIST) => {} // created meanwhile by another process; replaced like any older backup
            result => return result.map(|moved| moved.then_some(second)).map_err(error),
        },
        Ok(_) => {}
        Err(errno) => return Err(error(errno)),
    }
    let same = file::stat_at(&dirs.target, &second).map_err(&error)?.identity()
        == file::stat_at(&dirs.target, name).map_err(&error)?.identity();
    if same {
        return Ok(None); // both names are the same inode; rename(2) would do nothing
    }
    // The link gets a temporary name first, so that the older backup stays until a rename replaces it.
    let (dir, beside) = (dirs.target.as_fd(), staged_name(&second, 1));
    let link = || file::link(dir, name, dir, &beside, false);
    let linked = match link() {
        Err(Errno::EEXIST) => {
            file::unlink(dir, &beside).map_err(&error)?; // an interrupted run has left it
            link()
        }
        result => result,
    };
    match linked {
        // The temporary name may be removed on an error: the existing entry still has its own name.
        Ok(()) => file::rename(dir, &beside, &second)
            .map(|()| None)
            .inspect_err(|_| discard(dirs, &beside)),
        Err(errno) if may_forbid_link(errno) => {
            file::rename(dir, name, &second).map(|()| Some(second))
        }
        Err(errno) => Err(errno),
    }
    .map_err(error)
}

/// Makes `second` a hard link to `name` and returns false. If hard links are not possible, renames `name` to
/// `second` and returns true. Fails with `EEXIST` if `second` exists.
fn second_name(dirs: &DirPair, name: &CStr, second: &CStr) -> Result<bool, Errno> {
    let dir = dirs.target.as_fd();
    match file::link(dir, name, dir, second, false) {
        Err(errno) if may_forbid_link(errno) => {
            file::rename_noreplace(dir, name, second).map(|()| true)
        }
        result => result.map(|()| false),
    }
}

fn with_suffix(name: &CStr, suffix: &[u8]) -> Result<CString, Errno> {
    CString::new([name.to_bytes(), suffix].concat()).map_err(|_| Errno::EINVAL)
}
