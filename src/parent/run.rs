//! The data that the phases of a run share.

use super::active_time::ActiveTime;
use super::answers::Answers;
use super::precount::Precount;
use super::reporter::Reporter;
use super::run_event::Sink;
use super::run_state::RunState;
use super::target_lock::TargetLock;
use super::volumes::Volumes;
use crate::error::Unavailable;
use crate::ipc::memory::counters::Totals;
use crate::outcome::End;
use crate::plan::Plan;
use pcopy_sys::signals::Signals;

/// A run, as the parent process sees it.
///
/// More than 20 functions take it mutably: the phases are functions over the run, one file each, and any of
/// them may report, count and remember.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) lock: &'a TargetLock,
    pub(super) signals: &'a Signals,
    pub(super) time: ActiveTime,
    pub(super) reporter: Reporter<'a>,
    pub(super) state: RunState,
    /// The counts of the run at the end of its last round.
    pub(super) totals: Totals,
    pub(super) precount: Precount,
    /// Whether the parent has compared free space with what is left to copy.
    pub(super) space_checked: bool,
    /// Whether the user knows that many files are compared, because their sources may have changed.
    pub(super) has_named_comparisons: bool,
    pub(super) volumes: Volumes,
    pub(super) answers: Answers,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        lock: &'a TargetLock,
        signals: &'a Signals,
        sink: &'a mut dyn Sink,
    ) -> Self {
        let state = RunState::begin(lock.made(plan), plan.left_out);
        Self {
            plan,
            lock,
            signals,
            time: ActiveTime::begin(),
            reporter: Reporter::new(plan, sink),
            totals: state.so_far(&Totals::default()),
            state,
            precount: Precount::default(),
            space_checked: false,
            has_named_comparisons: false,
            volumes: Volumes::of(plan),
            answers: Answers::default(),
        }
    }
}

/// Why a phase did not finish.
pub(super) enum Stopped {
    /// The run ends early, for this reason.
    Early(End),
    /// The kernel denied a resource; the error is not reported yet.
    Unavailable(Unavailable),
}

impl From<Unavailable> for Stopped {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}
