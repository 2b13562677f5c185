//! Directories: list, copy what is in them, go deeper, and hand over what somebody hungry can do.
//!
//! A copier works depth first and keeps what it has not come to as names, one list per level of
//! the path it is on. It hands over the oldest of it, and only while the ring holds fewer tasks
//! than there are copiers: so most names never cross the ring, a directory is opened once, and a
//! lone copier never pays for the others. Nothing recurses, and only the deepest few levels keep
//! descriptors open; a level above them is reached again from the top, by path.

use super::Worker;
use super::clean::{remove, remove_strangers};
use super::context::Context;
use super::deferred_dirs::{Pending, Waits, publish};
use super::dir_pair::{Child, DirPair, c_name, make_late, open_by_path, open_child, operand_dirs};
use super::entry::result::Done;
use super::entry::{EntryCopier, help};
use super::offer::Source;
use super::report_writer::{ParentGone, Reports};
use crate::copier::name_queue::NameQueue;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{Depth, EntryPath, EntryPathBuf, Task, split_last};
use crate::plan::Operand;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::listing::Listing;
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::AsFd;

/// How many levels keep their two descriptors. More would save an open by path only where a tree
/// branches this deep below itself, and cost descriptors where they are few.
const OPEN_LEVELS: usize = 4;

/// One copier's walk.
pub(super) struct Walker<'a> {
    pub(super) cx: Context<'a>,
    pub(super) entry_copier: EntryCopier<'a>,
    pub(super) reports: Reports<'a>,
    /// The buffer of listings; taken out while it is in use.
    listing: Option<Listing>,
    /// The directory that the walk is in.
    pub(super) at: EntryPathBuf,
    /// What is left of the task, if that is a range; some of it may be handed over.
    pub(super) ranges: Ranges,
    /// The child directories that wait, a level for each directory on the path.
    pub(super) levels: VecDeque<Level>,
    /// The directories above, and this one, that are to be finished on the way back.
    pub(super) pending: Vec<Pending>,
    /// The devices that were reported.
    volumes: Vec<u64>,
    /// Whether the last entry took much longer than it takes to hand one over.
    pub(super) last_was_heavy: bool,
    pub(super) message: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// What is left of a task that is a range of numbers.
#[derive(Default)]
pub(super) struct Ranges {
    pub(super) operands: Range<u32>,
    pub(super) groups: Range<u32>,
    pub(super) prompted: Range<u32>,
    pub(super) written: Range<u32>,
}

/// The child directories of one directory on the path, which exist in the target and wait.
pub(super) struct Level {
    pub(super) depth: Depth,
    pub(super) staged: bool,
    pub(super) children: NameQueue,
    pub(super) dirs: Option<DirPair>,
}

/// What happened in a directory while its names were gone through.
#[derive(Default)]
pub(super) struct DirProgress {
    pub(super) children: NameQueue,
    /// Directories were made in it under staged names, which will become their own.
    pub(super) renames: bool,
    /// Directories in it are still to be made.
    pub(super) unmade: bool,
    /// Others will still make or rename something in it.
    pub(super) shared: bool,
    /// Something below it was handed over.
    pub(super) given: bool,
}

impl Worker for Walker<'_> {
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        match task {
            Task::Operands { first, end } => {
                let known = u32::try_from(self.cx.job.plan.operands.len()).unwrap_or(u32::MAX);
                self.ranges.operands = first..end.min(known);
                self.operands()
            }
            Task::Directory { place, existed } => {
                self.at.go_to(place);
                let opened = open_by_path(self.cx.job.plan, place, existed);
                self.directory(opened, place.staged, existed)?;
                self.descend()
            }
            Task::Names { place, existed, names } => {
                self.at.go_to(place);
                self.names_task(place.staged, existed, names)?;
                self.descend()
            }
            Task::LargeFile(request) => {
                help(self.cx, &request, &mut self.entry_copier.buffer);
                Ok(())
            }
            Task::Links { first, end } => self.link_groups(first, end),
            Task::Verify { first, end } => self.verify(first, end),
            Task::Prompted { first, end } => self.agreed(first, end),
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.reports.flush()
    }

    fn context(&self) -> &Context<'_> {
        &self.cx
    }
}

impl<'a> Walker<'a> {
    pub(super) fn new(cx: Context<'a>, reports: Reports<'a>) -> Self {
        Self {
            cx,
            entry_copier: EntryCopier::new(cx),
            reports,
            listing: Some(Listing::new()),
            at: EntryPathBuf::default(),
            ranges: Ranges::default(),
            levels: VecDeque::new(),
            pending: Vec::new(),
            volumes: Vec::new(),
            last_was_heavy: false,
            message: Vec::new(),
            name: Vec::new(),
        }
    }

    /// Publishes where the walk is, for the progress line and for reports of a death.
    pub(super) fn enter(&mut self) {
        self.cx.status.enter(self.at.operand, &self.at.source);
    }

    pub(super) fn operand(&self) -> Option<&'a Operand> {
        self.cx.plan().operands.get(self.at.operand as usize)
    }

    /// Does the things that the user named, one after the other.
    fn operands(&mut self) -> Result<(), ParentGone> {
        while let Some(number) = self.ranges.operands.next() {
            if self.is_stopped() {
                break;
            }
            self.at.go_to(EntryPath { operand: number, source: b"", target: b"", staged: false });
            self.hand_over(None)?;
            self.one_operand()?;
            self.descend()?;
        }
        Ok(())
    }

    fn one_operand(&mut self) -> Result<(), ParentGone> {
        let Some(operand) = self.operand() else { return Ok(()) };
        self.enter();
        self.cx.status.add(Count::Found, 1);
        let mut progress = DirProgress::default();
        match operand_dirs(self.cx.job.plan, operand, self.cx.job.failed) {
            Ok(dirs) => {
                self.one_name(
                    &dirs,
                    Kind::Unknown,
                    &operand.source_name,
                    &operand.target_name,
                    &mut progress,
                )?;
                self.leave(progress, dirs, false);
            }
            Err(error) => self.record_failed(Some(&operand.source_name), error)?,
        }
        Ok(())
    }

    /// Goes through the child directories that wait, the newest first, until none are left.
    fn descend(&mut self) -> Result<(), ParentGone> {
        while !self.is_stopped() {
            self.come_back()?;
            let Some(op) = self.next_child() else { break };
            self.hand_over(None)?; // one directory is in hand, so all that waits may go
            self.directory(op.opened, op.staged, op.existed)?;
        }
        self.levels.clear();
        self.pending.clear();
        Ok(())
    }

    /// Steps down into the newest directory that waits.
    fn next_child(&mut self) -> Option<Opened> {
        loop {
            let level = self.levels.back_mut()?;
            self.at.truncate(level.depth);
            let Some(mark) = level.children.pop_front(&mut self.name) else {
                self.levels.pop_back();
                continue;
            };
            let child = Child::from_mark(mark);
            let staged = level.staged || child.staged.is_some();
            let name = c_name(&self.name);
            let target_name = child.target_name(
                self.cx.job.plan,
                self.at.operand,
                self.at.source.is_empty(),
                &name,
            );
            let plan = self.cx.job.plan;
            let open =
                |dirs: &DirPair| open_child(plan, dirs, &name, &target_name, staged, child.existed);
            let late = (level.dirs.as_ref(), &self.at.target[..]);
            let made = if child.unmade {
                make_late(plan, self.at.operand, late, &target_name)
            } else {
                Ok(())
            };
            let opened = match made {
                Ok(()) => level.dirs.as_ref().map(open),
                Err(error) => Some(Err(error)),
            };
            if level.children.is_empty() {
                self.levels.pop_back(); // so that a chain of single directories takes no memory
            }
            self.at.push(name.to_bytes(), target_name.to_bytes());
            let opened = opened.unwrap_or_else(|| {
                let place = EntryPath { staged, ..self.at.as_path() };
                open_by_path(self.cx.job.plan, place, child.existed)
            });
            return Some(Opened { opened, staged, existed: child.existed });
        }
    }

    /// Lists the directory that the walk is at, copies what is in it, and gives it its attributes.
    fn directory(
        &mut self,
        opened: Result<DirPair, EntryError>,
        staged: bool,
        existed: bool,
    ) -> Result<(), ParentGone> {
        self.at.staged = staged;
        self.enter();
        let mut opened = Some(opened);
        let looked = self.tries(
            |error| Some(*error),
            |walker| {
                let anew = || open_by_path(walker.cx.job.plan, walker.at.as_path(), existed);
                walker.look_at(opened.take().unwrap_or_else(anew)?)
            },
        );
        let (dirs, stat) = match looked {
            Ok(both) => both,
            Err(error) => {
                if staged && existed && !self.cx.job.plan.options.in_place {
                    self.drop_leftovers();
                }
                return self.fail_directory(error, false);
            }
        };
        // One that is staged and not finished was left by an earlier round or run, which did not
        // count it.
        let skipped = existed && (!staged || self.cx.attrs.is_finished_dir(&stat, &dirs.target));
        let mut progress = DirProgress::default();
        let listed = if self.cx.job.is_left_out(self.at.operand, &stat) {
            Ok(())
        } else {
            self.list(&dirs, &mut progress)?
        };
        if self.is_stopped() {
            return Ok(());
        }
        self.cx.status.at_none();
        self.note_volume(&dirs)?;
        // What an earlier run left there may be of another source, or of one that has changed.
        let cleans = staged && existed && !dirs.is_seen(self.cx.job.plan);
        let cleaned = if cleans { listed.and_then(|()| remove_strangers(&dirs)) } else { listed };
        if let Err(error) = cleaned {
            self.fail_directory(error, progress.given)?;
        } else {
            let done = if skipped { Done::Skipped } else { Done::Copied };
            self.finish(&dirs, &stat, &progress, done)?;
        }
        self.leave(progress, dirs, staged);
        Ok(())
    }

    /// Tells of a directory on another file system than its entry, which has to be written out, too.
    fn note_volume(&mut self, dirs: &DirPair) -> Result<(), ParentGone> {
        let device = dirs.traits.device;
        if !self.cx.job.plan.options.writes_back_before_publish() || self.volumes.contains(&device)
        {
            return Ok(());
        }
        self.volumes.push(device);
        self.report(None, Event::OtherFileSystem)
    }

    /// Removes what an earlier run left in a staged directory that cannot be copied any more: some
    /// of it may be half done. If that cannot be, the failure that is told names the place.
    fn drop_leftovers(&self) {
        let Some(operand) = self.operand() else { return };
        let (parent, name) = split_last(&self.at.target);
        let emptied = self.cx.job.plan.open_target(operand, parent).and_then(|parent| {
            remove(parent.as_fd(), Kind::Directory, &c_name(name))?;
            file::make_dir(&parent, &c_name(name), 0o700)
        });
        if emptied.is_err() {
            // See above.
        }
    }

    /// Refuses a directory that copiers died on, or that is our own target met from above.
    fn look_at(&self, dirs: DirPair) -> Result<(DirPair, Stat), EntryError> {
        if self.cx.is_passed_over(c"") {
            return Err(Op::KillsCopiers.error()(Errno::EIO));
        }
        let stat = file::stat_fd(&dirs.source).map_err(Op::Stat.error())?;
        if self.cx.job.targets.contains(&stat.identity()) {
            return Err(Op::IntoItself.error()(Errno::ELOOP));
        }
        // The target, which was made in it, has changed its time.
        let at_top = split_last(&self.at.source).0.is_empty();
        let before = self.operand().filter(|_| at_top).and_then(|operand| operand.into_itself);
        Ok((dirs, before.unwrap_or(stat)))
    }

    /// Goes through all names of a directory, a chunk at a time.
    fn list(
        &mut self,
        dirs: &DirPair,
        progress: &mut DirProgress,
    ) -> Result<Result<(), EntryError>, ParentGone> {
        let mut listing = self.listing.take().unwrap_or_default();
        let result = loop {
            // After a failure the kernel's place in the directory is the same, and no name is lost.
            let filled = self.tries(
                |error| Some(*error),
                |_| listing.fill(dirs.source.as_fd()).map_err(Op::ReadDirectory.error()),
            );
            match filled {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            self.names(dirs, &mut Source::Listed(&mut listing), progress)?;
            if self.is_stopped() {
                break Ok(());
            }
        };
        self.listing = Some(listing);
        Ok(result)
    }

    /// Gives a directory its times, bits and name, or notes what of that must wait.
    fn finish(
        &mut self,
        dirs: &DirPair,
        source: &Stat,
        progress: &DirProgress,
        done: Done,
    ) -> Result<(), ParentGone> {
        let has_children = progress.given || !progress.children.is_empty();
        let locks_us_out = !self.cx.job.root && source.permissions() & 0o100 == 0;
        let unpublished = self.is_unpublished();
        let writes_back_before_publish =
            unpublished && self.cx.job.plan.options.writes_back_before_publish();
        let unfinished = if has_children && (locks_us_out || unpublished)
            || writes_back_before_publish
        {
            Some(Waits::All)
        } else {
            match progress {
                DirProgress { renames, shared, .. } if *renames || *shared => Some(Waits::Renames),
                DirProgress { unmade: true, .. } if !progress.children.is_empty() => {
                    Some(Waits::Children)
                }
                _ => None,
            }
        };
        if unfinished.is_none() {
            if done == Done::Copied {
                self.cx.outbox.begin();
            }
            let (from, to) = (dirs.source.as_fd(), dirs.target.as_fd());
            let as_it_was = dirs.existed && !dirs.staged;
            let finished = if as_it_was && self.cx.attrs.needs_nothing(source, to) {
                Ok(())
            } else {
                self.cx.attrs.finish_dir(from, to, source, dirs.staged)
            };
            // What is in it is there for all to see, even if something could not be set.
            let published =
                if unpublished { publish(self.cx.job.plan, self.at.as_path()) } else { Ok(()) };
            return match finished.and(published) {
                Ok(()) => self.record_dir(done),
                Err(error) => self.record_failed(None, error),
            };
        }
        let shared = progress.shared || progress.given && unfinished == Some(Waits::All);
        self.come_back_later(Some(source), Some(done), unfinished, shared);
        Ok(())
    }

    /// Keeps what waits in the directory that was just gone through.
    pub(super) fn leave(&mut self, progress: DirProgress, dirs: DirPair, staged: bool) {
        if progress.children.is_empty() {
            return;
        }
        self.levels.push_back(Level {
            depth: self.at.depth(),
            staged,
            children: progress.children,
            dirs: Some(dirs),
        });
        if let Some(above) = self.levels.len().checked_sub(OPEN_LEVELS + 1) {
            self.levels[above].dirs = None;
        }
    }
}

/// A directory to go through, as [`Walker::next_child`] found it.
struct Opened {
    opened: Result<DirPair, EntryError>,
    staged: bool,
    existed: bool,
}
