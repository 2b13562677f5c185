//! `--backup-dir`: where what is replaced or removed is kept, under its path relative to DST.

use super::operands::Operand;
use super::{Plan, ancestors};
use crate::error::Refusal;
use crate::options::CopyOptions;
use crate::plan::backup_name::numbered_suffix;
use crate::sanitize::quote;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Node};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The directory of the backups. It is created with the first one.
pub struct BackupDir {
    /// The nearest directory that existed when the run began.
    anchor: OwnedFd,
    /// The path from there.
    path: Vec<u8>,
    /// The suffix of `--suffix`; without that option empty.
    suffix: Vec<u8>,
}

impl BackupDir {
    /// Finds the directory at `path`. It must be on the file system of all targets, so that an entry can be moved there,
    /// and not where `--delete` would remove it or the source has it.
    pub(super) fn find(
        path: &Path,
        options: &CopyOptions,
        operands: &[Operand],
    ) -> Result<Self, Refusal> {
        let refuse = |why: &str, other: &Path| {
            let shown = |path: &Path| quote(path.as_os_str().as_bytes());
            let message = format!("cannot keep backups in {}: {why} {}", shown(path), shown(other));
            Err(Refusal { message, hint: None })
        };
        let cannot = |errno| Refusal::cannot("keep backups in", path, errno);
        let exists = |path: &&Path| file::stat_path(path, false).is_ok();
        let mut existing = path.ancestors().find(exists).unwrap_or(Path::new("."));
        if existing.as_os_str().is_empty() {
            existing = Path::new(".");
        }
        let missing = path.strip_prefix(existing).unwrap_or(path);
        if missing.components().any(|part| part.as_os_str() == "..") {
            return Err(cannot(Errno::ENOENT));
        }
        let anchor = file::open_dir(existing).map_err(&cannot)?;
        let device = file::stat_fd(&anchor).map_err(&cannot)?.identity().0;
        for operand in operands {
            let target = operand.target_path.as_path();
            let above = target.ancestors().skip(1).find(|above| above.is_dir());
            let above = above.filter(|above| !above.as_os_str().is_empty());
            let found = if target.is_dir() { target } else { above.unwrap_or(Path::new(".")) };
            if file::stat_path(found, true).is_ok_and(|stat| stat.identity().0 != device) {
                return refuse("it is on another file system than", target);
            }
            let is_inside = |dir: &Path| {
                let identity = file::stat_path(dir, true).map(|stat| stat.identity());
                identity.is_ok_and(|dir| ancestors(anchor.as_fd()).any(|above| above == dir))
            };
            if options.deletion.is_some() && operand.is_dir && is_inside(target) {
                return refuse("--delete would remove them from", target);
            }
            if operand.is_dir && is_inside(&operand.source_path) {
                return refuse("they would be copied with", &operand.source_path);
            }
        }
        let is_given = options.backup.as_ref().filter(|backup| backup.is_suffix_given);
        let suffix = is_given.map_or(Vec::new(), |backup| backup.suffix.as_bytes().to_vec());
        Ok(Self { anchor, path: missing.as_os_str().as_bytes().to_vec(), suffix })
    }
}

/// How an entry was kept.
pub enum Kept {
    /// It has a second name in the directory of the backups.
    Linked,
    /// It was moved there, and has this name in this directory.
    Moved(OwnedFd, CString),
}

/// An entry of the target that is to be kept.
#[derive(Clone, Copy)]
pub struct Doomed<'e> {
    /// The operand.
    pub operand: &'e Operand,
    /// The path of its directory, relative to the directory that contains the operand's target.
    pub dir_path: &'e [u8],
    /// Its directory.
    pub dir: BorrowedFd<'e>,
    /// Its name.
    pub name: &'e CStr,
}

impl Plan {
    /// Gives an entry of the target a second name in the directory of the backups, or moves it there where it can have only
    /// one name. No backup is ever replaced: a name that is taken gets a number.
    pub fn keep_second(&self, backups: &BackupDir, entry: Doomed<'_>) -> Result<Kept, Errno> {
        let to = self.open_backups(backups, entry)?;
        let identity = file::stat_at(entry.dir, entry.name)?.identity();
        let free = |to: BorrowedFd<'_>, name: &CStr| {
            match file::link(entry.dir, entry.name, to, name, false) {
                // A copier that died may have made this backup already.
                Err(Errno::EEXIST)
                    if file::stat_at(to, name).is_ok_and(|it| it.identity() == identity) =>
                {
                    Ok(false)
                }
                Err(Errno::EEXIST) => Err(Errno::EEXIST),
                Err(errno) if crate::error::may_forbid_link(errno) => {
                    file::move_noreplace(entry.dir, entry.name, to, name).map(|()| true)
                }
                linked => linked.map(|()| false),
            }
        };
        let (is_moved, name) = with_free_name(backups, to.as_fd(), entry.name, free)?;
        Ok(if is_moved { Kept::Moved(to, name) } else { Kept::Linked })
    }

    /// Moves an entry of the target, which may be a directory with all that is in it, into the directory of the backups.
    pub fn keep_moved(&self, backups: &BackupDir, entry: Doomed<'_>) -> Result<(), Errno> {
        let to = self.open_backups(backups, entry)?;
        let free =
            |to: BorrowedFd<'_>, name: &CStr| file::move_noreplace(entry.dir, entry.name, to, name);
        with_free_name(backups, to.as_fd(), entry.name, free).map(|_| ())
    }

    /// Opens the directory in which the backup of an entry is. Creates it, and those above it, with the mode and the owner
    /// of those in the target.
    fn open_backups(&self, backups: &BackupDir, entry: Doomed<'_>) -> Result<OwnedFd, Errno> {
        let Doomed { operand, dir_path, .. } = entry;
        let below = match dir_path {
            b"" => Vec::new(), // the directory that contains an operand
            path => operand.name_in_manifest(&operand.source_of(path)),
        };
        let whole: Vec<u8> = [&backups.path, &below]
            .into_iter()
            .filter(|part| !part.is_empty())
            .fold(Vec::new(), |whole, part| match whole.is_empty() {
                true => part.clone(),
                false => [&whole[..], b"/", part].concat(),
            });
        if whole.is_empty() {
            return backups.anchor.try_clone().map_err(|_| Errno::EMFILE);
        }
        match file::open_dir_beneath(backups.anchor.as_fd(), &whole) {
            Err(Errno::ENOENT) => {}
            opened => return opened,
        }
        let mut dir = backups.anchor.try_clone().map_err(|_| Errno::EMFILE)?;
        // How much of the path in the target stands before what is relative to DST.
        let shift = dir_path.len().saturating_sub(below.len());
        let own = if below.is_empty() { whole.len() } else { whole.len() - below.len() };
        let mut end = 0;
        for part in whole.split(|&byte| byte == b'/') {
            end += part.len();
            let name = CString::new(part).map_err(|_| Errno::EINVAL)?;
            match file::make_dir(&dir, &name, 0o777 & !self.umask) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            dir = file::open_dir_at(&dir, &name)?;
            if end > own {
                self.copy_mode(operand, &dir_path[..shift + end - own], &dir)?;
            }
            end += 1;
        }
        Ok(dir)
    }

    /// Gives a directory of the backups the mode and the owner of that in the target.
    fn copy_mode(&self, operand: &Operand, path: &[u8], dir: &OwnedFd) -> Result<(), Errno> {
        let like = file::stat_fd(self.reach_target(operand, path)?)?;
        match file::set_owner(Node::Open(dir.as_fd()), Some(like.owner()), Some(like.group())) {
            Ok(()) | Err(Errno::EPERM) => {} // a plain user owns it
            Err(errno) => return Err(errno),
        }
        // The owner goes on to write in it.
        file::set_permissions(dir, like.permissions() | 0o700)
    }
}

/// Calls `act` with the first name that is free: the name of the entry, or that with a number.
fn with_free_name<T>(
    backups: &BackupDir,
    to: BorrowedFd<'_>,
    name: &CStr,
    act: impl Fn(BorrowedFd<'_>, &CStr) -> Result<T, Errno>,
) -> Result<(T, CString), Errno> {
    let with = |end: &OsStr| {
        CString::new([name.to_bytes(), &backups.suffix, end.as_bytes()].concat())
            .map_err(|_| Errno::EINVAL)
    };
    let mut kept = with(OsStr::new(""))?;
    for number in 1.. {
        match act(to, &kept) {
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
            done => return done.map(|done| (done, kept)),
        }
        kept = with(OsStr::new(&numbered_suffix(number)))?;
    }
    Err(Errno::EEXIST)
}
