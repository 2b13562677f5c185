//! Directories: list, copy what is in them, go deeper, and hand over what somebody hungry can do.
//!
//! A copier works depth first and keeps what it has not come to as names, one list per level of
//! the path it is on. It hands over the oldest of it, and only while the ring holds fewer tasks
//! than there are copiers: so most names never cross the ring, a directory is opened once, and a
//! lone copier never pays for the others. Nothing recurses, and only the deepest few levels keep
//! descriptors open; a level above them is reached again from the top, by path.

use super::clean::remove_strangers;
use super::data::Unfinished;
use super::dirs::{
    Child, Dirs, c_name, entry_dirs, make_child, open_by_path, open_child, push_component,
};
use super::file::{Done, Files};
use super::reports::{ParentGone, Reports};
use super::share::Source;
use super::{Job, attrs};
use crate::ipc::counters::{Count, Desk};
use crate::ipc::names::Names;
use crate::ipc::report::{Fault, News, Report, Step};
use crate::ipc::task::{self, Place, Task};
use crate::plan::Entry;
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Kind, Stat};
use crate::sys::listing::Listing;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::AsFd;

/// How many levels keep their two descriptors. More would save an open by path only where a tree
/// branches this deep below itself, and cost descriptors where they are few.
const OPEN_LEVELS: usize = 4;

/// One copier's walk.
pub(super) struct Walker<'a> {
    pub(super) job: Job<'a>,
    pub(super) desk: Desk<'a>,
    files: Files<'a>,
    reports: Reports,
    /// The buffer of listings; taken out while it is in use.
    listing: Option<Listing>,
    /// Where the walk is: the entry, and the directory on both sides.
    pub(super) entry: u32,
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) staged: bool,
    /// What is left to do: further entries, then a list of child directories per level.
    pub(super) entries: Range<u32>,
    pub(super) levels: VecDeque<Level>,
    pub(super) message: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// The child directories of one directory on the path, which exist in the target and wait.
pub(super) struct Level {
    pub(super) source_bytes: usize,
    pub(super) target_bytes: usize,
    pub(super) staged: bool,
    pub(super) children: Names,
    pub(super) dirs: Option<Dirs>,
}

/// What happened in a directory while its names were gone through.
#[derive(Default)]
pub(super) struct Visit {
    pub(super) children: Names,
    /// Others still work in it, or a name in it will be changed at the end.
    pub(super) open_end: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(job: Job<'a>, number: u16, reports: Reports) -> Self {
        let desk = job.counters.desk(number);
        Self {
            job,
            desk,
            files: Files::new(desk),
            reports,
            listing: Some(Listing::new()),
            entry: 0,
            source: Vec::new(),
            target: Vec::new(),
            staged: false,
            entries: 0..0,
            levels: VecDeque::new(),
            message: Vec::new(),
            name: Vec::new(),
        }
    }

    /// Does a task and all that follows from it and is not handed over.
    pub(super) fn carry_out(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        match task {
            Task::Entries { first, end } => {
                let known = u32::try_from(self.job.plan.entries.len()).unwrap_or(u32::MAX);
                self.entries = first..end.min(known);
                self.entries()
            }
            Task::Directory { place, existed } => {
                self.go_to(place);
                let opened = open_by_path(self.job.plan, place, existed);
                self.directory(opened, place.staged, existed)?;
                self.descend()
            }
            Task::Names { place, names } => {
                self.go_to(place);
                self.names_task(place.staged, names)?;
                self.descend()
            }
        }
    }

    pub(super) fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.reports.flush()
    }

    /// Whether the supervisor wants no more of this.
    pub(super) fn is_stopped(&self) -> bool {
        self.job.ring.is_stopped() || self.desk.is_asked_to_stop()
    }

    fn go_to(&mut self, place: Place<'_>) {
        self.entry = place.entry;
        self.staged = place.staged;
        self.source.clear();
        self.source.extend_from_slice(place.source);
        self.target.clear();
        self.target.extend_from_slice(place.target);
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { entry: self.entry, source: &self.source, target: &self.target, staged: self.staged }
    }

    fn plan_entry(&self) -> Option<&'a Entry> {
        self.job.plan.entries.get(self.entry as usize)
    }

    // ---- entries -----------------------------------------------------------------------------

    /// Does the things that the user named, one after the other.
    fn entries(&mut self) -> Result<(), ParentGone> {
        while let Some(number) = self.entries.next() {
            if self.is_stopped() {
                break;
            }
            self.go_to(Place { entry: number, source: b"", target: b"", staged: false });
            self.hand_over(None)?;
            self.one_entry()?;
            self.descend()?;
        }
        Ok(())
    }

    fn one_entry(&mut self) -> Result<(), ParentGone> {
        let Some(entry) = self.plan_entry() else { return Ok(()) };
        self.desk.enter(self.entry, b"");
        self.desk.add(Count::Found, 1);
        let mut visit = Visit::default();
        match entry_dirs(self.job.plan, entry) {
            Ok(dirs) => {
                self.one_name(
                    &dirs,
                    Kind::Unknown,
                    &entry.source_name,
                    &entry.target_name,
                    &mut visit,
                )?;
                self.leave(visit, dirs, false);
            }
            Err(fault) => self.settle_failed(Some(&entry.source_name), fault)?,
        }
        Ok(())
    }

    // ---- directories -------------------------------------------------------------------------

    /// Goes through the child directories that wait, the newest first, until none are left.
    fn descend(&mut self) -> Result<(), ParentGone> {
        while let Some(step) = self.next_child() {
            if self.is_stopped() {
                break;
            }
            self.hand_over(None)?; // one directory is in hand, so all that waits may go
            self.directory(step.opened, step.staged, step.existed)?;
        }
        self.levels.clear();
        Ok(())
    }

    /// Steps down into the newest directory that waits.
    fn next_child(&mut self) -> Option<Opened> {
        loop {
            let level = self.levels.back_mut()?;
            self.source.truncate(level.source_bytes);
            self.target.truncate(level.target_bytes);
            let Some(mark) = level.children.pop_back(&mut self.name) else {
                self.levels.pop_back();
                continue;
            };
            let child = Child::from_mark(mark);
            let staged = level.staged || child.staged.is_some();
            let name = c_name(&self.name);
            let target_name =
                child.target_name(self.job.plan, self.entry, self.source.is_empty(), &name);
            let open = |dirs: &Dirs| open_child(dirs, &name, &target_name, staged, child.existed);
            let opened = level.dirs.as_ref().map(open);
            if level.children.is_empty() {
                self.levels.pop_back(); // so that a chain of single directories takes no memory
            }
            push_component(&mut self.source, name.to_bytes());
            push_component(&mut self.target, target_name.to_bytes());
            let opened = opened.unwrap_or_else(|| {
                let place = Place { staged, ..self.place() };
                open_by_path(self.job.plan, place, child.existed)
            });
            return Some(Opened { opened, staged, existed: child.existed });
        }
    }

    /// Lists the directory that the walk is at, copies what is in it, and gives it its attributes.
    fn directory(
        &mut self,
        opened: Result<Dirs, Fault>,
        staged: bool,
        existed: bool,
    ) -> Result<(), ParentGone> {
        self.staged = staged;
        self.desk.enter(self.entry, &self.source);
        let (dirs, stat) = match opened.and_then(|dirs| self.look_at(dirs)) {
            Ok(both) => both,
            Err(fault) => return self.settle_failed(None, fault),
        };
        let mut visit = Visit::default();
        let listed = self.list(&dirs, &mut visit)?;
        if self.is_stopped() {
            return Ok(());
        }
        self.desk.at_none();
        // What an earlier run left there may be of another source, or of one that has changed.
        let cleaned =
            if staged && existed { listed.and_then(|()| remove_strangers(&dirs)) } else { listed };
        match cleaned.and_then(|()| self.finish(&dirs, &stat, &visit, existed)) {
            Ok(true) => self.settle(None, if existed { Done::Skipped } else { Done::Copied })?,
            Ok(false) => {
                self.tell(None, News::Later)?;
                self.settle(None, if existed { Done::Skipped } else { Done::Copied })?;
            }
            Err(fault) => self.settle_failed(None, fault)?,
        }
        self.leave(visit, dirs, staged);
        Ok(())
    }

    /// Refuses a directory that copiers died on, or that is our own target met from above.
    fn look_at(&self, dirs: Dirs) -> Result<(Dirs, Stat), Fault> {
        if self.is_passed_over(c"") {
            return Err(Step::KillsCopiers.fault()(Errno::EIO));
        }
        let stat = file::stat_fd(&dirs.source).map_err(Step::Stat.fault())?;
        if self.job.targets.contains(&stat.identity()) {
            return Err(Step::IntoItself.fault()(Errno::ELOOP));
        }
        Ok((dirs, stat))
    }

    /// Goes through all names of a directory, a chunk at a time.
    fn list(&mut self, dirs: &Dirs, visit: &mut Visit) -> Result<Result<(), Fault>, ParentGone> {
        let mut listing = self.listing.take().unwrap_or_default();
        let result = loop {
            match listing.fill(dirs.source.as_fd()) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(errno) => break Err(Step::ReadDirectory.fault()(errno)),
            }
            self.names(dirs, &mut Source::Listed(&mut listing), visit)?;
            if self.is_stopped() {
                break Ok(());
            }
        };
        self.listing = Some(listing);
        Ok(result)
    }

    /// Sets a directory's times and bits if nothing will be changed in it; else says false.
    fn finish(
        &self,
        dirs: &Dirs,
        source: &Stat,
        visit: &Visit,
        existed: bool,
    ) -> Result<bool, Fault> {
        let locks_us_out =
            !self.job.root && source.permissions() & 0o100 == 0 && !visit.children.is_empty();
        if visit.open_end || locks_us_out {
            return Ok(false);
        }
        if existed && attrs::is_finished_dir(source, &dirs.target) {
            return Ok(true);
        }
        attrs::finish_dir(dirs.target.as_fd(), source).map(|()| true)
    }

    /// Keeps what waits in the directory that was just gone through.
    fn leave(&mut self, visit: Visit, dirs: Dirs, staged: bool) {
        if visit.children.is_empty() {
            return;
        }
        self.levels.push_back(Level {
            source_bytes: self.source.len(),
            target_bytes: self.target.len(),
            staged,
            children: visit.children,
            dirs: Some(dirs),
        });
        if let Some(above) = self.levels.len().checked_sub(OPEN_LEVELS + 1) {
            self.levels[above].dirs = None;
        }
    }

    // ---- names -------------------------------------------------------------------------------

    /// Copies names that another copier found in a directory too wide for it alone.
    fn names_task(&mut self, staged: bool, names: &[u8]) -> Result<(), ParentGone> {
        self.desk.enter(self.entry, &self.source);
        match open_by_path(self.job.plan, self.place(), false) {
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

    fn one_name(
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
        let kind = match kind {
            Kind::Unknown => match file::stat_at(&dirs.source, name) {
                Ok(stat) => stat.kind(),
                Err(errno) => return self.settle_failed(Some(name), Step::Stat.fault()(errno)),
            },
            known => known,
        };
        if kind == Kind::Directory {
            return self.child(dirs, name, target_name, visit);
        }
        match self.files.copy(dirs, kind, name, target_name) {
            Ok(done) => self.settle(Some(name), done),
            Err(Unfinished::Fault(fault)) => self.settle_failed(Some(name), fault),
            Err(Unfinished::Dropped) => Ok(()), // the run ends, and nothing is counted any more
        }
    }

    /// Makes a child directory and keeps it for later.
    fn child(
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
                visit.open_end = true; // the rename at the end will change this directory
                let staged = staged_name(target_name, variant.into());
                self.tell_of(name, target_name, News::Built { staged: staged.to_bytes() })
            }
            Ok(_) => Ok(()),
            Err(fault) => self.settle_failed(Some(name), fault),
        }
    }

    fn is_passed_over(&self, name: &CStr) -> bool {
        !self.job.passed_over.is_empty() && self.job.passed_over.contains(&self.desk.mark_of(name))
    }

    /// Counts an entry that ended well; without a name it is the directory that the walk is at.
    fn settle(&mut self, name: Option<&CStr>, done: Done) -> Result<(), ParentGone> {
        match done {
            Done::Copied => self.desk.add(Count::Copied, 1),
            Done::Skipped => self.desk.add(Count::Skipped, 1),
        }
        if self.job.plan.verbose && done == Done::Copied {
            self.tell(name, News::Done)
        } else {
            Ok(())
        }
    }

    /// Counts and tells an entry that was not copied.
    fn settle_failed(&mut self, name: Option<&CStr>, fault: Fault) -> Result<(), ParentGone> {
        if fault.step.means_vanished(fault.errno) {
            self.desk.add(Count::Vanished, 1);
            self.tell(name, News::Vanished(fault))
        } else {
            self.desk.add(Count::Failed, 1);
            self.tell(name, News::Failed(fault))
        }
    }

    fn tell(&mut self, name: Option<&CStr>, news: News<'_>) -> Result<(), ParentGone> {
        match name {
            Some(name) => self.tell_of(name, name, news),
            None => {
                let Self { entry, ref source, ref target, staged, .. } = *self;
                let place = Place { entry, source, target, staged };
                self.reports.send(&Report { place, news })
            }
        }
    }

    fn tell_of(
        &mut self,
        name: &CStr,
        target_name: &CStr,
        news: News<'_>,
    ) -> Result<(), ParentGone> {
        let (source_bytes, target_bytes) = (self.source.len(), self.target.len());
        push_component(&mut self.source, name.to_bytes());
        push_component(&mut self.target, target_name.to_bytes());
        let told = self.tell(None, news);
        self.source.truncate(source_bytes);
        self.target.truncate(target_bytes);
        told
    }
}

/// A directory to go through, as [`Walker::next_child`] found it.
struct Opened {
    opened: Result<Dirs, Fault>,
    staged: bool,
    existed: bool,
}
