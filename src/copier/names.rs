//! The names of a directory, one after the other: what becomes of each, and how it is told.

use super::data::Unfinished;
use super::dirs::{Child, Dirs, c_name, make_child, open_by_path, push_component};
use super::file::Done;
use super::instead::Instead;
use super::reports::ParentGone;
use super::share::Source;
use super::walk::{Visit, Walker};
use crate::ipc::counters::Count;
use crate::ipc::report::{Fault, News, Report, Step};
use crate::ipc::task::{self, Place};
use crate::options::Way;
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Identity, Kind};
use std::ffi::{CStr, CString};

impl Walker<'_> {
    /// Copies names that another copier found in a directory too wide for it alone.
    pub(super) fn names_task(
        &mut self,
        staged: bool,
        existed: bool,
        names: &[u8],
    ) -> Result<(), ParentGone> {
        self.desk.enter(self.entry, &self.source);
        match open_by_path(self.job.plan, self.place(), existed) {
            Ok(dirs) => {
                let mut visit = Visit::default();
                self.names(&dirs, &mut Source::Handed(names), &mut visit)?;
                self.leave(visit, dirs, staged);
            }
            Err(fault) => {
                let mut left = names;
                while let Some((_, name)) = task::next_name(&mut left) {
                    self.settle_failed(Some(name), fault)?;
                }
            }
        }
        Ok(())
    }

    /// Goes through `names` of `dirs`: what is a directory is made and kept, the rest is copied.
    pub(super) fn names(
        &mut self,
        dirs: &Dirs,
        names: &mut Source<'_>,
        visit: &mut Visit,
    ) -> Result<(), ParentGone> {
        while !self.is_stopped() {
            let listed = matches!(names, Source::Listed(_));
            let Some((kind, name)) = names.next() else { break };
            if listed {
                self.desk.add(Count::Found, 1);
            }
            self.one_name(dirs, kind, name, name, visit)?;
            if self.is_hungry() {
                self.hand_over(Some((dirs, names, visit)))?;
            }
            self.reports.flush_if_old()?;
        }
        Ok(())
    }

    pub(super) fn one_name(
        &mut self,
        dirs: &Dirs,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
        visit: &mut Visit,
    ) -> Result<(), ParentGone> {
        self.desk.at(name);
        if self.is_passed_over(name) {
            self.files.give_up(dirs, name, target_name);
            return self.settle_failed(Some(name), Step::KillsCopiers.fault()(Errno::EIO));
        }
        let kind = match self.kind_of(dirs, kind, name) {
            Ok(Kind::Directory) => return self.child(dirs, name, target_name, visit),
            Ok(kind) => kind,
            Err(fault) => return self.settle_failed(Some(name), fault),
        };
        match self.copy_or_link(dirs, kind, name, target_name) {
            Err(Unfinished::Deferred) => self.defer(dirs, name, target_name, visit),
            Ok(done) if self.files.linked.is_some() => self.lead(name, target_name, done, visit),
            Err(Unfinished::Fault(fault))
                if self.files.linked.is_some() && fault.step.leaves_it_whole() =>
            {
                self.lead_lacking(name, target_name, visit)?;
                self.settle_failed(Some(name), fault)
            }
            result => self.settle_copy(dirs, name, target_name, result),
        }
    }

    /// Makes of an entry that is not a directory what the user wants made of it.
    fn copy_or_link(
        &mut self,
        dirs: &Dirs,
        kind: Kind,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<Done, Unfinished> {
        match self.job.plan.way {
            Way::Copy | Way::AttributesOnly => self.files.copy(dirs, kind, name, target_name),
            Way::HardLink => self.files.link(dirs, Instead::HardLink, name, target_name),
            Way::Symlink => {
                let text = self.shown_source(name);
                self.files.link(dirs, Instead::Symlink(&text), name, target_name)
            }
        }
    }

    /// What the listing did not say, and what a symlink leads to if it is followed.
    fn kind_of(&self, dirs: &Dirs, kind: Kind, name: &CStr) -> Result<Kind, Fault> {
        match kind {
            Kind::Unknown | Kind::Symlink if dirs.follow => self.kind_at_end(dirs, name),
            Kind::Unknown => file::stat_at(&dirs.source, name)
                .map(|stat| stat.kind())
                .map_err(Step::Stat.fault()),
            known => Ok(known),
        }
    }

    /// Counts and tells what became of an entry that is not a directory.
    pub(super) fn settle_copy(
        &mut self,
        dirs: &Dirs,
        name: &CStr,
        target_name: &CStr,
        result: Result<Done, Unfinished>,
    ) -> Result<(), ParentGone> {
        match result {
            Ok(done) => self.settle(Some(name), done),
            Err(Unfinished::Fault(fault)) => {
                // What is published must not hold the half that an earlier run left of it. A source
                // that changed keeps what was read of it, and where nobody has been before us there
                // is no half: what has the name then came from another name, where case is ignored.
                let stays = fault.step == Step::Changed || fault.step.leaves_it_whole();
                if dirs.staged && dirs.existed && !stays {
                    self.files.give_up(dirs, name, target_name);
                }
                self.settle_failed(Some(name), fault)
            }
            // The run ends and nothing is counted any more, or it is told already.
            Err(Unfinished::Dropped | Unfinished::Deferred) => Ok(()),
        }
    }

    /// The path of `name`, as the user would write it.
    fn shown_source(&self, name: &CStr) -> CString {
        let mut path = self.source.clone();
        push_component(&mut path, name.to_bytes());
        c_name(&self.plan_entry().map(|entry| entry.show_source(&path)).unwrap_or_default())
    }

    /// What `name` is, or what it leads to; a symlink that leads nowhere, or back to where we are, is a
    /// failure.
    fn kind_at_end(&self, dirs: &Dirs, name: &CStr) -> Result<Kind, Fault> {
        let itself = file::stat_at(&dirs.source, name).map_err(Step::Stat.fault())?;
        if itself.kind() != Kind::Symlink {
            return Ok(itself.kind());
        }
        let end = dirs.stat_source(name).map_err(Step::Follow.fault())?;
        if end.kind() == Kind::Directory && self.is_above(end.identity()) {
            return Err(Step::Cycle.fault()(Errno::ELOOP));
        }
        Ok(end.kind())
    }

    /// Whether the directory that the walk is at, or one that it came through, is this one.
    ///
    /// Costs a walk from the top; only symlinks to directories ask.
    fn is_above(&self, identity: Identity) -> bool {
        let Some(entry) = self.plan_entry() else { return false };
        let slashes = self.source.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([self.source.len()]);
        ends.filter(|&end| end > 0).any(|end| {
            let dir = self.job.plan.open_source(entry, &self.source[..end]);
            dir.and_then(file::stat_fd).is_ok_and(|stat| stat.identity() == identity)
        })
    }

    /// Makes a child directory and keeps it for later.
    pub(super) fn child(
        &mut self,
        dirs: &Dirs,
        name: &CStr,
        target_name: &CStr,
        visit: &mut Visit,
    ) -> Result<(), ParentGone> {
        let made = make_child(dirs, target_name).and_then(|mut child| {
            if dirs.contended && child.staged.is_some() {
                // The supervisor has made it, to lock it.
                child.existed =
                    !self.job.fresh.get(self.entry as usize).is_some_and(|&fresh| fresh);
            }
            let kept = visit.children.push(child.mark(), name);
            kept.map(|()| child).map_err(|_| Step::CreateDirectory.fault()(Errno::ENOMEM))
        });
        match made {
            Ok(Child { staged: Some(variant), .. }) => {
                visit.renames = true;
                if dirs.contended {
                    let staged = staged_name(target_name, variant.into());
                    return self.tell_of(name, &staged, News::Built, || ());
                }
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(fault) => self.settle_failed(Some(name), fault),
        }
    }

    pub(super) fn is_passed_over(&self, name: &CStr) -> bool {
        !self.job.passed_over.is_empty() && self.job.passed_over.contains(&self.desk.mark_of(name))
    }

    /// Counts an entry that ended well; without a name it is the directory that the walk is at.
    pub(super) fn settle(&mut self, name: Option<&CStr>, done: Done) -> Result<(), ParentGone> {
        if done == Done::Skipped && !self.was_begun(name.unwrap_or(c"")) {
            self.desk.add(Count::Skipped, 1);
            return Ok(());
        }
        let desk = self.desk;
        let count = if done == Done::Linked { Count::Linked } else { Count::Copied };
        if self.job.plan.verbose {
            return self.tell_and(name, News::Done, || desk.add(count, 1));
        }
        self.reports.outbox.settle();
        desk.add(count, 1);
        Ok(())
    }

    /// Whether a copier died when it had made this entry and did not come to count and tell it.
    pub(super) fn was_begun(&self, name: &CStr) -> bool {
        let begun = self.job.begun;
        !begun.is_empty() && begun.contains(&self.desk.mark_of(name))
    }

    /// Counts a directory whose times and bits are left to the supervisor, and tells it so.
    pub(super) fn settle_late(&mut self, done: Done) -> Result<(), ParentGone> {
        let new = done == Done::Copied;
        let desk = self.desk;
        let count = if new { Count::Copied } else { Count::Skipped };
        self.tell_and(None, News::Late { new }, || desk.add(count, 1))
    }

    /// Counts and tells an entry that was not copied.
    pub(super) fn settle_failed(
        &mut self,
        name: Option<&CStr>,
        fault: Fault,
    ) -> Result<(), ParentGone> {
        self.reports.outbox.settle();
        if fault.step.means_vanished(fault.errno) {
            self.desk.add(Count::Vanished, 1);
            self.tell(name, News::Vanished(fault))
        } else {
            self.desk.add(Count::Failed, 1);
            self.tell(name, News::Failed(fault))
        }
    }

    pub(super) fn tell(&mut self, name: Option<&CStr>, news: News) -> Result<(), ParentGone> {
        self.tell_and(name, news, || ())
    }

    fn tell_and(
        &mut self,
        name: Option<&CStr>,
        news: News,
        told: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        match name {
            Some(name) => self.tell_of(name, name, news, told),
            None => {
                let Self { entry, ref source, ref target, staged, .. } = *self;
                let place = Place { entry, source, target, staged };
                self.reports.send(&Report { place, news }, told)
            }
        }
    }

    pub(super) fn tell_of(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        news: News,
        told: impl FnOnce(),
    ) -> Result<(), ParentGone> {
        let (source_bytes, target_bytes) = (self.source.len(), self.target.len());
        push_component(&mut self.source, name.to_bytes());
        push_component(&mut self.target, target_name.to_bytes());
        let sent = self.tell_and(None, news, told);
        self.source.truncate(source_bytes);
        self.target.truncate(target_bytes);
        sent
    }
}
