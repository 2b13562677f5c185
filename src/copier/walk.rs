//! Directories: list, copy what is in them, go deeper, and hand over what somebody hungry can do.
//!
//! A copier works depth first and keeps what it has not come to as names, one list per level of
//! the path it is on. It hands over the oldest of it, and only while the ring holds fewer tasks
//! than there are copiers: so most names never cross the ring, a directory is opened once, and a
//! lone copier never pays for the others. Nothing recurses, and only the deepest few levels keep
//! descriptors open; a level above them is reached again from the top, by path.

use super::data::Unfinished;
use super::file::{Dirs, Done, Files, free_staged_name};
use super::reports::{ParentGone, Reports};
use super::{Job, attrs};
use crate::ipc::counters::{Count, Desk};
use crate::ipc::names::Names;
use crate::ipc::report::{Fault, News, Report, Step};
use crate::ipc::ring::MESSAGE_BYTES_MAX;
use crate::ipc::task::{self, Place, Task};
use crate::plan::{Entry, Plan};
use crate::staging::staged_name;
use crate::sys::Errno;
use crate::sys::file::{self, Kind, NAME_BYTES_MAX, Stat};
use crate::sys::listing::Listing;
use crate::sys::process;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

/// How many levels keep their two descriptors. More would save an open by path only where a tree
/// branches this deep below itself, and cost descriptors where they are few.
const OPEN_LEVELS: usize = 4;

/// A directory with more left than this many bytes of records is wide: others may help with it.
///
/// Creates in one directory serialise in the kernel, so small ones must stay whole. Measured on
/// ext4: directories of 100 names cut in two, 2.3 s instead of 1.9 s; 50,000 names left whole,
/// 2.2 s instead of 1.4 s. 16 KiB are about 500 names.
const WIDE_BYTES: usize = 16 * 1024;

/// The longest name in a task, with its kind and its NUL.
const NAME_ROOM: usize = NAME_BYTES_MAX + 2;

/// One copier's walk.
pub(super) struct Walker<'a> {
    job: Job<'a>,
    desk: Desk<'a>,
    files: Files<'a>,
    reports: Reports,
    /// The buffer of listings; taken out while it is in use.
    listing: Option<Listing>,
    /// Where the walk is: the entry, and the directory on both sides.
    entry: u32,
    source: Vec<u8>,
    target: Vec<u8>,
    staged: bool,
    /// What is left to do: further entries, then a list of child directories per level.
    entries: Range<u32>,
    levels: VecDeque<Level>,
    message: Vec<u8>,
    name: Vec<u8>,
}

/// The child directories of one directory on the path, which exist in the target and wait.
struct Level {
    source_bytes: usize,
    target_bytes: usize,
    staged: bool,
    children: Names,
    dirs: Option<Dirs>,
}

/// What a child directory's mark says: how its target came to be.
#[derive(Clone, Copy)]
struct Child {
    /// It stood there before.
    existed: bool,
    /// It is built under the staged name with this number.
    staged: Option<u8>,
}

impl Child {
    const STAGED_MAX: u8 = 31;

    fn mark(self) -> u8 {
        0x80 | u8::from(self.existed) << 6 | self.staged.map_or(0, |variant| 0x20 | variant)
    }

    fn from_mark(mark: u8) -> Self {
        Self { existed: mark & 0x40 != 0, staged: (mark & 0x20 != 0).then_some(mark & 0x1f) }
    }
}

/// What happened in a directory while its names were gone through.
#[derive(Default)]
struct Visit {
    children: Names,
    /// Others still work in it, or a name in it will be changed at the end.
    open_end: bool,
}

/// Where names come from: the chunk that was just listed, or a task.
enum Source<'n> {
    Listed(&'n mut Listing),
    Handed(&'n [u8]),
}

impl Source<'_> {
    fn next(&mut self) -> Option<(Kind, &CStr)> {
        match self {
            Source::Listed(listing) => listing.next_entry(),
            Source::Handed(names) => task::next_name(names),
        }
    }

    /// Whether so much is left that it may be shared.
    fn is_wide(&self) -> bool {
        self.bytes_left() > WIDE_BYTES
    }

    /// What is left, in bytes of directory records; a name in a task takes about half of one.
    fn bytes_left(&self) -> usize {
        match self {
            Source::Listed(listing) => listing.bytes_left(),
            Source::Handed(names) => 2 * names.len(),
        }
    }
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
                let opened = self.open_by_path(place.staged, existed);
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

    fn place(&self) -> Place<'_> {
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
        match self.entry_dirs(entry) {
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

    /// The directories that an entry itself is in; nobody has locked them.
    fn entry_dirs(&self, entry: &Entry) -> Result<Dirs, Fault> {
        let source = self.job.plan.source_dir(entry);
        let target = self.job.plan.target_dir(entry);
        Ok(Dirs {
            source: source
                .try_clone_to_owned()
                .map_err(|_| Step::ReadDirectory.fault()(Errno::EMFILE))?,
            masked: file::has_default_acl(target),
            target: target
                .try_clone_to_owned()
                .map_err(|_| Step::OpenTarget.fault()(Errno::EMFILE))?,
            staged: false,
            contended: true,
        })
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
            let opened = opened.unwrap_or_else(|| self.open_by_path(staged, child.existed));
            return Some(Opened { opened, staged, existed: child.existed });
        }
    }

    /// Opens the directory that the walk is at, from the top.
    fn open_by_path(&self, staged: bool, existed: bool) -> Result<Dirs, Fault> {
        let Some(entry) = self.plan_entry() else {
            return Err(Step::ReadDirectory.fault()(Errno::EINVAL));
        };
        let source = file::open_dir_beneath(self.job.plan.source_dir(entry), &self.source)
            .map_err(Step::ReadDirectory.fault())?;
        let top = self.job.plan.target_dir(entry);
        let target = match file::open_dir_beneath(top, &self.target) {
            Err(Errno::EACCES) if existed => {
                let (parent, name) = split_last(&self.target);
                file::open_dir_beneath(top, parent)
                    .and_then(|parent| open_locked(&parent, &c_name(name)))
            }
            result => result,
        }
        .map_err(Step::OpenTarget.fault())?;
        make_usable(&target, existed)?;
        let masked = file::has_default_acl(target.as_fd());
        Ok(Dirs { source, target, staged, masked, contended: false })
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
        match listed.and_then(|()| self.finish(&dirs, &stat, &visit, existed)) {
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
        match self.open_by_path(staged, false) {
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
    fn names(
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

    // ---- handing over ------------------------------------------------------------------------

    /// Whether the ring holds less than one task for each copier. A lone copier is never hungry.
    fn is_hungry(&self) -> bool {
        let ring = self.job.ring;
        let enough = usize::from(self.job.plan.jobs).min(ring.capacity() / 2);
        enough > 1 && ring.len() < enough
    }

    /// Hands over the oldest work that waits, for as long as somebody is hungry.
    ///
    /// `here` is the directory whose names are being gone through, if one is. What it has left is
    /// shared only if it is wide: it is what this copier keeps for itself.
    fn hand_over(
        &mut self,
        mut here: Option<(&Dirs, &mut Source<'_>, &mut Visit)>,
    ) -> Result<(), ParentGone> {
        while self.is_hungry() {
            let given = match &mut here {
                _ if self.give_entries() || self.give_oldest_child() => true,
                Some((dirs, names, visit)) if names.is_wide() => {
                    self.give_child(None, &mut visit.children, dirs.staged) || {
                        visit.open_end = true;
                        self.give_names(dirs, names, visit)?
                    }
                }
                _ => false,
            };
            if !given {
                break;
            }
        }
        Ok(())
    }

    /// Hands over the later half of the things that the user named.
    fn give_entries(&mut self) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let middle = self.entries.start + (self.entries.end - self.entries.start) / 2;
        Task::Entries { first: middle, end: self.entries.end }.encode(&mut self.message);
        let given = self.job.ring.try_push(&self.message).is_ok();
        if given {
            self.entries.end = middle;
        }
        given
    }

    /// Hands over a child directory of the uppermost level that has one.
    fn give_oldest_child(&mut self) -> bool {
        while self.levels.front().is_some_and(|level| level.children.is_empty()) {
            self.levels.pop_front();
        }
        let Some(mut level) = self.levels.pop_front() else { return false };
        let lengths = Some((level.source_bytes, level.target_bytes));
        let given = self.give_child(lengths, &mut level.children, level.staged);
        self.levels.push_front(level);
        given
    }

    /// Hands over the first of `children`, whose directory is where the walk is or, with lengths,
    /// one above it. If that cannot be, the child stays, as the last.
    fn give_child(
        &mut self,
        lengths: Option<(usize, usize)>,
        children: &mut Names,
        staged: bool,
    ) -> bool {
        let Some(mark) = children.pop_front(&mut self.name) else { return false };
        let child = Child::from_mark(mark);
        let name = c_name(&self.name);
        let (source_bytes, target_bytes) =
            lengths.unwrap_or((self.source.len(), self.target.len()));
        let target_name = child.target_name(self.job.plan, self.entry, source_bytes == 0, &name);
        let mut source = self.source[..source_bytes].to_vec();
        let mut target = self.target[..target_bytes].to_vec();
        push_component(&mut source, name.to_bytes());
        push_component(&mut target, target_name.to_bytes());
        let staged = staged || child.staged.is_some();
        let place = Place { entry: self.entry, source: &source, target: &target, staged };
        Task::Directory { place, existed: child.existed }.encode(&mut self.message);
        let given = self.job.ring.try_push(&self.message).is_ok();
        if !given && children.push(mark, &name).is_err() {
            // It has just been taken out, so there is room for it.
            unreachable!("a name that was taken out fits back in");
        }
        given
    }

    /// Hands over some of the names that are left: at most half, and what fits in a slot.
    fn give_names(
        &mut self,
        dirs: &Dirs,
        names: &mut Source<'_>,
        visit: &mut Visit,
    ) -> Result<bool, ParentGone> {
        let mut message = std::mem::take(&mut self.message);
        Task::Names { place: self.place(), names: b"" }.encode(&mut message);
        let start = message.len();
        if start + WIDE_BYTES / 4 > MESSAGE_BYTES_MAX {
            self.message = message;
            return Ok(false); // the path alone fills the slot
        }
        let listed = matches!(names, Source::Listed(_));
        while message.len() + NAME_ROOM <= MESSAGE_BYTES_MAX
            && 2 * (message.len() - start) < names.bytes_left()
        {
            let Some((kind, name)) = names.next() else { break };
            task::put_name(&mut message, kind, name);
            if listed {
                self.desk.add(Count::Found, 1);
            }
        }
        let given = self.job.ring.try_push(&message).is_ok();
        if !given {
            self.names(dirs, &mut Source::Handed(&message[start..]), visit)?;
        }
        self.message = message;
        Ok(given)
    }

    // ---- telling -----------------------------------------------------------------------------

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

impl Child {
    /// The name of the child in the target as it is now. At the top it is the entry's, which need
    /// not be that of the source.
    fn target_name(self, plan: &Plan, entry: u32, at_top: bool, name: &CStr) -> CString {
        let own = plan
            .entries
            .get(entry as usize)
            .filter(|_| at_top)
            .map_or(name, |entry| &entry.target_name);
        self.staged.map_or_else(|| own.to_owned(), |variant| staged_name(own, variant.into()))
    }
}

/// Sees to it that the target has a directory for the child.
fn make_child(dirs: &Dirs, name: &CStr) -> Result<Child, Fault> {
    let fault = Step::CreateDirectory.fault();
    if dirs.staged {
        let existed = make_or_find(dirs, name).map_err(fault)?;
        return Ok(Child { existed, staged: None });
    }
    match file::stat_at(&dirs.target, name) {
        Ok(stat) if stat.kind() == Kind::Directory => Ok(Child { existed: true, staged: None }),
        Ok(_) => Err(fault(Errno::EEXIST)),
        Err(Errno::ENOENT) => {
            let (variant, staged) = if dirs.contended {
                (0, staged_name(name, 0)) // what else is beside the source does not come along
            } else {
                free_staged_name(dirs, name)
            };
            let variant =
                u8::try_from(variant).ok().filter(|&variant| variant <= Child::STAGED_MAX);
            let variant = variant.ok_or_else(|| fault(Errno::EEXIST))?;
            let existed = make_or_find(dirs, &staged).map_err(fault)?;
            Ok(Child { existed, staged: Some(variant) })
        }
        Err(errno) => Err(fault(errno)),
    }
}

/// Makes a directory where nobody else looks; says whether an earlier run had made it.
///
/// Born for the owner alone; it gets its bits when it is complete.
fn make_or_find(dirs: &Dirs, name: &CStr) -> Result<bool, Errno> {
    match file::make_dir(&dirs.target, name, 0o700) {
        Err(Errno::EEXIST) => {}
        result => return result.map(|()| false),
    }
    if file::stat_at(&dirs.target, name)?.kind() == Kind::Directory {
        return Ok(true);
    }
    file::unlink(&dirs.target, name)?; // the source had a file here when the earlier run was cut off
    file::make_dir(&dirs.target, name, 0o700).map(|()| false)
}

/// Opens a child directory on both sides.
fn open_child(
    dirs: &Dirs,
    name: &CStr,
    target_name: &CStr,
    staged: bool,
    existed: bool,
) -> Result<Dirs, Fault> {
    let source = file::open_dir_at(&dirs.source, name).map_err(Step::ReadDirectory.fault())?;
    let target = match file::open_dir_at(&dirs.target, target_name) {
        Err(Errno::EACCES) if existed => open_locked(&dirs.target, target_name),
        result => result,
    }
    .map_err(Step::OpenTarget.fault())?;
    make_usable(&target, existed)?;
    let masked = if existed { file::has_default_acl(target.as_fd()) } else { dirs.masked };
    Ok(Dirs { source, target, staged, masked, contended: false })
}

/// Opens a directory that its own bits keep us out of; the right ones come back when it is done.
fn open_locked(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    file::set_permissions_at(&parent, name, 0o700)?;
    file::open_dir_at(&parent, name)
}

/// Lets us work in a directory that stood there without rights for its owner.
///
/// A copy of a read-only folder is one, and must be able to go on after an interruption.
fn make_usable(target: &OwnedFd, existed: bool) -> Result<(), Fault> {
    if !existed || process::is_root() {
        return Ok(());
    }
    let stat = file::stat_fd(target).map_err(Step::OpenTarget.fault())?;
    let bits = stat.permissions();
    if bits & 0o700 == 0o700 || stat.owner() != process::user() {
        return Ok(());
    }
    file::set_permissions(target, bits | 0o700).map_err(Step::OpenTarget.fault())
}

fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// The path above the last component, and that.
fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Names come from listings and operands, where a NUL ends them.
fn c_name(name: &[u8]) -> CString {
    CString::new(name).unwrap_or_default()
}
