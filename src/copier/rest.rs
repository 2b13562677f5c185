//! A copier that is one too many rests where it is, with all that it holds.

use super::reports::ParentGone;
use super::walk::Walker;
use std::thread::sleep;
use std::time::Duration;

/// How soon it notices that it is needed again: little beside what more copiers are called for.
const NAP: Duration = Duration::from_millis(10);

impl Walker<'_> {
    /// Rests for as long as fewer copiers are wanted and none of them lacks work.
    pub(super) fn rest_if_superfluous(&mut self) -> Result<(), ParentGone> {
        if self.number < self.job.counters.active() {
            return Ok(());
        }
        self.reports.flush()?;
        while self.number >= self.job.counters.active() && !self.is_stopped() {
            if self.job.ring.is_empty() && self.job.ring.sleepers() > 0 {
                return Ok(()); // what waits here is what somebody could do
            }
            sleep(NAP);
        }
        Ok(())
    }
}
