//! A copier that is one too many sleeps where it is, and keeps the work that it has.

use super::report_writer::ParentGone;
use super::traverse::Walk;
use std::thread::sleep;
use std::time::Duration;

/// How soon it notices that it is needed again: little beside what more copiers are called for.
const NAP: Duration = Duration::from_millis(10);

/// Sleeps for as long as fewer copiers are wanted than would include this one, and none of them lacks work.
pub(super) fn park_if_superfluous<D>(walk: &mut Walk<'_, D>) -> Result<(), ParentGone> {
    if !is_superfluous(walk) {
        return Ok(());
    }
    walk.reports.flush()?;
    while is_superfluous(walk) && !walk.is_stopped() {
        let ring = walk.cx.job.ring;
        if ring.is_empty() && ring.sleepers() > 0 {
            return Ok(()); // what waits here is what another copier could do
        }
        sleep(NAP);
    }
    Ok(())
}

fn is_superfluous<D>(walk: &Walk<'_, D>) -> bool {
    walk.cx.number >= walk.cx.job.counters.active()
}
