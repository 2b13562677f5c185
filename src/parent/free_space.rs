//! Checks whether the data that is left to copy fits into the target.
//!
//! The space that the data needs is known when the counting process has counted all entries. Holes are not
//! counted, and a file with several names is counted once. So the computed space may be too small but not too
//! large, and every warning is right. If copies can share data with their sources (reflink), or if the
//! targets are on several file systems, the needed space cannot be known, and the user gets no warning.

use super::run_event::{Free, RunEvent, Sink};
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::memory::forecast::Work;
use crate::options::When;
use crate::outcome::{Fits, Left};
use crate::plan::Plan;
use pcopy_sys::file;
use pcopy_sys::statfs::{self, FreeSpace};
use std::os::unix::ffi::OsStrExt;

/// Finds out whether what a dry run has counted would fit into the target. Warns the user if not.
pub(super) fn fits(plan: &Plan, counted: &Totals, sink: &mut dyn Sink) -> Fits {
    let entries = counted.get(Count::Copied).saturating_sub(counted.get(Count::Replaced));
    let bytes = counted.get(Count::Bytes);
    let room = bytes.saturating_add(counted.get(Count::BytesOfBlocks));
    let room = room.saturating_sub(counted.get(Count::BytesFreed));
    let work = Work { entries, bytes, room, ..Work::default() };
    if warn_if_short(plan, &work, &Totals::default(), sink) { Fits::No } else { Fits::Yes }
}

/// Warns the user if what is left to copy does not fit into the target: `work` without what `done` counts. Returns whether
/// it did.
pub(super) fn warn_if_short(plan: &Plan, work: &Work, done: &Totals, sink: &mut dyn Sink) -> bool {
    let Some((room, left)) = measure(plan, work, done) else { return false };
    let free = if left.bytes > room.bytes {
        Free::Bytes(room.bytes)
    } else if let Some(free) = room.entries.filter(|&free| left.entries > free) {
        Free::Entries(free)
    } else {
        return false;
    };
    let target = plan.operands.first().map(|operand| &operand.target_path);
    let target = target.map_or(&b""[..], |name| name.as_os_str().as_bytes());
    sink.emit(&RunEvent::SpaceShort { left, free, target });
    true
}

/// Reports that the target's file system lacks free inodes, if it does: the kernel then says that there is no space,
/// although there is room for data. Each copier may have removed a file that it could not complete.
pub(super) fn report_lack_of_inodes(plan: &Plan, sink: &mut dyn Sink) {
    let Some(operand) = plan.operands.first() else { return };
    let dir = plan.target_dir(operand);
    let (inodes, space) = (statfs::free_inodes(dir), statfs::free_space_at(dir));
    let (Ok(Some(inodes)), Ok(FreeSpace { bytes, .. })) = (inodes, space) else { return };
    if inodes <= plan.jobs.into() {
        let target = operand.target_path.as_os_str().as_bytes();
        sink.emit(&RunEvent::FewInodes { inodes, bytes, target });
    }
}

/// Returns the free space of the target and what is left to copy into it. Returns `None` if that cannot be
/// known, for example because the run only compares, because the target is a stream, because the targets are on several
/// file systems or because copies may share data with their sources.
pub(super) fn measure(plan: &Plan, work: &Work, totals: &Totals) -> Option<(FreeSpace, Left)> {
    if plan.stream.is_some() || plan.check.is_some() {
        return None;
    }
    let mut dirs = plan.operands.iter().map(|operand| plan.target_dir(operand));
    let first = dirs.next()?;
    let device = file::stat_fd(first).ok()?.identity().0;
    let is_one = dirs.all(|dir| file::stat_fd(dir).is_ok_and(|at| at.identity().0 == device));
    // Within one file system, a copy may share data with its source.
    let may_share = plan.options.reflink != When::Never
        && statfs::may_reflink(first)
        && plan.operands.iter().any(|operand| operand.device() == device);
    if !is_one || may_share {
        return None;
    }
    let done = totals.get(Count::Bytes).wrapping_add(totals.get(Count::BytesSkipped));
    let bytes = work.room.saturating_sub(done);
    let entries = work.entries.saturating_sub(totals.settled());
    Some((statfs::free_space_at(first).ok()?, Left { bytes, entries }))
}
