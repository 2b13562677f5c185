//! The walk of a tree, for copying, comparing and counting. A copier lists a directory, visits its entries,
//! enters its child directories, and hands over work to other copiers.
//!
//! A copier walks depth first. Child directories that it has not entered yet wait as names, in one list for
//! each level of the walk's path. Only while the ring is hungry, that is, holds fewer tasks than there are
//! other copiers, the copier hands over work: that which has waited longest. So most names never go through
//! the ring, each directory is opened once, and a lone copier takes no time for handing over. The walk does
//! not recurse. Only its deepest few levels keep descriptors open; children of the levels above are opened by
//! their path from the operand.
//!
//! A [`Visitor`] decides what is done with an entry or a directory. Rules that select entries belong in this
//! module and nowhere else.

mod known;
mod names;
pub(super) mod offer;
mod park;
mod record;
pub(super) mod select;

pub(super) use known::KnownNames;
pub(super) use names::DirNames;

use super::context::Context;
use super::dir_pair::c_name;
use super::name_queue::NameQueue;
use super::report_writer::{ParentGone, ReportWriter};
use crate::copier::retry::retry;
use crate::error::{EntryError, Op, is_transient};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::{self, Depth, EntryPath, EntryPathBuf};
use crate::plan::Operand;
use crate::selection::DirRulesOnPath;
use offer::{Ranges, hand_over};
use park::park_if_superfluous;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Identity, Kind, Stat};
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// How many levels keep their directory open. A fifth level would save an open by path only where five levels
/// of the path have children that wait. It would also take one more descriptor, and a process may have few.
const OPEN_LEVELS: usize = 4;

/// The state of a walk: where it is, which work waits, and how it reports.
///
/// More than 20 functions take it mutably, because the walk is one thing: they list, descend, hand over and
/// report, and each moves the path that the walk is at.
pub(super) struct Walk<'a, D> {
    pub(super) cx: Context<'a>,
    pub(super) reports: ReportWriter<'a>,
    /// The directory that the walk is in.
    pub(super) at: EntryPathBuf,
    /// The part of the current task that is left, if the task is a range of numbers.
    pub(super) ranges: Ranges,
    /// The child directories that wait to be entered, with one level for each directory on the path that has
    /// such children.
    levels: VecDeque<Level<D>>,
    /// Whether visiting the last entry took much longer than handing it over would have taken.
    pub(super) last_was_heavy: bool,
    /// The buffer for listings; `None` while a listing uses it.
    listing: Option<DirReader>,
    message: Vec<u8>,
    name: Vec<u8>,
    /// The rules that files in the source give, for the directories that the walk is in.
    dir_rules: DirRulesOnPath,
    /// Whether the options ask for what only the target has.
    pub(super) looks_for_extraneous: bool,
}

/// The waiting child directories of one directory that is on the path of the walk.
struct Level<D> {
    depth: Depth,
    staged: bool,
    children: NameQueue,
    dir: Option<D>,
}

/// What is known of a directory whose names are being visited.
#[derive(Default)]
pub(super) struct DirProgress {
    /// The child directories that wait to be entered.
    pub(super) children: NameQueue,
    /// Whether child directories were created under staged names and must still be renamed to their final
    /// names.
    pub(super) has_staged_children: bool,
    /// Whether child directories must still be created.
    pub(super) has_uncreated_children: bool,
    /// Whether another copier or a later phase will still create or rename entries in the directory.
    pub(super) changes_pending: bool,
    /// Whether another copier or a later phase still works in the directory or below it.
    pub(super) below_handed_over: bool,
    /// The names that were listed, if the walk finds what is extraneous.
    pub(super) known: KnownNames,
}

/// A child directory that the walk is about to enter.
pub(super) struct Child<D> {
    /// The current name of the child in the target.
    pub(super) target_name: CString,
    /// The open child, or why it cannot be opened; `None` if the walk must open it by its path.
    pub(super) opened: Option<Result<D, EntryError>>,
    /// Whether the child is new, or inside a new directory (see `DirPair::staged`).
    pub(super) staged: bool,
    /// Whether the target of the child existed before this round.
    pub(super) existed: bool,
}

/// A child directory that is about to be handed over. The first three fields mean the same as in [`Child`].
pub(super) struct Offered {
    pub(super) target_name: CString,
    pub(super) staged: bool,
    pub(super) existed: bool,
    /// Whether the child has a staged name and must still be renamed to its final name.
    pub(super) renamed: bool,
    /// The new mark of the child in the list of the directory above, in case the child is not handed over in
    /// the end.
    pub(super) mark: u8,
    /// Whether the child can be handed over, because its target exists.
    pub(super) is_ready: bool,
}

/// A child directory that waits in the list of the directory above, called its parent here.
pub(super) struct Waiting<'w, D> {
    /// The path of the parent directory, and whether that directory is staged.
    pub(super) path: EntryPath<'w>,
    /// The parent directory, if it is open.
    pub(super) parent: Option<&'w D>,
    /// The mark with which the visitor put the child into the list.
    pub(super) mark: u8,
    pub(super) name: &'w CStr,
}

/// A directory that was entered, and what the visitor knows of it; `None` if the walk must not list the
/// directory.
type Entered<'a, V> = Option<(<V as Visitor<'a>>::Dir, <V as Visitor<'a>>::Facts)>;

/// What a walk does with the entries of a tree.
pub(super) trait Visitor<'a>: Sized {
    /// An open directory.
    type Dir;

    /// What `enter` finds out about a directory and `leave` needs.
    type Facts;

    /// Whether each listed name counts as found. Then the visitor must also count what became of it: copied,
    /// skipped, failed and so on.
    const COUNTS_NAMES: bool = true;

    /// Whether the visitor looks for what only the target has, if the options ask for that.
    const LOOKS_FOR_EXTRANEOUS: bool = false;

    /// Returns the number of operands.
    fn operand_count(&self, cx: &Context<'_>) -> usize;

    /// Visits an operand. An operand that is a directory is added to `progress.children`. Then the visitor
    /// may return the open directory that contains the operand; otherwise the walk opens the operand by its
    /// path.
    fn operand(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        number: u32,
        progress: &mut DirProgress,
    ) -> Result<Option<Self::Dir>, ParentGone>;

    /// Opens the directory that the walk is in, by its path from the operand.
    fn open(&self, walk: &Walk<'a, Self::Dir>, existed: bool) -> Result<Self::Dir, EntryError>;

    /// Visits an entry of a directory. `entry` is the type and the name of the entry. A child directory is
    /// added to `progress.children`.
    fn entry(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        dir: &Self::Dir,
        entry: (Kind, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone>;

    /// Opens a child directory if its parent directory is open; otherwise `enter` opens the child. By default
    /// `enter` always opens it, and the target name stays empty, because the visitor finds the target by the
    /// path in the source.
    fn child(&self, _cx: &Context<'_>, waiting: &Waiting<'_, Self::Dir>) -> Child<Self::Dir> {
        let staged = waiting.path.staged;
        Child { target_name: CString::default(), opened: None, staged, existed: true }
    }

    /// Prepares a child directory for being handed over.
    fn offer(&self, _cx: &Context<'_>, waiting: &Waiting<'_, Self::Dir>) -> Offered {
        let (target_name, mark) = (CString::default(), waiting.mark);
        let (staged, existed, renamed, is_ready) = (false, true, false, true);
        Offered { target_name, staged, existed, renamed, mark, is_ready }
    }

    /// Begins the visit of the directory that the walk is in. Returns `None` if the walk must not list the
    /// directory. If the cause is a failure, the visitor has recorded it.
    fn enter(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        opened: Option<Result<Self::Dir, EntryError>>,
        existed: bool,
    ) -> Result<Entered<'a, Self>, ParentGone>;

    /// Returns the source directory.
    fn source_of(dir: &Self::Dir) -> BorrowedFd<'_>;

    /// Returns the source directory to list; `None` if its entries must not be visited.
    fn source_to_list<'d>(
        &self,
        walk: &Walk<'a, Self::Dir>,
        dir: &'d Self::Dir,
        facts: &Self::Facts,
    ) -> Option<BorrowedFd<'d>>;

    /// Ends the visit of a directory, after all its names were visited or handed over. `listed` has the error
    /// if the directory could not be listed to its end.
    fn leave(
        &mut self,
        walk: &mut Walk<'a, Self::Dir>,
        dir: &Self::Dir,
        facts: Self::Facts,
        listed: Result<(), EntryError>,
        progress: &DirProgress,
    ) -> Result<(), ParentGone>;

    /// Is called before the walk enters the next directory. The walk may have left some directories for good
    /// by then, and the visitor can finish them.
    fn before_next_child(&mut self, _walk: &mut Walk<'a, Self::Dir>) -> Result<(), ParentGone> {
        Ok(())
    }

    /// Is called at the end of a task.
    fn end_task(&mut self) {}

    /// Notes that something in the directory whose source path has `source_bytes` bytes, or below it, was
    /// handed over. `renamed` says that this will change the directory itself: a child will be renamed in it,
    /// or entries will be created.
    fn note_handed_over(&mut self, _source_bytes: usize, _renamed: bool) {}

    /// Whether the target of a directory existed before this round.
    fn existed(_dir: &Self::Dir) -> bool {
        true
    }

    /// Whether visiting an entry takes longer than handing it over.
    fn is_heavy(_dir: &Self::Dir, _name: &CStr) -> bool {
        false
    }
}

impl<'a, D> Walk<'a, D> {
    pub(super) fn new(cx: Context<'a>, reports: ReportWriter<'a>) -> Self {
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
            dir_rules: DirRulesOnPath::default(),
            looks_for_extraneous: cx.looks_for_extraneous(),
        }
    }

    /// Publishes where the walk is, for the progress line and for the report if the copier dies.
    pub(super) fn publish_place(&self) {
        self.cx.status.enter(self.at.operand, &self.at.source);
    }

    pub(super) fn operand(&self) -> Option<&'a Operand> {
        self.cx.plan().operands.get(self.at.operand as usize)
    }

    /// Whether the contents of the directory that the walk is in are left out: by the selection, or by
    /// `--one-file-system`, because the directory is on another file system than its operand. Only the directory
    /// itself is copied, for example as a mount point.
    pub(super) fn is_left_out(&self, dir: &Stat) -> bool {
        self.is_beyond_selection()
            || self.cx.options().one_file_system
                && self.operand().is_some_and(|operand| operand.device() != dir.identity().0)
    }

    /// Whether `dir` is the directory that the walk is in, or one above it up to the operand.
    ///
    /// Opens each of these directories again. Visitors call this only if symbolic links are followed;
    /// otherwise no directory can contain itself.
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

    /// Whether a child directory is a separate operand, and is visited as that operand (see
    /// `plan/symlinked_dirs`).
    pub(super) fn is_own_operand(&self, name: &CStr) -> bool {
        let plan = self.cx.plan();
        plan.has_symlinked_dirs()
            && plan.is_symlinked_dir(self.at.operand, &self.at.source_of(name.to_bytes()))
    }

    /// Whether the copier must stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.cx.is_stopped()
    }

    /// Returns the length of the source path, in bytes, of the deepest directory that has children that wait.
    pub(super) fn deepest_waiting(&mut self) -> Option<usize> {
        while self.levels.back().is_some_and(|level| level.children.is_empty()) {
            self.levels.pop_back();
        }
        self.levels.back().map(|level| level.depth.source_bytes)
    }

    /// Keeps the children of the directory that the walk is in until they are entered or handed over.
    fn keep_children(&mut self, children: NameQueue, dir: Option<D>, staged: bool) {
        if children.is_empty() {
            return;
        }
        self.levels.push_back(Level { depth: self.at.depth(), staged, children, dir });
        if let Some(above) = self.levels.len().checked_sub(OPEN_LEVELS + 1) {
            self.levels[above].dir = None;
        }
    }

    /// Calls `act`, and repeats it after a transient failure, as often as `--retries` permits. `error`
    /// returns the failure that an error of `act` contains.
    pub(super) fn retry<T, E>(
        &mut self,
        error: fn(&E) -> Option<EntryError>,
        mut act: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let cx = self.cx;
        let passes = |failed: &E| error(failed).is_some_and(is_transient) && !cx.is_stopped();
        retry(cx.plan().retries, passes, || act(self))
    }
}

/// Visits the operands in `range`, each with everything below it.
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
        walk.keep_children(progress.children, dir, false);
        descend(walk, visitor)?;
        between_entries(walk)?;
    }
    Ok(())
}

/// Visits a directory that another copier has handed over, with everything below it.
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

/// Visits those names of a directory that another copier has handed over in a task, with everything below
/// them.
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
            visit_names(walk, visitor, &dir, &mut DirNames::Handed(names), &mut progress)?;
            walk.keep_children(progress.children, Some(dir), walk.at.staged);
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

/// Visits the child directories that a visitor has found in a directory by itself, with everything below them.
pub(super) fn below<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: V::Dir,
    progress: DirProgress,
) -> Result<(), ParentGone> {
    if progress.children.is_empty() {
        return Ok(());
    }
    let staged = walk.at.staged;
    walk.keep_children(progress.children, Some(dir), staged);
    descend(walk, visitor)
}

/// Visits the child directories that wait, those of the deepest level first, until none is left.
fn descend<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
) -> Result<(), ParentGone> {
    while !walk.is_stopped() {
        visitor.before_next_child(walk)?;
        let Some(child) = next_child(walk, visitor) else { break };
        // this copier keeps `child`, so it may hand over everything that still waits
        hand_over(walk, visitor, None)?;
        walk.at.staged = child.staged;
        directory(walk, visitor, child.opened, child.existed)?;
    }
    walk.levels.clear();
    visitor.end_task();
    Ok(())
}

/// Takes the first child directory of the deepest level, and makes the walk go to it.
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
        let path = EntryPath { staged: level.staged, ..walk.at.as_path() };
        let waiting = Waiting { path, parent: level.dir.as_ref(), mark, name: &name };
        let child = visitor.child(&walk.cx, &waiting);
        if level.children.is_empty() {
            walk.levels.pop_back(); // so a chain of directories with one child each takes no memory
        }
        walk.at.push(name.to_bytes(), child.target_name.to_bytes());
        return Some(child);
    }
}

/// Visits the directory that the walk is in: enters it, visits its entries, leaves it.
pub(super) fn directory<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    opened: Option<Result<V::Dir, EntryError>>,
    existed: bool,
) -> Result<(), ParentGone> {
    walk.publish_place();
    let Some((dir, facts)) = visitor.enter(walk, opened, existed)? else { return Ok(()) };
    let mut progress = DirProgress::default();
    let listed = match visitor.source_to_list(walk, &dir, &facts) {
        Some(_) if walk.cx.plan().applied.is_some() => {
            planned(walk, visitor, &dir, &mut progress)?;
            Ok(())
        }
        Some(source) => list(walk, visitor, &dir, source, &mut progress)?,
        None => Ok(()),
    };
    if walk.is_stopped() {
        return Ok(());
    }
    walk.cx.status.at_none();
    visitor.leave(walk, &dir, facts, listed, &progress)?;
    let staged = walk.at.staged;
    walk.keep_children(progress.children, Some(dir), staged);
    Ok(())
}

/// Visits all names of a directory, one part of the listing after the other. The inner error says why the
/// listing failed.
fn list<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: &V::Dir,
    source: BorrowedFd<'_>,
    progress: &mut DirProgress,
) -> Result<Result<(), EntryError>, ParentGone> {
    let mut listing = walk.listing.take().unwrap_or_default();
    let result = loop {
        // A failed call leaves the kernel's position in the directory unchanged, so the next call loses no
        // name.
        let filled = walk.retry(
            |error| Some(*error),
            |_| listing.fill(source).map_err(Op::ReadDirectory.error()),
        );
        match filled {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        if V::LOOKS_FOR_EXTRANEOUS && walk.looks_for_extraneous {
            progress.known.add(&listing);
        }
        visit_names(walk, visitor, dir, &mut DirNames::Listed(&mut listing), progress)?;
        if walk.is_stopped() {
            break Ok(());
        }
    };
    walk.listing = Some(listing);
    progress.known.sort();
    Ok(result)
}

/// Visits the names of a directory with which a plan does something, in place of those that are listed.
fn planned<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: &V::Dir,
    progress: &mut DirProgress,
) -> Result<(), ParentGone> {
    let Some(applied) = &walk.cx.plan().applied else { return Ok(()) };
    let names = applied.names_in(walk.at.operand, &walk.at.source);
    visit_names(walk, visitor, dir, &mut DirNames::Planned(names), progress)
}

/// Visits names of a directory. While the ring is hungry, hands over some of them, or older work.
fn visit_names<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: &V::Dir,
    names: &mut DirNames<'_>,
    progress: &mut DirProgress,
) -> Result<(), ParentGone> {
    let mut is_first = true;
    let selector = select::selector(walk);
    let mut asked = selector.as_ref().map(|selector| selector.begin(walk));
    while !walk.is_stopped() {
        let listed = !matches!(names, DirNames::Handed(_));
        let Some((kind, name)) = names.next() else { break };
        if listed && V::COUNTS_NAMES {
            walk.cx.status.add(Count::Found, 1);
        }
        if let Some(asked) = &mut asked
            && !walk.takes(asked, V::source_of(dir), (kind, name), V::COUNTS_NAMES)?
        {
            between_entries(walk)?;
            continue;
        }
        let may_hold_up = is_first && kind == Kind::File && walk.cx.job.is_hungry();
        if may_hold_up && V::is_heavy(dir, name) {
            // Files after a large one are often large, too. They are handed over first, because this file
            // keeps the copier busy.
            let name = name.to_owned();
            walk.last_was_heavy = true;
            hand_over(walk, visitor, Some((dir, names, progress)))?;
            visitor.entry(walk, dir, (kind, &name), progress)?;
        } else {
            visitor.entry(walk, dir, (kind, name), progress)?;
        }
        is_first = false;
        if walk.cx.job.is_hungry() {
            hand_over(walk, visitor, Some((dir, names, progress)))?;
        }
        between_entries(walk)?;
    }
    Ok(())
}

/// Does what is due between two entries: sends old reports, and sleeps if the copier is superfluous.
#[inline] // called after every entry
fn between_entries<D>(walk: &mut Walk<'_, D>) -> Result<(), ParentGone> {
    walk.reports.flush_if_old()?;
    park_if_superfluous(walk)
}
