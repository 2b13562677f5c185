//! Writes into existing files: for `--inplace`, and in GNU cp compatibility mode.
//!
//! The existing file keeps its inode and, unless ownership is preserved, its owner. Readers see the new bytes
//! as soon as a copier writes them. The other hard links of the file also get the new contents. Therefore, if
//! hard links are preserved, a file that has other hard links is not written into, but replaced (see
//! `may_be_written_into` in `decide/native.rs`). A copier truncates the file only when it knows that source
//! and target are different files.

use super::create::{finish_other, make_other};
use super::fill::Source;
use super::result::{Applied, Unfinished};
use super::resume::may_be_resumed;
use super::target_file::TargetFile;
use super::{
    Entry, EntryCopier, copies_contents, discard, discard_half, link_text, op_of,
    remove_leftover_of,
};
use crate::error::{EntryError, Op};
use crate::options::{CopyMode, Links, Update};
use crate::staging::lock::{lock_new, try_lock};
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, file_data};
use std::os::fd::{AsFd, OwnedFd};

impl EntryCopier<'_> {
    /// Removes the leftover of a killed run: a staged entry that this run would neither stage again nor
    /// replace. The leftover is a hard link, which a run stages even in place, or any entry of a run without
    /// `--inplace`.
    pub(super) fn remove_staged(&self, entry: &Entry<'_>, source: &Stat) {
        let may_be_link = source.links() > 1 && self.cx.options().preserve.links != Links::No;
        if self.cx.policy().resumes_leftovers || may_be_link {
            remove_leftover_of(entry.dirs, entry.target_name);
        }
    }

    /// Creates an entry under its final name, which does not exist.
    ///
    /// If this run is killed, the entry may stay incomplete. If the `--update` option would then make the
    /// next run skip it, the copier stages the entry instead.
    pub(super) fn create_in_place(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
    ) -> Result<Applied, Unfinished> {
        let update = self.cx.options().update;
        let looks_complete = matches!(update, Update::Older | Update::None | Update::NoneFail);
        if looks_complete && self.cx.policy().resumes_leftovers {
            return self.replace(entry, source, None, false);
        }
        self.create_under_final_name(entry, source)
    }

    /// Like [`create_in_place`](Self::create_in_place), but stages the entry in no case.
    pub(super) fn create_under_final_name(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
    ) -> Result<Applied, Unfinished> {
        let (cx, dirs, target_name) = (self.cx, entry.dirs, entry.target_name);
        if !copies_contents(&cx, source.kind()) {
            let (text, op) = (link_text(entry, source)?, op_of(&cx, source));
            cx.outbox.begin_new();
            let created = make_other(&cx, entry, source, &text, target_name);
            created.inspect_err(|_| cx.outbox.settle()).map_err(op.error())?;
            return Ok(finish_other(&cx, entry, source, target_name));
        }
        let mut opened = Source::open(&cx, entry)?;
        let mode = opened.creation_mode(&cx, dirs);
        cx.outbox.begin_new();
        let create = || {
            let created = file::create_file(&dirs.target, target_name, mode);
            let to = created.inspect_err(|_| cx.outbox.settle()).map_err(Op::Create.error())?;
            if cx.policy().locks_target && dirs.contended && !lock_new(&to) {
                return Err(Op::Create.error()(Errno::EBUSY).into());
            }
            Ok(TargetFile::New(to, Some((entry.name, target_name))))
        };
        let target = create()?;
        let anew = || {
            discard(dirs, target_name);
            create()
        };
        let filled = self.fill(entry, &opened, target, anew);
        filled.inspect_err(|unfinished| discard_half(dirs, target_name, unfinished))
    }

    /// Creates the file that a dangling symlink in the target leads to. Fails with [`Op::Dangling`] unless
    /// `POSIXLY_CORRECT` permits that.
    pub(super) fn create_through(&mut self, entry: &Entry<'_>) -> Result<Applied, Unfinished> {
        let (cx, dirs) = (self.cx, entry.dirs);
        if !cx.options().write_through_dangling {
            return Err(Op::Dangling.error()(Errno::ENOENT).into());
        }
        let mut source = Source::open(&cx, entry)?;
        let mode = source.creation_mode(&cx, dirs);
        let to = file::create_through_symlink(&dirs.target, entry.target_name, mode);
        let target = TargetFile::New(to.map_err(Op::Create.error())?, None);
        let anew = || reopen_empty(entry, true).map(|to| TargetFile::New(to, None));
        self.fill(entry, &source, target, anew)
    }

    /// Writes into the existing file. `through` says that the target's name is a symlink that leads to that
    /// file.
    pub(super) fn write_into(
        &mut self,
        entry: &Entry<'_>,
        source: &Stat,
        through: bool,
    ) -> Result<Applied, Unfinished> {
        let (cx, dirs, target_name) = (self.cx, entry.dirs, entry.target_name);
        let (options, policy) = (cx.options(), cx.policy());
        let mut opened = Source::open(&cx, entry)?;
        let to = match file::open_target(&dirs.target, target_name, through) {
            Ok(to) => to,
            // The file does not exist any more, or did not exist before: some network file systems still list
            // a file that was removed.
            Err(Errno::ENOENT) if !through => return self.create_in_place(entry, source),
            Err(errno) if options.force || policy.replaces_unwritable => {
                drop(opened);
                let old = file::stat_at(&dirs.target, target_name)
                    .map_err(|_| Op::Create.error()(errno))?;
                let replaced = self.replace(entry, source, Some(&old), true);
                return replaced.map_err(|unfinished| match unfinished.error() {
                    Some(EntryError { op: Op::Publish, errno: Errno::EBUSY }) => {
                        Op::WriteMountPoint.error()(errno).into()
                    }
                    _ => unfinished,
                });
            }
            Err(errno) => return Err(Op::Create.error()(errno).into()),
        };
        let old = file::stat_fd(&to).map_err(Op::StatTarget.error())?;
        if old.identity() == opened.stat.identity() {
            return Err(Op::SameFile.error()(Errno::EEXIST).into());
        }
        if policy.locks_target && dirs.contended && !try_lock(&to) {
            return Err(Op::Create.error()(Errno::EBUSY).into());
        }
        // Another copier may be writing into the same file now, by another hard link or through a symlink.
        let meets = policy.writes_through_symlinks || old.links() > 1;
        let turn = cx
            .job
            .inode_locks
            .filter(|_| meets)
            .map(|inode_locks| inode_locks.lock_inode(old.identity()));
        opened.list_attributes(&cx);
        cx.outbox.begin_in_place();
        cx.attrs.restrict_before_writing(to.as_fd(), &opened.stat, &old);
        let has_data = old.size() > 0
            && old.kind() == Kind::File
            && may_be_resumed(&cx, entry, &opened.stat)
            && !through;
        // An interrupted run may have written a part of a large file. To find that out, the file must be read.
        let readable = has_data.then(|| file::open_read_write(&dirs.target, target_name).ok());
        let readable = readable
            .flatten()
            .filter(|same| file::stat_fd(same).is_ok_and(|stat| stat.identity() == old.identity()));
        let has_data = readable.is_some();
        let empties = options.copy_mode != CopyMode::AttributesOnly && old.kind() == Kind::File;
        if empties && !has_data {
            file_data::set_size(to.as_fd(), 0).map_err(Op::Create.error())?;
        }
        let known = (!through).then_some((entry.name, target_name));
        let target = TargetFile::Old(readable.unwrap_or(to), Box::new(old), known, has_data);
        let anew = || {
            reopen_empty(entry, through).map(|to| TargetFile::Old(to, Box::new(old), known, false))
        };
        let filled = self.fill(entry, &opened, target, anew);
        drop(turn);
        filled
    }
}

/// Opens the existing file once more, and empties it.
fn reopen_empty(entry: &Entry<'_>, through: bool) -> Result<OwnedFd, Unfinished> {
    let to = file::open_target(&entry.dirs.target, entry.target_name, through);
    let to = to.map_err(Op::Create.error())?;
    file_data::set_size(to.as_fd(), 0).map_err(Op::Write.error())?;
    Ok(to)
}
