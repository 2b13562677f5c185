//! Parks a copier while the parent wants fewer copiers: the copier sleeps between two entries, and keeps its
//! work.

use super::Walk;
use crate::copier::report_writer::ParentGone;
use std::thread::sleep;
use std::time::Duration;

/// How often a parked copier checks whether it is wanted again. This is short, compared with the time for
/// which the number of copiers stays the same.
const NAP: Duration = Duration::from_millis(10);

/// Sleeps while this copier is superfluous, that is, while its number is not below the number of copiers
/// wanted. Returns at once if another copier waits for work.
pub(super) fn park_if_superfluous<D>(walk: &mut Walk<'_, D>) -> Result<(), ParentGone> {
    if !is_superfluous(walk) {
        return Ok(());
    }
    walk.reports.flush()?;
    while is_superfluous(walk) && !walk.is_stopped() {
        let ring = walk.cx.job.ring;
        if ring.is_empty() && ring.sleepers() > 0 {
            return Ok(()); // another copier waits for work, and this copier may have some to hand over
        }
        sleep(NAP);
    }
    Ok(())
}

fn is_superfluous<D>(walk: &Walk<'_, D>) -> bool {
    walk.cx.number >= walk.cx.job.counters.active()
}
