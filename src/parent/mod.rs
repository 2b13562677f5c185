//! The parent process of a run: it locks the target, copies in phases, and reports the result.
//!
//! ```text
//! position, run_event, active_time                        what is reported, and to which sink; the clock
//! target_dir, target_lock                                 target directories; locks
//! pool, autoscale, precount, shared, round                processes, one round
//! run_state, reporter, volumes, answers, run              what the phases share
//! free_space, status, idle                                progress line; signals while no copier runs
//! reports, poll_loop, own_copier, rounds                  rounds until nothing is left to do
//! phases, unfinished, conclude                            what the rounds are for; the end
//! ```
//!
//! A round is one attempt of the copiers at the work; if a copier has died, another round begins. The modules
//! of a line in this list use only modules of the same line and of the lines above it.

mod active_time;
mod answers;
mod autoscale;
mod conclude;
mod free_space;
mod idle;
mod own_copier;
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
mod target_dir;
mod target_lock;
mod unfinished;
mod volumes;

use crate::error::{AttributeError, Op, Refusal, Unavailable};
use crate::ipc::inherited::link_groups::Groups;
use crate::ipc::inherited::removals::Removals;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::{EntryPath, split_last};
use crate::outcome::{End, Outcome};
use crate::plan::{Draft, Plan};
use conclude::conclude;
use pcopy_sys::file;
use pcopy_sys::signals::Signals;
use pcopy_sys::{Errno, process};
use phases::{compare, copy, dry_run, links, prompted, publish, removal, verify, write_back};
use run::{Run, Stopped};
use run_event::Sink;
use std::ffi::CString;
use std::fmt;
use std::ops::Range;
use target_lock::TargetLock;

/// Why a run did not begin.
#[derive(Debug)]
pub enum NotBegun {
    /// The run would do harm, or it could not succeed.
    Refused(Refusal),
    /// The kernel denied a resource that the run needs.
    Unavailable(Unavailable),
}

/// Carries out a plan. Returns when no other process of the run is left, except for processes that do not die
/// although a signal ended the run.
///
/// Must be called while the process has a single thread. Clears the umask, because pcopy computes the mode of
/// each file that it creates.
pub fn run(draft: Draft, sink: &mut dyn Sink) -> Result<Outcome, NotBegun> {
    let plan = &draft.begin()?;
    process::clear_umask();
    let signals = Signals::watch().map_err(Unavailable::because("watch for signals"))?;
    if plan.check.is_some() {
        let lock = TargetLock::none(plan); // a comparison writes nothing
        let mut run = Run::new(plan, &lock, &signals, sink);
        let (end, compared) = compare::compare(&mut run);
        return Ok(conclude(run, end, Some(compared)));
    }
    if plan.options.dry_run {
        let lock = TargetLock::none(plan);
        let mut run = Run::new(plan, &lock, &signals, sink);
        let end = dry_run::look(&mut run);
        return Ok(conclude(run, end, None));
    }
    let deletes_before = plan.options.deletes_before();
    let mut judged = Judged::default();
    if plan.options.check_first || deletes_before {
        let lock = TargetLock::none(plan);
        let mut run = Run::new(plan, &lock, &signals, sink);
        if let Err(end) = dry_run::look_first(&mut run) {
            plan.give_back();
            return Ok(conclude(run, end, None));
        }
        judged = Judged { removals: run.state.removals, failed: run.reporter.late.failed };
    }
    let lock = TargetLock::take(plan).inspect_err(|_| plan.give_back())?;
    let mut run = Run::new(plan, &lock, &signals, sink);
    run.reporter.late.failed += judged.failed;
    if deletes_before {
        run.state.removals = judged.removals;
    }
    for (&operand, &errno) in &lock.unstaged {
        let error = Op::Stage.error()(errno);
        run.reporter.attribute_failed(AttributeError { error, required: false }, operand, b"");
    }
    if let Some(applied) = &plan.applied {
        for (operand, path, error) in &applied.failures {
            run.reporter.failed_late(*error, *operand, path);
        }
    }
    let copied = copy_all(&mut run);
    for dir in plan.required_mounts.changed() {
        run.reporter.mount_changed(dir);
    }
    let end = match copied {
        Ok(()) => End::Finished,
        Err(Stopped::Early(end)) => end,
        Err(Stopped::Unavailable(unavailable)) => {
            run.reporter.unavailable(&unavailable);
            lock.remove_unused(plan);
            End::Unavailable
        }
    };
    if matches!(end, End::TimedOut | End::Signal(_)) {
        lock.leave_lock_files();
    }
    Ok(conclude(run, end, None))
}

/// What was found out before the run began.
#[derive(Default)]
struct Judged {
    /// What is extraneous and may be removed.
    removals: Removals,
    /// How many failures were reported.
    failed: u64,
}

/// Copies one wave (operands that are copied together) after the other. If the run ends early, the target
/// stays as it is, so that the next run can resume.
fn copy_all(run: &mut Run<'_>) -> Result<(), Stopped> {
    let plan = run.plan;
    let mut notes = plan.notes.iter().peekable();
    let has_removed = removal::remove_before(run)?;
    for wave in &plan.waves {
        while let Some(note) = notes.next_if(|note| note.before <= wave.start) {
            run.reporter.note(note);
        }
        copy_wave(run, wave)?;
    }
    notes.for_each(|note| run.reporter.note(note));
    publish::finish_parents(plan, &mut run.reporter);
    write_back::flush(run)?;
    if !has_removed {
        removal::remove_extraneous(run, copy_held_back)?;
    }
    if run.totals.get(Count::Removed) > 0 { write_back::flush(run) } else { Ok(()) }
}

/// Copies the entries in whose way something was that `--delete` has removed by now. Where it could not be removed, they
/// fail.
fn copy_held_back(run: &mut Run<'_>) -> Result<(), Stopped> {
    run.state.begin_wave();
    prompted::copy_held_back(run)?;
    finish_wave(run)
}

/// Runs the phases of a wave in order.
fn copy_wave(run: &mut Run<'_>, wave: &Range<u32>) -> Result<(), Stopped> {
    run.state.begin_wave();
    copy::copy(run, wave)?;
    prompted::copy_prompted(run)?;
    finish_wave(run)
}

/// Runs the phases of a wave that follow the copying.
fn finish_wave(run: &mut Run<'_>) -> Result<(), Stopped> {
    links::make_links(run)?;
    verify::read_back(run)?;
    let names = run.state.end_wave(&run.totals);
    publish::publish(run)?;
    let is_remembered = !run.state.held_back.is_empty();
    remember_leaders(run.plan, &mut run.state.links.earlier, &names, is_remembered);
    Ok(())
}

/// Remembers, for files with several names, the target inodes that the names of an ended wave have. In later
/// waves, further names of these files become hard links to these names, which are in their final places by
/// now.
fn remember_leaders(plan: &Plan, earlier: &mut Groups, names: &Groups, is_remembered: bool) {
    if plan.waves.len() < 2 && !is_remembered {
        return;
    }
    for (identity, number, source) in names.leaders() {
        let Some(operand) = plan.operands.get(number as usize) else { continue };
        let target = operand.target_of(&source);
        let (dir, name) = split_last(&target);
        let now = CString::new(name).map_err(|_| Errno::EINVAL).and_then(|name| {
            plan.reach_target(operand, dir).and_then(|dir| file::stat_at(dir, &name))
        });
        // A name that cannot be reached any more is dropped. Then the next name of its file is copied.
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
