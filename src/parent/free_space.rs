//! Whether what is left to copy fits into the target.
//!
//! What is needed is known when all entries have been counted ahead. Holes are not counted, and files
//! with several names are counted once, so the result is rather too small than too large, and no
//! warning is wrong. Where files can share their data with their sources (reflink), the need cannot be
//! known.

use super::position::Position;
use super::run_event::{Free, RunEvent, Sink};
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::memory::forecast::Work;
use crate::options::When;
use crate::outcome::Left;
use crate::plan::Plan;
use pcopy_sys::file;
use pcopy_sys::volume::{self, Room};
use std::os::unix::ffi::OsStrExt;

/// Warns if what is left does not fit.
pub(super) fn warn_if_short(plan: &Plan, position: &Position, sink: &mut dyn Sink) {
    let Some((room, left)) = measure(plan, &position.work, &position.totals) else { return };
    let free = if left.bytes > room.bytes {
        Free::Bytes(room.bytes)
    } else if let Some(free) = room.entries.filter(|&free| left.entries > free) {
        Free::Entries(free)
    } else {
        return;
    };
    let target = plan.operands.first().map(|operand| &operand.target_shown);
    let target = target.map_or(&b""[..], |name| name.as_os_str().as_bytes());
    sink.emit(&RunEvent::SpaceShort { left, free, target });
}

/// The free space of the target, and what is left to copy into it; `None` if that cannot be known.
pub(super) fn measure(plan: &Plan, work: &Work, totals: &Totals) -> Option<(Room, Left)> {
    let mut dirs = plan.operands.iter().map(|operand| plan.target_dir(operand));
    let first = dirs.next()?;
    let device = file::stat_fd(first).ok()?.identity().0;
    let is_one = dirs.all(|dir| file::stat_fd(dir).is_ok_and(|at| at.identity().0 == device));
    // Within one file system files may share their data.
    let may_share = plan.options.reflink != When::Never
        && volume::may_share_bytes(first)
        && plan.operands.iter().any(|operand| operand.device == device);
    if !is_one || may_share {
        return None;
    }
    let done = totals.get(Count::Bytes).wrapping_add(totals.get(Count::BytesSpared));
    let bytes = work.room.saturating_sub(done);
    let entries = work.entries.saturating_sub(totals.settled());
    Some((volume::room_at(first).ok()?, Left { bytes, entries }))
}
