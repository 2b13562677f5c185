//! A name instead of a copy: hard links (`-l`) and symlinks (`-s`) to the source.
//!
//! A link is there whole or not at all, so it needs no staged name unless it replaces something.

use super::clean;
use super::data::Unfinished;
use super::dirs::Dirs;
use super::file::{Done, Files, make_fresh, staged_name_for};
use crate::ipc::report::Step;
use crate::sys::Errno;
use crate::sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// What to make of an entry that is not a directory.
#[derive(Clone, Copy)]
pub(super) enum Instead<'a> {
    /// A second name for it.
    HardLink,
    /// A symlink that says this.
    Symlink(&'a CStr),
}

impl Files<'_> {
    /// Makes `target_name` a link to `name`; one that is there already is left alone.
    pub(super) fn link(
        &mut self,
        dirs: &Dirs,
        instead: Instead<'_>,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let source = dirs.stat_source(name).map_err(Step::Stat.fault())?;
        let target = dirs.target.as_fd();
        self.outbox.begin();
        match instead.make(dirs, name, target_name) {
            Ok(()) => return self.finish_link(dirs, instead, &source, target_name),
            Err(Errno::EEXIST) => self.outbox.settle(),
            Err(errno) => return Err(Step::Create.fault()(errno).into()),
        }
        let old = file::stat_at(target, target_name).map_err(Step::Create.fault())?;
        if instead.is(dirs, &source, &old, target_name) {
            // Its time, which is set last, may be missing, as after a kill.
            return match instead {
                Instead::Symlink(_) if !self.attrs.has_time_of(&source, &old) => {
                    self.finish_link(dirs, instead, &source, target_name)
                }
                _ => Ok(Done::Skipped),
            };
        }
        if dirs.staged {
            if dirs.existed {
                clean::remove(target, old.kind(), target_name).map_err(Step::Create.fault())?;
            }
            instead.make(dirs, name, target_name).map_err(Step::Create.fault())?;
            return self.finish_link(dirs, instead, &source, target_name);
        }
        if self.is_wanted_as_it_is(&source, &old)? {
            return Ok(Done::Skipped);
        }
        // Links are not copies that are brought up to date: as with cp, what is there stays unless
        // the user says otherwise.
        if old.kind() == Kind::Directory || !self.may_replace_for_link(dirs, &source) {
            return Err(Step::Create.fault()(Errno::EEXIST).into());
        }
        let staged = staged_name_for(dirs, target_name);
        make_fresh(dirs, &staged, |staged| instead.make(dirs, name, staged))?;
        self.publish_over(dirs, &source, Some(&old), &staged, target_name)?;
        self.finish_link(dirs, instead, &source, target_name)
    }

    /// A symlink has times of its own; as with cp, they are the file's.
    fn finish_link(
        &self,
        dirs: &Dirs,
        instead: Instead<'_>,
        source: &Stat,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        if let Instead::Symlink(_) = instead {
            self.attrs.set_times_of((dirs.target.as_fd(), target_name), source)?;
        }
        Ok(Done::Copied)
    }
}

impl Instead<'_> {
    fn make(self, dirs: &Dirs, name: &CStr, target_name: &CStr) -> Result<(), Errno> {
        let (from, to) = (dirs.source.as_fd(), dirs.target.as_fd());
        match self {
            Instead::HardLink => file::link(from, name, to, target_name, dirs.follow),
            Instead::Symlink(text) => file::make_symlink(text, to, target_name),
        }
    }

    /// Whether `old` is this link already.
    fn is(self, dirs: &Dirs, source: &Stat, old: &Stat, target_name: &CStr) -> bool {
        match self {
            Instead::HardLink => old.identity() == source.identity(),
            Instead::Symlink(text) => file::read_symlink(&dirs.target, target_name)
                .is_ok_and(|old| old.as_encoded_bytes() == text.to_bytes()),
        }
    }
}
