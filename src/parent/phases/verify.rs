//! `--verify`: what was written is read back by other copiers and compared with what was read.

use super::write_back;
use crate::ipc::wire::task::Task;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};

/// Has what a wave has written read back, if that is wanted.
pub(in crate::parent) fn read_back(run: &mut Run<'_>) -> Result<(), Stopped> {
    if !run.plan.options.verify {
        return Ok(());
    }
    write_back::flush_or_remove_built(run)?;
    run.state.end_phase(&run.totals);
    run.state.hashed.index();
    match u32::try_from(run.state.hashed.written_len()) {
        Ok(0) => Ok(()),
        files => run_rounds(run, Task::Verify { first: 0, end: files.unwrap_or(u32::MAX) }),
    }
}
