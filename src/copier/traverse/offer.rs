//! Handing over: which work a copier gives to other copiers, and when.
//!
//! A copier hands over the work that has waited longest. That work is usually the largest, and it is nearest
//! to the root of the tree. The copier hands work over only while the ring holds fewer tasks than there are
//! other copiers. It keeps the directory whose names it is visiting, unless that directory is wide or has
//! large files.

use super::names::WIDE_BYTES;
use super::{DirNames, DirProgress, Level, Offered, Visitor, Waiting, Walk, visit_names};
use crate::copier::dir_pair::c_name;
use crate::copier::name_queue::NameQueue;
use crate::copier::report_writer::ParentGone;
use crate::ipc::memory::counters::{Count, StatusSlot};
use crate::ipc::wire::frame_check::CHECKSUM_BYTES;
use crate::ipc::wire::task::{self, Depth, EntryPath, Task, push_component};
use pcopy_ring::MESSAGE_BYTES_MAX;
use pcopy_sys::file::NAME_BYTES_MAX;
use std::ops::Range;

/// The maximum size of a name in a task, with its type and its NUL, in bytes.
const NAME_ROOM: usize = NAME_BYTES_MAX + 2;

/// An upper limit for the size of everything else in a task except the paths, in bytes. It includes the
/// checksum.
const HEADER_BYTES: usize = 32;

/// The part of a task that is left, if the task is a range of numbers. The copier may hand over the later
/// half.
#[derive(Default)]
pub(in crate::copier) struct Ranges {
    /// Operands, or the files of a manifest.
    pub(in crate::copier) operands: Range<u32>,
    /// Groups of names; the names of a group become hard links to one file.
    pub(in crate::copier) groups: Range<u32>,
    /// Existing files that the user has agreed to replace.
    pub(in crate::copier) prompted: Range<u32>,
    /// Files to be read back.
    pub(in crate::copier) written: Range<u32>,
    /// Directories of the target in which something is removed.
    pub(in crate::copier) removals: Range<u32>,
}

/// The directory whose names are being visited, the names that are left, and what is known of the directory.
pub(super) type Here<'h, 'n, D> = (&'h D, &'h mut DirNames<'n>, &'h mut DirProgress);

/// Hands over work while the ring is hungry, the work that has waited longest first.
///
/// `here` is the directory whose names the copier is visiting. The copier hands over children and names of
/// this directory only if the directory is wide, or if its files are so large that even a few of them are
/// worth a task. Otherwise the copier keeps this directory for itself.
pub(in crate::copier) fn hand_over<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    mut here: Option<Here<'_, '_, V::Dir>>,
) -> Result<(), ParentGone> {
    while walk.cx.job.is_hungry() {
        if give_range(walk) || give_oldest_child(walk, visitor) {
            continue;
        }
        let Some((dir, names, progress)) = &mut here else { break };
        if !(names.is_wide() || walk.last_was_heavy && names.has_more()) {
            break;
        }
        let (depth, staged) = (walk.at.depth(), walk.at.staged);
        let parent = Some(&**dir);
        if let Some(renamed) =
            give_child(walk, visitor, (depth, staged), &mut progress.children, parent)
        {
            progress.below_handed_over = true;
            progress.changes_pending |= renamed;
            continue;
        }
        progress.below_handed_over = true;
        progress.changes_pending = true;
        visitor.note_handed_over(depth.source_bytes, true);
        if !give_names(walk, visitor, dir, names, progress)? {
            break;
        }
    }
    Ok(())
}

/// Hands over parts of ranges while the ring is hungry.
pub(in crate::copier) fn hand_over_ranges<D>(walk: &mut Walk<'_, D>) {
    while walk.cx.job.is_hungry() && give_range(walk) {}
}

/// Hands over the later half of a range that is left. Returns whether it did so.
fn give_range<D>(walk: &mut Walk<'_, D>) -> bool {
    let Walk { cx, ranges, message, .. } = walk;
    let mut give = |range: &mut Range<u32>, task: fn(u32, u32) -> Task<'static>| {
        let (mine, theirs) = halves(range);
        let task = task(theirs.start, theirs.end);
        let given = !theirs.is_empty() && cx.job.give(cx.status, &task, message);
        if given {
            *range = mine;
        }
        given
    };
    give(&mut ranges.operands, |first, end| Task::Operands { first, end })
        || give(&mut ranges.prompted, |first, end| Task::Prompted { first, end })
        || give(&mut ranges.groups, |first, end| Task::Links { first, end })
        || give(&mut ranges.written, |first, end| Task::Verify { first, end })
        || give(&mut ranges.removals, |first, end| Task::Remove { first, end })
}

/// Hands over a child directory of the uppermost level that has one. Returns whether it did so.
fn give_oldest_child<'a, V: Visitor<'a>>(walk: &mut Walk<'a, V::Dir>, visitor: &mut V) -> bool {
    while walk.levels.front().is_some_and(|level| level.children.is_empty()) {
        walk.levels.pop_front();
    }
    let Some(level) = walk.levels.pop_front() else { return false };
    let Level { depth, staged, mut children, dir } = level;
    let given = give_child(walk, visitor, (depth, staged), &mut children, dir.as_ref());
    walk.levels.push_front(Level { depth, staged, children, dir });
    given.is_some()
}

/// Hands over the first of `children`; `depth` is the depth of their parent directory, which is on the walk's
/// path. Returns whether the child will be renamed in that directory; `None` if no child was handed over. A
/// child that cannot be handed over becomes the last of `children`.
fn give_child<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    (depth, staged): (Depth, bool),
    children: &mut NameQueue,
    parent: Option<&V::Dir>,
) -> Option<bool> {
    // If the path is longer than this, a child never fits in a slot of the ring. Without this check, the
    // copier would take a child out and put it back whenever the ring is hungry. That would cost time and
    // memory without end.
    let path_bytes = depth.source_bytes + depth.target_bytes;
    if path_bytes + 2 * NAME_ROOM + HEADER_BYTES > MESSAGE_BYTES_MAX {
        return None;
    }
    let mark = children.pop_front(&mut walk.name)?;
    let name = c_name(&walk.name);
    let path = EntryPath {
        source: &walk.at.source[..depth.source_bytes],
        target: &walk.at.target[..depth.target_bytes],
        staged,
        ..walk.at.as_path()
    };
    let Offered { target_name, staged, existed, renamed, mark, is_ready } =
        visitor.offer(&walk.cx, &Waiting { path, parent, mark, name: &name });
    let (mut source, mut target) = (path.source.to_vec(), path.target.to_vec());
    push_component(&mut source, name.to_bytes());
    push_component(&mut target, target_name.to_bytes());
    let place = EntryPath { source: &source, target: &target, staged, ..path };
    let task = Task::Directory { place, existed };
    if is_ready && walk.cx.job.give(walk.cx.status, &task, &mut walk.message) {
        visitor.note_handed_over(depth.source_bytes, renamed);
        return Some(renamed);
    }
    if children.push(mark, &name).is_err() {
        // The queue still has the memory of the name that was just taken out.
        unreachable!("a name that was taken out fits back in");
    }
    None
}

/// Hands over names: at most half of those that are left, and no more than fit in a slot. Returns whether it
/// did so. If the ring is full, visits these names instead.
fn give_names<'a, V: Visitor<'a>>(
    walk: &mut Walk<'a, V::Dir>,
    visitor: &mut V,
    dir: &V::Dir,
    names: &mut DirNames<'_>,
    progress: &mut DirProgress,
) -> Result<bool, ParentGone> {
    let mut message = std::mem::take(&mut walk.message);
    let existed = V::existed(dir);
    Task::Names { place: walk.at.as_path(), existed, names: b"" }.encode(&mut message);
    let start = message.len();
    if start + WIDE_BYTES / 4 > MESSAGE_BYTES_MAX {
        walk.message = message;
        return Ok(false); // the path leaves too little room for names
    }
    put_half(&mut message, names, walk.cx.status, V::COUNTS_NAMES);
    let given = walk.cx.job.push(walk.cx.status, &mut message);
    if !given {
        visit_names(walk, visitor, dir, &mut DirNames::Handed(&message[start..]), progress)?;
    }
    walk.message = message;
    Ok(given)
}

/// Moves names into a task: at most half of those that are left, and no more than fit in a slot.
fn put_half(message: &mut Vec<u8>, names: &mut DirNames<'_>, status: StatusSlot<'_>, counts: bool) {
    let start = message.len();
    let listed = counts && !matches!(names, DirNames::Handed(_));
    while message.len() + NAME_ROOM + CHECKSUM_BYTES <= MESSAGE_BYTES_MAX
        && 2 * (message.len() - start) < names.bytes_left()
    {
        let Some((kind, name)) = names.next() else { break };
        task::put_name(message, kind, name);
        if listed {
            status.add(Count::Found, 1);
        }
    }
}

/// Returns the first half of a range, and the rest. If the range has only one number, the first half is
/// empty.
fn halves(range: &Range<u32>) -> (Range<u32>, Range<u32>) {
    let middle = range.start + range.end.saturating_sub(range.start) / 2;
    (range.start..middle, middle..range.end)
}
