//! Directories that are finished when all below them is done, on the walk's way back up.
//!
//! A directory that is new in one that stood there is given its final name as soon as nothing in
//! it is left to do, and only then the times of the one above are right. Both wait here while the
//! walk is below them: at most one per level of the path that it is on. If part of what is below
//! was handed over, only the supervisor knows when it is done, and is told to see to it at the
//! end. So what the supervisor must remember does not grow with the tree.

use super::dir_pair::c_name;
use super::entry::attributes::Attrs;
use super::entry::result::Done;
use super::report_writer::ParentGone;
use super::walk::Walker;
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{Depth, EntryPath, split_last};
use crate::plan::{Operand, Parent, Plan};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use std::os::fd::{AsFd, OwnedFd};

/// A directory that the walk will come back to.
pub(super) struct Pending {
    depth: Depth,
    staged: bool,
    /// Its source as it was before it was listed, which changes its time of access.
    source: Option<Stat>,
    /// How it ended; nothing if it has failed, which is told and counted.
    done: Option<Done>,
    /// Why its times and bits were not set at once.
    unfinished: Option<Waits>,
    /// Whether it has a staged name that must become its own.
    unpublished: bool,
    /// Whether something that it waits for was handed over.
    shared: bool,
}

/// What a directory's own times and bits wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Directories in it get their final names, which changes its time.
    Renames,
    /// Directories in it are still to be made.
    Children,
    /// Its bits would lock us out of what is below it, or it is not published before that is done.
    All,
}

impl Walker<'_> {
    /// Whether the directory that the walk is at was made under a staged name by a copier. What
    /// the user named is made, locked and published by the supervisor.
    pub(super) fn is_unpublished(&self) -> bool {
        let (above, name) = split_last(&self.at.source);
        !above.is_empty() && split_last(&self.at.target).1 != name
    }

    /// Has the walk come back to the directory that it is at.
    pub(super) fn come_back_later(
        &mut self,
        source: Option<&Stat>,
        done: Option<Done>,
        unfinished: Option<Waits>,
        shared: bool,
    ) {
        self.pending.push(Pending {
            depth: self.at.depth(),
            staged: self.at.staged,
            source: source.copied(),
            done,
            unfinished,
            unpublished: self.is_unpublished(),
            shared,
        });
    }

    /// Counts and tells a directory that was not copied in full. If it was made under a staged name,
    /// it still gets its own when what could be copied of it is there.
    pub(super) fn fail_directory(
        &mut self,
        error: EntryError,
        given: bool,
    ) -> Result<(), ParentGone> {
        self.record_failed(None, error)?;
        if self.is_unpublished() {
            self.come_back_later(None, None, None, given);
        }
        Ok(())
    }

    /// Notes that what is in the directory with a path of that many bytes is handed over in part:
    /// a child directory, `renamed` if it was made under a staged name, or any of its names.
    pub(super) fn note_shared(&mut self, source_bytes: usize, renamed: bool) {
        for pending in self.pending.iter_mut().filter(|dir| dir.depth.source_bytes <= source_bytes)
        {
            let waits_for_all = pending.unpublished || pending.unfinished == Some(Waits::All);
            pending.shared |=
                waits_for_all || renamed && pending.depth.source_bytes == source_bytes;
        }
    }

    /// Finishes the directories below which nothing is left, the innermost first.
    pub(super) fn come_back(&mut self) -> Result<(), ParentGone> {
        while self.levels.back().is_some_and(|level| level.children.is_empty()) {
            self.levels.pop_back();
        }
        // All levels lie on one path, so its length says which of them are below a directory.
        let deepest = self.levels.back().map(|level| level.depth.source_bytes);
        let is_done =
            |dir: &Pending| deepest.is_none_or(|deepest| deepest < dir.depth.source_bytes);
        while self.pending.last().is_some_and(is_done) {
            let Some(dir) = self.pending.pop() else { break };
            self.at.truncate(dir.depth);
            self.at.staged = dir.staged;
            self.complete(&dir)?;
        }
        Ok(())
    }

    /// Finishes the directory that the walk is at, or leaves it to the supervisor.
    fn complete(&mut self, dir: &Pending) -> Result<(), ParentGone> {
        self.cx.status.enter(self.at.operand, &self.at.source);
        let publishes_later = dir.shared || self.cx.job.plan.options.writes_back_before_publish();
        if publishes_later && dir.unpublished {
            self.report(None, Event::PublishDeferred)?;
            self.note_shared(split_last(&self.at.source).0.len(), true); // it is renamed at the end
        }
        match dir.done {
            Some(done) if dir.shared && dir.unfinished.is_some() => {
                return self.record_deferred(done);
            }
            Some(Done::Copied) => self.cx.outbox.begin(),
            _ => {}
        }
        let finished =
            if dir.shared { Ok(()) } else { self.finish_and_publish(dir, !publishes_later) };
        match (finished, dir.done) {
            (Ok(()), Some(done)) => self.record_dir(done),
            (Ok(()), None) => Ok(()),
            (Err(error), Some(_)) => self.record_failed(None, error),
            (Err(error), None) => self.report(None, Event::Failed(error)),
        }
    }

    fn finish_and_publish(&self, dir: &Pending, publishes: bool) -> Result<(), EntryError> {
        let (plan, place) = (self.cx.job.plan, self.at.as_path());
        let finished =
            if dir.unfinished.is_some() { finish_as(plan, place, dir.source) } else { Ok(()) };
        // What is in it is there for all to see, even if something could not be set.
        finished.and(if publishes && dir.unpublished { publish(plan, place) } else { Ok(()) })
    }
}

/// Sets the times and bits of a directory in which nothing will be changed any more.
pub(crate) fn finish(plan: &Plan, place: EntryPath<'_>) -> Result<(), EntryError> {
    finish_as(plan, place, None)
}

/// The same; those that the source had when it was `seen`, or has now.
fn finish_as(plan: &Plan, place: EntryPath<'_>, seen: Option<Stat>) -> Result<(), EntryError> {
    let operand = operand_of(plan, place)?;
    let source = plan.open_source(operand, place.source).map_err(Op::ReadDirectory.error())?;
    let stat = match seen {
        Some(stat) => stat,
        None => file::stat_fd(&source).map_err(Op::Stat.error())?,
    };
    let target = plan.open_target(operand, place.target).map_err(Op::OpenTarget.error())?;
    Attrs::new(plan).finish_dir(source.as_fd(), target.as_fd(), &stat, place.staged)
}

/// Gives a folder that `--parents` has made what it is to keep.
pub(crate) fn finish_parent(plan: &Plan, parent: &Parent) -> Result<(), EntryError> {
    let source = file::open_dir(&parent.source).map_err(Op::ReadDirectory.error())?;
    let stat = file::stat_fd(&source).map_err(Op::Stat.error())?;
    let target = file::open_dir(&parent.target).map_err(Op::OpenTarget.error())?;
    Attrs::new(plan).finish_dir(source.as_fd(), target.as_fd(), &stat, parent.new)
}

/// Gives a directory, now at `place` under its staged name, its final name.
pub(crate) fn publish(plan: &Plan, place: EntryPath<'_>) -> Result<(), EntryError> {
    let error = Op::Publish.error();
    let operand = operand_of(plan, place)?;
    let (above, staged) = split_last(place.target);
    let at_top = above.is_empty();
    // The top itself is not opened anew: it may be a drop box that we can write and not read.
    let opened: OwnedFd;
    let parent = if at_top {
        plan.target_dir(operand)
    } else {
        opened = plan.open_target(operand, above).map_err(&error)?;
        opened.as_fd()
    };
    let own = c_name(split_last(place.source).1);
    let name = if at_top { &operand.target_name } else { &own };
    file::rename_new(parent, &c_name(staged), name).map_err(error)
}

fn operand_of<'a>(plan: &'a Plan, place: EntryPath<'_>) -> Result<&'a Operand, EntryError> {
    let operand = plan.operands.get(place.operand as usize);
    operand.ok_or(EntryError { op: Op::Publish, errno: Errno::EINVAL })
}
