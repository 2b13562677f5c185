//! A copier that is one too many rests where it is, with all that it holds.

use super::Worker;
use super::report_writer::ParentGone;
use std::thread::sleep;
use std::time::Duration;

/// How soon it notices that it is needed again: little beside what more copiers are called for.
const NAP: Duration = Duration::from_millis(10);

/// Rests for as long as fewer copiers are wanted than would include this one, and none of them lacks
/// work.
pub(super) fn park_if_superfluous(worker: &mut impl Worker) -> Result<(), ParentGone> {
    if !is_superfluous(worker) {
        return Ok(());
    }
    worker.flush_reports()?;
    while is_superfluous(worker) && !worker.is_stopped() {
        let ring = worker.context().job.ring;
        if ring.is_empty() && ring.sleepers() > 0 {
            return Ok(()); // what waits here is what somebody could do
        }
        sleep(NAP);
    }
    Ok(())
}

fn is_superfluous(worker: &impl Worker) -> bool {
    let cx = worker.context();
    cx.number >= cx.job.counters.active()
}
