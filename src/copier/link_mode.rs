//! A name instead of a copy: hard links (`-l`) and symlinks (`-s`) to the source.
//!
//! A link is there whole or not at all, so it needs no staged name unless it replaces something.

use super::clean;
use super::data::Unfinished;
use super::decide_gnu::Action;
use super::dir_pair::DirPair;
use super::file::{Done, Files, make_fresh, staged_name_for};
use crate::error::{EntryError, Op};
use crate::policy::ExistingRules;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

/// What to make of an entry that is not a directory.
#[derive(Clone, Copy)]
pub(super) enum LinkMode<'a> {
    /// A second name for it.
    HardLink,
    /// A symlink that says this.
    Symlink(&'a CStr),
}

impl Files<'_> {
    /// Makes `target_name` a link to `name`; one that is there already is left alone.
    pub(super) fn link(
        &mut self,
        dirs: &DirPair,
        instead: LinkMode<'_>,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        self.begin();
        let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
        let target = dirs.target.as_fd();
        let error = instead.op().error();
        if !dirs.staged && self.was_done(name) {
            return Ok(Done::Skipped);
        }
        if self.job.plan.policy.existing == ExistingRules::Gnu && !dirs.staged {
            return self.link_as_cp(dirs, instead, &source, name, target_name);
        }
        instead.check(dirs)?;
        self.outbox.begin();
        match instead.make(dirs, name, target_name) {
            Ok(()) => return self.finish_link(dirs, instead, &source, target_name),
            Err(Errno::EEXIST) => self.outbox.settle(),
            Err(errno) => return Err(error(errno).into()),
        }
        let old = file::stat_at(target, target_name).map_err(&error)?;
        if instead.is(dirs, &source, &old, target_name) {
            // Its time, which is set last, may be missing, as after a kill.
            return match instead {
                LinkMode::Symlink(_) if !self.attrs.has_time_of(&source, &old) => {
                    self.finish_link(dirs, instead, &source, target_name)
                }
                _ => Ok(Done::Skipped),
            };
        }
        if dirs.staged {
            if dirs.existed && !dirs.is_seen(self.job.plan) {
                clean::remove(target, old.kind(), target_name).map_err(&error)?;
            }
            instead.make(dirs, name, target_name).map_err(&error)?;
            return self.finish_link(dirs, instead, &source, target_name);
        }
        if self.is_wanted_as_it_is(&source, &old)? {
            return Ok(Done::Skipped);
        }
        // Links are not copies that are brought up to date: as with cp, what is there stays unless
        // the user says otherwise.
        if old.kind() == Kind::Directory || !self.may_replace_for_link(dirs, &source) {
            return Err(error(Errno::EEXIST).into());
        }
        self.ask(dirs, &old, target_name)?;
        self.link_over(dirs, instead, &source, &old, (name, target_name))
    }

    /// The same by cp's rules, in a directory that stood there.
    fn link_as_cp(
        &mut self,
        dirs: &DirPair,
        instead: LinkMode<'_>,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let old = file::stat_at(&dirs.target, target_name);
        let is_made = old.is_ok_and(|old| instead.is(dirs, source, &old, target_name));
        if is_made && self.was_begun(name) {
            return self.finish_link(dirs, instead, source, target_name); // a copier died with it
        }
        let room = self.decide_as_gnu(dirs, source, name, target_name)?;
        let astray = instead.check(dirs);
        match room {
            Action::Leave { .. } => return Ok(Done::Skipped),
            Action::Clear { old, removed } => {
                astray?;
                self.how.removed = removed;
                return self.link_over(dirs, instead, source, &old, (name, target_name));
            }
            Action::Free | Action::Into { .. } | Action::Dangling => astray?,
        }
        self.outbox.begin();
        instead.make(dirs, name, target_name).map_err(instead.op().error())?;
        self.finish_link(dirs, instead, source, target_name)
    }

    /// Makes the link beside what has its name, and renames it over that.
    fn link_over(
        &mut self,
        dirs: &DirPair,
        instead: LinkMode<'_>,
        source: &Stat,
        old: &Stat,
        (name, target_name): (&CStr, &CStr),
    ) -> Result<Done, Unfinished> {
        self.outbox.begin();
        let staged = staged_name_for(dirs, target_name);
        let make = |staged: &CStr| instead.make(dirs, name, staged);
        make_fresh(dirs, &staged, instead.op(), make)?;
        self.publish_over(dirs, (source, name), Some(old), &staged, target_name)?;
        self.finish_link(dirs, instead, source, target_name)
    }

    /// A symlink has times of its own; as with cp, they are the file's.
    fn finish_link(
        &self,
        dirs: &DirPair,
        instead: LinkMode<'_>,
        source: &Stat,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        if let LinkMode::Symlink(_) = instead {
            self.attrs.set_times_of((dirs.target.as_fd(), target_name), source)?;
        }
        Ok(Done::Copied)
    }
}

impl LinkMode<'_> {
    /// What making it is called.
    fn op(self) -> Op {
        match self {
            LinkMode::HardLink => Op::HardLinkTo,
            LinkMode::Symlink(_) => Op::SymlinkTo,
        }
    }

    /// Refuses a symlink that would say a relative path which means another thing from where it is:
    /// what the user named is relative to the current directory.
    fn check(self, dirs: &DirPair) -> Result<(), EntryError> {
        match self {
            LinkMode::Symlink(text) if !text.to_bytes().starts_with(b"/") => {
                let here = file::stat_path(Path::new("."), true).map(|stat| stat.identity());
                let there = file::stat_fd(&dirs.target).map(|stat| stat.identity());
                let astray = here.is_ok() && there.is_ok() && here != there;
                if astray { Err(Op::Elsewhere.error()(Errno::EINVAL)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn make(self, dirs: &DirPair, name: &CStr, target_name: &CStr) -> Result<(), Errno> {
        let (from, to) = (dirs.source.as_fd(), dirs.target.as_fd());
        match self {
            LinkMode::HardLink => file::link(from, name, to, target_name, dirs.follow),
            LinkMode::Symlink(text) => file::make_symlink(text, to, target_name),
        }
    }

    /// Whether `old` is this link already.
    fn is(self, dirs: &DirPair, source: &Stat, old: &Stat, target_name: &CStr) -> bool {
        match self {
            LinkMode::HardLink => old.identity() == source.identity(),
            LinkMode::Symlink(text) => file::read_symlink(&dirs.target, target_name)
                .is_ok_and(|old| old.as_encoded_bytes() == text.to_bytes()),
        }
    }
}
