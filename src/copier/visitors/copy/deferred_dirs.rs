//! Directories that are finished when all below them is done, on the walk's way back up.
//!
//! A new directory in an existing one is renamed into place as soon as nothing in it is left to do, and only then
//! can the times of the directory above be set. Both wait here while the walk is below them: at most one for each
//! level of the path that the walk is on. If part of what is below was handed over, only the parent process knows
//! when it is done; then the directory is reported to the parent, which finishes it at the end of the run. So what
//! the parent remembers grows with what is handed over, not with the tree.

use super::record::{record_deferred, record_dir};
use super::{CopyVisitor, CopyWalk, is_unpublished};
use crate::copier::dir_pair::c_name;
use crate::copier::entry::attributes::Attrs;
use crate::copier::entry::result::Done;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::Visitor;
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
    /// How it ended; nothing if it has failed, which is reported and counted.
    done: Option<Done>,
    /// Why its times and mode were not set at once.
    unfinished: Option<Waits>,
    /// Whether it has a staged name that must become its own.
    unpublished: bool,
    /// Whether something that it waits for was handed over.
    shared: bool,
}

/// What a directory's own times and mode wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Directories in it get their final names, which changes its time.
    Renames,
    /// Directories in it are still to be made.
    Children,
    /// Its mode would lock us out of what is below it, or it is not published before that is done.
    All,
}

impl Pending {
    /// Notes that something of the directory on the path that is so deep was handed over: a child
    /// directory, `renamed` if it has a staged name, or any of its names.
    pub(super) fn note_shared(&mut self, source_bytes: usize, renamed: bool) {
        if self.depth.source_bytes > source_bytes {
            return;
        }
        let waits_for_all = self.unpublished || self.unfinished == Some(Waits::All);
        self.shared |= waits_for_all || renamed && self.depth.source_bytes == source_bytes;
    }
}

impl<'a> CopyVisitor<'a> {
    /// Has the walk come back to the directory that it is at.
    pub(super) fn come_back_later(
        &mut self,
        walk: &CopyWalk<'a>,
        (source, done): (Option<&Stat>, Option<Done>),
        unfinished: Option<Waits>,
        shared: bool,
    ) {
        self.pending.push(Pending {
            depth: walk.at.depth(),
            staged: walk.at.staged,
            source: source.copied(),
            done,
            unfinished,
            unpublished: is_unpublished(&walk.at),
            shared,
        });
    }

    /// Counts and tells a directory that was not copied in full. If it was made under a staged name,
    /// it still gets its own when what could be copied of it is there.
    pub(super) fn fail_directory(
        &mut self,
        walk: &mut CopyWalk<'a>,
        error: EntryError,
        given: bool,
    ) -> Result<(), ParentGone> {
        walk.record_failed(None, error)?;
        if is_unpublished(&walk.at) {
            self.come_back_later(walk, (None, None), None, given);
        }
        Ok(())
    }

    /// Finishes the directories below which nothing is left, the innermost first.
    pub(super) fn finish_pending(&mut self, walk: &mut CopyWalk<'a>) -> Result<(), ParentGone> {
        // All levels lie on one path, so its length says which of them are below a directory.
        let deepest = walk.deepest_waiting();
        let is_done =
            |dir: &Pending| deepest.is_none_or(|deepest| deepest < dir.depth.source_bytes);
        while self.pending.last().is_some_and(is_done) {
            let Some(dir) = self.pending.pop() else { break };
            walk.at.truncate(dir.depth);
            walk.at.staged = dir.staged;
            self.complete(walk, &dir)?;
        }
        Ok(())
    }

    /// Finishes the directory that the walk is at, or leaves it to the supervisor.
    fn complete(&mut self, walk: &mut CopyWalk<'a>, dir: &Pending) -> Result<(), ParentGone> {
        walk.publish_place();
        let publishes_later = dir.shared || walk.cx.job.plan.options.writes_back_before_publish();
        if publishes_later && dir.unpublished {
            walk.report(None, Event::PublishDeferred)?;
            self.note_shared(split_last(&walk.at.source).0.len(), true); // it is renamed at the end
        }
        match dir.done {
            Some(done) if dir.shared && dir.unfinished.is_some() => {
                return record_deferred(walk, done);
            }
            Some(Done::Copied) => walk.cx.outbox.begin(),
            _ => {}
        }
        let finished =
            if dir.shared { Ok(()) } else { self.finish_and_publish(walk, dir, !publishes_later) };
        match (finished, dir.done) {
            (Ok(()), Some(done)) => record_dir(walk, done),
            (Ok(()), None) => Ok(()),
            (Err(error), Some(_)) => walk.record_failed(None, error),
            (Err(error), None) => walk.report(None, Event::Failed(error)),
        }
    }

    fn finish_and_publish(
        &self,
        walk: &CopyWalk<'a>,
        dir: &Pending,
        publishes: bool,
    ) -> Result<(), EntryError> {
        let (plan, place) = (walk.cx.job.plan, walk.at.as_path());
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
