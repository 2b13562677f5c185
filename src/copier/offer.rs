//! Handing over: what a copier gives away, and when.
//!
//! It gives the oldest of what waits, which is what takes longest and is farthest from where it
//! works, and only while somebody is hungry. What it has in hand it keeps.

use super::dir_pair::{Child, DirPair, c_name, make_late};
use super::report_writer::ParentGone;
use super::walk::{DirProgress, Walker};
use crate::copier::name_queue::NameQueue;
use crate::ipc::memory::counters::{Count, StatusSlot};
use crate::ipc::wire::frame_check::CHECKSUM_BYTES;
use crate::ipc::wire::task::{self, Depth, EntryPath, Task, push_component};
use pcopy_ring::MESSAGE_BYTES_MAX;
use pcopy_sys::file::{Kind, NAME_BYTES_MAX};
use pcopy_sys::listing::Listing;
use std::ffi::CStr;
use std::ops::Range;

/// A directory with more left than this many bytes of records is wide: others may help with it.
///
/// Creates in one directory serialise in the kernel, so small ones must stay whole. Measured on
/// ext4: directories of 100 names cut in two, 2.3 s instead of 1.9 s; 50,000 names left whole,
/// 2.2 s instead of 1.4 s. 16 KiB are about 500 names.
const WIDE_BYTES: usize = 16 * 1024;

/// The longest name in a task, with its kind and its NUL.
const NAME_ROOM: usize = NAME_BYTES_MAX + 2;

/// More than all that is in a task beside paths and names, its seal included.
const HEADER_BYTES: usize = 32;

/// Where names come from: the chunk that was just listed, or a task.
pub(super) enum Source<'n> {
    Listed(&'n mut Listing),
    Handed(&'n [u8]),
}

impl Source<'_> {
    pub(super) fn next(&mut self) -> Option<(Kind, &CStr)> {
        match self {
            Source::Listed(listing) => listing.next_entry(),
            Source::Handed(names) => task::next_name(names),
        }
    }

    /// Whether so much is left that it may be shared.
    pub(super) fn is_wide(&self) -> bool {
        self.bytes_left() > WIDE_BYTES
    }

    /// Whether anything is left.
    fn has_more(&self) -> bool {
        self.bytes_left() > 0
    }

    /// What is left, in bytes of directory records; a name in a task takes about half of one.
    fn bytes_left(&self) -> usize {
        match self {
            Source::Listed(listing) => listing.bytes_left(),
            Source::Handed(names) => 2 * names.len(),
        }
    }
}

impl Walker<'_> {
    /// Hands over the oldest work that waits, for as long as a copier is hungry.
    ///
    /// `here` is the directory whose names are being gone through, if one is. What it has left is
    /// shared only if it is wide, or if its files are so large that it is not their number that
    /// counts: it is what this copier keeps for itself.
    pub(super) fn hand_over(
        &mut self,
        mut here: Option<(&DirPair, &mut Source<'_>, &mut DirProgress)>,
    ) -> Result<(), ParentGone> {
        while self.cx.job.is_hungry() {
            if self.give_ranges() || self.give_oldest_child() {
                continue;
            }
            let Some((dirs, names, progress)) = &mut here else { break };
            if !(names.is_wide() || self.last_was_heavy && names.has_more()) {
                break;
            }
            if let Some(renamed) =
                self.give_child(None, &mut progress.children, Some(dirs), dirs.staged)
            {
                progress.given = true;
                progress.shared |= renamed;
                continue;
            }
            progress.given = true;
            progress.shared = true;
            self.note_shared(self.at.source.len(), true);
            if !self.give_names(dirs, names, progress)? {
                break;
            }
        }
        Ok(())
    }

    /// Hands over the second half of the operands, of the entries that the user agreed to replace, of the
    /// groups of names that are to become links, or of the files to be read back.
    fn give_ranges(&mut self) -> bool {
        self.give_half(
            |walker| &mut walker.ranges.operands,
            |first, end| Task::Operands { first, end },
        ) || self.give_half(
            |walker| &mut walker.ranges.prompted,
            |first, end| Task::Prompted { first, end },
        ) || self
            .give_half(|walker| &mut walker.ranges.groups, |first, end| Task::Links { first, end })
            || self.give_half(
                |walker| &mut walker.ranges.written,
                |first, end| Task::Verify { first, end },
            )
    }

    fn give_half(
        &mut self,
        range: fn(&mut Self) -> &mut Range<u32>,
        task: fn(u32, u32) -> Task<'static>,
    ) -> bool {
        let (mine, theirs) = halves(range(self));
        let task = task(theirs.start, theirs.end);
        let given =
            !theirs.is_empty() && self.cx.job.give(self.cx.status, &task, &mut self.message);
        if given {
            *range(self) = mine;
        }
        given
    }

    /// Hands over a child directory of the uppermost level that has one.
    fn give_oldest_child(&mut self) -> bool {
        while self.levels.front().is_some_and(|level| level.children.is_empty()) {
            self.levels.pop_front();
        }
        let Some(mut level) = self.levels.pop_front() else { return false };
        let depth = Some(level.depth);
        let given = self.give_child(depth, &mut level.children, level.dirs.as_ref(), level.staged);
        self.levels.push_front(level);
        given.is_some()
    }

    /// Hands over the first of `children`, whose directory is where the walk is or, with lengths,
    /// one above it; says whether it will be renamed there. If it cannot be handed over, it stays,
    /// as the last.
    fn give_child(
        &mut self,
        depth: Option<Depth>,
        children: &mut NameQueue,
        parent: Option<&DirPair>,
        staged: bool,
    ) -> Option<bool> {
        let Depth { source_bytes, target_bytes } = depth.unwrap_or_else(|| self.at.depth());
        // Paths that fill a slot never go; to take a child out and put it back each time that
        // somebody is hungry would cost time and memory without end.
        if source_bytes + target_bytes + 2 * NAME_ROOM + HEADER_BYTES > MESSAGE_BYTES_MAX {
            return None;
        }
        let mark = children.pop_front(&mut self.name)?;
        let mut child = Child::from_mark(mark);
        let name = c_name(&self.name);
        let target_name =
            child.target_name(self.cx.job.plan, self.at.operand, source_bytes == 0, &name);
        if child.unmade {
            let parent = (parent, &self.at.target[..target_bytes]);
            // If that fails, it stays, and whoever comes to it here tells why.
            child.unmade =
                make_late(self.cx.job.plan, self.at.operand, parent, &target_name).is_err();
        }
        let mut source = self.at.source[..source_bytes].to_vec();
        let mut target = self.at.target[..target_bytes].to_vec();
        push_component(&mut source, name.to_bytes());
        push_component(&mut target, target_name.to_bytes());
        let staged = staged || child.staged.is_some();
        let place =
            EntryPath { operand: self.at.operand, source: &source, target: &target, staged };
        let task = Task::Directory { place, existed: child.existed };
        if !child.unmade && self.cx.job.give(self.cx.status, &task, &mut self.message) {
            let renamed = child.renamed().is_some();
            self.note_shared(source_bytes, renamed);
            return Some(renamed);
        }
        if children.push(child.mark(), &name).is_err() {
            // It has just been taken out, so there is room for it.
            unreachable!("a name that was taken out fits back in");
        }
        None
    }

    /// Hands over some of the names that are left: at most half, and what fits in a slot.
    fn give_names(
        &mut self,
        dirs: &DirPair,
        names: &mut Source<'_>,
        progress: &mut DirProgress,
    ) -> Result<bool, ParentGone> {
        let mut message = std::mem::take(&mut self.message);
        Task::Names { place: self.at.as_path(), existed: dirs.existed, names: b"" }
            .encode(&mut message);
        let start = message.len();
        if start + WIDE_BYTES / 4 > MESSAGE_BYTES_MAX {
            self.message = message;
            return Ok(false); // the path alone fills the slot
        }
        put_half(&mut message, names, self.cx.status);
        let given = self.cx.job.push(self.cx.status, &mut message);
        if !given {
            self.names(dirs, &mut Source::Handed(&message[start..]), progress)?;
        }
        self.message = message;
        Ok(given)
    }
}

/// Moves names into a task: at most half of those that are left, and what fits in a slot.
pub(super) fn put_half(message: &mut Vec<u8>, names: &mut Source<'_>, status: StatusSlot<'_>) {
    let start = message.len();
    let listed = matches!(names, Source::Listed(_));
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

/// The first half of a range and the rest of it; of one alone, all is the rest.
pub(super) fn halves(range: &Range<u32>) -> (Range<u32>, Range<u32>) {
    let middle = range.start + range.end.saturating_sub(range.start) / 2;
    (range.start..middle, middle..range.end)
}
