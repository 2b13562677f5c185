//! Whether what is left to copy fits into the target: a warning before it is full, and words after.
//!
//! What is needed is known when the scout has counted. It takes bytes without holes and files with several
//! names once, so what it asks for is rather too little; nobody is warned for nothing. Where files can
//! share their bytes with their sources, nobody can tell.

use super::progress::Position;
use super::supervisor::Supervisor;
use crate::ipc::memory::counters::{Count, Totals};
use crate::ipc::memory::forecast::{Forecast, Work};
use crate::numbers;
use crate::options::When;
use crate::outcome::{End, Left};
use crate::sanitize::quote;
use pcopy_sys::file;
use pcopy_sys::poll::{self, Event};
use pcopy_sys::volume::{self, Room};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// How long a run that has ended counts what is missing.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

/// How often it looks whether that is done.
const LOOK: Duration = Duration::from_millis(20);

impl Supervisor<'_> {
    /// Warns once if what is left cannot fit.
    pub(super) fn warn_of_room(&mut self, position: &Position) {
        if self.asked_for_room || !position.work.complete {
            return;
        }
        self.asked_for_room = true;
        let Some((room, left)) = self.room(&position.work, &position.totals) else { return };
        let name = self.plan.operands.first().map(|operand| &operand.target_shown);
        let shown = quote(name.map_or(b"", |name| name.as_os_str().as_bytes()));
        if left.bytes > room.bytes {
            let (left, free) = (numbers::bytes(left.bytes), numbers::bytes(room.bytes));
            self.screen.notice(&format!(
                "warning: {left} are left to copy, and {free} are free where {shown} is"
            ));
        } else if let Some(free) = room.entries.filter(|&free| left.entries > free) {
            let (left, free) = (numbers::count(left.entries), numbers::count(free));
            self.screen.notice(&format!(
                "warning: {left} entries are left to copy, and there is room for {free} where {shown} is"
            ));
        }
    }

    /// What is missing in a target that is full, if that can be found out soon.
    pub(super) fn left_over(&mut self, end: End) -> Option<Left> {
        if end != End::TargetLost {
            return None;
        }
        if self.forecast.is_none() {
            self.begin_scouting(None);
        }
        let begun = Instant::now();
        let work = loop {
            let work = self.forecast.as_ref().map(Forecast::get)?;
            if work.complete {
                break work;
            }
            let watched = [(self.signals.as_fd(), Event::Readable)];
            poll::wait(&watched, LOOK).ok()?;
            if begun.elapsed() > COUNT_WITHIN || self.signal_to_end().is_some() {
                return None;
            }
        };
        self.room(&work, &self.totals).map(|(_, left)| left)
    }

    /// The room that there is, and what is left to copy into it; `None` if that says nothing.
    fn room(&self, work: &Work, totals: &Totals) -> Option<(Room, Left)> {
        let mut dirs = self.plan.operands.iter().map(|operand| self.plan.target_dir(operand));
        let first = dirs.next()?;
        let device = file::stat_fd(first).ok()?.identity().0;
        let is_one = dirs.all(|dir| file::stat_fd(dir).is_ok_and(|at| at.identity().0 == device));
        // On one file system files may share their bytes.
        let shares = self.plan.options.reflink != When::Never
            && volume::may_share_bytes(first)
            && self.plan.operands.iter().any(|operand| operand.device == device);
        if !is_one || shares {
            return None;
        }
        let done = totals.get(Count::Bytes).wrapping_add(totals.get(Count::BytesSpared));
        let bytes = work.room.saturating_sub(done);
        let entries = work.entries.saturating_sub(totals.settled());
        Some((volume::room_at(first).ok()?, Left { bytes, entries }))
    }
}
