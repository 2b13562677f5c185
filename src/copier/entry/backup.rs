//! What is to be replaced, kept under another name.
//!
//! The old entry gets its second name before the new one takes the first, so it is never without
//! one, whoever is killed when. Where it cannot have two (a file system without hard links, a file
//! of somebody else's), it is moved, and moved back if the new one cannot take its place.

use super::discard;
use crate::copier::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::BackupKind;
use crate::options::{Backup, Control};
use crate::plan::backup_name::{numbered_suffix, split_number};
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use pcopy_sys::listing::Listing;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// The highest number of a backup of each name in one directory.
#[derive(Default)]
pub(super) struct BackupNumbers {
    of: Option<Identity>,
    highest: HashMap<Vec<u8>, u64>,
}

impl BackupNumbers {
    /// Gives what `name` in the target is now a name more, as `backup` wants it. Where it can have
    /// only one, it is moved there; the new name is returned then, beside what kind of name it is.
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
        // A copier that has died since may have made it.
        if number > 0 && is_that_already(dirs, name, number) {
            return Ok((BackupKind::Numbered(number), None));
        }
        loop {
            number += 1;
            let suffix = numbered_suffix(number);
            let second = with_suffix(name, suffix.as_bytes()).map_err(&error)?;
            match second_name(dirs, name, &second) {
                Err(Errno::EEXIST) => {} // somebody else was quicker
                result => {
                    self.highest.insert(name.to_bytes().to_vec(), number);
                    let moved = result.map_err(error)?.then_some(second);
                    return Ok((BackupKind::Numbered(number), moved));
                }
            }
        }
    }

    /// The highest number; the directory is listed once, not for each of its files.
    fn highest(&mut self, dirs: &DirPair, name: &CStr) -> Result<u64, Errno> {
        let identity = file::stat_fd(&dirs.target)?.identity();
        if self.of != Some(identity) {
            self.highest.clear();
            let opened = file::open_dir_at(&dirs.target, c".")?; // with a position of its own
            let mut listing = Listing::new();
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

/// Whether the backup with this number is a second name of what has the first one.
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
        // Under another name it is not lost.
        Ok(old) if old.identity() == source.identity() && second.as_c_str() == source_name => {
            return Err(Op::BackupIsSource.error()(Errno::EEXIST));
        }
        Ok(old) if old.kind() == Kind::Directory => return Err(error(Errno::EISDIR)),
        Err(Errno::ENOENT) => match second_name(dirs, name, &second) {
            Err(Errno::EEXIST) => {} // it has come meanwhile, and goes as any older one
            result => return result.map(|moved| moved.then_some(second)).map_err(error),
        },
        Ok(_) => {}
        Err(errno) => return Err(error(errno)),
    }
    let same = file::stat_at(&dirs.target, &second).map_err(&error)?.identity()
        == file::stat_at(&dirs.target, name).map_err(&error)?.identity();
    if same {
        return Ok(None); // they are one file already, and to rename one to the other does nothing
    }
    // Beside it first: the older backup stays until this one is there.
    let (dir, beside) = (dirs.target.as_fd(), staged_name(&second, 1));
    let link = || file::link(dir, name, dir, &beside, false);
    let linked = match link() {
        Err(Errno::EEXIST) => {
            file::unlink(dir, &beside).map_err(&error)?; // a killed run has left it
            link()
        }
        result => result,
    };
    match linked {
        // The old file has its first name still, so the second may go if it cannot be used.
        Ok(()) => file::replace(dir, &beside, &second)
            .map(|()| None)
            .inspect_err(|_| discard(dirs, &beside)),
        Err(errno) if is_without_links(errno) => {
            file::replace(dir, name, &second).map(|()| Some(second))
        }
        Err(errno) => Err(errno),
    }
    .map_err(error)
}

/// A second name for what `name` is; where there are no hard links, another name: then true.
fn second_name(dirs: &DirPair, name: &CStr, second: &CStr) -> Result<bool, Errno> {
    let dir = dirs.target.as_fd();
    match file::link(dir, name, dir, second, false) {
        Err(errno) if is_without_links(errno) => file::rename_new(dir, name, second).map(|()| true),
        result => result.map(|()| false),
    }
}

/// Whether a file cannot have another name: the file system knows none, it has too many, or it is
/// somebody else's.
fn is_without_links(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK)
}

fn with_suffix(name: &CStr, suffix: &[u8]) -> Result<CString, Errno> {
    CString::new([name.to_bytes(), suffix].concat()).map_err(|_| Errno::EINVAL)
}
