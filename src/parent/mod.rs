//! A run, as its parent process sees it: lock the target, copy in phases, conclude.
//!
//! ```text
//! position, run_event                                     what is reported, and to which sink
//! pool, autoscale, precount, target_lock, shared, round   processes, locks, one round
//! run_state, reporter, volumes, answers, run              what the phases share
//! free_space, status, idle                                progress line; signals while no copier runs
//! reports, poll_loop, rounds                              rounds until nothing is left to do
//! phases, conclude                                        what the rounds are for; the end
//! ```
//!
//! Each line uses only itself and those above it.

mod answers;
mod autoscale;
mod conclude;
mod free_space;
mod idle;
mod phases;
mod poll_loop;
mod pool;
pub mod position;
mod precount;
mod reporter;
mod reports;
mod round;
mod rounds;
mod run;
pub mod run_event;
mod run_state;
mod shared;
mod status;
mod target_lock;
mod volumes;

use crate::error::{Refusal, Unavailable};
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::outcome::{End, Outcome};
use crate::plan::Plan;
use conclude::conclude;
use pcopy_sys::file;
use pcopy_sys::signals::Signals;
use pcopy_sys::{Errno, process};
use phases::{compare, copy, links, prompted, publish, verify, write_back};
use run::{Run, Stopped};
use run_event::Sink;
use std::ffi::CString;
use std::fmt;
use std::ops::Range;
use target_lock::TargetLock;

/// The run was not begun.
#[derive(Debug)]
pub enum NotBegun {
    /// It would do harm, or cannot succeed.
    Refused(Refusal),
    /// The machine has denied something that it needs.
    Unavailable(Unavailable),
}

/// Carries out a plan; returns when no process of the run is left but this one.
///
/// Must be called while the process has a single thread. The umask is cleared: every file is created
/// with a mode of its own.
pub fn run(plan: &Plan, sink: &mut dyn Sink) -> Result<Outcome, NotBegun> {
    process::clear_umask();
    let signals = Signals::watch().map_err(Unavailable::because("watch for signals"))?;
    if plan.check.is_some() {
        let lock = TargetLock::none(); // nothing is written
        let mut run = Run::new(plan, &lock, &signals, sink);
        let (end, compared) = compare::compare(&mut run);
        return Ok(conclude(run, end, Some(compared)));
    }
    let lock = TargetLock::take(plan).inspect_err(|_| plan.give_back())?;
    let mut run = Run::new(plan, &lock, &signals, sink);
    let end = match copy_all(&mut run) {
        Ok(()) => End::Finished,
        Err(Stopped::Early(end)) => end,
        Err(Stopped::Unavailable(unavailable)) => {
            run.reporter.unavailable(&unavailable);
            lock.remove_unused(plan);
            End::Unavailable
        }
    };
    Ok(conclude(run, end, None))
}

/// Copies wave after wave. If the run ends early, everything stays as it is, for the next run to
/// resume.
fn copy_all(run: &mut Run<'_>) -> Result<(), Stopped> {
    let plan = run.plan;
    let mut notes = plan.notes.iter().peekable();
    for wave in &plan.waves {
        while let Some(note) = notes.next_if(|note| note.before <= wave.start) {
            run.reporter.note(note);
        }
        copy_wave(run, wave)?;
    }
    notes.for_each(|note| run.reporter.note(note));
    publish::finish_parents(plan, &mut run.reporter);
    write_back::flush(run)
}

/// The phases of a wave, in their order.
fn copy_wave(run: &mut Run<'_>, wave: &Range<u32>) -> Result<(), Stopped> {
    run.state.begin_wave();
    copy::copy(run, wave)?;
    prompted::copy_prompted(run)?;
    links::make_links(run)?;
    verify::read_back(run)?;
    let names = run.state.end_wave(&run.totals);
    publish::publish(run)?;
    remember_leaders(run.plan, &mut run.state.links.earlier, &names);
    Ok(())
}

/// Remembers what the names of a wave that has ended are now, so that further names of their files in
/// later waves become links to them. They have their final places by now.
fn remember_leaders(plan: &Plan, earlier: &mut Groups, names: &Groups) {
    if plan.waves.len() < 2 {
        return;
    }
    for (identity, number, source) in names.leaders() {
        let Some(operand) = plan.operands.get(number as usize) else { continue };
        let target = operand.target_of(&source);
        let (dir, name) = split_last(&target);
        let now = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
            plan.reach_target(operand, dir).and_then(|dir| file::stat_at(dir, &name))
        });
        // If it cannot be reached any more, the next name of its file is copied.
        if let Ok(now) = now {
            let place =
                EntryPath { operand: number, source: &source, target: &target, staged: false };
            earlier.add_known(identity, place, now.identity());
        }
    }
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
