//! A link to the source instead of a copy: `--link` and `--symbolic-link`.
//!
//! A link is there whole or not at all, so it needs no staged name unless it replaces something.

use super::action::Action;
use super::decide::{self, prompt, update_rule};
use super::result::{Applied, Done, Unfinished};
use super::{Entry, EntryCopier, staged_name_for};
use crate::error::{EntryError, Op};
use crate::policy::ExistingRules;
use crate::staging::leftover::create_fresh;
use crate::staging::removal;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

/// Which link is made of an entry that is not a directory.
#[derive(Clone, Copy)]
pub(in crate::copier) enum LinkMode<'a> {
    /// A hard link to it.
    HardLink,
    /// A symlink with these contents.
    Symlink(&'a CStr),
}

impl EntryCopier<'_> {
    /// Makes the entry a link to its source; one that exists already is left alone.
    pub(in crate::copier) fn link(
        &mut self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
    ) -> Result<Applied, Unfinished> {
        let (cx, dirs, target_name) = (self.cx, entry.dirs, entry.target_name);
        let source = dirs.stat_source(entry.name).map_err(Op::Stat.error())?;
        let target = dirs.target.as_fd();
        let error = mode.op().error();
        if !dirs.staged && cx.was_done(entry.name) {
            return Ok(Applied::plain(Done::Skipped));
        }
        if cx.policy().existing == ExistingRules::Gnu && !dirs.staged {
            return self.link_as_gnu(entry, mode, &source);
        }
        mode.check(entry)?;
        cx.outbox.begin();
        match mode.make(entry, target_name) {
            Ok(()) => return self.finish_link(entry, mode, &source),
            Err(Errno::EEXIST) => cx.outbox.settle(),
            Err(errno) => return Err(error(errno).into()),
        }
        let old = file::stat_at(target, target_name).map_err(&error)?;
        if mode.is_made(entry, &source, &old) {
            // Its time, which is set last, may be missing after a kill.
            return match mode {
                LinkMode::Symlink(_) if !cx.attrs.has_time_of(&source, &old) => {
                    self.finish_link(entry, mode, &source)
                }
                _ => Ok(Applied::plain(Done::Skipped)),
            };
        }
        if dirs.staged {
            if dirs.existed && !dirs.is_seen(cx.plan()) {
                removal::remove(target, old.kind(), target_name).map_err(&error)?;
            }
            mode.make(entry, target_name).map_err(&error)?;
            return self.finish_link(entry, mode, &source);
        }
        if update_rule(&cx, &source, &old)?.is_some() {
            return Ok(Applied::plain(Done::Skipped));
        }
        // Links are not copies that are brought up to date: as with cp, what exists stays unless the user
        // says otherwise.
        if old.kind() == Kind::Directory || !self.may_replace_for_link(entry, &source) {
            return Err(error(Errno::EEXIST).into());
        }
        prompt(&cx, entry, &old)?;
        self.link_over(entry, mode, &source, &old, false)
    }

    /// Whether a link may replace a file. As with cp, symlinks and special files that are not followed
    /// may without an option.
    fn may_replace_for_link(&self, entry: &Entry<'_>, source: &Stat) -> bool {
        let options = self.cx.options();
        let other = !entry.dirs.follow && source.kind() != Kind::File;
        other || options.force || options.backup.is_some()
    }

    /// The same by cp's rules, in a directory that existed before this run.
    fn link_as_gnu(
        &mut self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
        source: &Stat,
    ) -> Result<Applied, Unfinished> {
        let old = file::stat_at(&entry.dirs.target, entry.target_name);
        let is_made = old.is_ok_and(|old| mode.is_made(entry, source, &old));
        if is_made && self.cx.was_begun(entry.name) {
            return self.finish_link(entry, mode, source); // a copier died that had made it
        }
        let action = decide::gnu::decide(&self.cx, entry, source)?;
        let checked = mode.check(entry);
        match action {
            Action::Skip { .. } => return Ok(Applied::plain(Done::Skipped)),
            Action::Replace { old, removed } => {
                checked?;
                return self.link_over(entry, mode, source, &old, removed);
            }
            Action::CreateAnew => {
                super::discard(entry.dirs, entry.target_name);
                checked?;
            }
            Action::Create | Action::WriteInto { .. } | Action::CreateThrough => checked?,
        }
        self.cx.outbox.begin();
        mode.make(entry, entry.target_name).map_err(mode.op().error())?;
        self.finish_link(entry, mode, source)
    }

    /// Makes the link beside the existing entry, and renames it over that.
    fn link_over(
        &mut self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
        source: &Stat,
        old: &Stat,
        removed: bool,
    ) -> Result<Applied, Unfinished> {
        self.cx.outbox.begin();
        let staged = staged_name_for(entry.dirs, entry.target_name);
        let (target, shared) = (entry.dirs.target.as_fd(), entry.dirs.is_shared());
        let made = create_fresh(target, &staged, shared, |staged| mode.make(entry, staged));
        made.map_err(mode.op().error())?;
        let backup = self.publish_over(entry, source, Some(old), &staged)?;
        let mut applied = self.finish_link(entry, mode, source)?;
        applied.details.backup = backup;
        applied.details.removed = removed;
        Ok(applied)
    }

    /// A symlink has times of its own; as with cp, they are the source's.
    fn finish_link(
        &self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
        source: &Stat,
    ) -> Result<Applied, Unfinished> {
        if let LinkMode::Symlink(_) = mode {
            let to = (entry.dirs.target.as_fd(), entry.target_name);
            self.cx.attrs.set_times_of(to, source)?;
        }
        Ok(Applied::plain(Done::Copied))
    }
}

impl LinkMode<'_> {
    /// The operation that makes it, as messages name it.
    fn op(self) -> Op {
        match self {
            LinkMode::HardLink => Op::HardLinkTo,
            LinkMode::Symlink(_) => Op::SymlinkTo,
        }
    }

    /// Refuses a symlink with a relative path that would mean another file from where it is: operands
    /// are relative to the current directory.
    fn check(self, entry: &Entry<'_>) -> Result<(), EntryError> {
        match self {
            LinkMode::Symlink(text) if !text.to_bytes().starts_with(b"/") => {
                let here = file::stat_path(Path::new("."), true).map(|stat| stat.identity());
                let there = file::stat_fd(&entry.dirs.target).map(|stat| stat.identity());
                let astray = here.is_ok() && there.is_ok() && here != there;
                if astray { Err(Op::RelativeSymlink.error()(Errno::EINVAL)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn make(self, entry: &Entry<'_>, target_name: &CStr) -> Result<(), Errno> {
        let (from, to) = (entry.dirs.source.as_fd(), entry.dirs.target.as_fd());
        match self {
            LinkMode::HardLink => file::link(from, entry.name, to, target_name, entry.dirs.follow),
            LinkMode::Symlink(text) => file::make_symlink(text, to, target_name),
        }
    }

    /// Whether `old` is this link already.
    fn is_made(self, entry: &Entry<'_>, source: &Stat, old: &Stat) -> bool {
        match self {
            LinkMode::HardLink => old.identity() == source.identity(),
            LinkMode::Symlink(text) => {
                let old = file::read_symlink(&entry.dirs.target, entry.target_name);
                old.is_ok_and(|old| old.as_encoded_bytes() == text.to_bytes())
            }
        }
    }
}
