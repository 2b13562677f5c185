//! A copier that is one too many rests where it is, with all that it holds.

use super::reports::ParentGone;
use super::{Job, Worker};
use std::thread::sleep;
use std::time::Duration;

/// How soon it notices that it is needed again: little beside what more copiers are called for.
const NAP: Duration = Duration::from_millis(10);

/// Rests for as long as fewer copiers are wanted than would include `number`, and none of them lacks
/// work.
pub(super) fn rest_if_superfluous(
    worker: &mut impl Worker,
    job: &Job<'_>,
    number: u16,
) -> Result<(), ParentGone> {
    if number < job.counters.active() {
        return Ok(());
    }
    worker.flush_reports()?;
    while number >= job.counters.active() && !worker.is_stopped() {
        if job.ring.is_empty() && job.ring.sleepers() > 0 {
            return Ok(()); // what waits here is what somebody could do
        }
        sleep(NAP);
    }
    Ok(())
}
