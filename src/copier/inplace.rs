//! Writing into a file that stands in the target (`--inplace`, and the manner of cp).
//!
//! The file keeps its number, its owner, its other names, and whoever reads it sees the new bytes
//! come. Nothing is cut off before it is known that the two are not one file.

use super::data::Unfinished;
use super::dirs::Dirs;
use super::file::{
    Done, Files, data_bytes, discard, drop_leftover, is_ours, link_text, open_source,
};
use super::sink::Sink;
use super::standing::Room;
use crate::ipc::counters::Count;
use crate::ipc::report::Step;
use crate::options::{Links, Manner, Update, Way};
use crate::sys::file::{self, Kind, Lock, Node, Stat};
use crate::sys::{Errno, bytes};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

impl Files<'_> {
    /// Copies `name` onto what has `target_name` in a directory that stood there before.
    pub(super) fn in_place(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let room = match self.job.plan.wishes.manner {
            Manner::Cp => {
                let room = self.room_as_cp(dirs, source, name, target_name)?;
                if !matches!(room, Room::Leave { leads: false }) {
                    self.come_first(dirs, source)?;
                }
                room
            }
            Manner::Pcopy => {
                self.ask_first(dirs, source, name, target_name)?;
                self.come_first(dirs, source)?;
                self.room(dirs, source, name, target_name)?
            }
        };
        match room {
            Room::Leave { .. } => {
                self.desk.add(Count::BytesSpared, data_bytes(source));
                Ok(Done::Skipped)
            }
            Room::Clear { old, removed } => {
                self.how.removed = removed;
                self.make_over(dirs, source, name, target_name, Some(&old))
            }
            Room::Into { through } if self.reads(source) => {
                self.drop_staged(dirs, source, target_name);
                self.write_into(dirs, source, name, target_name, through)
            }
            Room::Dangling => self.write_through_dangling(dirs, name, target_name),
            Room::Free | Room::Into { .. } => {
                self.drop_staged(dirs, source, target_name);
                self.make_new(dirs, source, name, target_name)
            }
        }
    }

    /// Removes what a run that was killed has staged for a name, for which nothing is staged now: a link,
    /// or, without `--inplace`, anything.
    fn drop_staged(&self, dirs: &Dirs, source: &Stat, target_name: &CStr) {
        let wishes = &self.job.plan.wishes;
        let may_be_link = source.links() > 1 && wishes.preserve.links != Links::No;
        if wishes.manner == Manner::Pcopy || may_be_link {
            drop_leftover(dirs, target_name);
        }
    }

    /// The rules without `--inplace`, but for what is replaced: files that can be written into.
    fn room(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Room, Unfinished> {
        if self.was_begun_over(name) {
            return Ok(Room::Into { through: false });
        }
        if self.was_begun_new(name) {
            discard(dirs, target_name);
            return Ok(Room::Free);
        }
        let Some(old) = self.replaced(dirs, source, name, target_name)? else {
            return Ok(Room::Leave { leads: self.linked.is_some() });
        };
        let Some(old) = old else { return Ok(Room::Free) };
        let wishes = &self.job.plan.wishes;
        // One that was cut off would be too new for the next run.
        let looks_done = wishes.update == Update::Older;
        let makes_room = looks_done
            || wishes.backup.is_some()
            || wishes.remove_destination
            || wishes.preserve.links != Links::No && old.links() > 1
            || old.kind() != Kind::File
            || !self.reads(source);
        Ok(if makes_room {
            Room::Clear { old, removed: false }
        } else {
            Room::Into { through: false }
        })
    }

    /// Makes an entry under its final name, which is free: for pcopy unless one that was cut off would
    /// be passed over by the next run.
    fn make_new(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        let wishes = &self.job.plan.wishes;
        let looks_done = matches!(wishes.update, Update::Older | Update::None | Update::NoneFail);
        if looks_done && wishes.manner == Manner::Pcopy {
            return self.make_over(dirs, source, name, target_name, None);
        }
        if !self.reads(source) {
            let (text, step) = (link_text(dirs, source, name)?, self.step_of(source));
            self.outbox.begin_new();
            let made = self.make_other(dirs, source, &text, target_name);
            made.inspect_err(|_| self.outbox.settle()).map_err(step.fault())?;
            return self.finish_other(dirs, source, name, target_name)?.into_done();
        }
        let (from, source) = open_source(self.job.plan, dirs, name)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.traits.born);
        self.outbox.begin_new();
        let made = file::create_file(&dirs.target, target_name, bits);
        let to = made.inspect_err(|_| self.outbox.settle()).map_err(Step::Create.fault())?;
        let others = self.job.plan.wishes.manner == Manner::Pcopy && dirs.contended;
        if others && !is_ours(&to) {
            return Err(Step::Create.fault()(Errno::EBUSY).into());
        }
        let sink = Sink::New(to, Some((name, target_name)));
        let filled = self.fill(dirs, from, &source, &names, sink);
        filled.inspect_err(|_| discard(dirs, target_name))?.into_done()
    }

    /// Makes the file that a symlink in the target leads to and that is not there.
    fn write_through_dangling(
        &mut self,
        dirs: &Dirs,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        if !self.job.plan.wishes.write_through_dangling {
            return Err(Step::Dangling.fault()(Errno::ENOENT).into());
        }
        let (from, source) = open_source(self.job.plan, dirs, name)?;
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        let bits = self.attrs.birth_permissions(&source, &names, dirs.traits.born);
        let to =
            file::create_through(&dirs.target, target_name, bits).map_err(Step::Create.fault())?;
        self.fill(dirs, from, &source, &names, Sink::New(to, None))?.into_done()
    }

    fn write_into(
        &mut self,
        dirs: &Dirs,
        source: &Stat,
        name: &CStr,
        target_name: &CStr,
        through: bool,
    ) -> Result<Done, Unfinished> {
        let wishes = &self.job.plan.wishes;
        let (from, read) = open_source(self.job.plan, dirs, name)?;
        let to = match file::open_target(&dirs.target, target_name, through) {
            Ok(to) => to,
            // It is gone, or was never there: some network disks say so of what was removed.
            Err(Errno::ENOENT) if !through => {
                return self.make_new(dirs, source, name, target_name);
            }
            // A new file can take its place even where it cannot be written: `cp -f`, and what
            // pcopy does anyhow.
            Err(errno) if wishes.force || wishes.manner == Manner::Pcopy => {
                drop(from);
                let old = file::stat_at(&dirs.target, target_name)
                    .map_err(|_| Step::Create.fault()(errno))?;
                self.how.removed = true;
                return self.make_over(dirs, source, name, target_name, Some(&old));
            }
            Err(errno) => return Err(Step::Create.fault()(errno).into()),
        };
        let old = file::stat_fd(&to).map_err(Step::LookAtTarget.fault())?;
        if old.identity() == read.identity() {
            return Err(Step::SameFile.fault()(Errno::EEXIST).into());
        }
        if wishes.manner == Manner::Pcopy && dirs.contended && is_taken(&to) {
            return Err(Step::Create.fault()(Errno::EBUSY).into());
        }
        // Another name of the file, or a symlink to it, may be another copier's at this moment.
        let meets = wishes.manner == Manner::Cp || old.links() > 1;
        let turn = self.job.turns.filter(|_| meets).map(|turns| turns.wait_for(old.identity()));
        let names = self.attrs.look(Node::Open(from.as_fd()))?;
        self.outbox.begin_over();
        self.attrs.close_before_writing(to.as_fd(), &read, &old);
        if wishes.way != Way::AttributesOnly && old.kind() == Kind::File {
            bytes::set_size(to.as_fd(), 0).map_err(Step::Create.fault())?;
        }
        let known = (!through).then_some((name, target_name));
        let filled = self.fill(dirs, from, &read, &names, Sink::Old(to, old, known));
        drop(turn);
        filled?.into_done()
    }
}

/// Whether another run writes into the file.
fn is_taken(to: &OwnedFd) -> bool {
    file::lock(to.as_fd(), Lock::Exclusive) == Err(Errno::EAGAIN)
}
