//! Counting ahead, in a process of its own, so that the progress line can show a percentage.
//!
//! The process is forked only when a progress line is drawn, and with a low priority where counting
//! would take much of the CPU. It walks as a copier does (`visitors/count`), so it meets the same entries,
//! and reads nothing but names and sizes.

use super::run_state::RunState;
use super::shared::Shared;
use super::target_lock::TargetLock;
use crate::copier;
use crate::error::Unavailable;
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::memory::forecast::{Forecast, Work};
use crate::ipc::wire::task::Task;
use crate::plan::Plan;
use pcopy_sys::Result;
use pcopy_sys::process::{self, Pid};
use std::collections::HashSet;
use std::time::Duration;

/// The CPU time of counting an entry: 1.3 µs for its name, the rest for its size.
const ENTRY_COST: Duration = Duration::from_nanos(2600);

/// The progress line may take one part in so many of a run's CPU time: 3 %.
const SHARE: u32 = 33;

/// The niceness of counting where at full speed it would take more than its share.
///
/// A small file in memory takes 20 µs to copy, so counting such a tree would take an eighth of the
/// copy. Beside two copiers on two CPUs the progress line costs 3 % at this niceness, and 5 % at 7
/// (170,000 files in memory: 1.09 s without); at 19 the copy ends before the counting.
const NICE: i32 = 12;

/// The process that counts ahead, and what it has counted.
#[derive(Default)]
pub(super) struct Precount {
    forecast: Option<Forecast>,
    process: Option<Pid>,
}

impl Precount {
    /// Begins to count, if that has not begun. `per_entry` is how much CPU time an entry has taken so
    /// far; it decides about the priority.
    pub(super) fn begin(
        &mut self,
        plan: &Plan,
        lock: &TargetLock,
        per_entry: impl FnOnce() -> Duration,
    ) {
        if self.forecast.is_some() {
            return;
        }
        let Ok(forecast) = Forecast::create() else { return }; // the line then has no percentage
        self.process = start(plan, lock, &forecast, per_entry()).ok();
        self.forecast = Some(forecast);
    }

    /// What was counted until now; `None` if counting has not begun.
    pub(super) fn work(&self) -> Option<Work> {
        self.forecast.as_ref().map(Forecast::get)
    }

    /// Kills the process and waits for its end.
    pub(super) fn end(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process::kill(process).and_then(|()| process::join(process)).is_err() {
            // It had exited and was reaped already.
        }
    }

    /// Kills the process; a broken disk may keep it from exiting.
    pub(super) fn abandon(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process::kill(process).is_err() {
            // It has exited already.
        }
    }
}

fn start(plan: &Plan, lock: &TargetLock, forecast: &Forecast, per_entry: Duration) -> Result<Pid> {
    process::fork_child(|| {
        if per_entry < ENTRY_COST * SHARE {
            process::set_nice(NICE);
        }
        count(plan, lock, forecast).unwrap_or(1)
    })
}

/// Counts as the only copier of a round that nothing else belongs to; returns the exit status.
fn count(
    plan: &Plan,
    lock: &TargetLock,
    forecast: &Forecast,
) -> std::result::Result<i32, Unavailable> {
    let shared = Shared::create(plan, &Task::Operands { first: 0, end: 0 }, &Groups::default())?;
    shared.counters.set_active(1);
    let (_reader, pipe) = process::pipe().map_err(Unavailable::because("create a pipe"))?;
    let state = RunState::begin(HashSet::new());
    Ok(copier::count(shared.job(plan, lock, &state), pipe, forecast))
}
