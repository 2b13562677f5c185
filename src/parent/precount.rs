//! Counts ahead, in a separate process, so that the progress line can show a percentage.
//!
//! The parent forks this process only if it draws a progress line, or if the target is full and the message
//! must say how much is left. The process has a low priority if counting would take more than 3 % of the CPU
//! time of the copy. It walks as a copier does (`visitors/count`), so it finds the same entries. It reads
//! nothing but names and sizes.

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

/// The CPU time that counting one entry takes: 1.3 µs for its name, the rest for its size.
const ENTRY_COST: Duration = Duration::from_nanos(2600);

/// Counting may take the CPU time of the run divided by this number: 3 %.
const SHARE_DIVISOR: u32 = 33;

/// The niceness of the counting process where it would take more than its share at full speed.
///
/// A small file in memory takes 20 µs to copy, so counting such a tree would take an eighth of the time of
/// the copy. Beside two copiers on two CPUs, the progress line costs 3 % at this niceness, and 5 % at
/// niceness 7 (170,000 files in memory: 1.09 s without the line). At niceness 19, the copy ends before the
/// count.
const NICE: i32 = 12;

/// The process that counts ahead, and its counts.
#[derive(Default)]
pub(super) struct Precount {
    forecast: Option<Forecast>,
    process: Option<Pid>,
}

impl Precount {
    /// Forks the counting process, unless that was done already. `per_entry` returns how much CPU time an
    /// entry has taken so far; the priority depends on it.
    pub(super) fn begin(
        &mut self,
        plan: &Plan,
        lock: &TargetLock,
        per_entry: impl FnOnce() -> Duration,
    ) {
        if self.forecast.is_some() {
            return;
        }
        let Ok(forecast) = Forecast::create() else { return }; // the progress line then has no percentage
        self.process = start(plan, lock, &forecast, per_entry()).ok();
        self.forecast = Some(forecast);
    }

    /// Returns what was counted so far; `None` if counting has not begun, or no process could be forked for it.
    pub(super) fn work(&self) -> Option<Work> {
        self.process?;
        self.forecast.as_ref().map(Forecast::get)
    }

    /// Kills the process and waits until it has exited.
    pub(super) fn end(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process::kill(process).and_then(|()| process::join(process)).is_err() {
            // The process had already exited and was reaped.
        }
    }

    /// Kills the process, but does not wait for it, because a broken disk may keep it from exiting.
    pub(super) fn abandon(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process::kill(process).is_err() {
            // The process has already exited.
        }
    }
}

fn start(plan: &Plan, lock: &TargetLock, forecast: &Forecast, per_entry: Duration) -> Result<Pid> {
    process::fork_child(|| {
        if per_entry < ENTRY_COST * SHARE_DIVISOR {
            process::set_nice(NICE);
        }
        count(plan, lock, forecast).unwrap_or(1)
    })
}

/// Counts as the only copier of a round that has no other processes. Returns the exit status.
fn count(
    plan: &Plan,
    lock: &TargetLock,
    forecast: &Forecast,
) -> std::result::Result<i32, Unavailable> {
    let shared = Shared::create(plan, &Task::Operands { first: 0, end: 0 }, &Groups::default())?;
    shared.counters.set_active(1);
    let (_reader, pipe) = process::pipe().map_err(Unavailable::because("create a pipe"))?;
    let state = RunState::begin(HashSet::new(), 0);
    Ok(copier::count(shared.job(plan, lock, &state), pipe, forecast))
}
