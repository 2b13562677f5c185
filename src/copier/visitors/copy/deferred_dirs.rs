//! Directories that are finished when all below them is done, on the walk's way back up.
//!
//! A new directory in an existing one is renamed into place as soon as nothing in it is left to do, and only then
//! can the times of the directory above be set. Both wait here while the walk is below them: at most one for each
//! level of the path that the walk is on. If part of what is below was handed over, only the parent process knows
//! when it is done; then the directory is reported to the parent, which finishes it at the end of the run. So what
//! the parent remembers grows with what is handed over, not with the tree.

use super::record::{record_deferred, record_dir};
use super::{CopyWalk, is_unpublished};
use crate::copier::dir_pair::c_name;
use crate::copier::entry::attributes::Attrs;
use crate::copier::entry::result::Done;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{Depth, EntryPath, EntryPathBuf, split_last};
use crate::plan::{Operand, Parent, Plan};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use std::os::fd::{AsFd, OwnedFd};

/// The directories on the path of the walk that are finished on the way back up.
#[derive(Default)]
pub(super) struct PendingDirs(Vec<Pending>);

/// A directory that the walk returns to.
pub(super) struct Pending {
    pub(super) depth: Depth,
    pub(super) staged: bool,
    /// Its source as it was before it was listed, which changes its time of access.
    pub(super) source: Option<Stat>,
    /// How it ended; `None` if it has failed, which is reported and counted already.
    pub(super) done: Option<Done>,
    /// Why its times and mode were not set at once.
    pub(super) waits: Option<Waits>,
    /// Whether it has a staged name that must become its own.
    pub(super) unpublished: bool,
    /// Whether another copier works on something that it waits for.
    pub(super) shared: bool,
}

/// What a directory's own times and mode wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Directories in it get their final names, which changes its time.
    Renames,
    /// Directories in it are still to be made.
    Children,
    /// Everything below it: its mode would deny access, or it is not published before that is done.
    All,
}

impl Pending {
    /// The directory that the walk is in, which has failed unless more is said.
    pub(super) fn at(at: &EntryPathBuf) -> Self {
        Self {
            depth: at.depth(),
            staged: at.staged,
            source: None,
            done: None,
            waits: None,
            unpublished: is_unpublished(at),
            shared: false,
        }
    }

    /// See [`PendingDirs::note_shared`].
    fn note_shared(&mut self, source_bytes: usize, renamed: bool) {
        if self.depth.source_bytes > source_bytes {
            return;
        }
        let waits_for_all = self.unpublished || self.waits == Some(Waits::All);
        self.shared |= waits_for_all || renamed && self.depth.source_bytes == source_bytes;
    }
}

impl PendingDirs {
    /// Makes the walk return to a directory that it is in.
    pub(super) fn push(&mut self, dir: Pending) {
        self.0.push(dir);
    }

    /// Forgets all: the task has ended.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes that a part of a directory on the path was handed over: a child directory, `renamed` if it has
    /// a staged name, or names. `source_bytes` is the length of that directory's source path.
    pub(super) fn note_shared(&mut self, source_bytes: usize, renamed: bool) {
        for dir in &mut self.0 {
            dir.note_shared(source_bytes, renamed);
        }
    }

    /// Notes that a change in the directory that the walk is in is left for the end of the run. The directory
    /// must not be finished before.
    pub(super) fn wait_for_end(&mut self, walk: &CopyWalk<'_>, progress: &mut DirProgress) {
        progress.given = true;
        progress.shared = true;
        self.note_shared(walk.at.source.len(), true);
    }

    /// Counts and reports a directory that was not copied in full. If it has a staged name, it is still
    /// renamed into place when everything that could be copied of it is there.
    pub(super) fn fail_directory(
        &mut self,
        walk: &mut CopyWalk<'_>,
        error: EntryError,
        shared: bool,
    ) -> Result<(), ParentGone> {
        walk.record_failed(None, error)?;
        if is_unpublished(&walk.at) {
            self.push(Pending { shared, ..Pending::at(&walk.at) });
        }
        Ok(())
    }

    /// Finishes the directories below which nothing is left, the innermost first.
    pub(super) fn finish_ready(&mut self, walk: &mut CopyWalk<'_>) -> Result<(), ParentGone> {
        // All levels lie on one path, so its length says which of them are below a directory.
        let deepest = walk.deepest_waiting();
        let is_done =
            |dir: &Pending| deepest.is_none_or(|deepest| deepest < dir.depth.source_bytes);
        while self.0.last().is_some_and(is_done) {
            let Some(dir) = self.0.pop() else { break };
            walk.at.truncate(dir.depth);
            walk.at.staged = dir.staged;
            self.complete(walk, &dir)?;
        }
        Ok(())
    }

    /// Finishes the directory that the walk is at, or leaves it to the parent.
    fn complete(&mut self, walk: &mut CopyWalk<'_>, dir: &Pending) -> Result<(), ParentGone> {
        walk.publish_place();
        let publishes_later = dir.shared || walk.cx.job.plan.options.writes_back_before_publish();
        if publishes_later && dir.unpublished {
            walk.report(None, Event::PublishDeferred)?;
            self.note_shared(split_last(&walk.at.source).0.len(), true); // it is renamed at the end
        }
        match dir.done {
            Some(done) if dir.shared && dir.waits.is_some() => {
                return record_deferred(walk, done);
            }
            Some(Done::Copied) => walk.cx.outbox.begin(),
            _ => {}
        }
        let finished =
            if dir.shared { Ok(()) } else { finish_and_publish(walk, dir, !publishes_later) };
        match (finished, dir.done) {
            (Ok(()), Some(done)) => record_dir(walk, done),
            (Ok(()), None) => Ok(()),
            (Err(error), Some(_)) => walk.record_failed(None, error),
            (Err(error), None) => walk.report(None, Event::Failed(error)),
        }
    }
}

fn finish_and_publish(
    walk: &CopyWalk<'_>,
    dir: &Pending,
    publishes: bool,
) -> Result<(), EntryError> {
    let (plan, place) = (walk.cx.job.plan, walk.at.as_path());
    let finished = if dir.waits.is_some() { finish_as(plan, place, dir.source) } else { Ok(()) };
    // What is in it is there for all to see, even if something could not be set.
    finished.and(if publishes && dir.unpublished { publish(plan, place) } else { Ok(()) })
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

/// Gives a directory that was created for `--parents` its attributes.
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
    file::rename_noreplace(parent, &c_name(staged), name).map_err(error)
}

fn operand_of<'a>(plan: &'a Plan, place: EntryPath<'_>) -> Result<&'a Operand, EntryError> {
    let operand = plan.operands.get(place.operand as usize);
    operand.ok_or(EntryError { op: Op::Publish, errno: Errno::EINVAL })
}
