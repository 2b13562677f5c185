//! The phase that creates hard links: further names of files that the wave has copied.

use super::write_back;
use crate::ipc::wire::task::Task;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};

/// Creates the hard links of a wave (operands that are copied together).
pub(in crate::parent) fn make_links(run: &mut Run<'_>) -> Result<(), Stopped> {
    let groups = match u32::try_from(run.state.links.groups.sort()) {
        Ok(0) => return Ok(()),
        groups => groups.unwrap_or(u32::MAX),
    };
    // A link may replace an existing file that other processes use, so with `--fsync` the data of the linked
    // file must be on stable storage first.
    write_back::flush_before_publishing(run)?;
    run_rounds(run, Task::Links { first: 0, end: groups })
}
