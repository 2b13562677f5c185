//! Writing into a file that stands in the target (`--inplace`, and the compat of cp).
//!
//! The file keeps its number, its owner, its other names, and whoever reads it sees the new bytes
//! come. Nothing is cut off before it is known that the two are not one file.

use super::data::Unfinished;
use super::decide_gnu::Action;
use super::dir_pair::DirPair;
use super::file::{
    Done, Files, data_bytes, discard, drop_leftover, is_ours, link_text, open_source,
};
use super::target_file::TargetFile;
use crate::error::Op;
use crate::ipc::memory::counters::Count;
use crate::options::{CopyMode, Links, Update};
use crate::policy::ExistingRules;
use pcopy_sys::file::{self, Kind, Lock, Node, Stat};
use pcopy_sys::{Errno, bytes};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

impl Files<'_> {
    /// Copies `name` onto what has `target_name` in a directory that stood there before.
    pub(super) fn in_place(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let room = match self.job.plan.policy.existing {
            ExistingRules::Gnu => {
                let room = self.decide_as_gnu(dirs, source, name, target_name)?;
                if !matches!(room, Action::Leave { leads: false }) {
                    self.come_first(dirs, source)?;
                }
                room
            }
            ExistingRules::Native => {
                self.ask_first(dirs, source, name, target_name)?;
                self.come_first(dirs, source)?;
                self.room(dirs, source, name, target_name)?
            }
        };
        match room {
            Action::Leave { .. } => {
                self.status.add(Count::BytesSpared, data_bytes(source));
                Ok(Done::Skipped)
            }
            Action::Clear { old, removed } => {
                self.how.removed = removed;
                self.make_over(dirs, source, name, target_name, Some(&old))
            }
            Action::Into { through } if self.reads(source) => {
                self.drop_staged(dirs, source, target_name);
                self.write_into(dirs, source, name, target_name, through)
            }
            Action::Dangling => self.write_through_dangling(dirs, name, target_name),
            Action::Free | Action::Into { .. } => {
                self.drop_staged(dirs, source, target_name);
                self.make_new(dirs, source, name, target_name)
            }
        }
    }

    /// Removes what a run that was killed has staged for a name, for which nothing is staged now: a link,
    /// or, without `--inplace`, anything.
    fn drop_staged(&self, dirs: &DirPair, source: &Stat, target_name: &CStr) {
        let options = &self.job.plan.options;
        let may_be_link = source.links() > 1 && options.preserve.links != Links::No;
        if self.job.plan.policy.resumes_leftovers || may_be_link {
            drop_leftover(dirs, target_name);
        }
    }

    /// The rules without `--inplace`, but for what is replaced: files that can be written into.
    fn room(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Action, Unfinished> {
        if self.was_begun_over(name) {
            return Ok(Action::Into { through: false });
        }
        if self.was_begun_new(name) {
            discard(dirs, target_name);
            return Ok(Action::Free);
        }
        let Some(old) = self.replaced(dirs, source, name, target_name)? else {
            return Ok(Action::Leave { leads: self.linked.is_some() });
        };
        let Some(old) = old else { return Ok(Action::Free) };
        let options = &self.job.plan.options;
        // One that was cut off would be too new for the next run.
        let looks_done = options.update == Update::Older;
        let makes_room = looks_done
            || options.backup.is_some()
            || options.remove_destination
            || options.preserve.links != Links::No && old.links() > 1
            || old.kind() != Kind::File
            || !self.reads(source);
        Ok(if makes_room {
            Action::Clear { old, removed: false }
        } else {
            Action::Into { through: false }
        })
    }

    /// Makes an entry under its final name, which is free: for pcopy unless one that was cut off would
    /// be passed over by the next run.
    fn make_new(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let options = &self.job.plan.options;
        let looks_done = matches!(options.update, Update::Older | Update::None | Update::NoneFail);
        if looks_done && self.job.plan.policy.resumes_leftovers {
            return self.make_over(dirs, source, name, target_name, None);
        }
        if !self.reads(source) {
            let (text, op) = (link_text(dirs, source, name)?, self.op_of(source));
            self.outbox.begin_new();
            let made = self.make_other(dirs, source, &text, target_name);
            made.inspect_err(|_| self.outbox.settle()).map_err(op.error())?;
            return self.finish_other(dirs, source, name, target_name)?.into_done();
        }
        let (from, source) = open_source(self.job.plan, dirs, name)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.traits.born);
        self.outbox.begin_new();
        let made = file::create_file(&dirs.target, target_name, bits);
        let to = made.inspect_err(|_| self.outbox.settle()).map_err(Op::Create.error())?;
        let others = self.job.plan.policy.locks_target && dirs.contended;
        if others && !is_ours(&to) {
            return Err(Op::Create.error()(Errno::EBUSY).into());
        }
        let sink = TargetFile::New(to, Some((name, target_name)));
        let filled = self.fill(dirs, from, &source, &names, sink);
        filled.inspect_err(|_| discard(dirs, target_name))?.into_done()
    }

    /// Makes the file that a symlink in the target leads to and that is not there.
    fn write_through_dangling(
        &mut self,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        if !self.job.plan.options.write_through_dangling {
            return Err(Op::Dangling.error()(Errno::ENOENT).into());
        }
        let (from, source) = open_source(self.job.plan, dirs, name)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.traits.born);
        let to =
            file::create_through(&dirs.target, target_name, bits).map_err(Op::Create.error())?;
        self.fill(dirs, from, &source, &names, TargetFile::New(to, None))?.into_done()
    }

    fn write_into(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
        through: bool,
    ) -> Result<Done, Unfinished> {
        let (options, policy) = (&self.job.plan.options, self.job.plan.policy);
        let (from, read) = open_source(self.job.plan, dirs, name)?;
        let to = match file::open_target(&dirs.target, target_name, through) {
            Ok(to) => to,
            // It is gone, or was never there: some network disks say so of what was removed.
            Err(Errno::ENOENT) if !through => {
                return self.make_new(dirs, source, name, target_name);
            }
            // A new file can take its place even where it cannot be written: `cp -f`, and what
            // pcopy does anyhow.
            Err(errno) if options.force || policy.replaces_unwritable => {
                drop(from);
                let old = file::stat_at(&dirs.target, target_name)
                    .map_err(|_| Op::Create.error()(errno))?;
                self.how.removed = true;
                return self.make_over(dirs, source, name, target_name, Some(&old));
            }
            Err(errno) => return Err(Op::Create.error()(errno).into()),
        };
        let old = file::stat_fd(&to).map_err(Op::LookAtTarget.error())?;
        if old.identity() == read.identity() {
            return Err(Op::SameFile.error()(Errno::EEXIST).into());
        }
        if policy.locks_target && dirs.contended && is_taken(&to) {
            return Err(Op::Create.error()(Errno::EBUSY).into());
        }
        // Another name of the file, or a symlink to it, may be another copier's at this moment.
        let meets = policy.writes_through_symlinks || old.links() > 1;
        let turn = self.job.turns.filter(|_| meets).map(|turns| turns.wait_for(old.identity()));
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        self.outbox.begin_over();
        self.attrs.close_before_writing(to.as_fd(), &read, &old);
        if options.copy_mode != CopyMode::AttributesOnly && old.kind() == Kind::File {
            bytes::set_size(to.as_fd(), 0).map_err(Op::Create.error())?;
        }
        let known = (!through).then_some((name, target_name));
        let filled = self.fill(dirs, from, &read, &names, TargetFile::Old(to, old, known));
        drop(turn);
        filled?.into_done()
    }
}

/// Whether another run writes into the file.
fn is_taken(to: &OwnedFd) -> bool {
    file::lock(to.as_fd(), Lock::Exclusive) == Err(Errno::EAGAIN)
}
