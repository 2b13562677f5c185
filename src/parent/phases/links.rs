//! Making the names that become hard links to what was copied.

use super::write_back;
use crate::ipc::wire::task::Task;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};

/// Makes the links of a wave.
pub(in crate::parent) fn make_links(run: &mut Run<'_>) -> Result<(), Stopped> {
    let groups = match u32::try_from(run.state.links.groups.sort()) {
        Ok(0) => return Ok(()),
        groups => groups.unwrap_or(u32::MAX),
    };
    // A link may replace an existing file that others see.
    write_back::flush_before_publishing(run)?;
    run_rounds(run, Task::Links { first: 0, end: groups })
}
