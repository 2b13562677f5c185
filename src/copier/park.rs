//! Parks a copier while fewer copiers are wanted: it sleeps, and keeps the work that it has.

use super::Worker;
use super::report_writer::ParentGone;
use std::thread::sleep;
use std::time::Duration;

/// How often a parked copier checks whether it is wanted: short, compared with the time for which the number
/// of copiers stays the same.
const NAP: Duration = Duration::from_millis(10);

/// Sleeps for as long as this copier's number is not below the number of copiers wanted, and all of these
/// have work.
pub(super) fn park_if_superfluous(worker: &mut impl Worker) -> Result<(), ParentGone> {
    if !is_superfluous(worker) {
        return Ok(());
    }
    worker.flush_reports()?;
    while is_superfluous(worker) && !worker.is_stopped() {
        let ring = worker.context().job.ring;
        if ring.is_empty() && ring.sleepers() > 0 {
            return Ok(()); // a copier lacks work, and this one may have some
        }
        sleep(NAP);
    }
    Ok(())
}

fn is_superfluous(worker: &impl Worker) -> bool {
    let cx = worker.context();
    cx.number >= cx.job.counters.active()
}
