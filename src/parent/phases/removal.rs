//! `--delete`: removes from the target what the source does not have, after everything is copied, verified, flushed to stable
//! storage and published.
//!
//! While they copy, copiers list what is extraneous. The list is judged as a whole before anything is removed. Then copiers
//! remove what is not a directory and the directories without others, and the parent removes those that are left.

use super::planned_removal;
use crate::copier::visitors::{copy, remove};
use crate::error::EntryError;
use crate::ipc::inherited::removals::Removals;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::task::{EntryPath, Task};
use crate::options::Deletion;
use crate::outcome::End;
use crate::parent::idle::ending_signal;
use crate::parent::rounds::run_rounds;
use crate::parent::run::{Run, Stopped};
use crate::parent::run_event::Withheld;
use crate::plan::backup_dir::BackupDir;
use crate::plan::{Operand, Plan};
use pcopy_sys::Errno;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Kind};
use std::collections::BTreeSet;
use std::os::fd::AsFd;

/// Judges what is extraneous, and removes it. Then calls `copy_held_back` if something was in the way of entries. In a dry
/// run, finds out what would be removed.
pub(in crate::parent) fn remove_extraneous<'p>(
    run: &mut Run<'p>,
    copy_held_back: impl FnOnce(&mut Run<'p>) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let Some(deletion) = run.plan.options.deletion else { return Ok(()) };
    if let Some(applied) = &run.plan.applied {
        return planned_removal::remove(run, applied, deletion);
    }
    judge_all(run);
    if run.state.removals.len() == 0 && run.state.held_back.is_empty() {
        return Ok(());
    }
    let touched = remove(run)?;
    if !run.state.held_back.is_empty() {
        copy_held_back(run)?;
    }
    finish_dirs(run, touched)
}

/// Drops from the list what must not be removed, and reports why.
pub(in crate::parent) fn judge_all(run: &mut Run<'_>) {
    if let Some(deletion) = run.plan.options.deletion {
        run.state.removals.sort();
        judge(run, deletion);
    }
}

/// Removes what was judged before the run began (`--delete-before`). Returns whether there was anything.
pub(in crate::parent) fn remove_before(run: &mut Run<'_>) -> Result<bool, Stopped> {
    // With the times that the removals change, the copy would seem to change directories.
    let dirs = run.state.removals.touched().into_iter().filter_map(|(number, path)| {
        let dir = run.plan.open_target(run.plan.operands.get(number as usize)?, &path).ok()?;
        let stat = file::stat_fd(&dir).ok()?;
        Some((number, path, (stat.accessed(), stat.modified())))
    });
    let dirs: Vec<_> = dirs.collect();
    let has_removals = run.state.removals.len() > 0;
    if has_removals {
        remove(run)?;
    }
    for (number, path, (accessed, modified)) in dirs {
        let Some(operand) = run.plan.operands.get(number as usize) else { continue };
        let restored = run
            .plan
            .open_target(operand, &path)
            .and_then(|dir| file::set_times(dir, accessed, modified));
        if restored.is_err() {
            // The copy sets the final times.
        }
    }
    Ok(has_removals)
}

/// A directory that the source has: its operand, and its path in the target.
type SourceDir = (u32, Vec<u8>);

/// Removes what is left of the list. Returns the directories in which something was removed.
fn remove(run: &mut Run<'_>) -> Result<Vec<SourceDir>, Stopped> {
    let touched = run.state.removals.touched();
    run.state.end_phase(&run.totals);
    if let (Some(backups), false) = (&run.plan.backup_dir, run.plan.options.dry_run) {
        keep_dirs(run, backups)?;
    }
    let units = u32::try_from(run.state.removals.len()).unwrap_or(u32::MAX);
    if units > 0 {
        run_rounds(run, Task::Remove { first: 0, end: units })?;
    }
    run.state.end_phase(&run.totals);
    let removals = std::mem::take(&mut run.state.removals);
    remove_dirs(run, &removals)?;
    run.state.end_phase(&run.totals);
    Ok(touched)
}

/// Moves extraneous directories as they are into the directory of the backups.
fn keep_dirs(run: &mut Run<'_>, backups: &BackupDir) -> Result<(), Stopped> {
    let names_all = run.plan.options.verbose() || run.plan.options.itemize_changes;
    for (number, path, dir, count) in run.state.removals.take_dirs() {
        if let Some(number) = ending_signal(run) {
            return Err(Stopped::Early(End::Signal(number)));
        }
        let Some(operand) = run.plan.operands.get(number as usize) else { continue };
        let below = if names_all { below(run.plan, operand, &path) } else { Vec::new() };
        match remove::keep_dir(run.plan, backups, operand, &path, dir.identity) {
            Ok(()) => {
                run.totals.add(Count::Removed, count);
                let all = below.iter().map(|(path, is_dir)| (&path[..], *is_dir));
                for (path, is_dir) in all.chain([(&path[..], true)]) {
                    let source = operand.source_of(path);
                    let place =
                        EntryPath { operand: number, source: &source, target: path, staged: false };
                    run.reporter.removed(place, is_dir);
                }
            }
            Err(error) => run.reporter.failed_late(error, number, &operand.source_of(&path)),
        }
    }
    run.state.end_phase(&run.totals);
    Ok(())
}

/// Returns the paths of what is in a directory of the target, and which of them are directories. What cannot be read is left
/// out.
fn below(plan: &Plan, operand: &Operand, path: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_vec()];
    while let Some(path) = waiting.pop() {
        let Ok(dir) = plan.open_target(operand, &path) else { continue };
        let mut listing = DirReader::new();
        while listing.fill(dir.as_fd()).is_ok_and(|filled| filled) {
            while let Some((kind, name)) = listing.next_entry() {
                let kind = file::listed_kind(&dir, (kind, name));
                let path = [&path[..], b"/", name.to_bytes()].concat();
                if kind == Kind::Directory {
                    waiting.push(path.clone());
                }
                found.push((path, kind == Kind::Directory));
            }
        }
    }
    found
}

/// Drops what must not be removed, and reports why.
fn judge(run: &mut Run<'_>, deletion: Deletion) {
    let operands: BTreeSet<u32> = run.state.removals.iter().map(|unit| unit.operand).collect();
    for operand in operands {
        let is_unread = run.state.unread.contains(&operand);
        // The copy that follows may be able to read it, and would end with 0.
        run.reporter.late.failed += u64::from(is_unread && deletion.before && run.state.looks);
        let why = if !run.plan.is_source_unchanged(operand) {
            run.reporter.late.failed += 1;
            Withheld::SourceChanged
        } else if is_unread && !deletion.despite_errors {
            Withheld::SourceUnread
        } else {
            continue;
        };
        run.state.removals.retain(|other| other != operand);
        run.reporter.removals_withheld(operand, why);
    }
    let removals = &run.state.removals;
    let count = removals.count();
    let kept = [Count::Copied, Count::Linked, Count::Skipped].map(|count| run.totals.get(count));
    let all = kept.iter().fold(count, |sum, &kept| sum.wrapping_add(kept));
    if count > 0 && !deletion.limit.permits(count, all) {
        let mut named: Vec<_> = removals.uppermost().collect();
        named.sort();
        let named = named.into_iter().filter_map(|(number, path)| {
            let operand = run.plan.operands.get(number as usize)?;
            Some((number, operand.source_of(&path)))
        });
        run.reporter.too_many_removals((count, all), named);
        run.state.removals = Removals::default();
        run.state.too_many_removals = true;
    }
}

/// Removes the extraneous directories that have contained others.
fn remove_dirs(run: &mut Run<'_>, removals: &Removals) -> Result<(), Stopped> {
    for (unit, dir) in removals.with_dirs() {
        if let Some(number) = ending_signal(run) {
            return Err(Stopped::Early(End::Signal(number)));
        }
        let Some(operand) = run.plan.operands.get(unit.operand as usize) else { continue };
        let source = operand.source_of(unit.path);
        let place =
            EntryPath { operand: unit.operand, source: &source, target: unit.path, staged: false };
        match remove::remove_dir(run.plan, operand, unit.path, dir.identity) {
            Ok(()) => {
                run.totals.add(Count::Removed, 1);
                let plans = run.plan.options.plans;
                let planned = plans.then(|| remove::planned_removal(run.plan, operand, place));
                if let Some(planned) = planned.flatten() {
                    run.state.note_planned(place, planned);
                }
                run.reporter.removed(place, true);
            }
            Err(EntryError { errno: Errno::ENOENT, .. }) => {}
            Err(error) => run.reporter.failed_late(error, unit.operand, &source),
        }
    }
    Ok(())
}

/// Gives the directories that the source has, and in which something was removed, their times and mode.
fn finish_dirs(run: &mut Run<'_>, touched: Vec<SourceDir>) -> Result<(), Stopped> {
    if run.plan.options.dry_run {
        return Ok(());
    }
    for (number, target) in touched {
        if let Some(number) = ending_signal(run) {
            return Err(Stopped::Early(End::Signal(number)));
        }
        let Some(operand) = run.plan.operands.get(number as usize) else { continue };
        let source = operand.source_of(&target);
        let place = EntryPath { operand: number, source: &source, target: &target, staged: false };
        match copy::finish(run.plan, place) {
            Ok(lost) => {
                lost.iter().for_each(|lost| run.reporter.attribute_failed(lost, number, &source))
            }
            Err(error) => run.reporter.failed_late(error, number, &source),
        }
    }
    Ok(())
}
