//! Parks a copier while fewer copiers are wanted: it sleeps where it is, and keeps the work that it has.

use super::Walk;
use crate::copier::report_writer::ParentGone;
use std::thread::sleep;
use std::time::Duration;

/// How often a parked copier checks whether it is wanted: short, compared with the time for which the number
/// of copiers stays the same.
const NAP: Duration = Duration::from_millis(10);

/// Sleeps for as long as this copier's number is not below the number of copiers wanted, and all of those
/// have work.
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
