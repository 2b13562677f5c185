//! `--apply`: removes what a plan says, after everything is copied, verified, flushed to stable storage and published.
//!
//! The guards of `--delete` are asked again. Copiers remove what is not a directory, and the parent then removes the
//! directories, each of them if it is empty.

use crate::copier::visitors::{copy, remove};
use crate::error::{EntryError, Op};
use crate::ipc::inherited::removals::Removals;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::extraneous::Extraneous;
use crate::ipc::wire::task::{EntryPath, Task, split_last};
use crate::options::Deletion;
use crate::outcome::End;
use crate::parent::idle::ending_signal;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_event::Withheld;
use crate::plan::{Applied, Operand};
use crate::plan_file::Operation;
use pcopy_sys::Errno;
use pcopy_sys::file;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;

/// Removes what the plan says.
pub(super) fn remove(
    run: &mut Run<'_>,
    applied: &Applied,
    deletion: Deletion,
) -> Result<(), Stopped> {
    let removals = permitted(run, applied, deletion);
    let (dirs, entries): (Vec<_>, Vec<_>) = removals
        .into_iter()
        .partition(|removal| removal.target.is_some_and(|target| target.is_dir()));
    run.state.end_phase(&run.totals);
    run.state.removals = units(run, &entries);
    if let Ok(units @ 1..) = u32::try_from(run.state.removals.len()) {
        run_rounds(run, Task::Remove { first: 0, end: units })?;
        run.state.end_phase(&run.totals);
    }
    remove_dirs(run, &dirs)?;
    let touched = entries.iter().chain(&dirs).filter_map(|removal| {
        let operand = run.plan.operands.get(removal.operand as usize)?;
        Some((removal.operand, split_last(&source_of(operand, removal)).0.to_vec()))
    });
    let touched: BTreeSet<_> = touched.collect();
    finish_dirs(run, applied, touched)
}

/// Returns the removals that the guards permit, and reports why not the others.
fn permitted<'p>(
    run: &mut Run<'_>,
    applied: &'p Applied,
    deletion: Deletion,
) -> Vec<&'p Operation> {
    let mut removals: Vec<&Operation> = applied.removals.iter().collect();
    let operands: BTreeSet<u32> = removals.iter().map(|removal| removal.operand).collect();
    for &operand in &operands {
        if !run.plan.is_source_unchanged(operand) {
            run.reporter.late.failed += 1;
            removals.retain(|removal| removal.operand != operand);
            run.reporter.removals_withheld(operand, Withheld::SourceChanged);
        }
    }
    let count = removals.len() as u64;
    if deletion.limit.permits(count, count) {
        return removals;
    }
    // What the target had when the plan was made, or what it has now, if that is less.
    let now = operands.iter().map(|&operand| run.plan.entries_in_target(operand)).sum();
    let all = applied.kept_entries.saturating_add(count).min(now);
    if deletion.limit.permits(count, all) {
        return removals;
    }
    let named = removals.iter().filter_map(|removal| {
        let operand = run.plan.operands.get(removal.operand as usize)?;
        Some((removal.operand, source_of(operand, removal)))
    });
    run.reporter.too_many_removals((count, all), named);
    run.state.too_many_removals = true;
    Vec::new()
}

/// Returns the path of a removal in the source, with the source name.
fn source_of(operand: &Operand, removal: &Operation) -> Vec<u8> {
    let name = operand.source_name.to_bytes();
    if removal.path.is_empty() { name.to_vec() } else { [name, b"/", &removal.path].concat() }
}

/// Returns the work of the copiers: the entries that are not directories, by their directories.
fn units(run: &mut Run<'_>, entries: &[&Operation]) -> Removals {
    let mut removals = Removals::default();
    let mut dirs = HashMap::new();
    for removal in entries {
        let Some(operand) = run.plan.operands.get(removal.operand as usize) else { continue };
        let source = source_of(operand, removal);
        let target = operand.target_of(&source);
        let above = split_last(&target).0;
        let dir = dirs.entry((removal.operand, above.to_vec())).or_insert_with(|| {
            let dir = run.plan.reach_target(operand, above);
            dir.and_then(file::stat_fd).map(|stat| stat.identity())
        });
        match *dir {
            Ok(dir) => {
                let operand = removal.operand;
                let place = EntryPath { operand, source: &source, target: &target, staged: false };
                removals.add(place, Extraneous::Entry { dir });
            }
            Err(Errno::ENOENT) => {} // it is gone with its directory
            Err(errno) => {
                let error = Op::OpenTarget.error()(errno);
                run.reporter.failed_late(error, removal.operand, &source);
            }
        }
    }
    removals.sort();
    removals
}

/// Removes directories, those with the longest paths first.
fn remove_dirs(run: &mut Run<'_>, dirs: &[&Operation]) -> Result<(), Stopped> {
    let mut dirs = dirs.to_vec();
    dirs.sort_by_key(|removal| Reverse(removal.path.len()));
    for removal in dirs {
        if let Some(number) = ending_signal(run) {
            return Err(Stopped::Early(End::Signal(number)));
        }
        let Some(operand) = run.plan.operands.get(removal.operand as usize) else { continue };
        let source = source_of(operand, removal);
        let target = operand.target_of(&source);
        match remove::remove_planned_dir(run.plan, operand, (&source, &target), removal) {
            Ok(()) => {
                run.totals.add(Count::Removed, 1);
                let operand = removal.operand;
                let place = EntryPath { operand, source: &source, target: &target, staged: false };
                run.reporter.removed(place, true);
            }
            Err(EntryError { errno: Errno::ENOENT, .. }) => {} // a run that was interrupted has removed it
            Err(error) => run.reporter.failed_late(error, removal.operand, &source),
        }
    }
    Ok(())
}

/// Gives the directories in which something was removed their times and mode, or those that they had.
fn finish_dirs(
    run: &mut Run<'_>,
    applied: &Applied,
    touched: BTreeSet<(u32, Vec<u8>)>,
) -> Result<(), Stopped> {
    for (number, source) in touched {
        if let Some(number) = ending_signal(run) {
            return Err(Stopped::Early(End::Signal(number)));
        }
        let Some(operand) = run.plan.operands.get(number as usize) else { continue };
        let target = operand.target_of(&source);
        let place = EntryPath { operand: number, source: &source, target: &target, staged: false };
        let finished = match applied.kept_dir(number, &source) {
            Some(kept) => match run.plan.open_target(operand, &target) {
                Ok(dir) => copy::keep(dir.as_fd(), kept),
                Err(Errno::ENOENT) => Ok(()), // it was removed, too
                Err(errno) => Err(Op::OpenTarget.error()(errno)),
            },
            None if applied.role(number, &source).is_none() => Ok(()), // the source does not have it
            None => copy::finish(run.plan, place).map(|lost| {
                lost.iter().for_each(|lost| run.reporter.attribute_failed(lost, number, &source));
            }),
        };
        if let Err(error) = finished {
            run.reporter.failed_late(error, number, &source);
        }
    }
    Ok(())
}
