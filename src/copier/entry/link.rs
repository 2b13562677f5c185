//! Makes links to the source instead of copies, for `--link` and `--symbolic-link`.
//!
//! A link is made completely or not at all. So it needs a staged name only if it replaces an existing entry.

use super::action::Action;
use super::decide::{self, hold_back, prompt, skipped_by_update};
use super::result::{Applied, AttributeErrors, Done, Unfinished};
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

/// Which kind of link to make for an entry that is not a directory.
#[derive(Clone, Copy)]
pub(in crate::copier) enum LinkMode<'a> {
    /// A hard link to the entry.
    HardLink,
    /// A symlink with these contents.
    Symlink(&'a CStr),
}

impl EntryCopier<'_> {
    /// Makes the entry a link to its source, or skips it if it is that link already.
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
            // If a copier was killed after it had made the symlink, the symlink may lack its time, which is
            // set last.
            return match mode {
                LinkMode::Symlink(_) if !cx.has_time_of((dirs, target_name), &source, &old) => {
                    self.finish_link(entry, mode, &source)
                }
                _ => Ok(Applied::plain(Done::Skipped)),
            };
        }
        if dirs.staged {
            if dirs.existed && !dirs.is_visible(cx.plan()) {
                removal::remove(target, old.kind(), target_name).map_err(&error)?;
            }
            mode.make(entry, target_name).map_err(&error)?;
            return self.finish_link(entry, mode, &source);
        }
        if skipped_by_update(&cx, entry, &source, &old)?.is_some() {
            return Ok(Applied::plain(Done::Skipped));
        }
        // pcopy does not update an existing entry that is not this link. As with cp, that entry stays unless
        // an option permits its replacement.
        hold_back(&cx, entry, &old)?;
        if old.kind() == Kind::Directory || !self.may_replace_for_link(entry, &source) {
            return Err(error(Errno::EEXIST).into());
        }
        prompt(&cx, entry, &old)?;
        self.link_over(entry, mode, &source, &old, false)
    }

    /// Whether a link to `source` may replace an existing file. As with cp, a link to a symlink or special
    /// file may, unless symlinks are followed. All other links need `--force` or a backup.
    fn may_replace_for_link(&self, entry: &Entry<'_>, source: &Stat) -> bool {
        let options = self.cx.options();
        let other = !entry.dirs.follow && source.kind() != Kind::File;
        other || options.force || options.backup.is_some()
    }

    /// Like [`link`](Self::link), but by the rules of GNU cp, in a directory that existed before this run.
    fn link_as_gnu(
        &mut self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
        source: &Stat,
    ) -> Result<Applied, Unfinished> {
        let old = file::stat_at(&entry.dirs.target, entry.target_name);
        let is_made = old.is_ok_and(|old| mode.is_made(entry, source, &old));
        if is_made && self.cx.was_begun(entry.name) {
            return self.finish_link(entry, mode, source); // a copier died after it had made the link
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

    /// Makes the link under a staged name, and renames it over the existing entry.
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
        let (target, shared) = (entry.dirs.target.as_fd(), entry.dirs.is_open_to_other_runs());
        let made = create_fresh(target, &staged, shared, |staged| mode.make(entry, staged));
        made.map_err(mode.op().error())?;
        let backup = self.publish_over(entry, source, Some(old), &staged)?;
        let mut applied = self.finish_link(entry, mode, source)?;
        applied.details.backup = backup;
        applied.details.removed = removed;
        Ok(applied)
    }

    /// Returns how [`link`](Self::link) would end, without making the link. `old` is the existing entry. Fails as `link`
    /// would.
    pub(in crate::copier) fn foresee_link(
        &self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
        source: &Stat,
        old: Option<&Stat>,
    ) -> Result<Done, Unfinished> {
        mode.check(entry)?;
        let Some(old) = old else { return Ok(Done::Copied) };
        if mode.is_made(entry, source, old)
            || skipped_by_update(&self.cx, entry, source, old)?.is_some()
        {
            return Ok(Done::Skipped);
        }
        hold_back(&self.cx, entry, old)?;
        if old.kind() == Kind::Directory || !self.may_replace_for_link(entry, source) {
            return Err(mode.op().error()(Errno::EEXIST).into());
        }
        Ok(Done::Copied)
    }

    /// Finishes a new link. A symlink has its own times; as with cp, they become those of the source.
    fn finish_link(
        &self,
        entry: &Entry<'_>,
        mode: LinkMode<'_>,
        source: &Stat,
    ) -> Result<Applied, Unfinished> {
        let mut lost = AttributeErrors::default();
        if let LinkMode::Symlink(_) = mode {
            let to = (entry.dirs.target.as_fd(), entry.target_name);
            self.cx.attrs.set_times_of(to, source, &mut lost);
        }
        Ok(Applied::plain(Done::Copied).lacking(lost))
    }
}

impl LinkMode<'_> {
    /// Returns the operation that makes such a link, for messages.
    fn op(self) -> Op {
        match self {
            LinkMode::HardLink => Op::HardLinkTo,
            LinkMode::Symlink(_) => Op::SymlinkTo,
        }
    }

    /// Fails if a symlink with a relative path would not lead to the source. The path of an operand is
    /// relative to the current directory, but a symlink is relative to the directory that contains it.
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

    /// Whether the existing entry `old` is this link already.
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
