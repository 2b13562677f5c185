//! The one walk of a tree, for copying and for comparing: list a directory, visit what is in it, go deeper,
//! and hand over what a copier without work can do.
//!
//! A copier works depth first and keeps what it has not come to as names, one list for each level of the
//! path that it is on. It hands over the oldest of it, and only while the ring holds fewer tasks than there
//! are other copiers: so most names never cross the ring, a directory is opened once, and a lone copier
//! never pays for the others. Nothing recurses, and only the deepest few levels keep descriptors open; a
//! level above them is reached again from the top, by path.
//!
//! What is done with an entry and a directory is up to a [`Visitor`]. Whatever selects entries is asked
//! here, and nowhere else.

mod names;
pub(super) mod offer;
mod park;
mod record;

pub(super) use names::Names;

use super::context::Context;
use super::dir_pair::c_name;
use super::name_queue::NameQueue;
use super::report_writer::{ParentGone, Reports};
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::{self, Depth, EntryPath, EntryPathBuf};
use crate::plan::Operand;
use offer::{Ranges, hand_over};
use park::park_if_superfluous;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How many levels keep their descriptors. More would save an open by path only where a tree branches this
/// deep below itself, and cost descriptors where they are few.
const OPEN_LEVELS: usize = 4;

/// How long the first pause is before a failed call is tried again; the next ones are longer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where a walk is, what waits, and how it reports.
pub(super) struct Walk<'a, D> {
    pub(super) cx: Context<'a>,
    pub(super) reports: Reports<'a>,
    /// The directory that the walk is in.
    pub(super) at: EntryPathBuf,
    /// What is left of the task, if that is a range.
    pub(super) ranges: Ranges,
    /// The child directories that wait, a level for each directory on the path.
    levels: VecDeque<Level<D>>,
    /// Whether the last entry took much longer than it takes to hand one over.
    pub(super) last_was_heavy: bool,
    /// The buffer of listings; taken out while it is in use.
    listing: Option<DirReader>,
    message: Vec<u8>,
    name: Vec<u8>,
}

/// The child directories of one directory on the path, which wait.
struct Level<D> {
    depth: Depth,
    staged: bool,
    children: NameQueue,
    dir: Option<D>,
}

/// What happened in a directory while its names were visited.
#[derive(Default)]
pub(super) struct DirProgress {
    /// The directories in it that wait to be entered.
    pub(super) children: NameQueue,
    /// Directories were made in it under staged names, which will become their own.
    pub(super) renames: bool,
    /// Directories in it are still to be made.
    pub(super) unmade: bool,
    /// Other copiers will still make or rename something in it.
    pub(super) shared: bool,
    /// Something below it was handed over.
    pub(super) given: bool,
}

/// A child directory, as its parent's list has it.
pub(super) struct Child<D> {
    /// Its name in the target.
    pub(super) target_name: CString,
    /// The directory on both sides, if it could be reached from its parent.
    pub(super) opened: Option<Result<D, EntryError>>,
    /// Whether it lies in something that is built under a staged name.
    pub(super) staged: bool,
    /// Whether its target existed before this round.
    pub(super) existed: bool,
}

/// A child directory that is about to be handed over.
pub(super) struct Offered {
    pub(super) target_name: CString,
    pub(super) staged: bool,
    pub(super) existed: bool,
    /// Whether it has a staged name that will become its own.
    pub(super) renamed: bool,
    /// What its parent's list says of it from now on, if it stays.
    pub(super) mark: u8,
    /// Whether it can go.
    pub(super) is_ready: bool,
}

impl<D> Child<D> {
    /// One that is opened from the top, by its path in the source alone.
    pub(super) fn by_source_path(staged: bool) -> Self {
        Self { target_name: CString::default(), opened: None, staged, existed: true }
    }
}

impl Offered {
    /// The same, to be handed over.
    pub(super) fn by_source_path(mark: u8) -> Self {
        let target_name = CString::default();
        let (staged, existed, renamed, is_ready) = (false, true, false, true);
        Self { target_name, staged, existed, renamed, mark, is_ready }
    }
}

/// A directory that was entered, with what is known of it; nothing if that has failed.
type Entered<'a, V> = Option<(<V as Visitor<'a>>::Dir, <V as Visitor<'a>>::Facts)>;

/// What is done with the entries of a tree.
pub(super) trait Visitor<'a>: Sized {
    /// A directory, open.
    type Dir;

    /// What `enter` has found out and `leave` needs.
    type Facts;

    /// Whether each name of a listing is an entry that is found, and has to come to an end.
    const COUNTS_NAMES: bool = true;

    /// How many operands there are.
    fn operand_count(&self, cx: &Context<'_>) -> usize;

    /// Visits an operand; the directory that it is in comes back if something waits there.
    fn operand(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        number: u32,
        progress: &mut DirProgress,
    ) -> Result<Option<Self::Dir>, ParentGone>;

    /// Opens the directory that the walk is in, from the top.
    fn open(&self, walk: &Walk<'a, Self::Dir>, existed: bool) -> Result<Self::Dir, EntryError>;

    /// Visits an entry of a directory; a directory in it is put among the progress' children.
    fn entry(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        dir: &Self::Dir,
        names: (Kind, &CStr, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone>;

    /// Opens a child of `parent`, or says how to reach it. `path` is the parent's, with whether it is staged;
    /// `child` is what the parent's list has of it.
    fn child(
        &self,
        cx: &Context<'_>,
        path: (EntryPath<'_>, bool),
        parent: Option<&Self::Dir>,
        child: (u8, &CStr),
    ) -> Child<Self::Dir>;

    /// Makes a child ready to be handed over; arguments as for `child`.
    fn offer(
        &self,
        cx: &Context<'_>,
        path: EntryPath<'_>,
        parent: Option<&Self::Dir>,
        child: (u8, &CStr),
    ) -> Offered;

    /// Begins with the directory that the walk is in; nothing if it has failed, which is recorded then.
    fn enter(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        opened: Option<Result<Self::Dir, EntryError>>,
        existed: bool,
    ) -> Result<Entered<'a, Self>, ParentGone>;

    /// The source directory that is listed; nothing if what is in it is not wanted.
    fn listed<'d>(
        &self,
        walk: &Walk<'a, Self::Dir>,
        dir: &'d Self::Dir,
        facts: &Self::Facts,
    ) -> Option<BorrowedFd<'d>>;

    /// Ends with a directory whose names were all visited, or handed over.
    fn leave(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        dir: &Self::Dir,
        facts: Self::Facts,
        listed: Result<(), EntryError>,
        progress: &DirProgress,
    ) -> Result<(), ParentGone>;

    /// Called before the walk steps down into the next directory.
    fn come_back(&mut self, _walk: &mut Walk<'a, Self::Dir>) -> Result<(), ParentGone> {
        Ok(())
    }

    /// Called at the end of a task.
    fn end_task(&mut self) {}

    /// Notes that something in a directory, or below it, was handed over; `renamed` says that it will
    /// be renamed there.
    fn note_shared(&mut self, _source_bytes: usize, _renamed: bool) {}

    /// Whether a directory existed before this round.
    fn existed(_dir: &Self::Dir) -> bool {
        true
    }

    /// Whether it takes longer to visit an entry than to hand one over.
    fn is_heavy(_dir: &Self::Dir, _name: &CStr) -> bool {
        false
    }
}

impl<'a, D> Walk<'a, D> {
    pub(super) fn new(cx: Context<'a>, reports: Reports<'a>) -> Self {
        Self {
            cx,
            reports,
            at: EntryPathBuf::default(),
            ranges: Ranges::default(),
            levels: VecDeque::new(),
            last_was_heavy: false,
            listing: Some(DirReader::new()),
            message: Vec::new(),
            name: Vec::new(),
        }
    }

    /// Publishes where the walk is, for the progress line and for reports of a death.
    pub(super) fn publish_place(&self) {
        self.cx.status.enter(self.at.operand, &self.at.source);
    }

    pub(super) fn operand(&self) -> Option<&'a Operand> {
        self.cx.plan().operands.get(self.at.operand as usize)
    }

    /// Whether a directory is on another file system than its operand, and only wanted as the mount
    /// point.
    pub(super) fn is_left_out(&self, dir: &Stat) -> bool {
        self.cx.options().one_file_system
            && self.operand().is_some_and(|operand| operand.device() != dir.identity().0)
    }

    /// Whether the directory that the walk is in, or a directory above it up to the operand, is this one.
    ///
    /// Opens each of them anew. Only directories that are reached through symbolic links are asked for.
    pub(super) fn is_on_path(&self, dir: Identity) -> bool {
        let Some(operand) = self.operand() else { return false };
        let path = &self.at.source;
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([path.len()]);
        ends.filter(|&end| end > 0).any(|end| {
            let opened = self.cx.plan().open_source(operand, &path[..end]);
            opened.and_then(file::stat_fd).is_ok_and(|stat| stat.identity() == dir)
        })
    }

    /// Whether a child directory is an operand of its own, and is visited as such (see
    /// `plan/symlinked_dirs`).
    pub(super) fn is_own_operand(&self, name: &CStr) -> bool {
        let plan = self.cx.plan();
        plan.has_symlinked_dirs()
            && plan.is_symlinked_dir(self.at.operand, &self.at.source_of(name.to_bytes()))
    }

    /// Whether the parent wants no more of this.
    pub(super) fn is_stopped(&self) -> bool {
        self.cx.is_stopped()
    }

    /// How deep the deepest level is that has something left.
    pub(super) fn deepest_waiting(&mut self) -> Option<usize> {
        while self.levels.back().is_some_and(|level| level.children.is_empty()) {
            self.levels.pop_back();
        }
        self.levels.back().map(|level| level.depth.source_bytes)
    }

    /// Keeps the children that wait in the directory that the walk is in.
    fn keep(&mut self, children: NameQueue, dir: Option<D>, staged: bool) {
        if children.is_empty() {
            return;
        }
        self.levels.push_back(Level { depth: self.at.depth(), staged, children, dir });
        if let Some(above) = self.levels.len().checked_sub(OPEN_LEVELS + 1) {
            self.levels[above].dir = None;
        }
    }

    /// Does something once more after a failure that may pass, as often as `--retries` says; `error` is
    /// the failure in an answer.
    pub(super) fn retry<T, E>(
        &mut self,
        error: fn(&E) -> Option<EntryError>,
        mut act: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut result = act(self);
        for attempt in 1..=u32::from(self.cx.plan().retries) {
            let passes =
                result.as_ref().err().and_then(error).is_some_and(crate::error::is_transient);
            if !passes || self.is_stopped() {
                break;
            }
            std::thread::sleep((RETRY_PAUSE * attempt).min(RETRY_PAUSE * 10));
            result = act(self);
        }
        result
    }
}

/// Visits operands, one after the other, with all that is below them.
pub(super) fn operands<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    range: Range<u32>,
) -> Result<(), ParentGone> {
    let known = u32::try_from(visitor.operand_count(&walk.cx)).unwrap_or(u32::MAX);
    walk.ranges.operands = range.start..range.end.min(known);
    while let Some(number) = walk.ranges.operands.next() {
        if walk.is_stopped() {
            break;
        }
        walk.at.go_to(EntryPath { operand: number, source: b"", target: b"", staged: false });
        hand_over(walk, visitor, None)?;
        walk.publish_place();
        let mut progress = DirProgress::default();
        let dir = visitor.operand(walk, number, &mut progress)?;
        walk.keep(progress.children, dir, false);
        descend(walk, visitor)?;
        pause(walk)?;
    }
    Ok(())
}

/// Visits a directory that was handed over, with all that is below it.
pub(super) fn directory_task<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    place: EntryPath<'_>,
    existed: bool,
) -> Result<(), ParentGone> {
    walk.at.go_to(place);
    directory(walk, visitor, None, existed)?;
    descend(walk, visitor)
}

/// Visits names that another copier found in a directory too wide for it alone.
pub(super) fn names_task<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    (place, existed): (EntryPath<'_>, bool),
    names: &[u8],
) -> Result<(), ParentGone> {
    walk.at.go_to(place);
    walk.publish_place();
    match visitor.open(walk, existed) {
        Ok(dir) => {
            let mut progress = DirProgress::default();
            visit_names(walk, visitor, &dir, &mut Names::Handed(names), &mut progress)?;
            walk.keep(progress.children, Some(dir), walk.at.staged);
        }
        Err(error) => {
            let mut left = names;
            while let Some((_, name)) = task::next_name(&mut left) {
                walk.record_failed(Some(name), error)?;
            }
        }
    }
    descend(walk, visitor)
}

/// Goes through the child directories that wait, the newest first, until none are left.
fn descend<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
) -> Result<(), ParentGone> {
    while !walk.is_stopped() {
        visitor.come_back(walk)?;
        let Some(child) = next_child(walk, visitor) else { break };
        hand_over(walk, visitor, None)?; // this directory is kept, so all that waits may go
        walk.at.staged = child.staged;
        directory(walk, visitor, child.opened, child.existed)?;
    }
    walk.levels.clear();
    visitor.end_task();
    Ok(())
}

/// Steps down into the newest directory that waits.
fn next_child<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &V,
) -> Option<Child<V::Dir>> {
    loop {
        let level = walk.levels.back_mut()?;
        walk.at.truncate(level.depth);
        let Some(mark) = level.children.pop_front(&mut walk.name) else {
            walk.levels.pop_back();
            continue;
        };
        let name = c_name(&walk.name);
        let path = (walk.at.as_path(), level.staged);
        let child = visitor.child(&walk.cx, path, level.dir.as_ref(), (mark, &name));
        if level.children.is_empty() {
            walk.levels.pop_back(); // so that a chain of single directories takes no memory
        }
        walk.at.push(name.to_bytes(), child.target_name.to_bytes());
        return Some(child);
    }
}

/// Visits the directory that the walk is in: enters it, visits what is in it, leaves it.
pub(super) fn directory<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    opened: Option<Result<V::Dir, EntryError>>,
    existed: bool,
) -> Result<(), ParentGone> {
    walk.publish_place();
    let Some((dir, facts)) = visitor.enter(walk, opened, existed)? else { return Ok(()) };
    let mut progress = DirProgress::default();
    let listed = match visitor.listed(walk, &dir, &facts) {
        Some(source) => list(walk, visitor, &dir, source, &mut progress)?,
        None => Ok(()),
    };
    if walk.is_stopped() {
        return Ok(());
    }
    walk.cx.status.at_none();
    visitor.leave(walk, &dir, facts, listed, &progress)?;
    let staged = walk.at.staged;
    walk.keep(progress.children, Some(dir), staged);
    Ok(())
}

/// Visits all names of a directory, a chunk of the listing at a time.
fn list<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: &V::Dir,
    source: BorrowedFd<'_>,
    progress: &mut DirProgress,
) -> Result<Result<(), EntryError>, ParentGone> {
    let mut listing = walk.listing.take().unwrap_or_default();
    let result = loop {
        // After a failure the kernel's position in the directory is the same, and no name is lost.
        let filled = walk.retry(
            |error| Some(*error),
            |_| listing.fill(source).map_err(Op::ReadDirectory.error()),
        );
        match filled {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        visit_names(walk, visitor, dir, &mut Names::Listed(&mut listing), progress)?;
        if walk.is_stopped() {
            break Ok(());
        }
    };
    walk.listing = Some(listing);
    Ok(result)
}

/// Visits names of a directory.
fn visit_names<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: &V::Dir,
    names: &mut Names<'_>,
    progress: &mut DirProgress,
) -> Result<(), ParentGone> {
    let mut is_first = true;
    while !walk.is_stopped() {
        let listed = matches!(names, Names::Listed(_));
        let Some((kind, name)) = names.next() else { break };
        if listed && V::COUNTS_NAMES {
            walk.cx.status.add(Count::Found, 1);
        }
        let may_hold_up = is_first && kind == Kind::File && walk.cx.job.is_hungry();
        if may_hold_up && V::is_heavy(dir, name) {
            // Of those that come after a large file the next may well be large, too.
            let name = name.to_owned();
            walk.last_was_heavy = true;
            hand_over(walk, visitor, Some((dir, names, progress)))?;
            visitor.entry(walk, dir, (kind, &name, &name), progress)?;
        } else {
            visitor.entry(walk, dir, (kind, name, name), progress)?;
        }
        is_first = false;
        if walk.cx.job.is_hungry() {
            hand_over(walk, visitor, Some((dir, names, progress)))?;
        }
        pause(walk)?;
    }
    Ok(())
}

/// Does what is due between two entries.
#[inline] // between any two entries
fn pause<D>(walk: &mut Walk<'_, D>) -> Result<(), ParentGone> {
    walk.reports.flush_if_old()?;
    park_if_superfluous(walk)
}
