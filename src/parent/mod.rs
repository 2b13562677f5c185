//! A run, as the parent sees it: claim the target, copy in rounds, finish.

mod autoscale;
mod compare_report;
mod finish;
mod free_space;
mod manifest_writer;
mod output;
mod pool;
mod precount;
mod progress;
mod prompts;
mod reports;
mod round;
mod run_state;
mod screen;
mod status;
mod supervisor;
mod target_lock;
mod write_back;

use crate::error::{Refusal, Unavailable};
use crate::outcome::Outcome;
use crate::plan::Plan;
use pcopy_sys::process;
use pcopy_sys::signals::Signals;
pub use screen::Show;
use std::fmt;
use supervisor::Supervisor;
use target_lock::TargetLock;

/// The run was not begun.
#[derive(Debug)]
pub enum NotBegun {
    /// It would do harm, or cannot succeed.
    Refused(Refusal),
    /// The machine denied it something.
    Unavailable(Unavailable),
}

/// Carries out a plan; returns when no process of the run is left but this one.
///
/// Must be called while the process has a single thread. The umask is cleared: whatever is made
/// is made with bits of its own.
pub fn run(plan: &Plan, show: Show) -> Result<Outcome, NotBegun> {
    process::clear_umask();
    let signals = Signals::watch().map_err(Unavailable::because("watch for signals"))?;
    let claim = match plan.check {
        Some(_) => TargetLock::none(), // who only looks keeps nobody out
        None => TargetLock::take(plan).inspect_err(|_| plan.give_back())?,
    };
    let mut supervisor = Supervisor::new(plan, &claim, &signals, show);
    let end = if plan.check.is_some() { supervisor.compare() } else { supervisor.copy() };
    Ok(supervisor.sum_up(end))
}

impl From<Refusal> for NotBegun {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unavailable> for NotBegun {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

impl fmt::Display for NotBegun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(out),
            Self::Unavailable(unavailable) => unavailable.fmt(out),
        }
    }
}

impl std::error::Error for NotBegun {}
