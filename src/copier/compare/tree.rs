//! Two trees side by side: what is missing, what is extra, and what is compared.

use super::super::dir_pair::c_name;
use super::super::entry::result::Unfinished;
use super::super::offer::{Source, put_half};
use super::super::report_writer::ParentGone;
use super::{Checker, Worker};
use crate::copier::name_queue::NameQueue;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::difference::{Difference, Properties, Property};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{self, EntryPath, Task};
use crate::options::Links;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::listing::Listing;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A folder on both sides.
pub(super) type Both = (OwnedFd, OwnedFd);

impl Checker<'_> {
    /// Compares one thing that the user named.
    pub(super) fn named(&mut self, number: u32) -> Result<(), ParentGone> {
        let plan = self.cx.job.plan;
        let Some(operand) = plan.operands.get(number as usize) else { return Ok(()) };
        self.go_to(number, b"");
        self.cx.status.enter(number, b"");
        self.cx.status.add(Count::Found, 1);
        let dirs = (plan.source_dir(operand), plan.target_dir(operand));
        let mut children = NameQueue::new();
        let names = (&*operand.source_name, &*operand.target_name);
        self.one_name(dirs, names, &mut children)?;
        self.wait_for(children);
        Ok(())
    }

    /// Compares the folder that the walk is at, and all in it.
    pub(super) fn compare_folder(&mut self) -> Result<(), ParentGone> {
        let (from, to) = match self.open_both() {
            Ok(both) => both,
            Err(error) => return self.record_failed(None, error),
        };
        let stats = (file::stat_fd(&from), file::stat_fd(&to));
        let (Ok(source), Ok(target)) = stats else {
            return self.record_failed(None, Op::Stat.error()(Errno::EIO));
        };
        let properties = self.differing_folders((from.as_fd(), to.as_fd()), (&source, &target));
        match properties {
            Ok(properties) => self.settle(None, properties, (source.mode(), target.mode()))?,
            Err(error) => return self.record_failed(None, error),
        }
        if self.cx.job.is_left_out(self.operand, &source) {
            return Ok(());
        }
        let mut children = NameQueue::new();
        let mut listing = self.listing.take().unwrap_or_default();
        loop {
            match listing.fill(from.as_fd()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(errno) => {
                    self.fail_beside(Op::ReadDirectory.error()(errno))?;
                    break;
                }
            }
            let dirs = (from.as_fd(), to.as_fd());
            self.names(dirs, &mut Source::Listed(&mut listing), &mut children)?;
            if self.is_stopped() {
                return Ok(());
            }
        }
        self.find_extra((from.as_fd(), to.as_fd()), &mut listing)?;
        self.listing = Some(listing);
        self.wait_for(children);
        Ok(())
    }

    /// Compares names that another copier found in a folder too wide for it alone.
    pub(super) fn compare_names(&mut self, names: &[u8]) -> Result<(), ParentGone> {
        self.cx.status.enter(self.operand, &self.path);
        let (from, to) = match self.open_both() {
            Ok(both) => both,
            Err(error) => {
                let mut left = names;
                while let Some((_, name)) = task::next_name(&mut left) {
                    self.record_failed(Some(name.to_bytes()), error)?;
                }
                return Ok(());
            }
        };
        let mut children = NameQueue::new();
        self.names((from.as_fd(), to.as_fd()), &mut Source::Handed(names), &mut children)?;
        self.wait_for(children);
        Ok(())
    }

    fn open_both(&self) -> Result<Both, EntryError> {
        if self.cx.is_passed_over(c"") {
            return Err(Op::KillsCopiers.error()(Errno::EIO));
        }
        let plan = self.cx.job.plan;
        let operand = plan.operands.get(self.operand as usize);
        let operand = operand.ok_or_else(|| Op::ReadDirectory.error()(Errno::EINVAL))?;
        let from = file::open_dir_untouched(plan.source_dir(operand), &self.path);
        let from = from.map_err(Op::ReadDirectory.error())?;
        let to = file::open_dir_untouched(plan.target_dir(operand), &operand.target_of(&self.path));
        Ok((from, to.map_err(Op::OpenTarget.error())?))
    }

    fn names(
        &mut self,
        dirs: (BorrowedFd<'_>, BorrowedFd<'_>),
        names: &mut Source<'_>,
        children: &mut NameQueue,
    ) -> Result<(), ParentGone> {
        let listed = matches!(names, Source::Listed(_));
        while !self.is_stopped() {
            let Some((_, name)) = names.next() else { break };
            if listed {
                self.cx.status.add(Count::Found, 1);
            }
            self.one_name(dirs, (name, name), children)?;
            self.pause()?;
            if self.cx.job.is_hungry() && names.is_wide() {
                self.give_names(dirs, names, children)?;
            }
        }
        Ok(())
    }

    /// Hands over some of the names that are left in a wide directory: at most half, and what fits in a slot.
    fn give_names(
        &mut self,
        dirs: (BorrowedFd<'_>, BorrowedFd<'_>),
        names: &mut Source<'_>,
        children: &mut NameQueue,
    ) -> Result<(), ParentGone> {
        let mut message = std::mem::take(&mut self.message);
        let place =
            EntryPath { operand: self.operand, source: &self.path, target: b"", staged: false };
        Task::Names { place, existed: true, names: b"" }.encode(&mut message);
        let start = message.len();
        put_half(&mut message, names, self.cx.status);
        if message.len() > start && !self.cx.job.push(self.cx.status, &mut message) {
            self.names(dirs, &mut Source::Handed(&message[start..]), children)?;
        }
        self.message = message;
        Ok(())
    }

    /// Compares a name in the source with one in the target; what is a folder on both sides is kept.
    fn one_name(
        &mut self,
        (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
        (name, target_name): (&CStr, &CStr),
        children: &mut NameQueue,
    ) -> Result<(), ParentGone> {
        self.cx.status.at(name);
        let shown = Some(name.to_bytes());
        if self.cx.is_passed_over(name) {
            return self.record_failed(shown, Op::KillsCopiers.error()(Errno::EIO));
        }
        let source = match file::stat_at(from, name) {
            Ok(source) => source,
            Err(errno) => return self.record_failed(shown, Op::Stat.error()(errno)),
        };
        let target = match file::stat_at(to, target_name) {
            Ok(target) => target,
            Err(Errno::ENOENT) => return self.record_missing(name.to_bytes(), source.mode()),
            Err(errno) => return self.record_failed(shown, Op::StatTarget.error()(errno)),
        };
        let modes = (source.mode(), target.mode());
        if source.type_bits() != target.type_bits() {
            return self.settle(shown, Properties::from(Property::Type), modes);
        }
        if source.kind() == Kind::Directory {
            return match children.push(1, name) {
                Ok(()) => Ok(()),
                Err(_) => self.record_failed(shown, Op::ReadDirectory.error()(Errno::ENOMEM)),
            };
        }
        self.report_twins(name, &source, &target)?;
        match self.differing(((from, name), (to, target_name)), (&source, &target)) {
            Ok(properties) => self.settle(shown, properties, modes),
            Err(Unfinished::Failed(error)) => self.record_failed(shown, error),
            Err(_) => Ok(()), // the run ends
        }
    }

    /// Tells what has several names, on either side: whether those are the same ones is seen in the
    /// end.
    fn report_twins(
        &mut self,
        name: &CStr,
        source: &Stat,
        target: &Stat,
    ) -> Result<(), ParentGone> {
        let wanted = self.cx.job.plan.options.preserve.links != Links::No;
        if !wanted || source.links() < 2 && target.links() < 2 {
            return Ok(());
        }
        let event = Event::HardLinked { source: source.identity(), target: target.identity() };
        self.report(Some(name.to_bytes()), event)
    }

    /// Tells of all in the target folder that the source does not have.
    fn find_extra(
        &mut self,
        (from, to): (BorrowedFd<'_>, BorrowedFd<'_>),
        listing: &mut Listing,
    ) -> Result<(), ParentGone> {
        loop {
            match listing.fill(to) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(errno) => {
                    return self.fail_beside(Op::OpenTarget.error()(errno));
                }
            }
            while let Some((_, name)) = listing.next_entry() {
                if file::stat_at(from, name).err() != Some(Errno::ENOENT) {
                    continue;
                }
                let mode = file::stat_at(to, name).map_or(0, |stat| stat.mode());
                let name: CString = c_name(name.to_bytes());
                self.report(
                    Some(name.to_bytes()),
                    Event::Difference(Difference::Extraneous(mode)),
                )?;
                if self.is_stopped() {
                    return Ok(());
                }
            }
        }
    }
}
