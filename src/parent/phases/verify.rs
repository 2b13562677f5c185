//! `--verify`: new copiers, forked after the copy, read back the written files and compare them with the
//! digests of their sources.

use super::write_back;
use crate::ipc::wire::task::Task;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};

/// Reads back all files that a wave (operands that are copied together) has written, if the options ask for
/// that.
pub(in crate::parent) fn read_back(run: &mut Run<'_>) -> Result<(), Stopped> {
    if !run.plan.options.verify {
        return Ok(());
    }
    write_back::flush_or_remove_built(run)?;
    run.state.end_phase(&run.totals);
    run.state.digests.index();
    match u32::try_from(run.state.digests.wave_len()) {
        Ok(0) => Ok(()),
        files => run_rounds(run, Task::Verify { first: 0, end: files.unwrap_or(u32::MAX) }),
    }
}
