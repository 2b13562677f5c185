//! The first phase of a wave (operands that are copied together): copies everything except hard links to
//! files already copied, and files that need a prompt. Later phases copy these.
//!
//! The staged directories of operands are renamed into place in a later phase, too.

use crate::ipc::wire::task::Task;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};
use std::ops::Range;

/// Copies the operands of a wave.
pub(in crate::parent) fn copy(run: &mut Run<'_>, wave: &Range<u32>) -> Result<(), Stopped> {
    run_rounds(run, Task::Operands { first: wave.start, end: wave.end })?;
    run.state.end_phase(&run.totals);
    run.state.digests.index();
    Ok(())
}
