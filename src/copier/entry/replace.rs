//! Replaces an existing entry, or creates one, in a directory that other processes use.
//!
//! A copier builds the new entry in the same directory under a staged name. Then the copier renames it over
//! the existing entry. So other processes see either the existing entry or the complete new one.

use super::create::{finish_other, make_other};
use super::fill::Source;
use super::result::{Applied, Unfinished};
use super::resume::{open_begun, stays_for_next_run};
use super::target_file::TargetFile;
use super::{Entry, EntryCopier, copies_contents, discard, link_text, op_of, staged_name_for};
use crate::copier::dir_pair::DirPair;
use crate::error::{AttributeError, EntryError, Op, may_forbid_staging};
use crate::ipc::memory::fs_caps::Capability;
use crate::ipc::wire::event::BackupKind;
use crate::options::Backup;
use crate::staging::leftover::{create_fresh, still_named};
use crate::staging::lock::lock_new;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use std::cell::Cell;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl EntryCopier<'_> {
    /// Builds the entry and renames it into place. `old` is the status of the existing entry, if there is
    /// one. `removed` says that cp would report the existing entry as removed.
    pub(super) fn replace(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        old: Option<&Stat>,
        removed: bool,
    ) -> Result<Applied, Unfinished> {
        let (cx, dirs) = (self.cx, entry.dirs);
        // What a copier that died was creating under its final name is no user's file.
        let is_free = old.is_none() || cx.was_begun_new(entry.name);
        if is_free && cx.lacks(dirs.traits.device, Capability::Staging) {
            return self.build_in_place(entry, source, Errno::EOPNOTSUPP);
        }
        if dirs.traits.is_append_only {
            if is_free {
                return self.build_in_place(entry, source, Errno::EPERM);
            }
            return Err(Op::Publish.error()(Errno::EPERM).into()); // nothing could remove the staged entry
        }
        let staged = staged_name_for(dirs, entry.target_name);
        let (filled, guard) = match self.build(entry, source, &staged) {
            Err(Unfinished::Failed(error))
                if is_free && creates(error.op) && may_forbid_staging(error.errno) =>
            {
                return self.build_in_place(entry, source, error.errno);
            }
            Err(Unfinished::Failed(error)) if creates(error.op) && is_of_the_name(error.errno) => {
                return Err(Op::Stage.error()(error.errno).into());
            }
            built => built?,
        };
        let target = dirs.target.as_fd();
        let named =
            guard.as_ref().map_or(Ok(true), |ours| still_named(target, &staged, ours.as_fd()));
        match named {
            Ok(true) => {}
            Ok(false) => return Err(Op::Publish.error()(Errno::EBUSY).into()),
            Err(errno) => {
                discard(dirs, &staged); // no other run uses this name while this run holds the lock
                return Err(Op::Publish.error()(errno).into());
            }
        }
        let published = match old {
            Some(_) => self.publish_over(entry, source, old, &staged),
            None => publish_new(dirs, &staged, entry.target_name).map(|()| BackupKind::None),
        };
        let backup = match published {
            Err(error) if is_free && error.op == Op::Publish && may_forbid_staging(error.errno) => {
                cx.note_lack(dirs.traits.device, Capability::Staging);
                return self.build_in_place(entry, source, error.errno);
            }
            published => published?,
        };
        let mut applied = filled?;
        applied.details.backup = backup;
        applied.details.removed = removed;
        Ok(applied)
    }

    /// Builds the entry under its final name, because staging it has failed with `errno`. If an entry exists, it
    /// is what an earlier round of this run has begun.
    fn build_in_place(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        errno: Errno,
    ) -> Result<Applied, Unfinished> {
        if self.cx.was_begun_new(entry.name) {
            discard(entry.dirs, entry.target_name);
        }
        let mut applied = self.create_under_final_name(entry, source)?;
        let error = Op::Stage.error()(errno);
        applied.attribute_errors.add(AttributeError { error, required: false });
        Ok(applied)
    }

    /// Renames the entry `staged` over the existing entry `old`. Makes a backup of `old` first, if the
    /// options require one, and returns the kind of that backup. Removes the staged entry on an error.
    pub(in crate::copier) fn publish_over(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        old: Option<&Stat>,
        staged: &CStr,
    ) -> Result<BackupKind, EntryError> {
        let (dirs, name) = (entry.dirs, entry.target_name);
        let kept = match (&self.cx.options().backup, old) {
            (Some(backup), Some(_)) if !dirs.staged => {
                self.backups.back_up(&self.cx, backup, entry, source).map(Some)
            }
            _ => Ok(None), // leftovers of an interrupted run need no backup
        };
        let (kept, moved) = kept.inspect_err(|_| discard(dirs, staged))?.unwrap_or_default();
        let published = file::rename(&dirs.target, staged, name).map_err(Op::Publish.error());
        if published.is_err() {
            discard(dirs, staged);
            moved.iter().for_each(|moved| moved.undo(dirs, name));
        }
        published.map(|()| kept)
    }

    /// Renames the existing entry to the name of its backup, so that a directory can be created in its place.
    pub(in crate::copier) fn move_away(
        &mut self,
        backup: &Backup,
        entry: &Entry<'_>,
    ) -> Result<(), EntryError> {
        let (dirs, name) = (entry.dirs, entry.target_name);
        let source = dirs.stat_source(entry.name).map_err(Op::Stat.error())?;
        let (_, moved) = self.backups.back_up(&self.cx, backup, entry, &source)?;
        match moved {
            Some(_) => Ok(()),
            None => file::unlink(&dirs.target, name).map_err(Op::Backup.error()),
        }
    }

    /// Builds an entry under the name `staged`.
    ///
    /// Returns the result of the entry. If the source changed while the copier read it, that result is a
    /// failure, but the caller still publishes the data that was read. Every other failure is the outer
    /// error.
    ///
    /// Where other runs may use the directory, also returns the open file: the caller must hold its lock
    /// until the file has its final name.
    fn build(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        staged: &CStr,
    ) -> Result<(Result<Applied, Unfinished>, Option<OwnedFd>), Unfinished> {
        let (cx, dirs) = (self.cx, entry.dirs);
        let (target, shared) = (dirs.target.as_fd(), dirs.is_open_to_other_runs());
        if !copies_contents(&cx, source.kind()) {
            let text = link_text(entry, source)?;
            let make = |name: &CStr| make_other(&cx, entry, source, &text, name);
            create_fresh(target, staged, shared, make).map_err(op_of(&cx, source).error())?;
            return Ok((Ok(finish_other(&cx, entry, source, staged)), None));
        }
        let mut opened = Source::open(&cx, entry)?;
        let mode = opened.creation_mode(&cx, dirs);
        let guard = Cell::new(None);
        let hold = |file: BorrowedFd<'_>| {
            guard.set(if shared { file.try_clone_to_owned().ok() } else { None });
        };
        let create = || {
            let create = |name: &CStr| file::create_file(&dirs.target, name, mode);
            let to = create_fresh(target, staged, shared, create).map_err(Op::Create.error())?;
            if shared && !lock_new(&to) {
                return Err(Op::Create.error()(Errno::EBUSY).into());
            }
            hold(to.as_fd());
            Ok(TargetFile::New(to, Some((entry.name, staged))))
        };
        let begun = open_begun(&cx, entry, (&opened.stat, staged), mode);
        let begun = begun.filter(|begun| {
            !shared || lock_new(begun) && still_named(target, staged, begun.as_fd()) == Ok(true)
        });
        let file = match begun {
            Some(begun) => {
                hold(begun.as_fd());
                TargetFile::Begun(begun, Some((entry.name, staged)))
            }
            None => create()?,
        };
        let anew = || {
            discard(dirs, staged); // this run holds its lock, so the name is not another run's
            create()
        };
        match self.fill(entry, &opened, file, anew) {
            Err(unfinished) if unfinished.keeps_what_was_read() => {
                Ok((Err(unfinished), guard.take()))
            }
            Err(unfinished) => {
                if !stays_for_next_run(&cx, entry, &opened.stat, &unfinished) {
                    discard(dirs, staged);
                }
                Err(unfinished)
            }
            Ok(applied) => Ok((Ok(applied), guard.take())),
        }
    }
}

/// Whether the error comes from the name that was to be created, and not from the directory or the disk.
fn is_of_the_name(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::ENAMETOOLONG | Errno::EILSEQ)
}

/// Whether the operation creates an entry.
fn creates(op: Op) -> bool {
    matches!(
        op,
        Op::Create | Op::CreateSymlink | Op::CreateFifo | Op::CreateNode | Op::CreateDirectory
    )
}

/// Renames the entry `staged` to its final name, which did not exist. If another process has created that
/// name meanwhile, fails and removes the staged entry.
fn publish_new(dirs: &DirPair, staged: &CStr, name: &CStr) -> Result<(), EntryError> {
    let published = file::rename_noreplace(dirs.target.as_fd(), staged, name);
    published.inspect_err(|_| discard(dirs, staged)).map_err(Op::Publish.error())
}
